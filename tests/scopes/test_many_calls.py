"""Ten thousand calls at once on a pool of five."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import event, text

from repo import Database, NotFound, Scope, gather
from repo.events import CallEnded, Event
from tests.scopes.models import Account, Accounts, Base

CALLS = 10_000
POOL = 5

CONNECTED = text(  # autovacuum and parallel workers are in the database, too
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


class Peak:
    """The largest number that was seen."""

    def __init__(self) -> None:
        self.seen = 0

    def see(self, number: int) -> None:
        """Keep the number if it is the largest so far."""
        self.seen = max(self.seen, number)


def checked_out(db: Database) -> Peak:
    """The most connections that are out of the pool at a time, from now on."""
    peak = Peak()
    pool: Any = db.engine.pool
    event.listen(db.engine.sync_engine, "checkout", lambda *_: peak.see(pool.checkedout()))
    return peak


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Peak]:
    """The most connections that a server has at a time, asked over and over; a file has no server."""
    peak = Peak()

    async def ask(watcher: Database) -> None:
        while not watcher.dialect.one_writer:
            peak.see(await watcher.scalar(CONNECTED))
            await asyncio.sleep(0.02)

    async with Database(url, pool_size=1) as watcher:
        asking = asyncio.create_task(ask(watcher))
        try:
            yield peak
        finally:
            asking.cancel()
            await asyncio.wait([asking])


async def test_ten_thousand_calls(url: str) -> None:
    """10,000 gathered calls all succeed on five connections: 9,000 reads and 1,000 writes that commit one by one."""
    async with Database(url, pool_size=POOL) as db, connected(url) as on_server:
        await db.create_all(Base.metadata)
        accounts = Accounts(db)
        stored = await accounts.add_many([{"owner": f"{n}"} for n in range(9)], returning=True)
        out = checked_out(db)
        calls = [
            accounts.get(stored[n % 10].id) if n % 10 < 9 else accounts.add(Account(owner=f"new {n}"))
            for n in range(CALLS)
        ]
        owners = [account.owner for account in await gather(*calls) if account is not None]
        assert owners == [f"{n % 10}" if n % 10 < 9 else f"new {n}" for n in range(CALLS)]
        assert await accounts.count() == 9 + CALLS // 10
        # Where writers share their COMMIT, some ten batches are left, which may be too quick to need all at a time.
        assert out.seen in (range(2, POOL + 1) if db.dialect.one_writer else (POOL,))
        assert on_server.seen in ((0,) if db.dialect.one_writer else range(2, POOL + 1))
        assert (db.stats.checked_out, db.stats.waiting) == (0, 0)


async def fail_first(scope: Scope) -> None:
    """Gather a call that fails and thousands that would not."""
    accounts = Accounts(scope)
    await gather(accounts.one(Account.id == 1), *(accounts.count() for _ in range(CALLS)))


async def test_one_failure_among_ten_thousand(url: str) -> None:
    """A failure ends thousands of calls that wait in line: few of them are done all the same, nothing is left."""
    ended: list[Event] = []
    async with Database(url, pool_size=POOL, hooks=[ended.append]) as db:
        await db.create_all(Base.metadata)
        with pytest.raises(NotFound):
            await fail_first(db)
        assert (db.stats.checked_out, db.stats.waiting) == (0, 0)
        with pytest.raises(NotFound):
            async with db.transaction() as tx:
                await fail_first(tx)
        assert (db.stats.checked_out, db.stats.waiting) == (0, 0)
        assert sum(isinstance(event, CallEnded) for event in ended) > 2 * CALLS
        assert sum(isinstance(event, CallEnded) and event.error is None for event in ended) < CALLS / 10
        assert await Accounts(db).count() == 0
