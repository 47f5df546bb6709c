"""Those that are compared, each in a module of its own, so that it can be checked against its documentation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from benchmarks.schema import Model, Values

POOL = 10
"""The most connections that a contender holds."""
TIMEOUT = 60.0
"""Seconds that a writer waits for the lock of a SQLite file."""

Rows = Sequence[Values]


class Contender(Protocol):
    """One way to do the eleven operations; every call is that of one of several tasks."""

    async def open(self, url: str, model: Model) -> None:
        """Connect to the database, in which the table of the model is."""

    async def close(self) -> None:
        """Close every connection."""

    async def insert_single(self, rows: Rows) -> None:
        """A: one after another, each committed by itself."""

    async def insert_batch(self, rows: Rows) -> None:
        """B: one after another, in one transaction."""

    async def insert_bulk(self, rows: Rows) -> None:
        """C: in the way that is meant for many."""

    async def filter_large(self, level: int) -> Sequence[Any]:
        """D: all objects of a level."""
        ...

    async def filter_small(self, level: int, limit: int, offset: int) -> Sequence[Any]:
        """E: so many objects of a level, after so many."""
        ...

    async def get(self, key: int) -> Any:
        """F: one object by its key."""
        ...

    async def filter_dicts(self, level: int) -> Sequence[Any]:
        """G: all rows of a level as dicts, by the names of the columns."""
        ...

    async def filter_tuples(self, level: int) -> Sequence[Any]:
        """H: all rows of a level as tuples, in the order of the columns."""
        ...

    async def update_whole(self, objects: Sequence[Any], rows: Rows) -> None:
        """I: give every column of each object a new value and save it, in one transaction."""

    async def update_partial(self, objects: Sequence[Any], levels: Sequence[int]) -> None:
        """J: give one column of each object a new value and save that, in one transaction."""

    async def delete(self, objects: Sequence[Any]) -> None:
        """K: delete each object, in one transaction."""

    async def objects(self) -> Sequence[Any]:
        """What I, J and K work on: all objects that are no roots, by key; not timed."""
        ...

    def values(self, thing: Any) -> Sequence[Any]:
        """The values of an object in the order of the columns, for the check."""
        ...


class Attributes:
    """A contender whose objects have an attribute for each column."""

    names: Sequence[str] = ()

    def values(self, thing: Any) -> Sequence[Any]:
        """See `Contender`."""
        return [getattr(thing, name) for name in self.names]


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a contender is, and which databases it knows."""

    module: str
    databases: tuple[str, ...] = ("postgresql", "sqlite")
    bare: bool = False
    """It is the driver alone, to which others are compared."""

    def make(self) -> Contender:
        """Import it, which the others' processes never do."""
        made: Contender = import_module(f"benchmarks.contenders.{self.module}").make()
        return made


CONTENDERS: Mapping[str, Entry] = {
    "repo": Entry("repositories"),
    "asyncpg": Entry("driver_asyncpg", ("postgresql",), bare=True),
    "aiosqlite": Entry("driver_aiosqlite", ("sqlite",), bare=True),
    "sqlite3": Entry("driver_sqlite3", ("sqlite",)),
    "sqlalchemy": Entry("orm_sqlalchemy"),
    "advanced-alchemy": Entry("orm_advanced_alchemy"),
    "tortoise": Entry("orm_tortoise"),
    "piccolo": Entry("orm_piccolo"),
}
PEERS = ("tortoise", "piccolo")
