"""A process that increments the balance of account 1 so many times: ``python incrementer.py URL TIMES``."""

import asyncio
import sys

from repo import Database
from tests.scopes.models import Accounts


async def main(url: str, times: int) -> None:
    """Read, then write, in one transaction; again and again."""
    async with Database(url, pool_size=1) as db:
        for _ in range(times):
            async with db.transaction() as tx:
                account = await Accounts(tx).get_one(1)
                await Accounts(tx).update(account, balance=account.balance + 1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
