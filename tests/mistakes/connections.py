"""Connections that cannot be made, or that break."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from repo import ConnectFailed, ConnectionLost, Database, Transaction
from repo.errors import CommitOutcomeUnknown, PoolTimeout, StorageFailed, Unavailable
from repo.testing import server
from repo.testing.postgres import find_programs
from tests.mistakes import SECRET, Author, Authors
from tests.mistakes.entry import Bench, Fine, Mistake, Told, mistake

SERVER = "there is no server"
FILE = "a database is not a file of yours"

SLEEP = text("SELECT pg_sleep(60)")
SLEEPS = text("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = :process")
SLEEP_AT_COMMIT = (
    "CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$",
    "CREATE CONSTRAINT TRIGGER sleeping AFTER UPDATE ON authors DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
    "EXECUTE FUNCTION sleep()",
)


async def _process(tx: Transaction) -> int:
    return int(await tx.scalar(text("SELECT pg_backend_pid()")))


async def _kill(db: Database, process: int) -> None:
    await db.scalar(text("SELECT pg_terminate_backend(:process, 5000)"), {"process": process})


async def _until_it_sleeps(db: Database, process: int) -> None:
    while not await db.scalar(SLEEPS, {"process": process}):
        pass


async def _ask_nobody(bench: Bench) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with Database(bench.url.set(host="127.0.0.1", port=port, password=SECRET)) as db:
        await db.ping()


async def _say_a_wrong_password(bench: Bench) -> None:
    async with Database(bench.url.set(password=SECRET)) as db:
        await db.ping()
    pytest.skip("feature: passwords; this server lets everybody in without one")


async def _ask_for_a_database_that_is_not_there(bench: Bench) -> None:
    async with Database(bench.url.set(database=f"{bench.folder}/nowhere")) as db:
        await db.ping()


async def _open_a_file_in_no_folder(bench: Bench) -> None:
    async with Database(f"sqlite:///{bench.folder}/missing/app.db") as db:
        await db.ping()


async def _open_a_folder(bench: Bench) -> None:
    async with Database(f"sqlite:///{bench.folder}") as db:
        await db.ping()


async def _open_a_letter(bench: Bench) -> None:
    (bench.folder / "letter.txt").write_text(SECRET * 100)
    async with Database(f"sqlite:///{bench.folder}/letter.txt") as db:
        await db.ping()


async def _connect_too_often(bench: Bench) -> None:
    name = f"{bench.url.database}_small"
    await bench.db.execute(text(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 1 PASSWORD 'small'"))
    try:
        async with (
            Database(bench.url.set(username=name, password="small")) as db,
            db.transaction() as tx,
        ):
            await tx.scalar(text("SELECT 1"))
            await db.ping()
    finally:
        await bench.db.execute(text(f"DROP ROLE {name}"))


async def _wait_for_a_connection(bench: Bench) -> None:
    async with Database(bench.url, pool_size=1, pool_timeout=0.02) as db, db.transaction(read_only=True) as tx:
        await tx.scalar(text("SELECT 1"))
        await db.independent().ping()


async def _wait_for_the_pool_of_an_engine(bench: Bench) -> None:
    engine = create_async_engine(bench.url, pool_size=1, max_overflow=0, pool_timeout=0.02)
    try:
        async with engine.connect(), Database(engine) as db:
            await db.ping()
    finally:
        await engine.dispose()


async def _lose_it_between_two_statements(bench: Bench) -> None:
    async with bench.db.transaction() as tx:
        await _kill(bench.db, await _process(tx))
        await tx.scalar(text("SELECT 1"))


async def _lose_it_in_a_session(bench: Bench) -> None:
    async with bench.db.transaction() as tx:
        await _kill(bench.db, await _process(tx))
        tx.session.add(Author(name=SECRET))
        await tx.session.flush()


async def _lose_it_before_many_rows(bench: Bench) -> None:
    async with bench.db.transaction() as tx:
        await _kill(bench.db, await _process(tx))
        await Authors(tx).add_many([{"name": SECRET}])


async def _lose_it_during_a_statement(bench: Bench) -> None:
    async with bench.db.transaction() as tx:
        process = await _process(tx)
        sleeping = asyncio.create_task(tx.scalar(SLEEP))
        await _until_it_sleeps(bench.db, process)
        await _kill(bench.db, process)
        await sleeping


async def _lose_it_during_commit(bench: Bench) -> None:
    for sql in SLEEP_AT_COMMIT:
        await bench.db.execute(text(sql))

    async def kill(process: int) -> None:
        await _until_it_sleeps(bench.db, process)
        await _kill(bench.db, process)

    killing: asyncio.Task[None] | None = None
    try:
        async with bench.db.transaction() as tx:
            await Authors(tx).update(102, born=1)
            killing = asyncio.create_task(kill(await _process(tx)))
    finally:
        if killing is not None:
            await killing


@asynccontextmanager
async def own_server() -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A server of the test's own, by its URL; it stops when the standard input of its guard is closed."""
    program = (sys.executable, "-I", server.__file__, find_programs())
    pipe = asyncio.subprocess.PIPE
    guard = await asyncio.create_subprocess_exec(*program, stdin=pipe, stdout=pipe)
    assert guard.stdin is not None
    assert guard.stdout is not None
    try:
        yield (await guard.stdout.readline()).decode().strip(), guard
    finally:
        guard.stdin.close()
        await guard.wait()


async def _lose_the_server(_: Bench) -> None:
    async with own_server() as (url, guard), Database(url) as db, db.transaction() as tx:
        process = await _process(tx)
        sleeping = asyncio.create_task(tx.scalar(SLEEP))
        await _until_it_sleeps(db, process)
        assert guard.stdin is not None
        guard.stdin.close()
        await sleeping


async def _come_when_the_server_stops(_: Bench) -> None:
    async with own_server() as (url, _guard), Database(url) as db, db.transaction() as tx:
        status = await tx.scalar(text("SELECT pg_read_file('postmaster.pid')"))
        # It takes no connections any more, and waits for those that it has.
        os.kill(int(status.splitlines()[0]), signal.SIGTERM)
        async with Database(url) as other:
            while True:
                await other.ping()
                await other.engine.dispose()


def refused(*codes: str | None) -> Told:
    """It makes no sense to ask again."""
    return Told(ConnectFailed, codes, retryable=False)


MISTAKES: tuple[Mistake, ...] = (
    mistake(
        "an address at which nobody listens",
        _ask_nobody,
        sqlite=SERVER,
        postgresql=Told(ConnectFailed, cause=("builtins",)),
    ),
    mistake("a wrong password", _say_a_wrong_password, sqlite=SERVER, postgresql=refused("28P01")),
    mistake(
        "a database that is not there",
        _ask_for_a_database_that_is_not_there,
        sqlite=Fine("it is made"),
        postgresql=refused("3D000"),
    ),
    mistake(
        "a file that cannot be opened: its folder is not there, or it is one",
        _open_a_file_in_no_folder,
        _open_a_folder,
        sqlite=refused("SQLITE_CANTOPEN"),
        postgresql=FILE,
    ),
    mistake(
        "a file that is no database",
        _open_a_letter,
        sqlite=Told(StorageFailed, ("SQLITE_NOTADB",)),
        postgresql=FILE,
    ),
    mistake(
        "more connections than the server takes",
        _connect_too_often,
        sqlite=SERVER,
        postgresql=Told(Unavailable, ("53300",)),
    ),
    mistake(
        "a pool of which no connection becomes free in time",
        _wait_for_a_connection,
        _wait_for_the_pool_of_an_engine,
        sqlite=Told(PoolTimeout, cause=("sqlalchemy", None)),
        postgresql=Told(PoolTimeout, cause=("sqlalchemy", None)),
    ),
    mistake(
        "a connection that breaks between two statements of a transaction",
        _lose_it_between_two_statements,
        _lose_it_in_a_session,
        _lose_it_before_many_rows,
        sqlite=SERVER,
        postgresql=Told(ConnectionLost, ("57P01", None)),
    ),
    mistake(
        "a connection that breaks during a statement",
        _lose_it_during_a_statement,
        sqlite=SERVER,
        postgresql=Told(ConnectionLost, ("08003", "57P01")),
    ),
    mistake(
        "a connection that breaks during COMMIT",
        _lose_it_during_commit,
        sqlite=SERVER,
        postgresql=Told(CommitOutcomeUnknown, ("08003", "57P01")),
    ),
    mistake(
        "a server that stops during a statement",
        _lose_the_server,
        sqlite=SERVER,
        postgresql=Told(ConnectionLost, ("08003", "57P01")),
    ),
    mistake(
        "a server that is about to stop, or to start",
        _come_when_the_server_stops,
        sqlite=SERVER,
        postgresql=Told(Unavailable, ("57P03",)),
    ),
)
