"""A few flights, made up, where a test needs answers and not those of the whole year."""

import datetime as dt
from typing import Any

from examples.flights.repositories import Airlines, Airports, Flights, Planes, WeatherReports
from repo import Base, Database

AIRPORT = {"latitude": 40.7, "longitude": -74.2, "altitude_feet": 18, "utc_offset": -5, "dst": "A"}
PLANE = {"type": "Fixed wing", "manufacturer": "BOEING", "model": "767-223", "engines": 2, "engine": "Turbo-fan"}


async def fill(db: Database) -> None:
    """Make the tables, and put a few rows into each of them."""
    await db.create_all(Base.metadata)
    await Airlines(db).add_many([{"carrier": "AA", "name": "American"}, {"carrier": "UA", "name": "United"}])
    await Airports(db).add_many([AIRPORT | {"faa": code, "name": code.title()} for code in ("EWR", "JFK", "LAX")])
    await Planes(db).add_many([PLANE | {"tailnum": "N1", "seats": 255, "year": 1987}])
    await WeatherReports(db).add_many([weather(hour) for hour in range(6, 12)])
    await Flights(db).add_many([flight(number) for number in range(1, 61)])


def weather(hour: int) -> dict[str, Any]:
    """An hour at Newark; the later, the worse."""
    at = dt.datetime(2013, 1, 1, hour, tzinfo=dt.UTC)
    return {"origin": "EWR", "hour_at": at, "visibility_mi": 24.0 - 2 * hour, "wind_speed_mph": hour * 2.0}


def flight(number: int) -> dict[str, Any]:
    """A flight; every tenth is cancelled, and the later in the day, the later it is."""
    hour, minute = 6 + number % 6, number % 60
    flew = number % 10 > 0
    return {
        "id": number,
        "date": dt.date(2013, 1 + number % 12, 1),
        "scheduled_departure": hour * 100 + minute,
        "departure": hour * 100 + minute if flew else None,
        "departure_delay": hour * 6 - 40 if flew else None,
        "scheduled_arrival": 1200,
        "arrival": 1210 if flew else None,
        "arrival_delay": hour * 7 - 50 if flew else None,
        "carrier": "AA" if number % 3 else "UA",
        "number": number,
        "tailnum": f"N{number % 3}" if number % 3 else None,
        "origin": "EWR" if number % 2 else "JFK",
        "destination": ("LAX", "SJU")[number % 4 > 1],
        "air_time": 300 if flew else None,
        "distance": 400 * (1 + number % 6),
        "hour": hour,
        "minute": minute,
        "hour_at": dt.datetime(2013, 1, 1, hour, tzinfo=dt.UTC),
    }
