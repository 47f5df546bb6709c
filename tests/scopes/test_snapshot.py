import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import event, func, literal, select, text

from repo import Database, Scope, UsageError, gather
from repo.errors import InvalidStatement, PoolDeadlock, ReadOnlyScope, ScopeClosed
from repo.events import CallEnded, CallStarted, Event
from tests.scopes.models import Account, Accounts

COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT max(i) FROM n"
LONG = text(COUNT.format(300000))
ENDLESS = text(COUNT.format(30000000))


async def thirds(scope: Scope) -> int:
    """The total of all balances, by three statements at once."""
    parts = await gather(
        *(scope.scalar(select(func.sum(Account.balance)).where(Account.id % 3 == rest)) for rest in range(3))
    )
    return sum(part or 0 for part in parts)


@asynccontextmanager
async def moving(url: str) -> AsyncIterator[None]:
    """Another process moves money between the accounts meanwhile."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.scopes.mover", url, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"moving\n"
        yield
    finally:
        process.kill()
        await process.wait()


async def test_one_moment(url: str, db: Database, accounts: Accounts) -> None:
    """300 totals by three statements at once are right in a snapshot while another process writes."""
    await accounts.add_many([{"id": n, "owner": f"{n}", "balance": 1000} for n in range(1, 31)])
    async with moving(url):
        for _ in range(300):
            async with db.snapshot(connections=3) as snapshot:
                assert await thirds(snapshot) == 30_000


async def test_each_call_its_own_moment(url: str, db: Database, accounts: Accounts) -> None:
    """Through the `Database` some of such totals are torn: what the snapshot's test could fail by."""
    await accounts.add_many([{"id": n, "owner": f"{n}", "balance": 1000} for n in range(1, 31)])
    async with moving(url):
        for _ in range(5000):
            if await thirds(db) != 30_000:
                return
    pytest.fail("no total was torn, so the test of snapshots shows nothing")


async def test_later_calls_see_the_same_moment(db: Database, accounts: Accounts) -> None:
    """What is committed after a snapshot's first call is not seen by its later ones."""
    await accounts.add(Account(owner="Ada"))
    async with db.snapshot() as snapshot:
        assert await Accounts(snapshot).count() == 1
        await accounts.add(Account(owner="Grace"))
        assert await gather(*(Accounts(snapshot).count() for _ in range(5))) == (1,) * 5
    assert await accounts.count() == 2


async def test_calls_run_in_parallel(url: str, accounts: Accounts) -> None:
    """Gathered calls overlap in time, each on a connection of its own."""
    ends: list[CallEnded] = []
    hooks = [lambda e: ends.append(e) if isinstance(e, CallEnded) else None]
    async with Database(url, hooks=hooks) as db, db.snapshot(connections=3) as snapshot:
        await gather(*(snapshot.scalar(LONG) for _ in range(3)))
    assert len({end.connection for end in ends}) == 3
    assert max(end.connected or 0 for end in ends) < min(end.at for end in ends)


async def test_one_connection_for_one_question(db: Database, accounts: Accounts) -> None:
    """Nothing is opened before it is needed: calls one after another share one connection."""
    async with db.snapshot() as snapshot:
        assert db.stats.checked_out == 0
        for _ in range(3):
            await Accounts(snapshot).count()
            assert db.stats.checked_out == 1
    assert db.stats.checked_out == 0


async def test_a_pool_of_one(url: str) -> None:
    """With one connection a snapshot gives the same answers, one after another."""
    async with Database(url, pool_size=1) as db, db.snapshot() as snapshot:
        assert await gather(*(snapshot.scalar(select(literal(n))) for n in range(10))) == tuple(range(10))
        assert db.stats.checked_out == 1


@pytest.mark.parametrize("size", [1, 5])
async def test_many_snapshots_on_a_small_pool(url: str, size: int) -> None:
    """25 tasks with a snapshot of four questions each all finish, however small the pool is."""

    async def ask() -> tuple[int | None, ...]:
        async with db.snapshot() as snapshot:
            return await gather(*(snapshot.scalar(select(literal(n))) for n in range(4)))

    async with Database(url, pool_size=size) as db, asyncio.timeout(30):
        assert await gather(*(ask() for _ in range(25))) == ((0, 1, 2, 3),) * 25
        assert (db.stats.checked_out, db.stats.waiting) == (0, 0)


async def test_writes_are_refused(db: Database, accounts: Accounts) -> None:
    """A write is refused by us; one that we cannot know, by the database."""
    async with db.snapshot() as snapshot:
        with pytest.raises(ReadOnlyScope, match="a snapshot only reads"):
            await Accounts(snapshot).add(Account(owner="Ada"))
        with pytest.raises(ReadOnlyScope, match="a snapshot only reads"):
            await Accounts(snapshot).add_many([{"owner": "Ada"}])
        with pytest.raises(ReadOnlyScope):
            await snapshot.execute(text("INSERT INTO scope_accounts (owner, balance) VALUES ('Ada', 1)"))
        assert await Accounts(snapshot).count() == 0
    await accounts.add(Account(owner="Ada"))


async def test_a_failed_statement_fails_alone(db: Database, accounts: Accounts) -> None:
    """After a statement has failed, the snapshot goes on, on every connection, in the same moment."""
    async with db.snapshot(connections=2) as snapshot:
        await Accounts(snapshot).count()
        await accounts.add(Account(owner="Ada"))
        for _ in range(3):
            with pytest.raises(InvalidStatement):
                await snapshot.scalar(text("SELECT nothing FROM nowhere"))
            assert await gather(*(Accounts(snapshot).count() for _ in range(4))) == (0,) * 4


async def test_a_cancelled_call_takes_its_connection_with_it(db: Database, accounts: Accounts) -> None:
    """A cancelled call costs the snapshot one connection; the others go on, and the pool is whole."""
    started = asyncio.Event()

    def watch(*args: Any) -> None:
        if "30000000" in args[2]:
            started.set()

    event.listen(db.engine.sync_engine, "before_cursor_execute", watch)
    async with db.snapshot(connections=2) as snapshot:
        await gather(*(Accounts(snapshot).count() for _ in range(4)))
        task = asyncio.create_task(snapshot.scalar(ENDLESS))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await Accounts(snapshot).count() == 0
        assert db.stats.checked_out == 1
    assert db.stats.checked_out == 0
    await accounts.add(Account(owner="Ada"))


async def test_leaving_with_calls_in_flight(db: Database, accounts: Accounts) -> None:
    """Calls that nobody awaited are cancelled, and the error names them."""
    with pytest.raises(UsageError, match="count of forgotten"):
        async with db.snapshot() as snapshot:
            task = asyncio.create_task(Accounts(snapshot).count(), name="forgotten")
            await asyncio.sleep(0)
    assert task.cancelled()
    assert db.stats.checked_out == 0


async def test_use_after_the_end(db: Database, accounts: Accounts) -> None:
    """A snapshot takes no calls once it has ended."""
    async with db.snapshot() as snapshot:
        await Accounts(snapshot).count()
    with pytest.raises(ScopeClosed, match="has ended"):
        await Accounts(snapshot).count()


async def test_a_stream_lets_its_body_call(url: str, accounts: Accounts) -> None:
    """The body of a loop over a snapshot's stream may call it, also where it has one connection."""
    await accounts.add_many([{"owner": f"{n:02}"} for n in range(10)])
    seen: list[tuple[str, int]] = []
    async with Database(url, pool_size=1) as db, db.snapshot() as snapshot, asyncio.timeout(30):
        mine = Accounts(snapshot)
        async for account in mine.stream(order_by=Account.owner, chunk=3):
            seen.append((account.owner, await mine.count()))
    assert seen == [(f"{n:02}", 10) for n in range(10)]


async def test_entities_are_detached(db: Database, accounts: Accounts) -> None:
    """What a snapshot gives is complete, and outlives it."""
    await accounts.add(Account(owner="Ada", balance=5))
    async with db.snapshot() as snapshot:
        (ada,) = await Accounts(snapshot).all()
    assert (ada.owner, ada.balance) == ("Ada", 5)


async def test_hooks_are_told(url: str, accounts: Accounts) -> None:
    """Every call is an event when it starts and one when it ends, with its connection and times."""
    events: list[Event] = []
    async with Database(url, hooks=[events.append]) as db, db.snapshot() as snapshot:
        await gather(Accounts(snapshot).count(), Accounts(snapshot).count())
    ends = [e for e in events if isinstance(e, CallEnded)]
    assert {e.call for e in events if isinstance(e, CallStarted)} == {e.call for e in ends}
    assert [(e.scope, e.verb, e.task) for e in ends] == [("Snapshot", "count", "Reads.count")] * 2
    assert all(e.connected is not None and e.started <= e.connected <= e.at for e in ends)


async def test_connections_join_and_go(url: str, accounts: Accounts) -> None:
    """Connections that were given back to others are opened again when they are needed, in the same moment."""
    async with Database(url, pool_size=3) as db, db.snapshot() as snapshot:
        mine = Accounts(snapshot)
        assert await mine.count() == 0
        await accounts.add(Account(owner="Ada"))
        for _ in range(20):
            counts = await gather(*(mine.count() for _ in range(6)), *(Accounts(db).count() for _ in range(4)))
            assert counts == (0,) * 6 + (1,) * 4


async def test_what_cannot_open_is_told_to_all(db: Database, accounts: Accounts) -> None:
    """Where a snapshot gets no connection, all who asked it at once are told why, and so is who asks later."""
    async with Database(db.engine.url.render_as_string(hide_password=False), pool_size=1) as narrow:
        for _ in range(2):
            await gather(*(Accounts(narrow).all(Account.id > n) for n in range(3)))
        async with narrow.transaction(read_only=True) as tx, asyncio.timeout(30):
            await Accounts(tx).count()
            async with narrow.snapshot() as snapshot:
                asked = (Accounts(snapshot).all(Account.id > n) for n in range(3))
                told = await asyncio.gather(*asked, return_exceptions=True)
                with pytest.raises(PoolDeadlock):
                    await Accounts(snapshot).count()
    assert [type(each) for each in told] == [PoolDeadlock] * 3
