"""asyncpg alone, with its own pool and records: what is left when nothing stands between a program and Postgres."""

import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from benchmarks.contenders import POOL, Rows
from benchmarks.contenders.statements import Statements
from benchmarks.schema import Model


async def _decode_json(connection: Any) -> None:
    """JSON as Python values, as the documentation of `set_type_codec` has it; COPY needs the binary format."""
    await connection.set_type_codec(
        "jsonb",
        encoder=lambda value: b"\x01" + json.dumps(value).encode(),
        decoder=lambda value: json.loads(value[1:]),
        schema="pg_catalog",
        format="binary",
    )


class Asyncpg:
    """Each call takes a connection from the pool for its own duration, or for its transaction."""

    async def open(self, url: str, model: Model) -> None:
        dsn = url.replace("postgresql+asyncpg", "postgresql")
        self.statements = Statements(model, "postgresql")
        self.pool = await asyncpg.create_pool(dsn, min_size=POOL, max_size=POOL, init=_decode_json)

    async def close(self) -> None:
        await self.pool.close()

    async def insert_single(self, rows: Rows) -> None:
        for row in rows:
            await self.pool.fetchval(self.statements.insert, *self.statements.new(row))

    async def insert_batch(self, rows: Rows) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            for row in rows:
                await connection.fetchval(self.statements.insert, *self.statements.new(row))

    async def insert_bulk(self, rows: Rows) -> None:
        records = [self.statements.new(row) for row in rows]
        async with self.pool.acquire() as connection:
            await connection.copy_records_to_table(
                self.statements.table, records=records, columns=self.statements.inserted
            )

    async def filter_large(self, level: int) -> Sequence[Any]:
        return await self.pool.fetch(self.statements.of_level, level)

    async def filter_small(self, level: int, limit: int, offset: int) -> Sequence[Any]:
        return await self.pool.fetch(self.statements.some_of_level, level, limit, offset)

    async def get(self, key: int) -> Any:
        return await self.pool.fetchrow(self.statements.by_key, key)

    async def filter_dicts(self, level: int) -> Sequence[Any]:
        return [dict(record) for record in await self.pool.fetch(self.statements.of_level, level)]

    async def filter_tuples(self, level: int) -> Sequence[Any]:
        return await self.pool.fetch(self.statements.of_level, level)

    async def update_whole(self, objects: Sequence[Any], rows: Rows) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            for record, row in zip(objects, rows, strict=True):
                await connection.execute(self.statements.update, record["id"], *self.statements.whole(row))

    async def update_partial(self, objects: Sequence[Any], levels: Sequence[int]) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            for record, level in zip(objects, levels, strict=True):
                await connection.execute(self.statements.update_level, record["id"], level)

    async def delete(self, objects: Sequence[Any]) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            for record in objects:
                await connection.execute(self.statements.delete, record["id"])

    async def objects(self) -> Sequence[Any]:
        return await self.pool.fetch(self.statements.all_but_roots)

    def values(self, thing: Any) -> Sequence[Any]:
        return tuple(thing)


make = Asyncpg
