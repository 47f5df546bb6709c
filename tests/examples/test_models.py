"""The tables of the example: what they refuse, and how rows of one find those of another."""

import datetime as dt
from typing import Any

import pytest

from examples.flights.models import Airline, Airport, Flight, Plane, WeatherReport
from examples.flights.repositories import Airlines, Airports, Flights, Planes, WeatherReports
from examples.flights.source import AIRLINES, AIRPORTS, FLIGHTS, PLANES, WEATHER, Source
from repo import Base, Database
from repo.errors import CheckViolation, ForeignKeyViolation, UniqueViolation

HOUR = dt.datetime(2013, 1, 1, 10, tzinfo=dt.UTC)


def newark(**changes: Any) -> Airport:
    """An airport."""
    values = {"latitude": 40.7, "longitude": -74.2, "altitude_feet": 18, "utc_offset": -5, "dst": "A"}
    return Airport(**{"faa": "EWR", "name": "Newark Liberty Intl", **values, **changes})


def plane(**changes: Any) -> Plane:
    """An aircraft."""
    names = {"tailnum": "N14228", "manufacturer": "BOEING", "model": "737-824", "type": "Fixed wing", "engine": "Jet"}
    return Plane(**{**names, "engines": 2, "seats": 149, **changes})


def report(**changes: Any) -> WeatherReport:
    """An hour's weather."""
    return WeatherReport(**{"origin": "EWR", "hour_at": HOUR, **changes})


def flight(**changes: Any) -> Flight:
    """A flight that left."""
    times = {
        "scheduled_departure": 515,
        "departure": 517,
        "departure_delay": 2,
        "hour": 5,
        "minute": 15,
        "scheduled_arrival": 819,
        "arrival": 830,
        "arrival_delay": 11,
        "air_time": 227,
    }
    names = {"carrier": "UA", "number": 1545, "tailnum": "N14228", "origin": "EWR", "destination": "IAH"}
    day = {"date": dt.date(2013, 1, 1), "hour_at": HOUR}
    return Flight(**{"id": 1, "distance": 1400, **day, **names, **times, **changes})


@pytest.fixture
async def tables(db: Database) -> Database:
    """The tables, with an airline and an airport."""
    await db.create_all(Base.metadata)
    await Airlines(db).add(Airline(carrier="UA", name="United Air Lines Inc."))
    await Airports(db).add(newark())
    return db


@pytest.mark.parametrize(
    ("source", "model"),
    [(AIRLINES, Airline), (AIRPORTS, Airport), (PLANES, Plane), (WEATHER, WeatherReport), (FLIGHTS, Flight)],
    ids=lambda value: value.table if isinstance(value, Source) else "",
)
def test_the_files_fill_every_column(source: Source, model: type[Base]) -> None:
    """Each column of a table has its attribute in the rows of the file, and no more."""
    names = {*source.attributes, *filter(None, [source.numbered])}
    assert source.table == model.__tablename__
    assert names == {attribute.key for attribute in model.__mapper__.column_attrs}


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"scheduled_departure": 2415, "hour": 24}, "hour"),
        ({"scheduled_departure": 560, "minute": 60}, "minute"),
        ({"scheduled_departure": 600}, "scheduled_departure"),
        ({"departure": 2401}, "departure"),
        ({"departure": None}, "departure_delay"),
        ({"departure_delay": None}, "departure_delay"),
        ({"arrival": 0}, "arrival"),
        ({"arrival_delay": None}, "arrival_delay"),
        ({"air_time": 0}, "air_time"),
        ({"distance": 0}, "distance"),
    ],
)
async def test_an_impossible_flight_is_refused(tables: Database, changes: dict[str, Any], constraint: str) -> None:
    """Each check of a flight holds, under its own name."""
    with pytest.raises(CheckViolation) as caught:
        await Flights(tables).add(flight(**changes))
    assert (caught.value.table, caught.value.constraint) == ("flights", f"ck_flights_{constraint}")
    assert await Flights(tables).count() == 0


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"humidity": 100.1}, "humidity"),
        ({"wind_direction": 361}, "wind_direction"),
        ({"wind_speed_mph": -1.0}, "wind_speed_mph"),
        ({"precipitation_in": -0.1}, "precipitation_in"),
        ({"visibility_mi": -1.0}, "visibility_mi"),
    ],
)
async def test_impossible_weather_is_refused(tables: Database, changes: dict[str, Any], constraint: str) -> None:
    """Each check of a weather report holds, under its own name."""
    with pytest.raises(CheckViolation) as caught:
        await WeatherReports(tables).add(report(**changes))
    assert caught.value.constraint == f"ck_weather_{constraint}"


@pytest.mark.parametrize("column", ["engines", "seats", "speed"])
async def test_an_impossible_plane_is_refused(tables: Database, column: str) -> None:
    """An aircraft has engines and seats, and moves."""
    with pytest.raises(CheckViolation) as caught:
        await Planes(tables).add(plane(**{column: 0}))
    assert caught.value.constraint == f"ck_planes_{column}"


@pytest.mark.parametrize("changes", [{"latitude": 91.0}, {"longitude": -181.0}, {"dst": "X"}])
async def test_an_impossible_airport_is_refused(tables: Database, changes: dict[str, Any]) -> None:
    """An airport is on the globe, and its daylight saving time is of a known kind."""
    with pytest.raises(CheckViolation) as caught:
        await Airports(tables).add(newark(faa="XXX", **changes))
    assert caught.value.constraint == f"ck_airports_{next(iter(changes))}"


@pytest.mark.parametrize("changes", [{"carrier": "XX"}, {"origin": "XXX"}])
async def test_a_flight_has_an_airline_and_an_origin(tables: Database, changes: dict[str, Any]) -> None:
    """An unknown airline or origin is refused; an unknown aircraft or destination is not."""
    with pytest.raises(ForeignKeyViolation):
        await Flights(tables).add(flight(**changes))
    assert (await Flights(tables).add(flight(tailnum="N00000", destination="XXX"))).id == 1


async def test_an_hour_has_one_report_at_an_airport(tables: Database) -> None:
    """The key is a moment, so the hour that the clocks repeated has two reports, and no moment has."""
    summer, winter = dt.timezone(dt.timedelta(hours=-4)), dt.timezone(dt.timedelta(hours=-5))
    reports = WeatherReports(tables)
    await reports.add(report(hour_at=dt.datetime(2013, 11, 3, 1, tzinfo=summer)))
    await reports.add(report(hour_at=dt.datetime(2013, 11, 3, 1, tzinfo=winter)))
    with pytest.raises(UniqueViolation):
        await reports.add(report(hour_at=dt.datetime(2013, 11, 3, 6, tzinfo=dt.UTC)))
    assert await reports.count() == 2
