"""A million rows in, and out again: time, and by how much the process grows.

python -m benchmarks.bulk [--database URL] [--rows N]
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.gathered import largest, load, say
from repo import Database, Repository

WARM = 20_000
"""So many rows show what a process needs whatever the number."""


class Base(DeclarativeBase):
    """A base of its own, so that no other tables are made."""

    metadata = MetaData()


class Reading(Base):
    """A row of usual size."""

    __tablename__ = "benchmark_readings"
    id: Mapped[int] = mapped_column(primary_key=True)
    sensor: Mapped[str]
    place: Mapped[str | None]
    value: Mapped[float]


class Readings(Repository[Reading]):
    """The rows."""


def check(holds: bool) -> None:
    """End the program where it does not do what it measures."""
    if not holds:
        raise SystemExit("not all rows, or not none of them")


def rows(count: int) -> Iterator[dict[str, Any]]:
    """So many rows."""
    for number in range(count):
        yield {"sensor": f"sensor {number % 100}", "place": f"place {number}", "value": number / 10}


async def later(count: int, waits: bool) -> AsyncIterator[dict[str, Any]]:
    """The rows from an asynchronous generator; one that waits does so after every hundred."""
    for number, row in enumerate(rows(count)):
        if waits and number % 100 == 0:
            await asyncio.sleep(0)
        yield row


async def add(readings: Readings, count: int) -> None:
    """From a generator."""
    check(await readings.add_many(rows(count)) == count)


async def add_later(readings: Readings, count: int) -> None:
    """From an asynchronous generator that never waits."""
    check(await readings.add_many(later(count, waits=False)) == count)


async def add_waiting(readings: Readings, count: int) -> None:
    """From one that does."""
    check(await readings.add_many(later(count, waits=True)) == count)


async def upsert(readings: Readings, count: int) -> None:
    """By the primary key, where all rows are there."""
    check(await readings.upsert_many(({"id": n + 1, **row} for n, row in enumerate(rows(count))), on="id") == count)


async def stream(readings: Readings, count: int) -> None:
    """Out again, as entities."""
    seen = 0
    async for _ in readings.stream():
        seen += 1
    check(seen == count)


async def cancelled(readings: Readings, count: int) -> None:
    """Cancelled when half of the rows were given: nothing is left."""
    half = asyncio.Event()

    async def source() -> AsyncIterator[dict[str, Any]]:
        async for number, row in _numbered(later(count, waits=True)):
            if number == count // 2:
                half.set()
            yield row

    before = await readings.count()
    task = asyncio.create_task(readings.add_many(source()))
    await half.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    check(task.cancelled())
    check(await readings.count() == before)


async def _numbered(source: AsyncIterator[dict[str, Any]]) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    number = 0
    async for row in source:
        yield number, row
        number += 1


WAYS = {"add": add, "upsert": upsert, "stream": stream, "later": add_later, "waiting": add_waiting, "cancel": cancelled}
AFTER = {"upsert", "stream", "cancel"}
"""What needs the rows of the way before."""


def measure(url: str, name: str, count: int) -> tuple[float, float]:
    """Seconds, and MiB by which this process grows, which did the same with few rows before."""

    async def run() -> tuple[float, float]:
        async with Database(url, pool_size=2) as db:
            await db.create_all(Base.metadata)
            readings = Readings(db)
            if name not in AFTER:
                await _emptied(db)
            await _few(readings, name)
            before, start = largest(), time.perf_counter()
            await WAYS[name](readings, count)
            return time.perf_counter() - start, largest() - before

    return asyncio.run(run())


async def _few(readings: Readings, name: str) -> None:
    """Do the same with few rows."""
    if name == "stream":
        async with readings.stream() as few:
            for _ in range(WARM):
                await anext(few)
        return
    await WAYS[name](readings, WARM)
    if name not in AFTER:
        await _emptied(readings.scope)


async def _emptied(db: Any) -> None:
    """A new table, so that keys begin at 1."""
    await db.drop_all(Base.metadata)
    await db.create_all(Base.metadata)


def main(url: str, count: int) -> None:
    """A line for each way."""
    say(f"{count:,} rows, {load()}")
    say(f"{'way':9} {'seconds':>8} {'us/row':>7} {'grown MiB':>9}")
    for name in WAYS:
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            seconds, grown = process.submit(measure, url, name, count).result()
        say(f"{name:9} {seconds:8.1f} {seconds / count * 1e6:7.1f} {grown:9.1f}")
    say(load())


async def _drop(url: str) -> None:
    async with Database(url) as db:
        await db.drop_all(Base.metadata)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="URL of a database for it; without one, a new SQLite file")
    parser.add_argument("--rows", type=int, default=1_000_000, help="how many (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        given = arguments.database or f"sqlite+aiosqlite:///{Path(folder, 'benchmark.db')}"
        main(given, arguments.rows)
        asyncio.run(_drop(given))
