"""Many new rows: from mappings and from entities, beside the fastest that the driver has."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from operator import itemgetter
from typing import Any

from sqlalchemy.engine import make_url

from benchmarks.contenders.converters import PRAGMAS, register
from benchmarks.contenders.statements import Statements
from benchmarks.extras import Setting, Way
from benchmarks.extras.courses import NAMES, SIMPLE, Growing, new_rows
from benchmarks.extras.courses import opened as opened_shop
from benchmarks.schema import TABLE

WAIT = 100
"""A source that waits does so after so many rows."""


class Bulk(Growing):
    """The table is empty before each."""

    async def ways(self, size: int) -> list[Way]:
        """The bare driver is the measure of all others."""
        add, empty = self.shop.journals.add_many, self.shop.empty
        bare = self._copy if self.shop.setting.database == "postgresql" else self._executemany
        return [
            Way("repo, mappings", lambda: add(new_rows(size)), size, "driver", empty),
            Way("repo, asynchronous mappings", lambda: add(_waiting(new_rows(size))), size, "driver", empty),
            Way("repo, entities", lambda: add(map(self._entity, new_rows(size))), size, "driver", empty),
            Way("repo, upsert", lambda: self._upsert(size), size, "driver", lambda: self.shop.fill(size)),
            Way("driver", lambda: bare(size), size, "driver", empty),
        ]

    def _entity(self, row: dict[str, Any]) -> Any:
        return self.shop.model(**row)

    async def _upsert(self, count: int) -> int:
        """All of them are there already."""
        rows = ({"id": number + 1, **row} for number, row in enumerate(new_rows(count)))
        return await self.shop.journals.upsert_many(rows, on="id")

    async def _copy(self, count: int) -> int:
        """COPY in the binary format."""
        driver: Any = self.shop.driver
        async with driver.pool.acquire() as connection:
            records = map(itemgetter(*NAMES), new_rows(count))
            done: str = await connection.copy_records_to_table(TABLE, records=records, columns=NAMES)
        return int(done.removeprefix("COPY "))

    async def _executemany(self, count: int) -> int:
        """sqlite3 of the standard library."""
        register()
        path = make_url(self.shop.setting.url).database or ""
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for pragma in PRAGMAS:
                connection.execute(pragma).fetchall()
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                records = map(itemgetter(*NAMES), new_rows(count))
                done = connection.executemany(Statements(SIMPLE, "sqlite").insert_many, records)
            return done.rowcount


async def _waiting(rows: Iterable[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """The rows from a source that waits now and then."""
    for number, row in enumerate(rows):
        if number % WAIT == 0:
            await asyncio.sleep(0)
        yield row


@asynccontextmanager
async def opened(setting: Setting) -> AsyncIterator[Bulk]:
    """The table is emptied by each way."""
    async with opened_shop(setting) as shop:
        yield Bulk(shop)
