"""The whole of the flights in a database: what is in it, and what the report says of it.

A load takes seconds, so one of each kind serves all tests, which only read.
"""

import asyncio
import datetime as dt
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Column, ColumnElement, func, select

from examples.flights.loader import AlreadyLoaded, is_loaded, load
from examples.flights.models import Flight, WeatherReport
from examples.flights.report import ask
from examples.flights.repositories import Flights
from examples.flights.source import SOURCES, Source
from repo import Base, Database
from repo.types import UTCDateTime
from tests.databases import DATABASES
from tests.examples import expected, plain
from tests.examples.whole import COUNTS, counts

HOUR = dt.datetime(2013, 1, 1, 10, tzinfo=dt.UTC)


class Loaded(NamedTuple):
    """A database that two loads were started for at once, and how each of them ended."""

    url: str
    ends: Sequence[dict[str, int] | BaseException]


@pytest.fixture(scope="module", params=DATABASES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """A database that holds the flights."""
    made = _loaded(request.param, tmp_path_factory.mktemp("flights"))
    # A thread of its own, because the loop of the test that asks first may be running in this one.
    with asyncio.Runner() as runner, ThreadPoolExecutor(max_workers=1) as thread:
        yield thread.submit(runner.run, made.__aenter__()).result()
        thread.submit(runner.run, made.__aexit__(None, None, None)).result()


@asynccontextmanager
async def _loaded(kind: str, folder: Path) -> AsyncIterator[Loaded]:
    async with DATABASES[kind](folder) as url:
        async with Database(url) as db:
            await db.create_all(Base.metadata)
            ends = await asyncio.gather(load(db), load(db), return_exceptions=True)
        yield Loaded(url, ends)


@pytest.fixture
def flights_url(loaded: Loaded) -> str:
    """The URL of that database."""
    return loaded.url


def test_of_two_loads_at_once_one_succeeds(loaded: Loaded) -> None:
    """Two programs that start together load once; the other is told that the data is there."""
    done, refused = sorted(loaded.ends, key=lambda end: isinstance(end, BaseException))
    assert done == COUNTS
    assert isinstance(refused, AlreadyLoaded)


async def test_every_row_is_loaded(flights_url: str) -> None:
    """The tables have the rows of the files, and `is_loaded` says so."""
    async with Database(flights_url) as db:
        assert await counts(db) == COUNTS
        assert await is_loaded(db)


@pytest.mark.parametrize("checked", SOURCES, ids=lambda checked: checked.table)
async def test_every_column_is_loaded(flights_url: str, checked: Source) -> None:
    """Each column has the NULLs and the sum (days: the first and last) of its cells, read in plain Python."""
    columns = [Base.metadata.tables[checked.table].c[name] for name in checked.attributes]
    async with Database(flights_url) as db:
        (found,) = await db.rows(select(*(part for column in columns for part in sums(column))))
    cells = cells_of(checked.table)
    expected = [part for column in columns for part in sums_of_cells(column, cells[column.name])]
    assert rounded(found) == rounded(expected)


def rounded(parts: Iterable[Any]) -> list[Any]:
    """Sums of floats depend on the order of adding, in the last digits."""
    return [round(part, 3) if isinstance(part, float) else part for part in parts]


def sums(column: Column[Any]) -> list[ColumnElement[Any]]:
    """What the database is asked for a column; text counts by its length."""
    kind = kind_of(column)
    number = func.count(column)
    if kind in {int, float}:
        return [number, func.sum(column)]
    return [number, func.sum(func.length(column))] if kind is str else [number, func.min(column), func.max(column)]


def kind_of(column: Column[Any]) -> type:
    """The Python type of a column's values."""
    return dt.datetime if isinstance(column.type, UTCDateTime) else column.type.python_type


def sums_of_cells(column: Column[Any], cells: Counter[str]) -> list[Any]:
    """The same of the cells, whose number is given."""
    kind = kind_of(column)
    known = {cell: number for cell, number in cells.items() if cell != "NA"}
    number = sum(known.values())
    if kind in {int, float}:
        return [number, sum(kind(cell) * times for cell, times in known.items())]
    if kind is str:
        return [number, sum(len(cell) * times for cell, times in known.items())]
    moments = [dt.datetime.fromisoformat(cell) for cell in known]
    return [number, *((moment.date() if kind is dt.date else moment) for moment in (min(moments), max(moments)))]


@cache
def cells_of(table: str) -> dict[str, Counter[str]]:
    """How often each cell occurs, by the attribute of a table; the three cells of a day are joined."""
    checked = next(one for one in SOURCES if one.table == table)
    found: dict[str, Counter[str]] = {name: Counter() for name in checked.attributes}
    for cells in plain.read(table):
        cells["year month day"] = f"{cells.get('year')}-{cells.get('month', ''):0>2}-{cells.get('day', ''):0>2}"
        for name, (column, _) in checked.attributes.items():
            found[name][cells[column]] += 1
    return found


async def test_a_second_load_is_refused(flights_url: str) -> None:
    """Loaded tables are left alone, and the error says why."""
    async with Database(flights_url) as db:
        with pytest.raises(AlreadyLoaded, match="filled already"):
            await load(db)
        assert await counts(db) == COUNTS


async def test_relationships(flights_url: str) -> None:
    """A flight finds its airline, its airports, its aircraft and the weather of its hour."""
    async with Database(flights_url) as db:
        first = await Flights(db).get_one(
            1,
            load=[
                *(Flight.airline, Flight.origin_airport, Flight.destination_airport),
                *(Flight.plane, (Flight.weather, WeatherReport.airport)),
            ],
        )
    assert first.airline.name == "United Air Lines Inc."
    assert first.origin_airport.name == "Newark Liberty Intl"
    assert first.destination_airport is not None
    assert first.destination_airport.name == "George Bush Intercontinental"
    assert first.plane is not None
    assert (first.plane.model, first.plane.year) == ("737-824", 1999)
    assert first.weather is not None
    assert (first.weather.hour_at, first.weather.temperature_f) == (HOUR, 39.02)
    assert first.weather.airport.faa == "EWR"


async def test_relationships_to_what_is_not_in_the_data(flights_url: str) -> None:
    """An aircraft, a destination or an hour that the data does not have is None."""
    async with Database(flights_url) as db:
        found = await Flights(db).get_one(110_696, load=[Flight.plane, Flight.destination_airport, Flight.weather])
    assert (found.tailnum, found.destination) == ("N5FAAA", "SJU")
    assert (found.plane, found.destination_airport, found.weather) == (None, None, None)


@pytest.mark.parametrize("one_at_a_time", [False, True], ids=["at_once", "one_at_a_time"])
async def test_the_answers_are_those_of_plain_python(flights_url: str, one_at_a_time: bool) -> None:
    """Every figure equals the one computed without a database, whichever the database and the order of asking."""
    async with Database(flights_url) as db, db.snapshot() as snapshot:
        answers = await ask(snapshot, one_at_a_time=one_at_a_time)
    document = json.loads(answers.json())
    for name, answer in expected.report()["answers"].items():
        assert document["answers"][name] == answer, name
    assert answers.json() == json.dumps(expected.report(), indent=2, sort_keys=True) + "\n"
