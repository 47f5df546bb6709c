"""The answers, as people read them: the fields of these dataclasses are the names in the JSON file.

`mean` and `share` are the only places where anything is rounded. `Answers.json` is the same for the same flights,
wherever they are stored: it says nothing about time, host or database.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Self

from examples.flights.rows import Extent, Sums

FORMAT = 1
"""The version of the JSON file's shape."""


def mean(total: int, count: int) -> float | None:
    """`total / count` to two places; None of nothing."""
    return round(total / count, 2) if count else None


def share(part: int, whole: int) -> float | None:
    """How much of `whole` is `part`, in percent to two places; None of nothing."""
    return round(100 * part / whole, 2) if whole else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Punctuality:
    """How some flights kept their times. Delays are minutes; the share is of the flights that arrived."""

    flights: int
    cancelled: int
    on_time_share: float | None
    departure_delay_mean: float | None
    arrival_delay_mean: float | None

    @classmethod
    def of(cls, sums: Sums, **more: Any) -> Self:
        """The punctuality of what was added up; `more` are the fields that a subclass adds."""
        return cls(
            flights=sums.flights,
            cancelled=sums.flights - sums.departed,
            on_time_share=share(sums.on_time, sums.arrived),
            departure_delay_mean=mean(sums.departure_delay, sums.departed),
            arrival_delay_mean=mean(sums.arrival_delay, sums.arrived),
            **more,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Year(Punctuality):
    """All flights of the data."""

    departed: int
    arrived: int
    distance_miles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier(Punctuality):
    """One airline."""

    carrier: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Month(Punctuality):
    """One month, 1 to 12."""

    month: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour(Punctuality):
    """One local hour of scheduled departure, 0 to 23."""

    hour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekday(Punctuality):
    """One day of the week, from 1 for Monday to 7 for Sunday."""

    weekday: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One airport that the flights went to; the name of some is not known."""

    destination: str
    name: str | None
    arrived: int
    arrival_delay_mean: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
    """The ten worst and the ten best destinations among those with an arrival a day."""

    worst: list[Destination]
    best: list[Destination]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One pair of airports, and how many airlines fly it."""

    origin: str
    destination: str
    flights: int
    carriers: int
    on_time_share: float | None
    arrival_delay_mean: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeatherBand:
    """The flights that were to leave in one kind of weather."""

    band: str
    flights: int
    departure_delay_mean: float | None
    cancelled_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AircraftBand:
    """The flights of one kind of aircraft, and how many of them there are."""

    band: str
    planes: int
    flights: int
    departure_delay_mean: float | None
    arrival_delay_mean: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellations:
    """The cancelled flights of one month and one airport."""

    month: int
    origin: str
    flights: int
    cancelled: int
    cancelled_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeUp:
    """The minutes that flights over one distance arrived less late than they left."""

    band: str
    flights: int
    made_up_minutes: int
    made_up_mean: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Aircraft:
    """One aircraft's year; what the register does not know of it is None."""

    tailnum: str
    manufacturer: str | None
    model: str | None
    seats: int | None
    flights: int
    air_hours: float | None
    miles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilisation:
    """The whole fleet's year, and the ten aircraft that were longest in the air."""

    planes: int
    flights_mean: float | None
    air_hours_mean: float | None
    top: list[Aircraft]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnockOnDelay:
    """Flights whose aircraft flew before on the same day: how many left late, in percent, after what."""

    flights: int
    late_after_late_share: float | None
    late_after_on_time_share: float | None


Spread = dict[str, str | int]
"""An airline's `carrier`, and its flights in each band of `examples.flights.reckoning.SPREAD`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answer to every question of `examples.flights.report.QUESTIONS`, by its name."""

    extent: Extent
    totals: Year
    by_carrier: list[Carrier]
    by_month: list[Month]
    by_hour: list[Hour]
    by_weekday: list[Weekday]
    destinations: Destinations
    busiest_routes: list[Route]
    visibility: list[WeatherBand]
    wind: list[WeatherBand]
    rain: list[WeatherBand]
    aircraft_age: list[AircraftBand]
    aircraft_size: list[AircraftBand]
    cancellations: list[Cancellations]
    made_up_in_the_air: list[MadeUp]
    aircraft_utilisation: Utilisation
    delay_spread: list[Spread]
    knock_on: KnockOnDelay

    def json(self) -> str:
        """The JSON file."""
        answers = dataclasses.asdict(self)
        data = answers.pop("extent")
        document = {"format": FORMAT, "data": data, "answers": answers}
        return json.dumps(document, default=str, indent=2, sort_keys=True) + "\n"
