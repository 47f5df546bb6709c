"""A read by key that nothing can be done together with: what it costs to have looked for others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.contenders import POOL
from benchmarks.extras import Setting, Way
from benchmarks.extras.courses import Shop
from benchmarks.extras.courses import opened as opened_shop
from repo import Database, Repository
from repo.scopes.scope import Scope

COUNT = 100
SLICES = 20
"""The ways take turns so often in each round, because little is to be told apart."""


class Alone(Database):
    """A database that does each read by key by itself, as other scopes do."""

    share = Scope.share


class Lone:
    """The same reads with batching and without it, in one task."""

    def __init__(self, shop: Shop, alone: Repository[Any]) -> None:
        self.shop = shop
        self.keys = range(1, min(COUNT, shop.setting.most) + 1)
        self.sizes = [len(self.keys)]
        self.alone = alone

    def rounds(self, size: int) -> int:
        """Many, of few reads each."""
        return self.shop.setting.rounds * SLICES

    async def ways(self, size: int) -> list[Way]:
        """Both."""
        return [
            Way("with batching", lambda: self._get(self.shop.journals), size, "without"),
            Way("without", lambda: self._get(self.alone), size, "without"),
        ]

    async def _get(self, journals: Repository[Any]) -> int:
        return len([await journals.get_one(key) for key in self.keys])


@asynccontextmanager
async def opened(setting: Setting) -> AsyncIterator[Lone]:
    """With the rows in place."""
    async with opened_shop(setting) as shop, Alone(setting.url, pool_size=POOL) as alone:
        await shop.fill(COUNT)
        yield Lone(shop, shop.journals.using(alone))
