"""What the questions bring back: whole numbers, in frozen dataclasses whose fields are the columns."""

import datetime as dt
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Sums:
    """What some flights add up to; the delays are sums of minutes."""

    flights: int
    departed: int
    arrived: int
    on_time: int
    departure_delay: int
    arrival_delay: int


@dataclass(frozen=True, slots=True)
class Totals(Sums):
    """The `Sums` of all flights, with their miles."""

    miles: int


@dataclass(frozen=True, slots=True)
class Tally(Sums, Generic[Key]):
    """The `Sums` of the flights that share `key`."""

    key: Key


@dataclass(frozen=True, slots=True)
class NamedTally(Tally[str]):
    """The `Tally` of a code, with what the code stands for, where that is known."""

    name: str | None


@dataclass(frozen=True, slots=True)
class AircraftTally(Tally[int]):
    """The `Tally` of a band of aircraft; `planes` is how many of them flew."""

    planes: int


@dataclass(frozen=True, slots=True)
class RouteTally(Sums):
    """The `Sums` of a route; `carriers` is how many airlines fly it."""

    origin: str
    destination: str
    carriers: int


@dataclass(frozen=True, slots=True)
class Extent:
    """What the tables hold: the first and the last day of flights, and the number of rows."""

    first_day: dt.date | None
    last_day: dt.date | None
    flights: int
    airlines: int
    airports: int
    planes: int
    weather: int


@dataclass(frozen=True, slots=True)
class DelaySpread:
    """An airline's arrived flights by how late they were, in minutes."""

    carrier: str
    under_0: int
    from_0: int
    from_15: int
    from_60: int
    from_180: int


@dataclass(frozen=True, slots=True)
class MonthAtAirport:
    """How many flights were to leave an airport in a month, and how many did."""

    month: int
    origin: str
    flights: int
    departed: int


@dataclass(frozen=True, slots=True)
class TimeMadeUp:
    """How many minutes the flights of a band of distances arrived less late than they left."""

    key: int
    flights: int
    minutes: int


@dataclass(frozen=True, slots=True)
class AircraftInUse:
    """An aircraft with its work, and in each row the work of the whole fleet."""

    tailnum: str
    flights: int
    minutes: int
    miles: int
    manufacturer: str | None
    model: str | None
    seats: int | None
    fleet: int
    fleet_flights: int
    fleet_minutes: int


@dataclass(frozen=True, slots=True)
class KnockOn:
    """Flights whose aircraft flew before on the same day, by whether it then left late."""

    after_late: int
    late_after_late: int
    after_on_time: int
    late_after_on_time: int
