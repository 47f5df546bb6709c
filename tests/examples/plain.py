"""The CSV files and a little arithmetic in plain Python, for what is expected of the report.

Nothing here comes from `examples.flights` but the folder of the data.
"""

import csv
import datetime as dt
import lzma
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import examples.flights

DATA = Path(examples.flights.__file__).parent / "data"


class Flight(NamedTuple):
    """What the questions need of a flight; None is `NA`."""

    row: int
    day: dt.date
    hour: int
    scheduled: int
    departure: int | None
    departure_delay: int | None
    arrival_delay: int | None
    carrier: str
    tailnum: str | None
    origin: str
    destination: str
    air_time: int | None
    distance: int
    moment: str


def read(table: str) -> Iterator[dict[str, str]]:
    """The rows of a file as text."""
    with lzma.open(DATA / f"{table}.csv.xz", "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def whole(cell: str) -> int | None:
    """A whole number, or None for `NA`."""
    return None if cell == "NA" else int(cell)


@cache
def flights() -> list[Flight]:
    """Every flight."""
    return [
        Flight(
            row=row,
            day=dt.date(int(cells["year"]), int(cells["month"]), int(cells["day"])),
            hour=int(cells["hour"]),
            scheduled=int(cells["sched_dep_time"]),
            departure=whole(cells["dep_time"]),
            departure_delay=whole(cells["dep_delay"]),
            arrival_delay=whole(cells["arr_delay"]),
            carrier=cells["carrier"],
            tailnum=None if cells["tailnum"] == "NA" else cells["tailnum"],
            origin=cells["origin"],
            destination=cells["dest"],
            air_time=whole(cells["air_time"]),
            distance=int(cells["distance"]),
            moment=cells["time_hour"],
        )
        for row, cells in enumerate(read("flights"), start=1)
    ]


@cache
def planes() -> dict[str, dict[str, str]]:
    """The planes by tail number."""
    return {cells["tailnum"]: cells for cells in read("planes")}


def mean(total: int, number: int) -> float | None:
    """`total / number`, rounded."""
    return None if number == 0 else round(total / number, 2)


def share(part: int, number: int) -> float | None:
    """Percent, rounded."""
    return None if number == 0 else round(100 * part / number, 2)


def groups(rows: Iterable[Flight], key: Callable[[Flight], Any]) -> dict[Any, list[Flight]]:
    """The flights by `key`; those whose key is None are left out."""
    found: defaultdict[Any, list[Flight]] = defaultdict(list)
    for flight in rows:
        found[key(flight)].append(flight)
    found.pop(None, None)
    return found


def band(value: float, bounds: Mapping[str, float]) -> str:
    """The last band whose lower bound is not above the value."""
    return [name for name, lowest in bounds.items() if lowest <= value][-1]
