"""aiosqlite alone: one connection, as its documentation has it, and a lock around each transaction on it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiosqlite
from sqlalchemy.engine import make_url

from benchmarks.contenders import TIMEOUT, Rows
from benchmarks.contenders.converters import PRAGMAS, TYPES, register
from benchmarks.contenders.statements import Statements
from benchmarks.schema import Model


class Aiosqlite:
    """One connection serves every task: its thread does one thing at a time anyway."""

    async def open(self, url: str, model: Model) -> None:
        register()
        self.statements = Statements(model, "sqlite")
        self.lock = asyncio.Lock()
        path = make_url(url).database or ""
        self.connection = await aiosqlite.connect(path, isolation_level=None, timeout=TIMEOUT, detect_types=TYPES)
        for pragma in PRAGMAS:
            await self.connection.execute_fetchall(pragma)

    async def close(self) -> None:
        await self.connection.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """BEGIN and COMMIT; the connection is the caller's alone."""
        async with self.lock:
            await self.connection.execute_fetchall("BEGIN IMMEDIATE")
            try:
                yield self.connection
            except BaseException:
                await self.connection.rollback()
                raise
            await self.connection.commit()

    async def insert_single(self, rows: Rows) -> None:
        for row in rows:
            async with self.lock:
                await self.connection.execute_fetchall(self.statements.insert, self.statements.new(row))

    async def insert_batch(self, rows: Rows) -> None:
        async with self.transaction() as connection:
            for row in rows:
                await connection.execute_fetchall(self.statements.insert, self.statements.new(row))

    async def insert_bulk(self, rows: Rows) -> None:
        records = [self.statements.new(row) for row in rows]
        async with self.transaction() as connection:
            await connection.executemany(self.statements.insert_many, records)

    async def filter_large(self, level: int) -> Sequence[Any]:
        return await self._fetch(self.statements.of_level, level)

    async def filter_small(self, level: int, limit: int, offset: int) -> Sequence[Any]:
        return await self._fetch(self.statements.some_of_level, level, limit, offset)

    async def get(self, key: int) -> Any:
        (row,) = await self._fetch(self.statements.by_key, key)
        return row

    async def filter_dicts(self, level: int) -> Sequence[Any]:
        names = self.statements.names
        return [dict(zip(names, row, strict=True)) for row in await self._fetch(self.statements.of_level, level)]

    async def filter_tuples(self, level: int) -> Sequence[Any]:
        return await self._fetch(self.statements.of_level, level)

    async def update_whole(self, objects: Sequence[Any], rows: Rows) -> None:
        async with self.transaction() as connection:
            for old, row in zip(objects, rows, strict=True):
                await connection.execute_fetchall(self.statements.update, [old[0], *self.statements.whole(row)])

    async def update_partial(self, objects: Sequence[Any], levels: Sequence[int]) -> None:
        async with self.transaction() as connection:
            for old, level in zip(objects, levels, strict=True):
                await connection.execute_fetchall(self.statements.update_level, [old[0], level])

    async def delete(self, objects: Sequence[Any]) -> None:
        async with self.transaction() as connection:
            for old in objects:
                await connection.execute_fetchall(self.statements.delete, [old[0]])

    async def objects(self) -> Sequence[Any]:
        return await self._fetch(self.statements.all_but_roots)

    def values(self, thing: Any) -> Sequence[Any]:
        return tuple(thing)

    async def _fetch(self, statement: str, *parameters: Any) -> list[Any]:
        """One hop to the thread and back."""
        return list(await self.connection.execute_fetchall(statement, parameters))


make = Aiosqlite
