"""A BEGIN that fails does not spoil the connection for those who get it next."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from sqlalchemy import text, update

from repo import Database, RepoError
from repo.errors import DatabaseLocked, InvalidStatement
from tests.scopes.models import Account, Accounts
from tests.scopes.proxy import Fate, proxied
from tests.scopes.test_processes import writing

Work = Callable[[Database], Awaitable[object]]
Refusing = Callable[[], AbstractAsyncContextManager[object]]


async def transact(db: Database) -> None:
    """A transaction at an isolation level of its own."""
    async with db.transaction(isolation="SERIALIZABLE") as tx:
        await Accounts(tx).update(1, balance=1)


async def set_up(db: Database) -> None:
    """A transaction with settings, which are sent right after BEGIN."""
    async with db.transaction(isolation="SERIALIZABLE", settings={"work_mem": "1MB"}, lock_timeout=0.1) as tx:
        await Accounts(tx).update(1, balance=1)


async def write(db: Database) -> None:
    """A write by itself, of a statement that is the user's own."""
    await db.execute(update(Account).values(balance=1))


async def write_many(db: Database) -> None:
    """A write of several statements."""
    await Accounts(db).add_many({"owner": name} for name in ["Grace"])


@pytest.fixture
async def bank(accounts: Accounts) -> Accounts:
    """A bank with one account."""
    await accounts.add(Account(owner="Ada"))
    return accounts


@pytest.fixture
async def refused(url: str, db: Database, bank: Accounts) -> AsyncIterator[tuple[Database, Refusing]]:
    """A `Database` with one connection, and a block in which every BEGIN that may write is refused."""
    if db.dialect.one_writer:
        async with Database(f"{url}?timeout=0.1", pool_size=1) as one:
            yield one, lambda: writing(db)
        return

    async with proxied(url) as (around, proxy), Database(around, pool_size=1) as one:

        def judge(query: bytes) -> Fate | bytes:
            return b"BEGAN;\0" if query.startswith(b"BEGIN") else Fate.PASS

        @asynccontextmanager
        async def refusing() -> AsyncIterator[None]:
            await one.ping()
            before, proxy.judge = proxy.judge, judge
            yield
            proxy.judge = before

        yield one, refusing


@pytest.mark.parametrize("work", [transact, set_up, write, write_many])
async def test_a_begin_that_fails(refused: tuple[Database, Refusing], bank: Accounts, work: Work) -> None:
    """Whatever was to begin, the next ones on that connection do, at any isolation level and read-only or not."""
    db, refusing = refused
    async with refusing():
        for _ in range(2):
            with pytest.raises(RepoError) as caught:
                await work(db)
            assert isinstance(caught.value, DatabaseLocked if db.dialect.one_writer else InvalidStatement)
            assert (db.stats.checked_out, db.stats.waiting) == (0, 0)
    for isolation in (None, "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"):
        async with db.transaction(isolation=isolation, read_only=isolation is None) as tx:
            assert await Accounts(tx).count() == 1
        await Accounts(db).update(1, balance=7)
        async with db.snapshot() as snapshot:
            assert (await Accounts(snapshot).get_one(1)).balance == 7
    assert await db.scalar(text("SELECT 1")) == 1
    await db.transact(lambda tx: Accounts(tx).add(Account(owner="Edsger")))
    assert await bank.count() == 2
