"""A whole table, row by row: as entities, as rows, and by what is below."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import select

from benchmarks.extras import Setting, Way
from benchmarks.extras.courses import Growing
from benchmarks.extras.courses import opened as opened_shop

CHUNK = 1000
"""So many rows come at a time from a session and from the driver."""


class Streams(Growing):
    """Every way counts what comes."""

    async def ways(self, size: int) -> list[Way]:
        """With so many rows in place."""
        await self.shop.fill(size)
        columns = select(*self.shop.repo.columns)
        return [
            Way("repo, entities", lambda: _count(self.shop.journals.stream()), size, "driver"),
            Way("repo, rows", lambda: _count(self.shop.db.stream(columns)), size, "driver"),
            Way("repo, all", self._all, size, "driver"),
            Way("session, entities", self._by_session, size, "driver"),
            Way("driver", self._by_driver, size, "driver"),
        ]

    async def _all(self) -> int:
        """As one list."""
        return len(await self.shop.journals.all())

    async def _by_session(self) -> int:
        statement = select(self.shop.model).execution_options(yield_per=CHUNK)
        async with self.shop.session() as session:
            return await _count(await session.stream_scalars(statement))

    async def _by_driver(self) -> int:
        driver: Any = self.shop.driver
        statement = driver.statements.all_rows
        if self.shop.setting.database == "postgresql":
            async with driver.pool.acquire() as connection, connection.transaction(readonly=True):
                return await _count(connection.cursor(statement, prefetch=CHUNK))
        async with driver.connection.execute(statement) as cursor:
            return await _count(cursor)


async def _count(rows: AsyncIterable[Any]) -> int:
    count = 0
    async for _ in rows:
        count += 1
    return count


@asynccontextmanager
async def opened(setting: Setting) -> AsyncIterator[Streams]:
    """The table is filled for each size."""
    async with opened_shop(setting) as shop:
        yield Streams(shop)
