"""Time-outs for statements and for locks: per transaction, and for the calls of a `Database`."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from repo import ConfigurationError, Database, TransactionFailed, gather
from repo.dialects.postgresql import limits
from repo.errors import DatabaseLocked, LockTimeout, StatementTimeout
from repo.events import CallEnded, Event
from repo.scopes.call import Call
from tests.scopes.models import Account, Accounts
from tests.scopes.test_processes import writing
from tests.scopes.test_timeouts import LONG, LONG_WRITE, at_once, look, read, share, stream, write

Work = Callable[[Database], Awaitable[object]]

SHORT = 0.2
ONE = select(1)


async def bulk(db: Database) -> None:
    """A verb of several statements, the last of which takes long."""
    async with db.unit() as unit:
        await unit.execute(LONG_WRITE)


async def transact(db: Database) -> None:
    """A transaction that has written already."""
    async with db.transaction() as tx:
        await Accounts(tx).update(1, balance=1)
        await tx.scalar(LONG)


async def session(db: Database) -> None:
    """The session of a transaction."""
    async with db.transaction() as tx:
        tx.session.add(Account(owner="Grace"))
        await tx.session.execute(LONG)


@pytest.fixture
async def bank(accounts: Accounts) -> Accounts:
    """A bank with one account."""
    await accounts.add(Account(owner="Ada"))
    return accounts


@pytest.mark.parametrize("work", [read, write, stream, bulk, transact, share, session, look])
async def test_a_database_with_a_time_out(url: str, bank: Accounts, work: Work) -> None:
    """Each statement that takes longer is stopped with `StatementTimeout`, and its connection is used again."""
    used: list[int | None] = []

    def hook(event: Event) -> None:
        if isinstance(event, CallEnded):
            used.append(event.connection)

    async with Database(url, statement_timeout=SHORT, pool_size=2, hooks=[hook]) as db:
        with at_once(), pytest.raises(StatementTimeout) as caught:
            await work(db)
        assert not caught.value.retryable
        assert (db.stats.checked_out, db.stats.waiting) == (0, 0)
        assert (await Accounts(db).update(1, balance=7)).balance == 7
        await gather(db.scalar(ONE), db.scalar(ONE))
    if work not in (share, look):  # of tasks that are gathered, those that do not fail are cancelled
        assert {number for number in used if number is not None} <= {1, 2}
    assert (await bank.get_one(1)).owner == "Ada"
    assert await bank.count() == 1


async def test_what_it_says(url: str, bank: Accounts) -> None:
    """The error tells that it was the time-out that has stopped the statement, and its cause is the driver's."""
    async with Database(url, statement_timeout=SHORT) as db:
        for work in (read, write, transact):
            with pytest.raises(StatementTimeout, match=r"0\.2 s \(statement_timeout\)|statement timeout") as caught:
                await work(db)
            assert caught.value.__cause__ is not None


async def test_the_time_is_that_of_one_statement(url: str, bank: Accounts) -> None:
    """A call of several statements may take longer than each of them."""

    def two(own: Session) -> Any:
        own.scalar(ONE)
        await_only(asyncio.sleep(1.1))
        return own.scalar(ONE)

    async def in_a_transaction(db: Database) -> Any:
        async with db.transaction() as tx:
            return await tx.perform(Call("two", two))

    async with Database(url, statement_timeout=1.0) as db:
        reading, writing = (db.perform(Call("two", two, writes=writes)) for writes in (False, True))
        assert await gather(reading, writing, in_a_transaction(db)) == (1, 1, 1)


async def test_a_transaction_with_a_time_out(db: Database, bank: Accounts) -> None:
    """A transaction's own time-out holds for its statements, and for nothing afterwards."""
    with at_once(), pytest.raises(StatementTimeout):
        async with db.transaction(statement_timeout=SHORT) as tx:
            await Accounts(tx).update(1, balance=5)
            await tx.scalar(LONG)
    assert (await bank.get_one(1)).balance == 0
    assert await limit(db) == "0"


async def limit(db: Database) -> str:
    """A server's own limit for a statement, without any of ours."""
    if db.dialect.one_writer:
        return "0"
    found: str = await db.scalar(text("SHOW statement_timeout"))
    return found


async def test_a_read_that_is_stopped_in_a_savepoint(db: Database, bank: Accounts) -> None:
    """After a read was stopped in a savepoint, the transaction goes on."""
    async with db.transaction(statement_timeout=SHORT) as tx:
        await Accounts(tx).update(1, balance=5)
        with pytest.raises(StatementTimeout):
            async with tx.savepoint():
                await tx.scalar(LONG)
        await Accounts(tx).add(Account(owner="Grace"))
    assert (await bank.get_one(1)).balance == 5
    assert await bank.count() == 2


async def test_a_write_that_is_stopped_in_a_savepoint(db: Database, bank: Accounts) -> None:
    """After a write was stopped, SQLite has rolled back the whole transaction, which nothing can hide."""

    async def work() -> None:
        async with db.transaction(statement_timeout=SHORT) as tx:
            await Accounts(tx).add(Account(owner="Grace"))
            with pytest.raises(StatementTimeout):
                async with tx.savepoint():
                    await tx.execute(LONG_WRITE)
            await Accounts(tx).update(1, balance=5)

    if db.dialect.one_writer:
        with pytest.raises(TransactionFailed):
            await work()
    else:
        await work()
    assert await bank.count() == (1 if db.dialect.one_writer else 2)
    await bank.update(1, balance=7)


async def test_the_nearer_time_out_holds(url: str, bank: Accounts) -> None:
    """A transaction's time-out takes the place of that of its `Database`; infinity means none."""
    long = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000) SELECT max(i) FROM n")
    async with Database(url, statement_timeout=0.01) as db:
        with pytest.raises(StatementTimeout):
            async with db.transaction() as tx:
                await tx.scalar(long)
        for seconds in (60.0, math.inf):
            async with db.transaction(statement_timeout=seconds) as tx:
                assert await tx.scalar(long) == 400000


async def test_a_lock_that_is_not_to_be_had(db: Database, bank: Accounts) -> None:
    """Who waits longer for another transaction's lock than it wants to is told so, and may try again."""
    has_lock, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with db.transaction() as tx:
            await Accounts(tx).update(1, balance=5)
            has_lock.set()
            await go_on.wait()

    holding = asyncio.create_task(hold(), name="the-first")
    await has_lock.wait()
    with at_once(), pytest.raises((DatabaseLocked, LockTimeout)) as caught:
        async with db.transaction(lock_timeout=SHORT) as tx:
            await Accounts(tx).update(1, balance=6)
    assert type(caught.value) is (DatabaseLocked if db.dialect.one_writer else LockTimeout)
    assert caught.value.retryable
    if db.dialect.one_writer:
        assert "0.2 s (lock_timeout) for its turn to write, which a transaction of the-first" in str(caught.value)
    go_on.set()
    await holding
    assert (await bank.get_one(1)).balance == 5
    async with db.transaction(lock_timeout=60) as tx:
        await Accounts(tx).update(1, balance=8)
    assert (db.stats.checked_out, db.stats.waiting) == (0, 0)


async def test_another_process_that_writes(db: Database, bank: Accounts) -> None:
    """Where another process writes, the busy time-out is the transaction's, and the connection's own afterwards."""
    busy = text("PRAGMA busy_timeout")
    async with writing(db):
        before = await db.scalar(busy)
        with at_once(), pytest.raises(DatabaseLocked):
            async with db.transaction(lock_timeout=SHORT) as tx:
                await Accounts(tx).count()
        assert [await db.scalar(busy) for _ in range(3)] == [before] * 3
    async with db.transaction(lock_timeout=SHORT) as tx:
        assert await tx.scalar(busy) == 200
        await Accounts(tx).update(1, balance=3)
    assert await db.scalar(busy) == before


@pytest.mark.parametrize("wrong", [0, -1.0, math.nan, "5s", True])
async def test_what_is_no_time(db: Database, url: str, wrong: Any) -> None:
    """A time-out that is no positive number of seconds is refused before anything is done."""
    for option in ("statement_timeout", "lock_timeout"):
        with pytest.raises(ConfigurationError, match=option):
            db.transaction(**{option: wrong})
    with pytest.raises(ConfigurationError, match="statement_timeout"):
        Database(url, statement_timeout=wrong)


async def test_an_engine_that_was_given(url: str, bank: Accounts) -> None:
    """On an engine of the user's a statement is stopped as well, and nothing is left on the engine."""
    async with Database(url) as other:
        async with Database(other.engine, statement_timeout=SHORT) as db:
            for work in (read, write, transact):
                with at_once(), pytest.raises(StatementTimeout):
                    await work(db)
                await Accounts(db).update(1, balance=3)
        assert await limit(other) == "0"


async def test_a_driver_without_the_place_that_we_know(
    url: str, bank: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a driver does not keep its time-out where we know, the server is told, at the cost of two round trips."""
    assert limits.KEPT_IN == "_config"
    monkeypatch.setattr(limits, "KEPT_IN", "_elsewhere")
    async with Database(url, statement_timeout=SHORT) as db:
        for work in (read, write):
            with at_once(), pytest.raises(StatementTimeout):
                await work(db)
            await Accounts(db).update(1, balance=3)
    async with Database(url, pool_size=1) as db:
        assert await limit(db) == "0"


async def test_the_drivers_place_for_its_time_out(db: Database) -> None:
    """The driver keeps its time-out where we know; if this fails, every call pays for that."""
    async with db.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
    if not db.dialect.one_writer:
        assert driver._config.command_timeout is None
