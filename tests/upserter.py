"""A process that stores by unique keys when it is told to: ``python -m tests.upserter URL``.

It stores one contact 13 times at once, and then 40 others and their tags 250 times, by each of the verbs.
"""

import asyncio
import random
import sys

from repo import Database, gather
from tests.keyed import Contact, Contacts, Tag, Tags

TIMES = 13
KEYS = [f"key {number}" for number in range(40)]


async def store(contacts: Contacts, number: int) -> None:
    """One of the verbs, by turns, for any of the keys."""
    email = random.choice(KEYS)
    if number % 4 == 0:
        await contacts.upsert(Contact(email=email, name=f"{number}"), on="email")
    elif number % 4 == 1:
        await contacts.upsert_many([{"email": email, "name": f"{number}"}], on="email")
    else:
        assert (await contacts.get_or_add(Contact(email=email), on="email")).email == email
        await Tags(contacts.scope).get_or_add(Tag(name=email), on="name")


async def main(url: str) -> None:
    """Connect, wait for a line, store."""
    async with Database(url, pool_size=4) as db:
        contacts = Contacts(db)
        await db.ping()
        print("ready", flush=True)
        sys.stdin.readline()
        await gather(*(contacts.upsert(Contact(email="one", name=f"{n}"), on="email") for n in range(TIMES)))
        await gather(*(store(contacts, number) for number in range(250)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
