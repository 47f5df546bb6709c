"""Time-outs and failures around statements that would run for long."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, literal_column, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from repo import Database, NotFound, Scope, gather
from repo.events import CallEnded, Event
from tests.scopes.models import Account, Accounts

STEPS = 100_000_000
"""What a statement counts to that takes half a minute and more if nobody stops it."""
COUNT = f"WITH RECURSIVE endless(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM endless WHERE i < {STEPS})"
LONG = text(f"{COUNT} SELECT max(i) FROM endless")
LONG_WRITE = update(Account).values(balance=literal_column(f"({COUNT} SELECT max(i) FROM endless)"))
MANY_ROWS = text(f"{COUNT} SELECT i FROM endless WHERE i = {STEPS}")
SLEEP = text("SELECT pg_sleep(30) AS endless")

AT_ONCE = 5.0
"""Seconds within which all must be over; a loaded machine needs some of them."""

RUNNING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND (state LIKE 'idle in transaction%' OR state = 'active' AND query LIKE '%endless%')"
)

Work = Callable[[Database], Awaitable[object]]


async def read(db: Database) -> None:
    """A read through the `Database`."""
    await db.scalar(LONG)


async def write(db: Database) -> None:
    """A write through the `Database`."""
    await db.execute(LONG_WRITE)


async def stream(db: Database) -> None:
    """The first rows of a stream of the `Database`."""
    async for _ in db.stream(MANY_ROWS):
        pass


async def transact(db: Database) -> None:
    """A transaction that has written already."""
    async with db.transaction() as tx:
        await Accounts(tx).update(1, balance=1)
        await tx.scalar(LONG)


async def share(db: Database) -> None:
    """Several tasks in a transaction: one statement runs, the others wait for it."""
    async with db.transaction() as tx:
        await gather(*(tx.execute(LONG_WRITE) for _ in range(3)))


async def save(db: Database) -> None:
    """A savepoint in a transaction."""
    async with db.transaction() as tx, tx.savepoint():
        await Accounts(tx).update(1, balance=1)
        await tx.scalar(LONG)


async def flush(db: Database) -> None:
    """The session of a transaction."""
    async with db.transaction() as tx:
        tx.session.add(Account(owner="Grace"))
        await tx.session.execute(LONG)


async def look(db: Database) -> None:
    """A snapshot with more statements than connections."""
    async with db.snapshot(connections=2) as snapshot:
        await gather(*(snapshot.scalar(LONG) for _ in range(4)))


async def own(db: Database) -> None:
    """A session of the application's own."""
    async with AsyncSession(db.engine) as session:
        await Accounts(session).scope.scalar(LONG)


WORKS = [read, write, stream, transact, share, save, flush, look, own]


@pytest.fixture
async def bank(db: Database, accounts: Accounts) -> Database:
    """A bank with one account, and some connections that are open already."""
    await accounts.add(Account(owner="Ada"))
    await gather(*(accounts.count() for _ in range(5)))
    return db


@contextmanager
def at_once() -> Iterator[None]:
    """What is inside takes little time, also when it fails, as ``asyncio.timeout`` would not say."""
    start = time.perf_counter()
    yield
    assert time.perf_counter() - start < AT_ONCE


@contextmanager
def started(db: Database) -> Iterator[asyncio.Event]:
    """Set as soon as a long statement is sent."""
    sent = asyncio.Event()

    def watch(*args: Any) -> None:
        if "endless" in args[2]:
            sent.set()

    event.listen(db.engine.sync_engine, "before_cursor_execute", watch)
    yield sent
    event.remove(db.engine.sync_engine, "before_cursor_execute", watch)


async def running(db: Database) -> int:
    """How many long statements and forgotten transactions a server has."""
    found: int = 0 if db.dialect.one_writer else await db.scalar(RUNNING)
    return found


async def assert_stopped(db: Database) -> None:
    """No long statement runs any more and none is waited for; the next reads and writes work at once."""
    assert (db.stats.checked_out, db.stats.waiting) == (0, 0)
    async with asyncio.timeout(AT_ONCE):
        # A server that was told to stop a statement does so within a moment.
        while await running(db):
            pass
        assert (await Accounts(db).update(1, balance=7)).balance == 7
        assert await gather(*(Accounts(db).count() for _ in range(20))) == (1,) * 20


@pytest.mark.parametrize("work", WORKS)
async def test_a_time_out_around_a_long_statement(bank: Database, work: Work) -> None:
    """``asyncio.timeout`` ends any call at once and stops its statement, and its connection is clean or gone."""
    with at_once(), started(bank) as sent, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await work(bank)
    assert sent.is_set()
    await assert_stopped(bank)
    assert (await Accounts(bank).get_one(1)).owner == "Ada"


@pytest.mark.parametrize("work", WORKS)
async def test_a_dropped_task_group(bank: Database, work: Work) -> None:
    """A `TaskGroup` in which one task fails leaves nothing of the others behind."""
    with started(bank) as sent:

        async def fail() -> None:
            await sent.wait()
            while not bank.dialect.one_writer and not await running(bank):
                pass
            await Accounts(bank).get_one(99)

        with at_once(), pytest.RaisesGroup(NotFound):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                group.create_task(_awaited(work(bank)))
    await assert_stopped(bank)


async def _awaited(work: Awaitable[object]) -> None:
    await work


@pytest.mark.parametrize("kind", ["database", "transaction", "snapshot"])
async def test_one_failure_while_others_sleep_in_the_server(bank: Database, kind: str) -> None:
    """A call that fails under `gather` ends those that sleep in the server, and is the error that the caller sees."""
    if bank.dialect.one_writer:
        pytest.skip("feature: a server that can be told to sleep")

    async def ask(scope: Scope) -> None:
        with started(bank) as sent:

            async def fail() -> None:
                await sent.wait()
                raise ZeroDivisionError

            await gather(scope.scalar(SLEEP), fail(), scope.scalar(SLEEP))

    with at_once(), pytest.raises(ZeroDivisionError):
        if kind == "database":
            await ask(bank)
        else:
            async with getattr(bank, kind)() as scope:
                await ask(scope)
    await assert_stopped(bank)


@pytest.mark.parametrize("kind", ["database", "transaction", "snapshot"])
async def test_a_time_out_around_a_sleep_in_the_server(bank: Database, kind: str) -> None:
    """A sleep in the server is ended by a time-out, too."""
    if bank.dialect.one_writer:
        pytest.skip("feature: a server that can be told to sleep")
    with at_once(), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            if kind == "database":
                await bank.scalar(SLEEP)
            else:
                async with getattr(bank, kind)() as scope:
                    await scope.scalar(SLEEP)
    await assert_stopped(bank)


@pytest.fixture
async def ends(url: str, accounts: Accounts) -> AsyncIterator[tuple[Database, list[CallEnded]]]:
    """A `Database` and how its calls ended."""
    ended: list[CallEnded] = []

    def hook(event: Event) -> None:
        if isinstance(event, CallEnded):
            ended.append(event)

    async with Database(url, hooks=[hook]) as db:
        yield db, ended


async def test_three_sleeps_in_a_snapshot_overlap(ends: tuple[Database, list[CallEnded]]) -> None:
    """Three queries of 200 ms in a snapshot run in well under 400 ms of the server's time: all three at once."""
    db, ended = ends
    if db.dialect.one_writer:
        pytest.skip("feature: a server that can be told to sleep")
    async with db.snapshot() as snapshot:
        # Its helpers are open when the clock starts.
        await gather(*(snapshot.scalar(text("SELECT pg_sleep(0.01)")) for _ in range(3)))
        ended.clear()
        await gather(*(snapshot.scalar(text("SELECT pg_sleep(0.2)")) for _ in range(3)))
    spans = [(call.connected, call.at) for call in ended if call.connected is not None]
    assert len({call.connection for call in ended}) == len(spans) == 3
    assert all(end - start >= 0.2 for start, end in spans)
    assert max(start for start, _ in spans) < min(end for _, end in spans)
