import asyncio
import re

import pytest
from sqlalchemy import literal, select, text, true

from repo import Database, UsageError, gather
from repo.errors import PoolDeadlock, PoolTimeout, SelfDeadlock
from tests.scopes.models import Account, Accounts, Entries


async def test_transactions_that_need_more_connections(url: str, accounts: Accounts) -> None:
    """25 transactions that each need four connections more, on a pool of five, all finish."""
    async with Database(url, pool_size=5) as db, asyncio.timeout(30):

        async def work(number: int) -> tuple[int | None, ...]:
            async with db.transaction(read_only=True) as tx:
                await tx.scalar(select(literal(number)))
                return await gather(*(db.scalar(select(literal(n))) for n in range(4)))

        assert await gather(*(work(number) for number in range(25))) == ((0, 1, 2, 3),) * 25
        assert (db.stats.checked_out, db.stats.waiting) == (0, 0)
        assert db.stats.longest_wait > 0


async def test_a_true_deadlock_is_told_at_once(url: str) -> None:
    """When every connection is held by one that waits for another, a waiter is told, by names, and the rest go on."""

    async def nest(depth: int) -> int:
        async with db.transaction(read_only=True) as tx:
            await tx.scalar(select(literal(1)))
            return 0 if depth == 0 else 1 + await nest(depth - 1)

    async with Database(url, pool_size=3) as db, asyncio.timeout(30):
        results = await asyncio.gather(*(nest(3) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(result, PoolDeadlock) for result in results)
        assert await nest(2) == 2
        assert (db.stats.checked_out, db.stats.waiting) == (0, 0)
    (message,) = {str(result).partition(" waits")[0] for result in results}
    assert message == "a transaction"


async def test_a_pool_of_one(url: str, accounts: Accounts) -> None:
    """A call inside of a transaction that holds the only connection is told so at once."""
    async with Database(url, pool_size=1) as db, asyncio.timeout(30):
        with pytest.raises(PoolDeadlock, match=r"db\.independent"):
            async with db.transaction(read_only=True) as tx:
                await Accounts(tx).count()
                await Accounts(db).count()
        assert await Accounts(db).count() == 0


async def test_a_limit_on_waiting(url: str, accounts: Accounts) -> None:
    """``pool_timeout`` bounds the wait; the error says how long, how many wait, and who holds."""
    async with Database(url, pool_size=1, pool_timeout=0.05) as db:
        held = asyncio.Event()
        done = asyncio.Event()

        async def hold() -> None:
            async with db.transaction() as tx:
                await Accounts(tx).count()
                held.set()
                await done.wait()

        task = asyncio.create_task(hold(), name="the-holder")
        await held.wait()
        with pytest.raises(PoolTimeout, match=r"within 0.05 s.*the-holder"):
            await Accounts(db).count()
        done.set()
        await task
        assert await Accounts(db).count() == 0


async def test_a_limit_on_waiting_for_the_turn_to_write(url: str, accounts: Accounts) -> None:
    """Where one may write at a time, those who wait for it are counted, and ``pool_timeout`` bounds the wait."""
    if not accounts.scope.dialect.one_writer:
        pytest.skip("feature: writing transactions exclude each other")
    async with Database(url, pool_timeout=0.05) as db:
        held, done = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with db.transaction() as tx:
                await Accounts(tx).count()
                held.set()
                await done.wait()

        task = asyncio.create_task(hold(), name="the-writer")
        await held.wait()
        writes = (Accounts(db).add(Account(owner="Ada")), Entries(db).delete(1), Accounts(db).delete_where(true()))
        waiting = [asyncio.create_task(write) for write in writes]
        for _ in range(2):
            await asyncio.sleep(0)
        counted = db.stats.waiting
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert counted == 3
        assert {type(result) for result in results} == {PoolTimeout}
        assert re.search(
            r"0.05 s \(pool_timeout\) for its turn to write, which a transaction of the-writer", str(results[0])
        )
        assert db.stats.longest_wait >= 0.05
        assert await Accounts(db).count() == 0
        done.set()
        await task
        await Accounts(db).add(Account(owner="Ada"))
        assert (db.stats.checked_out, db.stats.waiting) == (0, 0)


async def test_a_write_through_the_wrong_scope(db: Database, accounts: Accounts) -> None:
    """Inside of a transaction a write through the `Database` is refused: it would commit alone."""
    with pytest.raises(UsageError, match=r"add through the Database .*db.independent\(\)"):
        async with db.transaction() as tx:
            await Accounts(tx).count()
            await accounts.add(Account(owner="Ada"))
    for source, what in (([{"owner": "Ada"}], "add_many"), (iter([{"owner": "Ada"}]), "a write of several statements")):
        with pytest.raises(UsageError, match=f"{what} through the Database"):
            async with db.transaction():
                await accounts.add_many(source)
    async with db.transaction():
        task = asyncio.create_task(accounts.add(Account(owner="Ada")))
        with pytest.raises(UsageError):
            await task
        assert await accounts.count() == 0
    await accounts.add(Account(owner="Ada"))


async def test_an_independent_write(db: Database, accounts: Accounts) -> None:
    """``db.independent()`` says that a write is meant to stay, whatever becomes of the transaction."""
    with pytest.raises(ZeroDivisionError):
        async with db.transaction(read_only=db.dialect.one_writer) as tx:
            await Accounts(tx).count()
            await Accounts(db.independent()).add(Account(owner="audit"))
            raise ZeroDivisionError
    assert await accounts.count() == 1


async def test_writes_while_streaming(db: Database, accounts: Accounts) -> None:
    """The body of a loop over a stream of the `Database` may write through the `Database`."""
    await accounts.add_many([{"owner": f"{n}"} for n in range(10)])
    async for account in accounts.stream(chunk=3):
        await accounts.update(account, balance=1)
    assert await accounts.count(Account.balance == 1) == 10


async def test_two_writing_transactions_of_one_task(db: Database, accounts: Accounts) -> None:
    """Where one may write at a time, a second writing transaction of the same task is refused at once."""
    if not db.dialect.one_writer:
        pytest.skip("feature: writing transactions exclude each other")
    async with db.transaction() as outer:
        await Accounts(outer).add(Account(owner="Ada"))
        for scope in (db, db.independent()):
            with pytest.raises(SelfDeadlock, match="savepoint"):
                async with scope.transaction() as inner:
                    await Accounts(inner).add(Account(owner="Grace"))
        task = asyncio.create_task(Accounts(db.independent()).add(Account(owner="background")))
        await asyncio.sleep(0)
    await task
    assert await accounts.count() == 2


def test_another_event_loop(url: str) -> None:
    """A `Database` that is used on a second event loop is refused by name."""
    db = Database(url)

    async def use() -> None:
        await db.ping()

    async def close() -> None:
        await db.ping()
        await db.engine.dispose()

    with asyncio.Runner() as first:
        first.run(use())
        with asyncio.Runner() as second, pytest.raises(UsageError, match="another event loop"):
            second.run(use())
        first.run(close())


async def test_a_snapshot_gives_idle_connections_back(url: str, accounts: Accounts) -> None:
    """A snapshot that has the whole pool gives back what it does not use, for calls that wait, and goes on."""
    async with Database(url, pool_size=3) as db, asyncio.timeout(30), db.snapshot() as snapshot:
        await gather(*(Accounts(snapshot).count() for _ in range(6)))
        assert await gather(*(Accounts(db).count() for _ in range(4))) == (0,) * 4
        together = await gather(*(Accounts(snapshot).count() for _ in range(6)), Accounts(db).count())
        assert together == (0,) * 7


async def test_any_statement_may_write(db: Database, accounts: Accounts) -> None:
    """What ``execute`` is given as text may write, so inside of a transaction it is refused through the `Database`."""
    insertion = text("INSERT INTO scope_accounts (owner, balance) VALUES ('Ada', 1)")
    async with db.transaction() as tx:
        await Accounts(tx).count()
        with pytest.raises(UsageError, match="execute through the Database"):
            await db.execute(insertion)
    await db.execute(insertion)
    async with db.snapshot() as snapshot:
        result = await snapshot.execute(text("SELECT owner FROM scope_accounts"))
        assert result.scalars().all() == ["Ada"]
