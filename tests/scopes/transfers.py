"""Transfers between ten accounts; ``python transfers.py URL KEYS`` asks for each of so many twice."""

import asyncio
import random
import sys

from repo import Database, Retry, Transaction, gather
from tests.scopes.models import Account, Accounts, Entries, Entry

ACCOUNTS = 10
BALANCE = 100
PATIENT = Retry(attempts=1000, wait=0.005, longest_wait=0.1, within=120.0)


async def transfer(tx: Transaction, number: int) -> int:
    """Move 1 between two accounts, and note the number of the transfer."""
    giver, taker = random.sample(range(1, ACCOUNTS + 1), 2)
    # In the same order everywhere, so that nobody waits for a deadlock to be found.
    for key, amount in sorted([(giver, -1), (taker, 1)]):
        await Accounts(tx).update_where(Account.id == key, values={Account.balance: Account.balance + amount})
    await Entries(tx).add(Entry(account_id=giver, amount=number))
    return number


async def careless_transfer(tx: Transaction, number: int) -> int:
    """The same, by reading balances and writing what Python has computed, in whatever order."""
    accounts = Accounts(tx)
    giver, taker = [await accounts.get_one(key) for key in random.sample(range(1, ACCOUNTS + 1), 2)]
    await accounts.update(giver, balance=giver.balance - 1)
    await accounts.update(taker, balance=taker.balance + 1)
    await Entries(tx).add(Entry(account_id=giver.id, amount=number))
    return number


async def assert_done_once(db: Database, numbers: set[int]) -> None:
    """Each of these transfers was done once, and no other; the sum of all balances is what it was."""
    assert sorted(entry.amount for entry in await Entries(db).all()) == sorted(numbers)
    assert sum(account.balance for account in await Accounts(db).all()) == ACCOUNTS * BALANCE


async def main(url: str, keys: int) -> None:
    """Ask for each transfer twice, in any order, four at a time."""
    asked = [*range(keys), *range(keys)]
    random.shuffle(asked)
    async with Database(url, pool_size=4) as db:
        calls = (db.transact(transfer, number, once=f"transfer {number}", retry=PATIENT) for number in asked)
        assert list(await gather(*calls, limit=4)) == asked


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
