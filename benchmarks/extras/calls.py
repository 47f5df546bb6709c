"""Calls that are gathered, more than the pool has connections: how time and memory grow with their number."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.contenders import POOL
from benchmarks.extras import Setting, Way, powers
from benchmarks.extras.courses import Shop
from benchmarks.extras.courses import opened as opened_shop
from repo import gather

ROWS = 100
WRITES = 10
"""Of so many calls one is a write that commits by itself."""
MOST = 10_000


class Calls:
    """All at once over a `Database`; and with a session for each call, which waits for its turn at a semaphore."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.sizes = powers(min(MOST, shop.setting.most))
        self.free = asyncio.Semaphore(POOL)

    def rounds(self, size: int) -> int:
        """As many as were asked for."""
        return self.shop.setting.rounds

    async def ways(self, size: int) -> list[Way]:
        """Both."""
        return [
            Way("repo", lambda: self._by_repo(size), size, "sessions"),
            Way("sessions", lambda: self._by_sessions(size), size, "sessions"),
        ]

    async def _by_repo(self, count: int) -> int:
        journals, model = self.shop.journals, self.shop.model
        return len(
            await gather(
                *(
                    journals.get_one(number % ROWS + 1) if reads(number) else journals.add(model(level=10, text="new"))
                    for number in range(count)
                )
            )
        )

    async def _by_sessions(self, count: int) -> int:
        calls = (self._get(n % ROWS + 1) if reads(n) else self._add() for n in range(count))
        return len(await asyncio.gather(*calls))

    async def _get(self, key: int) -> Any:
        async with self.free, self.shop.session() as session:
            return await session.get_one(self.shop.model, key)

    async def _add(self) -> Any:
        async with self.free, self.shop.session.begin() as session:
            session.add(self.shop.model(level=10, text="new"))


def reads(number: int) -> bool:
    """Whether this call is a read."""
    return (number + 1) % WRITES != 0


@asynccontextmanager
async def opened(setting: Setting) -> AsyncIterator[Calls]:
    """With the rows in place."""
    async with opened_shop(setting) as shop:
        await shop.fill(ROWS)
        yield Calls(shop)
