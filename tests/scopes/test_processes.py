"""Several processes on one database."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from repo import Database, gather
from repo.errors import DatabaseLocked
from tests.scopes.models import Account, Accounts, Base

PROCESSES = 4
TIMES = 1000

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""
"""A program that has the write lock of an SQLite file until its input ends."""


async def increment(url: str) -> tuple[int | None, str]:
    """Let another process increment the first account's balance: its exit code, and what it complained of."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.scopes.incrementer", url, str(TIMES)), stderr=asyncio.subprocess.PIPE
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, said.decode()


@asynccontextmanager
async def writing(db: Database) -> AsyncIterator[int]:
    """Another process, of this number, is in the middle of a write."""
    if not db.dialect.one_writer:
        pytest.skip("feature: writing transactions exclude each other")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, str(db.engine.url.database)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"held\n"
        yield process.pid
    finally:
        process.kill()
        await process.wait()


async def test_increments_by_several_processes(db: Database, accounts: Accounts, url: str) -> None:
    """4 processes that each read and write in 1,000 transactions count to 4,000, without an error."""
    if not db.dialect.one_writer:
        pytest.skip("feature: writing transactions exclude each other")
    ada = await accounts.add(Account(owner="Ada"))
    assert await gather(*(increment(url) for _ in range(PROCESSES))) == ((0, ""),) * PROCESSES
    assert (await accounts.get_one(ada.id)).balance == PROCESSES * TIMES


@pytest.mark.parametrize("how", ["URL", "engine option"])
async def test_a_lock_that_is_held_too_long(url: str, how: str) -> None:
    """`DatabaseLocked` comes after the busy time-out, not before; reads do not wait, and afterwards all is well."""
    wait = 0.3
    options = {"connect_args": {"timeout": wait}}
    by_url = how == "URL"
    async with Database(url) as plain:
        if not plain.dialect.one_writer:
            pytest.skip("feature: writing transactions exclude each other")
    async with Database(f"{url}?timeout={wait}" if by_url else url, engine_options={} if by_url else options) as db:
        await db.create_all(Base.metadata)
        accounts = Accounts(db)
        async with writing(db):
            for work in (accounts.add(Account(owner="Ada")), accounts.add_many([{"owner": "Ada"}]), transact(db)):
                start = time.perf_counter()
                with pytest.raises(DatabaseLocked) as caught:
                    await work
                assert wait <= time.perf_counter() - start < wait + 2
                assert caught.value.retryable
                assert caught.value.code == "SQLITE_BUSY"
            assert await accounts.count() == 0
        await transact(db)
        assert await accounts.count() == 1
        assert (db.stats.checked_out, db.stats.waiting) == (0, 0)


async def transact(db: Database) -> None:
    """A transaction that reads and then writes."""
    async with db.transaction() as tx:
        await Accounts(tx).count()
        await Accounts(tx).add(Account(owner="Ada"))


async def test_a_short_wait_for_another_process(db: Database, accounts: Accounts) -> None:
    """A write waits for the end of another process's write, as long as that is within the busy time-out."""
    async with writing(db):
        added = asyncio.create_task(accounts.add(Account(owner="Ada")))
        await accounts.count()
        assert not added.done()
    await added
    assert await accounts.count() == 1
