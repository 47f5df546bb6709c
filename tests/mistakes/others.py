"""What others do at the same time: locks, changes, time-outs."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Iterator
from contextlib import closing, contextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from repo import Database, Lock
from repo.errors import DatabaseLocked, Deadlock, LockTimeout, SelfDeadlock, SerializationFailure, StatementTimeout
from tests.mistakes import Author, Authors
from tests.mistakes.entry import Bench, Fine, Mistake, Told, mistake

FOREVER = {
    "sqlite": text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"),
    "postgresql": text("SELECT pg_sleep(60)"),
}
QUEUE = "transactions that write take turns"


async def _lock_each_other_out(bench: Bench) -> None:
    both = asyncio.Barrier(2)

    async def change(first: int, second: int) -> None:
        async with bench.db.transaction() as tx:
            await Authors(tx).update(first, born=1)
            await both.wait()
            await Authors(tx).update(second, born=1)

    await _only_error(change(101, 102), change(102, 101))


async def _decide_by_what_the_other_changes(bench: Bench) -> None:
    both = asyncio.Barrier(2)

    async def change(read: int, write: int) -> None:
        async with bench.db.transaction(isolation="SERIALIZABLE") as tx:
            read_author = await Authors(tx).get_one(read)
            await both.wait()
            await Authors(tx).update(write, born=read_author.born + 1)

    await _only_error(change(101, 102), change(102, 101))


async def _only_error(*doing: Awaitable[None]) -> None:
    """Do them at once, of which one fails."""
    results = await asyncio.gather(*doing, return_exceptions=True)
    (error,) = (result for result in results if result is not None)
    raise error


async def _change_what_has_changed(bench: Bench) -> None:
    async with bench.db.transaction(isolation="REPEATABLE READ") as tx:
        await Authors(tx).get(101)
        await Authors(bench.db.independent()).update(101, born=1)
        await Authors(tx).update(101, born=2)


async def _read_and_write_too_late(bench: Bench) -> None:
    async with AsyncSession(bench.db.engine) as session:
        author = await Authors(session).get_one(101)
        await Authors(bench.db).update(101, born=1)
        await Authors(session).update(author, born=2)


async def _wait_in_vain(bench: Bench) -> None:
    async with bench.db.transaction() as holder:
        await Authors(holder).update(101, born=1)
        async with bench.db.independent().transaction(lock_timeout=0.02) as tx:
            await Authors(tx).update(101, born=2)


async def _do_not_wait(bench: Bench) -> None:
    async with bench.db.transaction() as holder:
        await Authors(holder).update(101, born=1)
        async with bench.db.independent().transaction() as tx:
            await Authors(tx).get(101, lock=Lock("update", nowait=True))


async def _wait_for_another_program(bench: Bench) -> None:
    with locked(bench):
        async with bench.db.transaction(lock_timeout=0.02) as tx:
            await Authors(tx).update(101, born=1)


async def _wait_as_the_url_says(bench: Bench) -> None:
    with locked(bench):
        async with Database(bench.url.update_query_dict({"timeout": "0.02"})) as db:
            await Authors(db).update(101, born=1)


async def _commit_as_the_url_says(bench: Bench) -> None:
    async with Database(bench.url.update_query_dict({"timeout": "0.02"})) as db, AsyncSession(db.engine) as session:
        session.add(Author(name="new"))
        with locked(bench):
            await Authors(session).count()


@contextmanager
def locked(bench: Bench) -> Iterator[None]:
    """Another program holds the lock of the file."""
    with closing(sqlite3.connect(str(bench.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def _write_in_two_transactions(bench: Bench) -> None:
    async with bench.db.transaction() as first:
        await Authors(first).update(101, born=1)
        async with bench.db.transaction() as second:
            await Authors(second).update(102, born=1)


async def _take_too_long(bench: Bench) -> None:
    async with bench.db.transaction(statement_timeout=0.05) as tx:
        await tx.scalar(FOREVER[bench.db.dialect.name])


async def _take_too_long_alone(bench: Bench) -> None:
    async with Database(bench.url, statement_timeout=0.05) as db:
        await db.scalar(FOREVER[db.dialect.name])


MISTAKES: tuple[Mistake, ...] = (
    mistake(
        "two transactions that wait for each other's locks",
        _lock_each_other_out,
        sqlite=QUEUE,
        postgresql=Told(Deadlock, ("40P01",)),
    ),
    mistake(
        "two transactions with SERIALIZABLE, each of which reads what the other changes",
        _decide_by_what_the_other_changes,
        sqlite=QUEUE,
        postgresql=Told(SerializationFailure, ("40001",)),
    ),
    mistake(
        "a change, with REPEATABLE READ, of what others have changed since it was read",
        _change_what_has_changed,
        sqlite=QUEUE,
        postgresql=Told(SerializationFailure, ("40001",)),
    ),
    mistake(
        "a session of your own that reads, and writes after others have written",
        _read_and_write_too_late,
        sqlite=Told(SerializationFailure, ("SQLITE_BUSY_SNAPSHOT",)),
        postgresql=Fine("it waits for them, and goes on"),
    ),
    mistake(
        "a row that others keep locked for longer than `lock_timeout`",
        _wait_in_vain,
        _do_not_wait,
        sqlite="the lock is one of the whole database",
        postgresql=Told(LockTimeout, ("55P03",)),
    ),
    mistake(
        "a database that another program keeps locked for longer than `lock_timeout`, or `?timeout=`",
        _wait_for_another_program,
        _wait_as_the_url_says,
        _commit_as_the_url_says,
        sqlite=Told(DatabaseLocked, ("SQLITE_BUSY",)),
        postgresql="locks are those of rows and tables",
    ),
    mistake(
        "two transactions of one task that write",
        _write_in_two_transactions,
        sqlite=Told(SelfDeadlock, cause=()),
        postgresql=Fine("both go on, unless they meet at a row"),
    ),
    mistake(
        "a statement that takes longer than `statement_timeout`",
        _take_too_long,
        _take_too_long_alone,
        sqlite=Told(StatementTimeout, ("SQLITE_INTERRUPT",)),
        postgresql=Told(StatementTimeout, ("57014", None), cause=("asyncpg", "builtins")),
    ),
)
