"""From rows to answers: pure functions, one for each shape of answer."""

from collections.abc import Sequence
from fractions import Fraction

from examples.flights.answers import (
    Aircraft,
    AircraftBand,
    Cancellations,
    Carrier,
    Destination,
    Destinations,
    Hour,
    KnockOnDelay,
    MadeUp,
    Month,
    Route,
    Spread,
    Utilisation,
    WeatherBand,
    Weekday,
    Year,
    mean,
    share,
)
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

VISIBILITY = ("under 1", "1 to 3", "3 to 10", "10 and more")
WIND = ("under 5", "5 to 10", "10 to 15", "15 to 20", "20 and more")
RAIN = ("none", "under 0.05", "0.05 to 0.2", "0.2 and more")
AGE = ("0 to 4", "5 to 9", "10 to 14", "15 to 19", "20 and more")
SEATS = ("under 50", "50 to 99", "100 to 149", "150 to 199", "200 and more")
DISTANCE = ("under 500", "500 to 999", "1000 to 1999", "2000 and more")
SPREAD = ("under_0", "0_to_14", "15_to_59", "60_to_179", "180_and_more")

DAILY = 365
"""A destination with fewer arrivals is neither best nor worst."""


def extent(row: Extent) -> Extent:
    """What the tables hold, as it is."""
    return row


def year(row: Totals) -> Year:
    """The punctuality of all flights."""
    return Year.of(row, departed=row.departed, arrived=row.arrived, distance_miles=row.miles)


def carriers(rows: Sequence[NamedTally]) -> list[Carrier]:
    """The punctuality of each airline."""
    return [Carrier.of(row, carrier=row.key, name=row.name) for row in rows]


def months(rows: Sequence[Tally[int]]) -> list[Month]:
    """The punctuality of each month."""
    return [Month.of(row, month=row.key) for row in rows]


def hours(rows: Sequence[Tally[int]]) -> list[Hour]:
    """The punctuality of each hour of the day."""
    return [Hour.of(row, hour=row.key) for row in rows]


def weekdays(rows: Sequence[Tally[int]]) -> list[Weekday]:
    """The punctuality of each day of the week."""
    return [Weekday.of(row, weekday=row.key) for row in rows]


def destinations(rows: Sequence[NamedTally]) -> Destinations:
    """The ten worst and the ten best; compared as fractions, before anything is rounded."""

    def lateness(row: NamedTally) -> Fraction:
        return Fraction(row.arrival_delay, row.arrived)

    daily = [row for row in rows if row.arrived >= DAILY]
    worst = sorted(daily, key=lambda row: (-lateness(row), row.key))
    best = sorted(daily, key=lambda row: (lateness(row), row.key))
    return Destinations(worst=[_destination(row) for row in worst[:10]], best=[_destination(row) for row in best[:10]])


def _destination(row: NamedTally) -> Destination:
    """One of them, rounded."""
    delay = mean(row.arrival_delay, row.arrived)
    return Destination(destination=row.key, name=row.name, arrived=row.arrived, arrival_delay_mean=delay)


def routes(rows: Sequence[RouteTally]) -> list[Route]:
    """The punctuality of each route."""
    return [
        Route(
            origin=row.origin,
            destination=row.destination,
            flights=row.flights,
            carriers=row.carriers,
            on_time_share=share(row.on_time, row.arrived),
            arrival_delay_mean=mean(row.arrival_delay, row.arrived),
        )
        for row in rows
    ]


def visibility(rows: Sequence[Tally[int]]) -> list[WeatherBand]:
    """Delays by miles of visibility."""
    return _weather(rows, VISIBILITY)


def wind(rows: Sequence[Tally[int]]) -> list[WeatherBand]:
    """Delays by miles per hour of wind."""
    return _weather(rows, WIND)


def rain(rows: Sequence[Tally[int]]) -> list[WeatherBand]:
    """Delays by inches of rain in the hour."""
    return _weather(rows, RAIN)


def _weather(rows: Sequence[Tally[int]], names: Sequence[str]) -> list[WeatherBand]:
    """Delays and cancellations by a kind of weather."""
    return [
        WeatherBand(
            band=names[row.key],
            flights=row.flights,
            departure_delay_mean=mean(row.departure_delay, row.departed),
            cancelled_share=share(row.flights - row.departed, row.flights),
        )
        for row in rows
    ]


def aircraft_age(rows: Sequence[AircraftTally]) -> list[AircraftBand]:
    """Delays by years since the aircraft was made."""
    return _aircraft(rows, AGE)


def aircraft_size(rows: Sequence[AircraftTally]) -> list[AircraftBand]:
    """Delays by the aircraft's seats."""
    return _aircraft(rows, SEATS)


def _aircraft(rows: Sequence[AircraftTally], names: Sequence[str]) -> list[AircraftBand]:
    """Delays by a kind of aircraft."""
    return [
        AircraftBand(
            band=names[row.key],
            planes=row.planes,
            flights=row.flights,
            departure_delay_mean=mean(row.departure_delay, row.departed),
            arrival_delay_mean=mean(row.arrival_delay, row.arrived),
        )
        for row in rows
    ]


def cancellations(rows: Sequence[MonthAtAirport]) -> list[Cancellations]:
    """What was cancelled in each month, at each airport."""
    return [
        Cancellations(
            month=row.month,
            origin=row.origin,
            flights=row.flights,
            cancelled=row.flights - row.departed,
            cancelled_share=share(row.flights - row.departed, row.flights),
        )
        for row in rows
    ]


def made_up(rows: Sequence[TimeMadeUp]) -> list[MadeUp]:
    """Minutes made up, by miles of the flight."""
    return [
        MadeUp(
            band=DISTANCE[row.key],
            flights=row.flights,
            made_up_minutes=row.minutes,
            made_up_mean=mean(row.minutes, row.flights),
        )
        for row in rows
    ]


def utilisation(rows: Sequence[AircraftInUse]) -> Utilisation:
    """The fleet, which every row tells of, and the aircraft of each row."""
    if not rows:
        return Utilisation(planes=0, flights_mean=None, air_hours_mean=None, top=[])
    fleet = rows[0]
    return Utilisation(
        planes=fleet.fleet,
        flights_mean=mean(fleet.fleet_flights, fleet.fleet),
        air_hours_mean=mean(fleet.fleet_minutes, 60 * fleet.fleet),
        top=[_in_use(row) for row in rows],
    )


def _in_use(row: AircraftInUse) -> Aircraft:
    """One aircraft, its time in hours."""
    return Aircraft(
        tailnum=row.tailnum,
        manufacturer=row.manufacturer,
        model=row.model,
        seats=row.seats,
        flights=row.flights,
        air_hours=mean(row.minutes, 60),
        miles=row.miles,
    )


def delay_spread(rows: Sequence[DelaySpread]) -> list[Spread]:
    """How many of each airline's flights arrived in which band of minutes."""
    spreads = []
    for row in rows:
        counts = (row.under_0, row.from_0, row.from_15, row.from_60, row.from_180)
        spreads.append(Spread(carrier=row.carrier, **dict(zip(SPREAD, counts, strict=True))))
    return spreads


def knock_on(row: KnockOn) -> KnockOnDelay:
    """How likely a late departure is after a late one, and after one on time."""
    return KnockOnDelay(
        flights=row.after_late + row.after_on_time,
        late_after_late_share=share(row.late_after_late, row.after_late),
        late_after_on_time_share=share(row.late_after_on_time, row.after_on_time),
    )
