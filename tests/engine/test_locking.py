import asyncio
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from repo import Database, Lock, UsageError, gather
from repo.errors import LockTimeout, ReadOnlyScope
from tests.models import needs_row_locks
from tests.scopes.models import Account, Accounts, Base


@pytest.fixture
async def accounts(db: Database) -> Accounts:
    """Two accounts."""
    await db.create_all(Base.metadata)
    await Accounts(db).add_many([{"id": 1, "owner": "Ada"}, {"id": 2, "owner": "Grace"}])
    return Accounts(db)


async def test_ten_read_then_write_transactions(db: Database, accounts: Accounts) -> None:
    """Ten concurrent transactions that read with a lock and then write end at ten."""

    async def increment() -> None:
        async with db.transaction() as tx:
            account = await Accounts(tx).get_one(1, lock="update")
            await asyncio.sleep(0)
            await Accounts(tx).update(account, balance=account.balance + 1)

    await gather(*(increment() for _ in range(10)))
    assert (await accounts.get_one(1)).balance == 10


async def test_every_read_takes_it(db: Database, accounts: Accounts) -> None:
    """``lock=`` gives what the read gives without it, in every mode."""
    async with db.transaction() as tx:
        mine = Accounts(tx)
        assert [a.id for a in await mine.all(order_by=Account.id, lock="share")] == [1, 2]
        assert [a.id for a in await mine.get_many([2, 1], lock="no_key_update")] == [2, 1]
        found = [
            await mine.get(1, lock="update"),
            await mine.one(Account.owner == "Ada", lock=Lock("update", nowait=True)),
            await mine.one_or_none(Account.owner == "Ada", lock="update"),
            await mine.first(lock=Lock(skip_locked=True, of=(Account,))),
        ]
        assert {account and account.id for account in found} == {1}


async def test_it_reads_afresh(db: Database, accounts: Accounts) -> None:
    """What the transaction knew of the row is written first, and then read again with the lock."""
    needs_row_locks(db)
    async with db.transaction() as tx:
        account = await Accounts(tx).get_one(1)
        await accounts.using(db.independent()).update(1, balance=7)
        assert account.balance == 0
        account.owner = "Ada L."
        assert await Accounts(tx).get_one(1, lock="update") is account
        assert (account.owner, account.balance) == ("Ada L.", 7)


async def test_skip_locked_and_nowait(db: Database, accounts: Accounts) -> None:
    """Rows that others have locked are left out, or are an error at once."""
    needs_row_locks(db)
    async with db.transaction() as one, db.transaction() as other:
        await Accounts(one).get_one(1, lock="update")
        free = await Accounts(other).all(lock=Lock(skip_locked=True))
        assert [account.id for account in free] == [2]
        with pytest.raises(LockTimeout):
            async with other.savepoint():
                await Accounts(other).get_one(1, lock=Lock(nowait=True))


async def test_the_statement_says_so(db: Database, accounts: Accounts) -> None:
    """The database is told by FOR UPDATE, FOR NO KEY UPDATE or FOR SHARE."""
    needs_row_locks(db)
    sent: list[str] = []
    event.listen(db.engine.sync_engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    modes: tuple[Any, ...] = ("update", "no_key_update", "share")
    async with db.transaction() as tx:
        for mode in modes:
            await Accounts(tx).get(1, lock=mode)
    assert [s.rpartition(" FOR ")[2] for s in sent if " FOR " in s] == ["UPDATE", "NO KEY UPDATE", "SHARE"]


async def test_it_needs_a_transaction(db: Database, accounts: Accounts) -> None:
    """A lock that would be gone with its call is refused, and so is one in a read-only transaction."""
    with pytest.raises(UsageError, match="needs a transaction"):
        await accounts.get(1, lock="update")
    async with db.snapshot() as snapshot:
        with pytest.raises(UsageError, match="needs a transaction"):
            await Accounts(snapshot).all(lock="update")
    async with db.transaction(read_only=True) as tx:
        with pytest.raises(ReadOnlyScope):
            await Accounts(tx).get(1, lock="update")
    async with AsyncSession(db.engine) as session:
        assert await Accounts(session).get(1, lock="update") is not None


@pytest.mark.parametrize("options", [{"mode": "exclusive"}, {"skip_locked": True, "nowait": True}])
def test_locks_that_make_no_sense(options: dict[str, Any]) -> None:
    """A lock that makes no sense is refused when it is made."""
    with pytest.raises(UsageError):
        Lock(**options)
