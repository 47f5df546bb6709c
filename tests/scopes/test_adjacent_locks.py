"""Gets with a lock that stand side by side in the line of a transaction."""

from typing import Any

from repo import Database, Lock, gather
from repo.testing import queries
from tests.models import needs_row_locks
from tests.scopes.models import Account, Accounts


def keys_asked_for(sent: list[str]) -> list[bool]:
    """Of each statement, whether it asks for several keys."""
    return [" IN " in statement for statement in sent if statement.startswith("SELECT")]


async def test_locks_do_not_mix(bank: Database) -> None:
    """Gets with the same lock are one statement; another lock, or none, is another."""
    async with bank.transaction() as tx:
        accounts = Accounts(tx)
        locks: list[Any] = ["update", Lock(), Lock(of=(Account,)), Lock(of=(Account,)), "share", "share", None, None]
        with queries(bank) as sent:
            found = await gather(*(accounts.get_one(n, lock=lock) for n, lock in enumerate(locks, start=1)))
    assert [account.id for account in found] == list(range(1, 9))
    assert keys_asked_for(sent) == [True] * 4


async def test_a_lock_reads_afresh(bank: Database) -> None:
    """What is pending is written before gets with a lock, and the rows are read again."""
    async with bank.transaction() as tx:
        accounts = Accounts(tx)
        one, two = await gather(accounts.get_one(1), accounts.get_one(2))
        one.balance = 7
        with queries(bank) as sent:
            found = await gather(*(accounts.get(n, lock="update") for n in (2, 1, 2, 999)))
    assert (sent[0].startswith("UPDATE"), keys_asked_for(sent)) == (True, [True])
    assert (found[0] is two, found[1] is one, found[2] is two, found[3], one.balance) == (True, True, True, None, 7)


async def test_what_others_have_locked_is_left_out(bank: Database) -> None:
    """With `skip_locked`, who asks for a row that another transaction has locked gets None; the others get theirs."""
    needs_row_locks(bank)
    async with bank.transaction() as other, bank.transaction() as tx:
        await gather(*(Accounts(other).get_one(n, lock="update") for n in (2, 4)))
        found = await gather(*(Accounts(tx).get(n, lock=Lock(skip_locked=True)) for n in range(1, 6)))
    assert [account and account.id for account in found] == [1, None, 3, None, 5]


async def test_gets_with_locks_are_never_in_a_circle(bank: Database) -> None:
    """Transactions that lock the same rows at once, each in an order of its own, do not lock each other out."""
    needs_row_locks(bank)

    async def lock(keys: range) -> int:
        async with bank.transaction() as tx:
            found = await gather(*(Accounts(tx).get_one(n, lock="update") for n in keys))
            return len(found)

    forwards, backwards = range(1, 101), range(100, 0, -1)
    assert set(await gather(*(lock(keys) for keys in (forwards, backwards) * 10))) == {100}
