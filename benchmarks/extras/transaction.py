"""Verbs in a transaction: what their queue and their checks cost beside the same work on a bare `AsyncSession`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.extras import Setting, Way
from benchmarks.extras.courses import Shop
from benchmarks.extras.courses import opened as opened_shop
from repo import Repository

COUNT = 100
SLICES = 5
LIMIT = 20

ByVerbs = Callable[[Repository[Any], Any, int], Awaitable[int]]
BySession = Callable[[AsyncSession, Any, int], Awaitable[int]]


async def get_by_verbs(journals: Repository[Any], model: Any, count: int) -> int:
    """Entities by key."""
    return len([await journals.get_one(key) for key in range(1, count + 1)])


async def get_by_session(session: AsyncSession, model: Any, count: int) -> int:
    """Entities by key."""
    return len([await session.get_one(model, key) for key in range(1, count + 1)])


async def all_by_verbs(journals: Repository[Any], model: Any, count: int) -> int:
    """A few rows each time."""
    return sum([len(await journals.all(model.id >= key, limit=LIMIT)) // LIMIT for key in range(1, count + 1)])


async def all_by_session(session: AsyncSession, model: Any, count: int) -> int:
    """A few rows each time."""
    found = 0
    for key in range(1, count + 1):
        found += len((await session.scalars(select(model).where(model.id >= key).limit(LIMIT))).all()) // LIMIT
    return found


async def add_by_verbs(journals: Repository[Any], model: Any, count: int) -> int:
    """Each with its key."""
    return len([await journals.add(model(level=10, text="new")) for _ in range(count)])


async def add_by_session(session: AsyncSession, model: Any, count: int) -> int:
    """Each with its key, which needs a flush."""
    for _ in range(count):
        session.add(model(level=10, text="new"))
        await session.flush()
    return count


async def update_by_verbs(journals: Repository[Any], model: Any, count: int) -> int:
    """Read all, and write each by itself."""
    for entity in await journals.all(model.id <= count):
        await journals.update(entity, text=f"{entity.text[:20]} new")
    return count


async def update_by_session(session: AsyncSession, model: Any, count: int) -> int:
    """Read all, and write each by itself."""
    for entity in (await session.scalars(select(model).where(model.id <= count))).all():
        entity.text = f"{entity.text[:20]} new"
        await session.flush()
    return count


async def delete_by_verbs(journals: Repository[Any], model: Any, count: int) -> int:
    """Read all, and delete each by itself."""
    return sum([await journals.delete(entity) for entity in await journals.all(model.id <= count)])


async def delete_by_session(session: AsyncSession, model: Any, count: int) -> int:
    """Read all, and delete each by itself."""
    for entity in (await session.scalars(select(model).where(model.id <= count))).all():
        await session.delete(entity)
        await session.flush()
    return count


PAIRS: dict[str, tuple[ByVerbs, BySession]] = {
    "get": (get_by_verbs, get_by_session),
    "all": (all_by_verbs, all_by_session),
    "add": (add_by_verbs, add_by_session),
    "update": (update_by_verbs, update_by_session),
    "delete": (delete_by_verbs, delete_by_session),
}


class Verbs:
    """A hundred verbs in one transaction each time."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.count = min(COUNT, shop.setting.most)
        self.sizes = [self.count]

    def rounds(self, size: int) -> int:
        """Many, because little is to be told apart."""
        return self.shop.setting.rounds * SLICES

    async def ways(self, size: int) -> list[Way]:
        """Each verb both ways."""
        return [way for verb, pair in PAIRS.items() for way in self._pair(verb, *pair)]

    def _pair(self, verb: str, by_verbs: ByVerbs, by_session: BySession) -> list[Way]:
        async def ours() -> int:
            async with self.shop.db.transaction() as tx:
                return await by_verbs(self.shop.journals.using(tx), self.shop.model, self.count)

        async def theirs() -> int:
            async with self.shop.session.begin() as session:
                return await by_session(session, self.shop.model, self.count)

        ways = {f"repo, {verb}": ours, f"session, {verb}": theirs}
        return [Way(name, way, self.count, f"session, {verb}", self._filled) for name, way in ways.items()]

    async def _filled(self) -> None:
        """Enough rows for every verb."""
        await self.shop.fill(self.count + LIMIT)


@asynccontextmanager
async def opened(setting: Setting) -> AsyncIterator[Verbs]:
    """The table is filled before each way."""
    async with opened_shop(setting) as shop:
        yield Verbs(shop)
