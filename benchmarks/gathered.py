"""What gathered calls cost in time and memory, beside a plain session for each call.

python -m benchmarks.gathered [--database URL] [--calls N] [--rounds N]
"""

import argparse
import asyncio
import gc
import os
import resource
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, Repository, gather

POOL = 5
ROWS = 100
WRITES = 10
"""Of so many calls one is a write."""


class Base(DeclarativeBase):
    """A base of its own, so that no other tables are made."""

    metadata = MetaData()


class Item(Base):
    """A small row."""

    __tablename__ = "benchmark_items"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Items(Repository[Item]):
    """The small rows."""


Way = Callable[[Database, int], Awaitable[None]]


async def by_repo(db: Database, calls: int) -> None:
    """Gather the calls, and leave the rest to the `Database`."""
    items = Items(db)
    await gather(*(items.get(n % ROWS + 1) if (n + 1) % WRITES else items.add(Item(name=f"{n}")) for n in range(calls)))


async def by_sessions(db: Database, calls: int) -> None:
    """Gather as many coroutines with a session each, of which a semaphore lets through what the pool can take."""
    free = asyncio.Semaphore(POOL)

    async def get(key: int) -> Item | None:
        async with free, AsyncSession(db.engine, expire_on_commit=False) as session:
            return await session.get(Item, key)

    async def add(item: Item) -> Item:
        async with free, AsyncSession(db.engine, expire_on_commit=False) as session, session.begin():
            session.add(item)
        return item

    await asyncio.gather(*(get(n % ROWS + 1) if (n + 1) % WRITES else add(Item(name=f"{n}")) for n in range(calls)))


WAYS: dict[str, Way] = {"repo": by_repo, "sessions": by_sessions}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one way took."""

    seconds: float
    """At the median of the rounds."""
    traced: float
    """The most memory that Python's objects took beyond what was there before, in MiB."""
    grown: float
    """By how much a process of its own grew, in MiB."""


async def seconds(db: Database, way: Way, calls: int) -> float:
    """How long it takes."""
    gc.collect()
    start = time.perf_counter()
    await way(db, calls)
    return time.perf_counter() - start


async def traced(db: Database, way: Way, calls: int) -> float:
    """The peak of traced memory; counting it makes everything several times as slow."""
    gc.collect()
    tracemalloc.start()
    await way(db, calls)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


def grown(url: str, name: str, calls: int) -> float:
    """By how much this process grows, which has never done so much at a time."""

    async def run() -> float:
        async with Database(url, pool_size=POOL) as db:
            await WAYS[name](db, 10 * POOL)
            before = largest()
            await WAYS[name](db, calls)
            return largest() - before

    return asyncio.run(run())


def largest() -> float:
    """The largest size that the process has had, in MiB."""
    # On Linux a child's ru_maxrss begins at that of its parent; what the kernel says of its memory does not.
    status = Path("/proc/self/status")
    if status.exists():
        (kept,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(kept.split()[1]) / 2**10
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (2**20 if sys.platform == "darwin" else 2**10)


async def compare(db: Database, url: str, calls: int, rounds: int) -> dict[str, Cost]:
    """Both ways in turn; which one is first changes from round to round."""
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for turn in range(rounds):
        for name in list(WAYS)[:: 1 if turn % 2 == 0 else -1]:
            times[name].append(await seconds(db, WAYS[name], calls))
    costs = {}
    for name, way in WAYS.items():
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            size = process.submit(grown, url, name, calls).result()
        costs[name] = Cost(statistics.median(times[name]), await traced(db, way, calls), size)
    return costs


def say(line: str) -> None:
    """Print a line at once, also into a file."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def load() -> str:
    """How busy the machine is."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"


async def main(url: str, most: int, rounds: int) -> None:
    """Print two lines, and their ratio, for each number of calls."""
    async with Database(url, pool_size=POOL) as db:
        await db.drop_all(Base.metadata)
        await db.create_all(Base.metadata)
        await Items(db).add_many([{"name": f"{n}"} for n in range(ROWS)])
        for way in WAYS.values():
            await way(db, 10 * POOL)
        say(f"{db.dialect.name}, pool of {POOL}, {rounds} rounds, {load()}")
        say(f"{'calls':>7} {'way':9} {'seconds':>8} {'us/call':>8} {'MiB':>7} {'KiB/call':>8} {'grown MiB':>9}")
        for calls in (10**power for power in range(5) if 10**power <= most):
            costs = await compare(db, url, calls, rounds)
            for name, cost in costs.items():
                time_each, memory_each = cost.seconds / calls * 1e6, cost.traced / calls * 1024
                times = f"{cost.seconds:8.3f} {time_each:8.0f}"
                say(f"{calls:7} {name:9} {times} {cost.traced:7.2f} {memory_each:8.1f} {cost.grown:9.1f}")
            ours, theirs = costs["repo"], costs["sessions"]
            say(f"{'ratio':>17} {ours.seconds / theirs.seconds:8.2f} {ours.traced / theirs.traced:16.2f}")
        say(load())
        await db.drop_all(Base.metadata)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="URL of a database for it; without one, a new SQLite file")
    parser.add_argument("--calls", type=int, default=10_000, help="the most calls at a time (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is run (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        given = arguments.database or f"sqlite+aiosqlite:///{Path(folder, 'benchmark.db')}"
        asyncio.run(main(given, arguments.calls, arguments.rounds))
