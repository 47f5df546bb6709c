"""Fill the tables from the compressed files: all of them, or none.

`load` is one transaction over five `Repository.add_many`, which reads the files as it goes; nothing is held in memory.
Whatever stops it, a damaged file, a lost connection, Ctrl-C, leaves the tables as they were: empty.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from sqlalchemy import func, select, table

from examples.flights.repositories import Airlines, Airports, Flights, Planes, WeatherReports
from examples.flights.source import (
    AIRLINES,
    AIRPORTS,
    FLIGHTS,
    FOLDER,
    PLANES,
    SOURCES,
    WEATHER,
    DataError,
    Source,
    verify,
)
from repo import Database, Repository, Scope
from repo.errors import UniqueViolation

Show = Callable[[str, int, int], None]
"""Told how the load goes on: the table, its rows so far, all its rows."""

STEPS: tuple[tuple[Callable[[Scope], Repository[Any]], Source], ...] = (
    (Airlines, AIRLINES),
    (Airports, AIRPORTS),
    (Planes, PLANES),
    (WeatherReports, WEATHER),
    (Flights, FLIGHTS),
)
"""In the order that foreign keys ask for."""


class AlreadyLoaded(DataError):
    """The tables hold the data, and hold it once."""


class ForeignContents(DataError):
    """The tables hold rows that the loader did not put there; it does not touch them."""


async def load(db: Database, *, progress: Show | None = None, folder: Path = FOLDER) -> dict[str, int]:
    """Fill all tables in one transaction; returns the number of rows by table.

    `progress` is called on the loop, after each portion of rows. Raises DataFileError for what is wrong with a file
    (a damaged one is found before the first row is written), AlreadyLoaded, also where another program was faster,
    ForeignContents, and the errors of `repo`.
    """
    verify(folder)
    try:
        async with db.transaction() as tx:
            if await is_loaded(tx):
                raise AlreadyLoaded("the tables are filled already")
            return {source.table: await _fill(make(tx), source, folder, progress) for make, source in STEPS}
    except UniqueViolation as error:
        raise AlreadyLoaded("the tables were filled by another program in the meantime") from error


async def is_loaded(scope: Scope) -> bool:
    """Whether the tables of a scope hold the data; False if they are empty.

    Raises ForeignContents if they hold anything else.
    """
    counts = [
        select(func.count()).select_from(table(source.table)).scalar_subquery().label(source.table)
        for source in SOURCES
    ]
    (found,) = await scope.rows(select(*counts))
    if not any(found):
        return False
    differing = [
        f"{number:,} of {source.rows:,} rows in {source.table}"
        for number, source in zip(found, SOURCES, strict=True)
        if number != source.rows
    ]
    if differing:
        raise ForeignContents(f"the tables hold other rows than those of this example: {', '.join(differing)}")
    return True


@contextmanager
def shown(console: Console) -> Iterator[Show]:
    """What to give to `load` as `progress`: bars on a terminal, elsewhere a line for each table."""
    if not console.is_terminal:
        yield lambda name, done, total: console.print(f"{name}: {total:,} rows") if done == total else None
        return
    columns = (TextColumn("{task.description:9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done)

        yield show


async def _fill(repository: Repository[Any], source: Source, folder: Path, progress: Show | None) -> int:
    """Add the rows of one file."""
    if progress is None:
        return await repository.add_many(source.read(folder))
    show = progress
    return await repository.add_many(source.read(folder), progress=lambda done: show(source.table, done, source.rows))
