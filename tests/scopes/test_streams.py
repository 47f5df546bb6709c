"""Streams: constant memory, cancelled half-way, and bodies that use the scope that they stream from."""

import asyncio
import contextlib
import gc
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, Repository
from repo.errors import PoolDeadlock
from tests.models import SCOPES, opened

ROWS = 10_000
MIB = 2**20
"""All rows at once are more than ten of these."""


class Base(DeclarativeBase):
    pass


class Reading(Base):
    __tablename__ = "stream_readings"
    id: Mapped[int] = mapped_column(primary_key=True)
    sensor: Mapped[str]
    value: Mapped[float]


class Readings(Repository[Reading]):
    """Readings."""


async def source(rows: int) -> AsyncIterator[Mapping[str, Any]]:
    """Rows that are made one by one."""
    for number in range(1, rows + 1):
        yield {"id": number, "sensor": f"sensor {number:0400}", "value": number / 2}


@pytest.fixture
async def readings(db: Database) -> Readings:
    """The table, empty."""
    await db.create_all(Base.metadata)
    return Readings(db)


class Peak:
    """The most memory that Python's objects take meanwhile, beyond what they took before."""

    def __enter__(self) -> "Peak":
        tracemalloc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


async def test_streams_take_constant_memory(db: Database, readings: Readings) -> None:
    """Many rows come out as entities and as rows, and take the memory of a few."""
    await readings.add_many(source(ROWS))
    count = 0
    with Peak() as entities:
        async for reading in readings.stream(chunk=500):
            count += reading.value > 0
    with Peak() as rows:
        async for row in db.stream(select(Reading), chunk=500):
            count += row[0].value > 0
    assert count == 2 * ROWS
    assert max(entities.bytes, rows.bytes) < 6 * MIB


@pytest.mark.parametrize("kind", SCOPES)
async def test_a_stream_that_is_cancelled_half_way_leaves_nothing(db: Database, readings: Readings, kind: str) -> None:
    """A loop that is cancelled in its body, in every scope, gives its connection back; the database goes on."""
    await readings.add_many(source(2000))
    reached = asyncio.Event()

    async def loop() -> None:
        async with opened(db, kind) as scope, Readings(scope).stream(chunk=100) as stream:
            async for reading in stream:
                if reading.id == 1000:
                    reached.set()
                    await asyncio.Event().wait()

    task = asyncio.create_task(loop())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert db.stats.checked_out == 0
    await readings.add(Reading(id=5000, sensor="x", value=1))
    assert await readings.count() == 2001


@pytest.mark.parametrize("kind", SCOPES)
async def test_the_body_may_call_the_scope(db: Database, readings: Readings, kind: str) -> None:
    """The body of a loop may read from the scope that it streams from, chunk for chunk, and sees the same rows."""
    await readings.add_many(source(50))
    async with opened(db, kind) as scope:
        repository = Readings(scope)
        seen = []
        async for reading in repository.stream(chunk=7):
            same = await repository.get_one(reading.id)
            seen.append((reading.id, same.value))
    assert seen == [(number, number / 2) for number in range(1, 51)]


async def test_a_body_that_would_wait_for_its_own_stream_is_told(url: str) -> None:
    """On a pool of one connection, a body that asks the `Database` for another one fails at once, and says why."""
    async with Database(url, pool_size=1) as db:
        await db.create_all(Base.metadata)
        readings = Readings(db)
        await readings.add_many(source(10))
        for call in (readings.count, lambda: readings.add(Reading(id=99, sensor="x", value=1))):
            with pytest.raises(PoolDeadlock, match="pool"):
                async with asyncio.timeout(60), readings.stream(chunk=2) as stream:
                    async for _ in stream:
                        await call()
            assert db.stats.checked_out == 0
        async with db.transaction() as tx:
            async for reading in Readings(tx).stream(chunk=2):
                await Readings(tx).update(reading.id, value=0)
        assert await readings.count(Reading.value == 0) == 10


async def test_a_body_may_write_beside_its_stream(db: Database, readings: Readings) -> None:
    """A stream of the `Database` stops no writer, and sees what there was when it began."""
    await readings.add_many(source(100))
    async with readings.stream(chunk=10) as stream:
        async for reading in stream:
            await readings.update(reading.id, value=-1)
            await readings.add(Reading(id=reading.id + 1000, sensor="new", value=-1))
            assert reading.value > 0
    assert await readings.count(Reading.value == -1) == 200


@pytest.mark.parametrize("kept", [False, True], ids=["dropped", "kept"])
async def test_close_does_not_wait_for_a_stream_that_was_left(url: str, kept: bool) -> None:
    """A stream left early without `async with` is closed when it is dropped, with a warning, or by `close()`."""
    async with asyncio.timeout(30), Database(url) as db:
        await db.create_all(Base.metadata)
        await Readings(db).add_many(source(10))
        stream = Readings(db).stream(chunk=2)
        async for _ in stream:
            break
        assert db.stats.checked_out == 1
        if not kept:
            with pytest.warns(ResourceWarning, match="left early"):
                del stream
        await db.close()
        assert db.stats.checked_out == 0


async def test_a_stream_that_was_dropped_gives_its_connection_back(db: Database, readings: Readings) -> None:
    """After a warning the pool is whole, also where the loop was left by an error."""
    await readings.add_many(source(10))

    async def fail() -> None:
        async for _ in readings.stream(chunk=2):
            raise ValueError

    async def fail_and_forget() -> None:
        with contextlib.suppress(ValueError):
            await fail()
        gc.collect()

    with pytest.warns(ResourceWarning, match="left early"):
        await fail_and_forget()
    async with asyncio.timeout(30):
        assert await readings.count() == 10
        await db.close()
    assert db.stats.checked_out == 0
