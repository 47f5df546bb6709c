"""sqlite3 of the standard library, without asyncio: the floor under everything that uses SQLite.

Its calls block the event loop, so however many tasks there are, one after another does its work.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy.engine import make_url

from benchmarks.contenders import TIMEOUT, Rows
from benchmarks.contenders.converters import PRAGMAS, TYPES, register
from benchmarks.contenders.statements import Statements
from benchmarks.schema import Model


class Sqlite3:
    """One connection."""

    async def open(self, url: str, model: Model) -> None:
        register()
        self.statements = Statements(model, "sqlite")
        path = make_url(url).database or ""
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=TIMEOUT, detect_types=TYPES)
        for pragma in PRAGMAS:
            self.connection.execute(pragma).fetchall()

    async def close(self) -> None:
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """BEGIN and COMMIT, or ROLLBACK."""
        with self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            yield self.connection

    async def insert_single(self, rows: Rows) -> None:
        for row in rows:
            self._fetch(self.statements.insert, *self.statements.new(row))

    async def insert_batch(self, rows: Rows) -> None:
        with self.transaction():
            for row in rows:
                self._fetch(self.statements.insert, *self.statements.new(row))

    async def insert_bulk(self, rows: Rows) -> None:
        with self.transaction() as connection:
            connection.executemany(self.statements.insert_many, [self.statements.new(row) for row in rows])

    async def filter_large(self, level: int) -> Sequence[Any]:
        return self._fetch(self.statements.of_level, level)

    async def filter_small(self, level: int, limit: int, offset: int) -> Sequence[Any]:
        return self._fetch(self.statements.some_of_level, level, limit, offset)

    async def get(self, key: int) -> Any:
        return self.connection.execute(self.statements.by_key, (key,)).fetchone()

    async def filter_dicts(self, level: int) -> Sequence[Any]:
        names = self.statements.names
        return [dict(zip(names, row, strict=True)) for row in self._fetch(self.statements.of_level, level)]

    async def filter_tuples(self, level: int) -> Sequence[Any]:
        return self._fetch(self.statements.of_level, level)

    async def update_whole(self, objects: Sequence[Any], rows: Rows) -> None:
        with self.transaction() as connection:
            for old, row in zip(objects, rows, strict=True):
                connection.execute(self.statements.update, [old[0], *self.statements.whole(row)])

    async def update_partial(self, objects: Sequence[Any], levels: Sequence[int]) -> None:
        with self.transaction() as connection:
            for old, level in zip(objects, levels, strict=True):
                connection.execute(self.statements.update_level, [old[0], level])

    async def delete(self, objects: Sequence[Any]) -> None:
        with self.transaction() as connection:
            for old in objects:
                connection.execute(self.statements.delete, [old[0]])

    async def objects(self) -> Sequence[Any]:
        return self._fetch(self.statements.all_but_roots)

    def values(self, thing: Any) -> Sequence[Any]:
        return tuple(thing)

    def _fetch(self, statement: str, *parameters: Any) -> list[Any]:
        return self.connection.execute(statement, parameters).fetchall()


make = Sqlite3
