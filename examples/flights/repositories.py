"""The report's questions: one method each, one statement each, written once for every database.

The database counts and adds whole numbers, no more; `examples.flights.answers` makes means and
shares of them. So two databases that hold the same rows give the same answers to the last digit.

Most questions add up in two steps. `tallied` adds up the flights by a few plain columns, such as
day or aircraft: hundreds or thousands of rows instead of hundreds of thousands. Whatever costs
something for each row, a join, a calendar, a distinct count, is done with those, and `sums_of`
adds up again.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    case,
    cast,
    desc,
    extract,
    func,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute

from examples.flights.models import Airline, Airport, Flight, Plane, WeatherReport
from examples.flights.rows import (
    AircraftInUse,
    AircraftTally,
    DelaySpread,
    Extent,
    KnockOn,
    MonthAtAirport,
    NamedTally,
    RouteTally,
    Tally,
    TimeMadeUp,
    Totals,
)
from repo import Repository

LATE = 15
"""Minutes from which a flight is late; less is on time (US Department of Transportation)."""

SUMS: tuple[ColumnElement[Any], ...] = (
    func.count().label("flights"),
    func.count(Flight.departure_delay).label("departed"),
    func.count(Flight.arrival_delay).label("arrived"),
    func.count().filter(Flight.arrival_delay < LATE).label("on_time"),
    func.coalesce(func.sum(Flight.departure_delay), 0).label("departure_delay"),
    func.coalesce(func.sum(Flight.arrival_delay), 0).label("arrival_delay"),
)
"""The columns of `Sums`, of single flights."""


def tallied(*by: ColumnElement[Any] | InstrumentedAttribute[Any]) -> Select[Any]:
    """The flights, added up by columns of theirs."""
    return select(*SUMS, *by).group_by(*by)


def sums_of(parts: Subquery) -> tuple[ColumnElement[Any], ...]:
    """The columns of `Sums`, of parts that were added up before."""
    return tuple(whole(func.sum(parts.c[column.name])).label(column.name) for column in SUMS)


def whole(sum_of_sums: ColumnElement[int]) -> ColumnElement[int]:
    """A sum of sums as the whole number that it is; some databases make it a decimal one."""
    return cast(sum_of_sums, BigInteger)


def band(*conditions: ColumnElement[bool]) -> ColumnElement[int]:
    """The number of the first condition that holds, from 0; where none does, their count."""
    return case(
        *((condition, number) for number, condition in enumerate(conditions)),
        else_=len(conditions),
    )


def month(day: ColumnElement[Any]) -> ColumnElement[int]:
    """The month of a date, 1 to 12."""
    return cast(extract("month", day), Integer)


def weekday(day: ColumnElement[Any]) -> ColumnElement[int]:
    """The day of the week of a date, from 1 for Monday to 7 for Sunday (ISO 8601)."""
    return (cast(extract("dow", day), Integer) + 6) % 7 + 1


class Airlines(Repository[Airline]):
    """Questions about the carriers."""

    async def by_carrier(self) -> list[NamedTally]:
        """Each airline's punctuality, the largest airline first."""
        flown = tallied(Flight.carrier.label("key")).subquery()
        airlines = (
            select(flown, Airline.name)
            .join(Airline, Airline.carrier == flown.c.key)
            .order_by(flown.c.flights.desc(), flown.c.key)
        )
        return await self.scope.rows(airlines, into=NamedTally)

    async def delay_spread(self) -> list[DelaySpread]:
        """How late each airline's flights arrived, in five bands."""
        late = Flight.arrival_delay
        bands = {
            "under_0": late < 0,
            "from_0": late.between(0, 14),
            "from_15": late.between(15, 59),
            "from_60": late.between(60, 179),
            "from_180": late >= 180,
        }
        counts = [func.count().filter(condition).label(name) for name, condition in bands.items()]
        airlines = select(Flight.carrier, *counts).group_by(Flight.carrier).order_by(Flight.carrier)
        return await self.scope.rows(airlines, into=DelaySpread)


class Airports(Repository[Airport]):
    """Questions about where the flights went."""

    async def destinations(self) -> list[NamedTally]:
        """Every destination; its name is None where it is not among the airports."""
        flown = tallied(Flight.destination.label("key")).subquery()
        destinations = select(flown, Airport.name).outerjoin(Airport, Airport.faa == flown.c.key).order_by(flown.c.key)
        return await self.scope.rows(destinations, into=NamedTally)

    async def busiest_routes(self) -> list[RouteTally]:
        """The fifteen routes with the most flights, and how many airlines fly them."""
        flown = tallied(Flight.origin, Flight.destination, Flight.carrier).subquery()
        origin, destination = flown.c.origin, flown.c.destination
        routes = (
            select(*sums_of(flown), origin, destination, func.count().label("carriers"))
            .group_by(origin, destination)
            .order_by(desc("flights"), origin, destination)
            .limit(15)
        )
        return await self.scope.rows(routes, into=RouteTally)

    async def cancellations(self) -> list[MonthAtAirport]:
        """How many flights of each month and airport were to leave, and how many did."""
        days = tallied(Flight.date, Flight.origin).subquery()
        sums = (whole(func.sum(days.c[name])).label(name) for name in ("flights", "departed"))
        months = (
            select(month(days.c.date).label("month"), days.c.origin, *sums)
            .group_by("month", days.c.origin)
            .order_by("month", days.c.origin)
        )
        return await self.scope.rows(months, into=MonthAtAirport)


class Planes(Repository[Plane]):
    """Questions about the aircraft."""

    async def aircraft_age(self) -> list[AircraftTally]:
        """Delays by years since manufacture: under 5, 10, 15, 20, and more."""
        age = 2013 - Plane.year
        bands = band(age < 5, age < 10, age < 15, age < 20)
        return await self._by(bands, where=Plane.year.between(1950, 2013))

    async def aircraft_size(self) -> list[AircraftTally]:
        """Delays by seats: under 50, 100, 150, 200, and more."""
        seats = Plane.seats
        bands = band(seats < 50, seats < 100, seats < 150, seats < 200)
        return await self._by(bands, where=seats.is_not(None))

    async def aircraft_utilisation(self) -> list[AircraftInUse]:
        """The ten aircraft that were longest in the air, and the work of all that flew."""
        columns = {"minutes": Flight.air_time, "miles": Flight.distance}
        sums = [func.sum(column).label(name) for name, column in columns.items()]
        flew = Flight.tailnum.is_not(None) & Flight.air_time.is_not(None)
        aircraft = (
            select(Flight.tailnum, func.count().label("flights"), *sums)
            .where(flew)
            .group_by(Flight.tailnum)
            .subquery("aircraft")
        )
        fleet = (
            func.count().over().label("fleet"),
            whole(func.sum(aircraft.c.flights).over()).label("fleet_flights"),
            whole(func.sum(aircraft.c.minutes).over()).label("fleet_minutes"),
        )
        busiest = (
            select(aircraft, Plane.manufacturer, Plane.model, Plane.seats, *fleet)
            .outerjoin(Plane, Plane.tailnum == aircraft.c.tailnum)
            .order_by(aircraft.c.minutes.desc(), aircraft.c.tailnum)
            .limit(10)
        )
        return await self.scope.rows(busiest, into=AircraftInUse)

    async def _by(self, key: ColumnElement[int], *, where: ColumnElement[bool]) -> list[AircraftTally]:
        """The flights of the known aircraft, by a key of the aircraft."""
        flown = tallied(Flight.tailnum).subquery()
        bands = (
            select(*sums_of(flown), key.label("key"), func.count().label("planes"))
            .join(Plane, Plane.tailnum == flown.c.tailnum)
            .where(where)
            .group_by("key")
            .order_by("key")
        )
        return await self.scope.rows(bands, into=AircraftTally)


class WeatherReports(Repository[WeatherReport]):
    """Questions about the weather in the hour in which a flight was to leave."""

    async def visibility(self) -> list[Tally[int]]:
        """Delays by visibility: under 1, 3, 10 miles, and more."""
        miles = WeatherReport.visibility_mi
        return await self._by(band(miles < 1, miles < 3, miles < 10), where=miles.is_not(None))

    async def wind(self) -> list[Tally[int]]:
        """Delays by wind speed: under 5, 10, 15, 20 miles per hour, and more."""
        mph = WeatherReport.wind_speed_mph
        return await self._by(band(mph < 5, mph < 10, mph < 15, mph < 20), where=mph.is_not(None))

    async def rain(self) -> list[Tally[int]]:
        """Delays by rain: none, under 0.05, under 0.2 inches in the hour, and more."""
        inches = WeatherReport.precipitation_in
        bands = band(inches == 0, inches < 0.05, inches < 0.2)
        return await self._by(bands, where=inches.is_not(None))

    async def _by(self, key: ColumnElement[int], *, where: ColumnElement[bool]) -> list[Tally[int]]:
        """The flights whose hour has a report, by a key of the report."""
        flown = tallied(Flight.origin, Flight.hour_at).subquery()
        same_hour = (WeatherReport.origin == flown.c.origin) & (WeatherReport.hour_at == flown.c.hour_at)
        bands = (
            select(*sums_of(flown), key.label("key"))
            .join(WeatherReport, same_hour)
            .where(where)
            .group_by("key")
            .order_by("key")
        )
        return await self.scope.rows(bands, into=Tally)


class Flights(Repository[Flight]):
    """Questions about the flights themselves."""

    async def extent(self) -> Extent:
        """What the report is about: the days, and the number of rows of each table."""
        others = {"airlines": Airline, "airports": Airport, "planes": Plane, "weather": WeatherReport}
        counts = [
            select(func.count()).select_from(model).scalar_subquery().label(name) for name, model in others.items()
        ]
        first, last = func.min(Flight.date), func.max(Flight.date)
        extent = select(first.label("first_day"), last.label("last_day"), func.count().label("flights"), *counts)
        return (await self.scope.rows(extent, into=Extent))[0]

    async def totals(self) -> Totals:
        """All flights, added up."""
        miles = func.coalesce(func.sum(Flight.distance), 0).label("miles")
        totals = select(*SUMS, miles)
        return (await self.scope.rows(totals, into=Totals))[0]

    async def by_month(self) -> list[Tally[int]]:
        """Delays by month, 1 to 12."""
        days = tallied(Flight.date).subquery()
        return await self._by(days, month(days.c.date))

    async def by_weekday(self) -> list[Tally[int]]:
        """Delays by day of the week, from 1 for Monday to 7 for Sunday."""
        days = tallied(Flight.date).subquery()
        return await self._by(days, weekday(days.c.date))

    async def by_hour(self) -> list[Tally[int]]:
        """Delays by the local hour of the scheduled departure."""
        hours = tallied(Flight.hour.label("key")).order_by("key")
        return await self.scope.rows(hours, into=Tally)

    async def made_up_in_the_air(self) -> list[TimeMadeUp]:
        """Minutes made up between departure and arrival, by distance: under 500, 1000, 2000 miles."""
        miles = Flight.distance
        key = band(miles < 500, miles < 1000, miles < 2000).label("key")
        minutes = func.sum(Flight.departure_delay - Flight.arrival_delay).label("minutes")
        bands = (
            select(key, func.count().label("flights"), minutes)
            .where(Flight.departure_delay.is_not(None), Flight.arrival_delay.is_not(None))
            .group_by("key")
            .order_by("key")
        )
        return await self.scope.rows(bands, into=TimeMadeUp)

    async def knock_on(self) -> KnockOn:
        """How often an aircraft leaves late, after it left late, or on time, the same day."""
        before = func.lag(Flight.departure_delay).over(
            partition_by=(Flight.date, Flight.tailnum),
            order_by=(Flight.scheduled_departure, Flight.id),
        )
        pairs = (
            select(before.label("before"), Flight.departure_delay.label("now"))
            .where(Flight.departure_delay.is_not(None), Flight.tailnum.is_not(None))
            .subquery("pairs")
        )
        was_late, was_on_time = pairs.c.before >= LATE, pairs.c.before < LATE
        late = pairs.c.now >= LATE
        counts = select(
            func.count().filter(was_late).label("after_late"),
            func.count().filter(was_late & late).label("late_after_late"),
            func.count().filter(was_on_time).label("after_on_time"),
            func.count().filter(was_on_time & late).label("late_after_on_time"),
        )
        return (await self.scope.rows(counts, into=KnockOn))[0]

    async def _by(self, flown: Subquery, key: ColumnElement[int]) -> list[Tally[int]]:
        """Parts of the flights, added up by a key of the parts."""
        groups = select(*sums_of(flown), key.label("key")).group_by("key").order_by("key")
        return await self.scope.rows(groups, into=Tally)
