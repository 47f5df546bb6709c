"""Reads by key that are gathered become one statement; what that saves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import select

from benchmarks.extras import Setting, Way
from benchmarks.extras.courses import Shop
from benchmarks.extras.courses import opened as opened_shop

COUNT = 1000


class Gets:
    """A thousand keys."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.keys = range(1, min(COUNT, shop.setting.most) + 1)
        self.sizes = [len(self.keys)]

    def rounds(self, size: int) -> int:
        """As many as were asked for."""
        return self.shop.setting.rounds

    async def ways(self, size: int) -> list[Way]:
        """By `repo` both ways, and by what others write."""
        ways = {
            "repo, one by one": self._one_by_one,
            "repo, gathered": self._gathered,
            "driver, one by one": self._by_driver,
            "session, one SELECT": self._by_session,
        }
        return [Way(name, way, size, "repo, one by one") for name, way in ways.items()]

    async def _one_by_one(self) -> int:
        return len([await self.shop.journals.get_one(key) for key in self.keys])

    async def _gathered(self) -> int:
        return len(await asyncio.gather(*(self.shop.journals.get_one(key) for key in self.keys)))

    async def _by_driver(self) -> int:
        return len([await self.shop.driver.get(key) for key in self.keys])

    async def _by_session(self) -> int:
        """One statement, written by hand."""
        model = self.shop.model
        async with self.shop.session() as session:
            return len((await session.scalars(select(model).where(model.id.in_(self.keys)))).all())


@asynccontextmanager
async def opened(setting: Setting) -> AsyncIterator[Gets]:
    """With the rows in place."""
    async with opened_shop(setting) as shop:
        gets = Gets(shop)
        await shop.fill(len(gets.keys))
        yield gets
