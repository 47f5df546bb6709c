"""Many callers that store by the same unique key at once: in one process, in several, and in the worst order."""

import asyncio
import sys

import pytest

from repo import Database, gather
from tests.interleaved import before
from tests.keyed import Contact, Contacts, Keyed, Tags
from tests.upserter import KEYS, TIMES

PROCESSES = 4


async def stores(url: str) -> list[tuple[int | None, str]]:
    """Let processes store, all from the same moment on: their exit codes, and what they complained of."""
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.upserter", url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        said = await gather(*(process.communicate(b"go\n") for process in processes))
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
    return [(process.returncode, errors.decode()) for process, (_, errors) in zip(processes, said, strict=True)]


@pytest.fixture
async def contacts(db: Database) -> Contacts:
    """The tables, without rows."""
    await db.create_all(Keyed.metadata)
    return Contacts(db)


async def test_many_callers_in_several_processes(contacts: Contacts, url: str) -> None:
    """4 processes that store one key 52 times in all, and some others 1,000 times: a row a key, and no error."""
    busy = f"{url}?timeout=100" if contacts.scope.dialect.one_writer else url
    assert await stores(busy) == [(0, "")] * PROCESSES
    assert {contact.email for contact in await contacts.all()} == {"one", *KEYS}
    assert (await contacts.one(Contact.email == "one")).version == TIMES * PROCESSES
    assert (await contacts.count(), await Tags(contacts.scope).count()) == (1 + len(KEYS), len(KEYS))


async def test_many_callers_in_one_process(contacts: Contacts) -> None:
    """100 tasks that store the same key at once find one row."""
    upserts = (contacts.upsert(Contact(email="a", name=f"{n}"), on="email") for n in range(50))
    gets = (contacts.get_or_add(Contact(email="a"), on="email") for _ in range(50))
    assert {contact.id for contact in await gather(*upserts, *gets)} == {(await contacts.one()).id}


async def test_a_row_that_comes_in_between(contacts: Contacts, db: Database, url: str) -> None:
    """A row that another adds after `get_or_add` has looked is the one that comes back, unchanged."""
    if db.dialect.one_writer:
        pytest.skip("feature: writing transactions exclude each other, so nothing can come in between")
    async with Database(url) as other:
        theirs = [Contact(email="a", name="theirs")]
        with before(db, ("INSERT INTO contacts", lambda: Contacts(other).add(theirs[0]))):
            mine = await contacts.get_or_add(Contact(email="a", name="mine"), on="email")
    assert (mine.id, mine.name, mine.version, mine.changes) == (theirs[0].id, "theirs", 1, "none")
    assert await contacts.count() == 1


async def test_a_row_that_comes_and_goes_in_between(contacts: Contacts, db: Database, url: str) -> None:
    """A row that another adds in between, and deletes before it was read, is replaced by the caller's."""
    if db.dialect.one_writer:
        pytest.skip("feature: writing transactions exclude each other, so nothing can come in between")
    async with Database(url) as other:
        come = ("DO NOTHING", lambda: Contacts(other).add(Contact(email="a", name="theirs")))
        go = ("DO UPDATE", lambda: Contacts(other).delete_where(Contact.email == "a"))
        with before(db, come, go):
            mine = await contacts.get_or_add(Contact(email="a", name="mine"), on="email")
    assert (mine.name, (await contacts.one()).name) == ("mine", "mine")
