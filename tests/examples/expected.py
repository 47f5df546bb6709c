"""The answers of the report, computed from the CSV files in plain Python, without a database.

An independent reading of the same files: nothing here comes from `examples.flights` but the folder
of the data. The definitions:

- A flight *departed* if its departure time is known and is *cancelled* if not; it *arrived* if its
  arrival delay is known (a diverted flight did not).
- A flight is *on time* if it arrived less than 15 minutes late; the share is of flights that arrived.
- The mean departure delay is over flights whose departure delay is known, the mean arrival delay
  over flights that arrived. Early is negative, so a mean may be.
- A mean is `round(a / b, 2)` and a share `round(100 * a / b, 2)` of whole numbers; None if b is 0.
- Days, months, weekdays (1 is Monday) and hours are New York's, those of the scheduled departure.
- Weather is that of the flight's origin in the hour of its scheduled departure. Flights whose hour
  has no report, or a report without the value in question, are left out of that question.
- Aircraft are joined by tail number; the age is 2013 less the year of manufacture, which must be
  known and from 1950 to 2013.
- Minutes made up in the air are departure delay less arrival delay, of flights that have both.
- Utilisation is of flights with a known air time and tail number.
- Knock-on: of the flights with a known departure delay and tail number, a flight's predecessor is
  the one before it of the same tail number on the same day, by scheduled departure and then by the
  number of the row. *Late* is a departure delay of 15 minutes and more. One share is of the
  flights whose predecessor was late, the other of those whose predecessor was not.
- A band reaches from its lower bound, included, to its upper bound, excluded; bands of whole
  numbers name the last one they include. Lists have the order that the code gives them last.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

from tests.examples.plain import Flight, band, flights, groups, mean, planes, read, share, whole

ON_TIME = 15
LATE = 15

VISIBILITY = {"under 1": 0.0, "1 to 3": 1.0, "3 to 10": 3.0, "10 and more": 10.0}
WIND = {"under 5": 0.0, "5 to 10": 5.0, "10 to 15": 10.0, "15 to 20": 15.0, "20 and more": 20.0}
SMALLEST_RAIN = 5e-324
RAIN = {"none": 0.0, "under 0.05": SMALLEST_RAIN, "0.05 to 0.2": 0.05, "0.2 and more": 0.2}
AGE = {"0 to 4": 0.0, "5 to 9": 5.0, "10 to 14": 10.0, "15 to 19": 15.0, "20 and more": 20.0}
SEATS = {
    "under 50": 0.0,
    "50 to 99": 50.0,
    "100 to 149": 100.0,
    "150 to 199": 150.0,
    "200 and more": 200.0,
}
DISTANCE = {"under 500": 0.0, "500 to 999": 500.0, "1000 to 1999": 1000.0, "2000 and more": 2000.0}
DELAY = {
    "under_0": float("-inf"),
    "0_to_14": 0.0,
    "15_to_59": 15.0,
    "60_to_179": 60.0,
    "180_and_more": 180.0,
}
"""Each band's lower bound."""

Table = list[dict[str, Any]]


def departure_delays(rows: Iterable[Flight]) -> list[int]:
    """The known ones."""
    return [flight.departure_delay for flight in rows if flight.departure_delay is not None]


def arrival_delays(rows: Iterable[Flight]) -> list[int]:
    """Those of the flights that arrived."""
    return [flight.arrival_delay for flight in rows if flight.arrival_delay is not None]


def cancelled(rows: Iterable[Flight]) -> int:
    """How many were cancelled."""
    return sum(flight.departure is None for flight in rows)


def on_time_share(rows: Iterable[Flight]) -> float | None:
    """The share of those that arrived."""
    delays = arrival_delays(rows)
    return share(sum(delay < ON_TIME for delay in delays), len(delays))


def departure_delay_mean(rows: Iterable[Flight]) -> float | None:
    """In minutes."""
    delays = departure_delays(rows)
    return mean(sum(delays), len(delays))


def arrival_delay_mean(rows: Iterable[Flight]) -> float | None:
    """In minutes."""
    delays = arrival_delays(rows)
    return mean(sum(delays), len(delays))


def punctuality(rows: list[Flight]) -> dict[str, Any]:
    """The five columns that many answers share."""
    return {
        "flights": len(rows),
        "cancelled": cancelled(rows),
        "on_time_share": on_time_share(rows),
        "departure_delay_mean": departure_delay_mean(rows),
        "arrival_delay_mean": arrival_delay_mean(rows),
    }


def totals() -> dict[str, Any]:
    """All flights together."""
    rows = flights()
    return {
        **punctuality(rows),
        "departed": sum(flight.departure is not None for flight in rows),
        "arrived": len(arrival_delays(rows)),
        "distance_miles": sum(flight.distance for flight in rows),
    }


def by_carrier() -> Table:
    """Most flights first, then by code."""
    names = {cells["carrier"]: cells["name"] for cells in read("airlines")}
    table = [
        {"carrier": carrier, "name": names[carrier], **punctuality(rows)}
        for carrier, rows in groups(flights(), lambda flight: flight.carrier).items()
    ]
    return sorted(table, key=lambda row: (-row["flights"], row["carrier"]))


def by_month() -> Table:
    """January to December."""
    found = groups(flights(), lambda flight: flight.day.month)
    return [{"month": month, **punctuality(rows)} for month, rows in sorted(found.items())]


def by_hour() -> Table:
    """Hours without a scheduled departure are absent."""
    found = groups(flights(), lambda flight: flight.hour)
    return [{"hour": hour, **punctuality(rows)} for hour, rows in sorted(found.items())]


def by_weekday() -> Table:
    """Monday is 1."""
    found = groups(flights(), lambda flight: flight.day.isoweekday())
    return [{"weekday": weekday, **punctuality(rows)} for weekday, rows in sorted(found.items())]


def destinations() -> dict[str, Table]:
    """The ten worst and best by mean arrival delay, of those with 365 arrivals; exact fractions."""
    names = {cells["faa"]: cells["name"] for cells in read("airports")}
    table = []
    for destination, rows in groups(flights(), lambda flight: flight.destination).items():
        delays = arrival_delays(rows)
        if len(delays) >= 365:
            row = {
                "destination": destination,
                "name": names.get(destination),
                "arrived": len(delays),
                "arrival_delay_mean": mean(sum(delays), len(delays)),
            }
            table.append((Fraction(sum(delays), len(delays)), row))
    worst = sorted(table, key=lambda entry: (-entry[0], entry[1]["destination"]))
    best = sorted(table, key=lambda entry: (entry[0], entry[1]["destination"]))
    return {"worst": [row for _, row in worst[:10]], "best": [row for _, row in best[:10]]}


def busiest_routes() -> Table:
    """The fifteen with the most flights, then by origin and destination."""
    found = groups(flights(), lambda flight: (flight.origin, flight.destination))
    table = [
        {
            "origin": origin,
            "destination": destination,
            "flights": len(rows),
            "carriers": len({flight.carrier for flight in rows}),
            "on_time_share": on_time_share(rows),
            "arrival_delay_mean": arrival_delay_mean(rows),
        }
        for (origin, destination), rows in found.items()
    ]
    table.sort(key=lambda row: (-row["flights"], row["origin"], row["destination"]))
    return table[:15]


def by_weather(column: str, bounds: dict[str, float]) -> Table:
    """Flights by bands of a value of their weather."""
    known = {
        (cells["origin"], cells["time_hour"]): band(float(cells[column]), bounds)
        for cells in read("weather")
        if cells[column] != "NA"
    }
    found = groups(flights(), lambda flight: known.get((flight.origin, flight.moment)))
    return [
        {
            "band": name,
            "flights": len(found[name]),
            "departure_delay_mean": departure_delay_mean(found[name]),
            "cancelled_share": share(cancelled(found[name]), len(found[name])),
        }
        for name in bounds
    ]


def by_aircraft(value: Callable[[dict[str, str]], int | None], bounds: dict[str, float]) -> Table:
    """Flights by bands of a value of their aircraft."""
    values = {tailnum: value(plane) for tailnum, plane in planes().items()}
    known = {tailnum: band(number, bounds) for tailnum, number in values.items() if number is not None}
    found = groups(flights(), lambda flight: known.get(flight.tailnum or ""))
    return [
        {
            "band": name,
            "planes": len({flight.tailnum for flight in found[name]}),
            "flights": len(found[name]),
            "departure_delay_mean": departure_delay_mean(found[name]),
            "arrival_delay_mean": arrival_delay_mean(found[name]),
        }
        for name in bounds
    ]


def age(plane: dict[str, str]) -> int | None:
    """In 2013; None where the year is not known or cannot be."""
    year = whole(plane["year"])
    return 2013 - year if year is not None and 1950 <= year <= 2013 else None


def cancellations() -> Table:
    """By month and origin."""
    found = groups(flights(), lambda flight: (flight.day.month, flight.origin))
    return [
        {
            "month": month,
            "origin": origin,
            "flights": len(rows),
            "cancelled": cancelled(rows),
            "cancelled_share": share(cancelled(rows), len(rows)),
        }
        for (month, origin), rows in sorted(found.items())
    ]


def made_up_in_the_air() -> Table:
    """By distance, in miles."""
    minutes = defaultdict(list)
    for flight in flights():
        if flight.departure_delay is not None and flight.arrival_delay is not None:
            made_up = flight.departure_delay - flight.arrival_delay
            minutes[band(flight.distance, DISTANCE)].append(made_up)
    return [
        {
            "band": name,
            "flights": len(minutes[name]),
            "made_up_minutes": sum(minutes[name]),
            "made_up_mean": mean(sum(minutes[name]), len(minutes[name])),
        }
        for name in DISTANCE
    ]


def aircraft_utilisation() -> dict[str, Any]:
    """All aircraft, and the ten with the most time in the air."""
    flown = [flight for flight in flights() if flight.air_time is not None]
    found = groups(flown, lambda flight: flight.tailnum)
    minutes = {tail: sum(flight.air_time or 0 for flight in rows) for tail, rows in found.items()}
    top = sorted(found.items(), key=lambda entry: (-minutes[entry[0]], entry[0]))[:10]
    number = sum(map(len, found.values()))
    return {
        "planes": len(found),
        "flights_mean": mean(number, len(found)),
        "air_hours_mean": mean(sum(minutes.values()), 60 * len(found)),
        "top": [aircraft(tail, rows, minutes[tail]) for tail, rows in top],
    }


def aircraft(tailnum: str, rows: list[Flight], minutes: int) -> dict[str, Any]:
    """A row of the utilisation's top ten."""
    plane = planes().get(tailnum, {})
    return {
        "tailnum": tailnum,
        "manufacturer": plane.get("manufacturer"),
        "model": plane.get("model"),
        "seats": whole(plane.get("seats", "NA")),
        "flights": len(rows),
        "air_hours": mean(minutes, 60),
        "miles": sum(flight.distance for flight in rows),
    }


def delay_spread() -> Table:
    """Arrivals by band of delay in minutes."""
    table = []
    for carrier, rows in sorted(groups(flights(), lambda flight: flight.carrier).items()):
        number = Counter(band(delay, DELAY) for delay in arrival_delays(rows))
        table.append({"carrier": carrier, **{name: number[name] for name in DELAY}})
    return table


def knock_on() -> dict[str, Any]:
    """How often a late departure follows a late one, and one that was not late."""
    known = [flight for flight in flights() if flight.departure_delay is not None]
    days = groups(known, lambda flight: flight.tailnum and (flight.tailnum, flight.day))
    pairs: Counter[tuple[bool, bool]] = Counter()
    for rows in days.values():
        rows.sort(key=lambda flight: (flight.scheduled, flight.row))
        late = [delay >= LATE for delay in departure_delays(rows)]
        pairs.update(pairwise(late))
    return {
        "flights": pairs.total(),
        "late_after_late_share": share(pairs[True, True], pairs[True, True] + pairs[True, False]),
        "late_after_on_time_share": share(pairs[False, True], pairs[False, True] + pairs[False, False]),
    }


def data() -> dict[str, Any]:
    """What was asked."""
    days = [flight.day for flight in flights()]
    others = ("airlines", "airports", "planes", "weather")
    return {
        "first_day": min(days).isoformat(),
        "last_day": max(days).isoformat(),
        "flights": len(days),
        **{table: sum(1 for _ in read(table)) for table in others},
    }


@cache
def report() -> dict[str, Any]:
    """The whole document."""
    return {
        "format": 1,
        "data": data(),
        "answers": {
            "totals": totals(),
            "by_carrier": by_carrier(),
            "by_month": by_month(),
            "by_hour": by_hour(),
            "by_weekday": by_weekday(),
            "destinations": destinations(),
            "busiest_routes": busiest_routes(),
            "visibility": by_weather("visib", VISIBILITY),
            "wind": by_weather("wind_speed", WIND),
            "rain": by_weather("precip", RAIN),
            "aircraft_age": by_aircraft(age, AGE),
            "aircraft_size": by_aircraft(lambda plane: whole(plane["seats"]), SEATS),
            "cancellations": cancellations(),
            "made_up_in_the_air": made_up_in_the_air(),
            "aircraft_utilisation": aircraft_utilisation(),
            "delay_spread": delay_spread(),
            "knock_on": knock_on(),
        },
    }
