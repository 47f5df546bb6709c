"""Several processes on one database."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import OperationalError

from repo import Database, gather
from repo.dialects.sqlite import BUSY_TIMEOUT, locks
from repo.errors import DatabaseLocked, translate
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
        async with writing(db) as number:
            for work in (accounts.add(Account(owner="Ada")), accounts.add_many([{"owner": "Ada"}]), transact(db)):
                start = time.perf_counter()
                with pytest.raises(DatabaseLocked) as caught:
                    await work
                assert wait <= time.perf_counter() - start < BUSY_TIMEOUT
                assert caught.value.retryable
                assert caught.value.code == "SQLITE_BUSY"
                assert f"{db.engine.url.database} was not to be had within {wait} s" in str(caught.value)
                if sys.platform == "linux":
                    assert f"process {number} (" in str(caught.value)
            assert await accounts.count() == 0
        await transact(db)
        assert await accounts.count() == 1
        assert (db.stats.checked_out, db.stats.waiting) == (0, 0)


async def transact(db: Database) -> None:
    """A transaction that reads and then writes."""
    async with db.transaction() as tx:
        await Accounts(tx).count()
        await Accounts(tx).add(Account(owner="Ada"))


async def test_a_write_that_may_not_wait(db: Database, accounts: Accounts) -> None:
    """SQLAlchemy's own transaction, which begins by reading, is told at once that it may not wait to write."""
    await accounts.count()
    async with writing(db) as number, db.engine.begin() as connection:
        await connection.execute(select(Account))
        with pytest.raises(OperationalError) as caught:
            await connection.execute(insert(Account).values(owner="Ada", balance=0))
        said = translate(caught.value)
        assert isinstance(said, DatabaseLocked)
        assert "not to be had at once" in str(said)
        if sys.platform == "linux":
            assert f"process {number} (" in str(said)


async def test_a_lock_of_this_process(url: str, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that another `Database` of this process holds is told; where the system does not tell, that is said."""
    async with Database(url) as other, other.transaction() as tx:
        if not tx.dialect.one_writer:
            pytest.skip("feature: writing transactions exclude each other")
        await Accounts(tx).add(Account(owner="Ada"))
        async with Database(f"{url}?timeout=0.01") as db:
            grace = Accounts(db.independent())
            if sys.platform == "linux":
                mine = rf"another connection of this process \({os.getpid()}\) has it"
                with pytest.raises(DatabaseLocked, match=mine):
                    await grace.add(Account(owner="Grace"))
            monkeypatch.setattr(locks, "LOCKS", locks.LOCKS / "nowhere")
            with pytest.raises(DatabaseLocked, match="who has it, this system does not tell"):
                await grace.add(Account(owner="Grace"))


async def test_many_writers_while_another_process_writes(url: str, accounts: Accounts) -> None:
    """Writers in line wait for another process all at once, not one after the other, and are told the same."""
    wait, writers = 0.4, 50
    async with Database(f"{url}?timeout={wait}" if accounts.scope.dialect.one_writer else url) as db:
        start = time.perf_counter()
        async with writing(db) as number:
            first = await asyncio.gather(*(add(db, n) for n in range(writers)), return_exceptions=True)
            assert time.perf_counter() - start < writers * wait / 5
            assert {type(error) for error in first} == {DatabaseLocked}
            assert len({str(error) for error in first}) <= 2  # who has waited in line before may say so
            if sys.platform == "linux":
                assert all(f"process {number} (" in str(error) for error in first)
            assert {getattr(error, "code", None) for error in first} == {"SQLITE_BUSY"}
            last = [asyncio.create_task(add(db, n)) for n in range(writers)]
            await accounts.count()
        await asyncio.gather(*last)
        assert await accounts.count() == writers
        assert (db.stats.checked_out, db.stats.waiting) == (0, 0)


async def add(db: Database, number: int) -> None:
    """A write by itself, a list, or a transaction."""
    if number % 3 == 1:
        await Accounts(db).add(Account(owner=f"{number}"))
        return
    if number % 3 == 2:
        await Accounts(db).add_many([{"owner": f"{number}"}])
        return
    async with db.transaction() as tx:
        await Accounts(tx).add(Account(owner=f"{number}"))


async def test_a_short_wait_for_another_process(db: Database, accounts: Accounts) -> None:
    """A write waits for the end of another process's write, as long as that is within the busy time-out."""
    async with writing(db):
        added = asyncio.create_task(accounts.add(Account(owner="Ada")))
        await accounts.count()
        assert not added.done()
    await added
    assert await accounts.count() == 1
