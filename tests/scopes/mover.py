"""A process that moves money between accounts until it is killed: ``python mover.py URL``."""

import asyncio
import random
import sys

from sqlalchemy import update

from repo import Database
from tests.scopes.models import Account


async def main(url: str) -> None:
    """Move money in transactions that leave the total as it is; say when the first one is done."""
    async with Database(url, pool_size=1) as db:
        moved = False
        while True:
            giver, taker = random.sample(range(1, 31), 2)
            async with db.transaction() as tx:
                for key, amount in ((giver, -10), (taker, 10)):
                    statement = update(Account).where(Account.id == key)
                    await tx.execute(statement.values(balance=Account.balance + amount))
            if not moved:
                print("moving", flush=True)
                moved = True


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
