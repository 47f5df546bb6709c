"""Who waits for whom on each database, and what each sees meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, Repository
from repo.errors import DatabaseLocked, LockTimeout
from repo.testing import queries


class Base(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData()


class Line(Base):
    """A row that others write, too."""

    __tablename__ = "concurrent_lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str] = mapped_column(default="old")


class Lines(Repository[Line]):
    """Lines."""


@pytest.fixture
async def lines(db: Database) -> Lines:
    """Two lines."""
    await db.create_all(Base.metadata)
    await Lines(db).add_many([{"id": 1}, {"id": 2}])
    return Lines(db)


@asynccontextmanager
async def held(db: Database, work: Callable[[Lines], Awaitable[object]], **options: Any) -> AsyncIterator[None]:
    """A block beside another task's transaction that has done something and is open."""
    done, leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with db.transaction(**options) as tx:
            await work(Lines(tx))
            done.set()
            await leave.wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hold())
        await done.wait()
        yield
        leave.set()


async def can_write(db: Database, key: int) -> bool:
    """Whether a transaction need not wait to write a row."""
    try:
        async with db.transaction(lock_timeout=0.2) as tx:
            await Lines(tx).update(key, words="new")
    except (DatabaseLocked, LockTimeout):
        return False
    return True


async def write(lines: Lines) -> None:
    await lines.update(1, words="held")


async def test_who_may_write(db: Database, lines: Lines) -> None:
    """One transaction at a time writes to SQLite; on Postgres writers meet only at the same rows."""
    async with held(db, write):
        assert await can_write(db, 2) is not db.dialect.one_writer
        assert not await can_write(db, 1)
    assert await can_write(db, 1)


async def test_when_the_lock_is_taken(db: Database, lines: Lines) -> None:
    """A transaction that has only read keeps writers out of SQLite, unless it is read-only."""
    async with held(db, Lines.count):
        assert await can_write(db, 1) is not db.dialect.one_writer
    async with held(db, Lines.count, read_only=True):
        assert await can_write(db, 1)


async def test_readers_never_wait(db: Database, lines: Lines) -> None:
    """Beside an open transaction that has written, readers see what is committed, at once."""
    async with held(db, write), asyncio.timeout(5):
        assert (await lines.get_one(1)).words == "old"
        async with db.transaction(read_only=True) as tx:
            assert (await Lines(tx).get_one(1)).words == "old"


async def test_isolation(db: Database, lines: Lines) -> None:
    """What is committed meanwhile is not seen on SQLite; nor on Postgres, unless the level is its own default."""
    words = select(Line.words).where(Line.id == 1)
    for level, seen in ((None, db.dialect.one_writer), ("REPEATABLE READ", True)):
        await lines.update(1, words="old")
        async with db.transaction(isolation=level, read_only=True) as tx:
            assert await tx.scalar(words) == "old"
            await lines.using(db.independent()).update(1, words="new")
            assert await tx.scalar(words) == ("old" if seen else "new")


async def test_settings(db: Database, lines: Lines) -> None:
    """Settings are those of the transaction on Postgres, and have no effect on SQLite."""
    async with db.transaction(settings={"app.tenant": "a"}) as tx:
        if db.dialect.remote:
            assert await tx.scalar(text("SELECT current_setting('app.tenant')")) == "a"
        assert await Lines(tx).count() == 2


async def test_how_many_rows_are_added(db: Database, lines: Lines) -> None:
    """`add_many` sends INSERTs to SQLite, and rows by COPY to Postgres."""
    with queries(db) as sent:
        await lines.add_many([{"id": n} for n in range(3, 100)])
    assert sent[-1].split()[0] == ("COPY" if db.dialect.remote else "INSERT")
    assert await lines.count() == 99


def log_size(db: Database) -> int:
    """How many bytes the file of SQLite's log has."""
    return Path(f"{db.engine.url.database}-wal").stat().st_size


async def grown(db: Database, lines: Lines) -> int:
    """By how many bytes the database grows while one row is changed again and again."""

    async def size() -> int:
        if db.dialect.one_writer:
            return log_size(db)
        return int(await db.scalar(text("SELECT pg_relation_size('concurrent_lines')")))

    before = await size()
    for n in range(100, 200):
        await lines.update(1, words=f"{n}" * 20_000)
    return await size() - before


async def test_a_long_reader(db: Database, lines: Lines) -> None:
    """What is changed beside a transaction that goes on reading is kept for it, and takes space."""
    await grown(db, lines)
    alone = await grown(db, lines)
    async with held(db, Lines.count, read_only=True, isolation="REPEATABLE READ"):
        assert await grown(db, lines) > alone + 20_000
