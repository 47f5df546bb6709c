import asyncio

import pytest
from sqlalchemy import event

from repo import Database, TransactionFailed, UsageError, gather
from tests.scopes.models import Account, Accounts, Entries, Entry


async def test_entities_are_shared_inside(db: Database, accounts: Accounts) -> None:
    """Inside a transaction a row is one entity; after it, the entity can still be read."""
    ada = await accounts.add(Account(owner="Ada", balance=1))
    async with db.transaction() as tx:
        one, other = await gather(Accounts(tx).get_one(ada.id), Accounts(tx).get_one(ada.id))
        assert one is other
        await Accounts(tx).update(one, balance=2)
    assert (one.owner, one.balance) == ("Ada", 2)
    assert (await accounts.get_one(ada.id)).balance == 2


async def test_shared_entities_keep_every_change(db: Database, accounts: Accounts) -> None:
    """Ten tasks that each get an entity, change it and add another lose no change."""
    ada = await accounts.add(Account(owner="Ada"))

    async def pay(amount: int) -> None:
        account = await Accounts(tx).get_one(ada.id)
        account.balance += amount
        await Entries(tx).add(Entry(account_id=account.id, amount=amount))

    async with db.transaction() as tx:
        await gather(*(pay(1) for _ in range(10)))
    assert (await accounts.get_one(ada.id)).balance == 10
    assert await Entries(db).count() == 10


async def test_a_change_during_a_flush_is_refused(db: Database, accounts: Accounts) -> None:
    """A change that a flush of another task would lose is an error that names both, and nothing is stored."""
    ada = await accounts.add(Account(owner="Ada"))

    async def pay(account: Account, amount: int) -> None:
        account.balance += amount
        await Entries(tx).add(Entry(account_id=account.id, amount=amount))

    with pytest.raises(UsageError, match=r"Account.balance was set by second while first was writing") as caught:
        async with db.transaction() as tx:
            account = await Accounts(tx).get_one(ada.id)
            first = asyncio.create_task(pay(account, 1), name="first")
            started = asyncio.Event()
            event.listen(tx.session.sync_session, "before_flush", lambda *_: started.set())
            await started.wait()
            second = asyncio.create_task(pay(account, 2), name="second")
            await gather(first, second)
    assert caught.value.retryable is False
    assert (await accounts.get_one(ada.id)).balance == 0
    assert await Entries(db).count() == 0


async def test_such_a_change_fails_the_transaction(db: Database, accounts: Accounts) -> None:
    """Who catches that error cannot commit the half that was written."""
    ada = await accounts.add(Account(owner="Ada"))
    with pytest.raises(TransactionFailed, match=r"Account\.balance was set by"):
        async with db.transaction() as tx:
            account = await Accounts(tx).get_one(ada.id)
            started = asyncio.Event()
            event.listen(tx.session.sync_session, "before_flush", lambda *_: started.set())
            account.balance += 1
            flush = asyncio.create_task(tx.session.flush())
            await started.wait()
            with pytest.raises(UsageError):
                account.balance += 2
            await flush
    assert (await accounts.get_one(ada.id)).balance == 0
