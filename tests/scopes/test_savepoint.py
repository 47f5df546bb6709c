import asyncio

import pytest

from repo import Database, TransactionFailed, UniqueViolation, gather
from tests.scopes.models import Account, Accounts


async def test_a_savepoint_can_fail_alone(db: Database, accounts: Accounts) -> None:
    """An error that leaves a savepoint undoes what was done in it, and the transaction goes on."""
    async with db.transaction() as tx:
        mine = Accounts(tx)
        await mine.add(Account(owner="Ada"))
        with pytest.raises(UniqueViolation):
            async with tx.savepoint():
                await mine.add(Account(owner="Grace"))
                await mine.add(Account(owner="Ada"))
        await mine.add(Account(owner="Edsger"))
    assert [a.owner for a in await accounts.all(order_by=Account.owner)] == ["Ada", "Edsger"]


async def test_savepoints_nest(db: Database, accounts: Accounts) -> None:
    """Savepoints nest to any depth; the inner one's failure leaves the outer one's work."""
    async with db.transaction() as tx:
        mine = Accounts(tx)
        async with tx.savepoint():
            await mine.add(Account(owner="outer"))
            for depth in range(3):
                with pytest.raises(RuntimeError):
                    async with tx.savepoint(), tx.savepoint():
                        await mine.add(Account(owner=f"inner {depth}"))
                        raise RuntimeError
            assert await mine.count() == 1
    assert await accounts.count() == 1


async def test_a_failure_caught_inside_a_savepoint(db: Database, accounts: Accounts) -> None:
    """A failure that is caught inside a savepoint fails the savepoint when it is left, no more."""
    async with db.transaction() as tx:
        mine = Accounts(tx)
        await mine.add(Account(owner="Ada"))
        with pytest.raises(TransactionFailed):
            async with tx.savepoint():
                with pytest.raises(UniqueViolation):
                    await mine.add(Account(owner="Ada"))
        assert await mine.count() == 1
    assert await accounts.count() == 1


async def test_a_released_savepoint_rolls_back_with_the_transaction(db: Database, accounts: Accounts) -> None:
    """What a savepoint has done goes when the transaction rolls back."""
    async with db.transaction() as tx:
        async with tx.savepoint():
            await Accounts(tx).add(Account(owner="Ada"))
        await tx.rollback()
    assert await accounts.count() == 0


async def test_two_tasks_with_a_savepoint_each(db: Database, accounts: Accounts) -> None:
    """A task's savepoint keeps the calls of other tasks out until it ends."""

    async def work(name: str, *, fails: bool) -> None:
        mine = Accounts(tx)
        try:
            async with tx.savepoint():
                await mine.add(Account(owner=f"{name} 1"))
                await asyncio.sleep(0)
                await mine.add(Account(owner=f"{name} 2"))
                if fails:
                    raise RuntimeError
        except RuntimeError:
            return

    async with db.transaction() as tx:
        plain = Accounts(tx)
        await gather(
            work("a", fails=True), plain.add(Account(owner="plain")), work("b", fails=False), work("c", fails=True)
        )
    assert [a.owner for a in await accounts.all(order_by=Account.owner)] == ["b 1", "b 2", "plain"]


async def test_children_belong_to_the_savepoint(db: Database, accounts: Accounts) -> None:
    """Tasks that are started inside a savepoint work inside of it."""
    async with db.transaction() as tx:
        mine = Accounts(tx)
        with pytest.raises(RuntimeError):
            async with tx.savepoint():
                await gather(*(mine.add(Account(owner=f"{number}")) for number in range(5)))
                raise RuntimeError
    assert await accounts.count() == 0


async def test_entities_can_be_read_after_a_rollback(db: Database, accounts: Accounts) -> None:
    """After a savepoint has rolled back, an entity that was changed in it is there as it was before."""
    ada = await accounts.add(Account(owner="Ada", balance=1))
    async with db.transaction() as tx:
        account = await Accounts(tx).get_one(ada.id)
        with pytest.raises(UniqueViolation):
            async with tx.savepoint():
                await Accounts(tx).update(account, balance=2)
                await Accounts(tx).add(Account(owner="Ada"))
        assert (account.owner, account.balance) == ("Ada", 1)
        await Accounts(tx).update(account, balance=3)
    assert (await accounts.get_one(ada.id)).balance == 3
