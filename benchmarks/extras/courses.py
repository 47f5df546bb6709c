"""What the measurements share: the simple table, with repositories, sessions and the bare driver beside each other."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from sqlalchemy import text, true
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.contenders.orm_sqlalchemy import engine_for
from benchmarks.contenders.repositories import Repo
from benchmarks.extras import Setting, powers
from benchmarks.schema import TABLE, Model
from repo import Database, Repository

SIMPLE = Model("simple")
NAMES = SIMPLE.names[1:]


@dataclass(frozen=True, slots=True)
class Shop:
    """Three ways into the same table."""

    setting: Setting
    repo: Repo
    session: async_sessionmaker[AsyncSession]
    driver: Contender

    @property
    def db(self) -> Database:
        """The `Database`."""
        return self.repo.db

    @property
    def journals(self) -> Repository[Any]:
        """The repository over it."""
        return self.repo.journals

    @property
    def model(self) -> Any:
        """The class of the rows, for SQLAlchemy."""
        return self.repo.model

    async def empty(self) -> None:
        """No rows, and keys that begin at 1."""
        if self.setting.database == "postgresql":
            await self.db.execute(text(f"TRUNCATE {TABLE} RESTART IDENTITY"))
        else:
            await self.journals.delete_where(true())

    async def fill(self, count: int) -> None:
        """So many rows, and no others; their keys are 1, 2, 3 ..."""
        await self.empty()
        await self.journals.add_many(new_rows(count))


class Growing:
    """The sizes of a measurement that grows with the number of rows."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.sizes = powers(shop.setting.most)

    def rounds(self, size: int) -> int:
        """Fewer of many rows."""
        return self.shop.setting.rounds if size <= 100_000 else min(self.shop.setting.rounds, 3)


def new_rows(count: int) -> Iterator[dict[str, Any]]:
    """So many rows without keys; that they repeat themselves costs no time."""
    few = [{name: row[name] for name in NAMES} for row in SIMPLE.stored(min(count, 10_000))]
    return islice(cycle(few), count)


@asynccontextmanager
async def opened(setting: Setting) -> AsyncIterator[Shop]:
    """All three, with a pool of the same size each."""
    bare = next(entry for entry in CONTENDERS.values() if entry.bare and setting.database in entry.databases)
    repo, driver, engine = Repo(), bare.make(), engine_for(setting.url)
    for contender in (repo, driver):
        await contender.open(setting.url, SIMPLE)
    try:
        yield Shop(setting, repo, async_sessionmaker(engine, expire_on_commit=False), driver)
    finally:
        await repo.close()
        await driver.close()
        await engine.dispose()
