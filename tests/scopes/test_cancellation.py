import asyncio
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from repo import Database, gather
from tests.scopes.models import Account, Accounts

Work = Callable[[Database], Awaitable[object]]
POOL = 3
"""How many connections there are to be lost."""


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    """A `Database` with a small pool, all of which is used after each cancel."""
    async with Database(url, pool_size=POOL) as database:
        yield database


async def read(db: Database) -> None:
    """A read through the `Database`."""
    await Accounts(db).get(1)


async def write(db: Database) -> None:
    """A write through the `Database`."""
    await Accounts(db).update(1, balance=5)


async def transact(db: Database) -> None:
    """A transaction with a savepoint."""
    async with db.transaction() as tx:
        account = await Accounts(tx).get_one(1)
        async with tx.savepoint():
            await Accounts(tx).update(account, balance=account.balance + 1)
        await Accounts(tx).count()


async def share(db: Database) -> None:
    """Several tasks in one transaction."""
    async with db.transaction() as tx:
        await gather(*(Accounts(tx).get(1) for _ in range(3)), Accounts(tx).update(1, balance=7))


async def look(db: Database) -> None:
    """Several tasks in one snapshot."""
    async with db.snapshot(connections=2) as snapshot:
        await gather(*(Accounts(snapshot).count() for _ in range(4)))


async def stream(db: Database) -> None:
    """A stream that is left early."""
    async with Accounts(db).stream(chunk=1) as accounts:
        async for _ in accounts:
            break


async def fill(db: Database) -> None:
    """A bulk write."""
    await Accounts(db).add_many([{"owner": f"{random.random()}"} for _ in range(3)])


async def lend(db: Database) -> None:
    """A session of the user's."""
    async with AsyncSession(db.engine) as session:
        await gather(Accounts(session).count(), Accounts(session).update(1, balance=3))
        await session.commit()


VERBS: dict[str, Callable[[Accounts], Awaitable[object]]] = {
    "get": lambda accounts: accounts.get(1),
    "get_many": lambda accounts: accounts.get_many([1]),
    "one": lambda accounts: accounts.one(Account.id == 1),
    "first": lambda accounts: accounts.first(load=Account.entries),
    "all": lambda accounts: accounts.all(limit=5),
    "exists": lambda accounts: accounts.exists(),
    "count": lambda accounts: accounts.count(),
    "add": lambda accounts: accounts.add(Account(owner=f"{random.random()}")),
    "add_many": lambda accounts: accounts.add_many([{"owner": f"{random.random()}"}], returning=True),
    "update": lambda accounts: accounts.update(1, balance=1),
    "update_where": lambda accounts: accounts.update_where(Account.id == 1, values={"balance": 2}),
    "update_many": lambda accounts: accounts.update_many([{"id": 1, "balance": 3}]),
    "delete": lambda accounts: accounts.delete(99),
    "delete_where": lambda accounts: accounts.delete_where(Account.id == 99, returning=True),
}


async def cancel_after(work: Awaitable[object], steps: int) -> bool:
    """Cancel the work after so many turns of the loop; whether it had ended by itself."""
    task = asyncio.ensure_future(work)
    for _ in range(steps):
        if task.done():
            break
        await asyncio.sleep(0)
    ended = task.done()
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return ended


async def assert_whole(db: Database) -> None:
    """The pool is whole, nothing is open on the server, and the next calls work, on each connection."""
    assert (db.stats.checked_out, db.stats.waiting) == (0, 0)
    async with asyncio.timeout(10):
        await gather(
            *(Accounts(db).count() for _ in range(POOL)), *(Accounts(db).update(1, balance=n) for n in range(POOL))
        )


async def idle_in_transaction(db: Database) -> int:
    """How many connections of the server are in a transaction and do nothing."""
    if db.dialect.one_writer:
        return 0
    asked = text(
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()"
    )
    found: int = await db.scalar(asked)
    return found


@pytest.mark.parametrize("work", [read, write, transact, share, look, stream, fill, lend])
async def test_a_cancel_at_every_step(db: Database, accounts: Accounts, work: Work) -> None:
    """Whatever step of the loop a cancel comes at, it leaves nothing behind."""
    await accounts.add(Account(owner="Ada"))
    await work(db)
    steps = 0
    # The answers come at no fixed step, the loop turns idly meanwhile, thousands of times on a busy machine:
    # the sweep takes larger and larger strides once it is past what a call can take.
    while not await cancel_after(work(db), steps):
        await assert_whole(db)
        steps += 1 + (steps // 60) ** 2
    assert steps > 2
    assert await idle_in_transaction(db) == 0


@pytest.mark.parametrize("verb", VERBS)
async def test_a_cancel_at_every_step_of_every_verb(db: Database, accounts: Accounts, verb: str) -> None:
    """In a transaction, too, a cancel of any verb at any step leaves nothing behind."""
    await accounts.add(Account(owner="Ada"))

    async def work() -> None:
        async with db.transaction() as tx:
            await VERBS[verb](Accounts(tx))

    for call in (work, partial(VERBS[verb], accounts)):
        steps = 0
        while not await cancel_after(call(), steps):
            assert (db.stats.checked_out, db.stats.waiting) == (0, 0)
            steps += 1 + (steps // 20) ** 2
        await assert_whole(db)
    assert await idle_in_transaction(db) == 0


async def test_a_storm_of_cancels(url: str, accounts: Accounts, caplog: pytest.LogCaptureFixture) -> None:
    """2,000 tasks cancelled at random moments leave nothing behind: no warning, no exception that nobody retrieved."""
    await accounts.add(Account(owner="Ada"))
    works = [read, write, transact, share, look, stream]
    async with Database(url, pool_size=POOL) as db:
        for _ in range(50):
            storm = [asyncio.create_task(random.choice(works)(db)) for _ in range(40)]
            for task in storm:
                asyncio.get_running_loop().call_later(random.uniform(0, 0.05), task.cancel)
            await asyncio.wait(storm)
            errors = [t.exception() for t in storm if not t.cancelled()]
            assert [error for error in errors if error is not None] == []
        await assert_whole(db)
        assert await idle_in_transaction(db) == 0
    gc.collect()
    # SQLAlchemy's pool may log that a cursor of a connection that was thrown away could not be closed.
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
