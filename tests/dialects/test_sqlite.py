"""SQLite is correct without being asked: transactions, foreign keys, waiting, cancelling."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, ForeignKey, MetaData, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, ForeignKeyViolation, Repository, errors
from repo.dialects.sqlite import diagnosis
from repo.dialects.sqlite.errors import CLASSES, CONSTRAINTS, NAMES, UNLISTED, translate
from repo.model import NAMING_CONVENTION
from tests.mistakes import Authors, Book, Books, caught, seed

FOREVER = text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT count(*) FROM n"
)
"""A statement that takes minutes."""


class Base(DeclarativeBase):
    """Only the tables of this module: what migrations say of the models of others is not touched."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Undo(Exception):
    """Makes a block fail."""


@contextmanager
def foreign(path: object, **options: Any) -> Iterator[sqlite3.Connection]:
    """A connection that is none of ours, closed afterwards."""
    with closing(sqlite3.connect(str(path), **options)) as connection, connection:
        yield connection


class Counter(Base):
    __tablename__ = "lite_counters"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(default=0)


class Tick(Base):
    __tablename__ = "lite_ticks"
    id: Mapped[int] = mapped_column(primary_key=True)
    counter_id: Mapped[int] = mapped_column(ForeignKey(Counter.id))


class Counters(Repository[Counter]):
    """Counters."""


class Ticks(Repository[Tick]):
    """Ticks of a counter."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "test.db"


@pytest.fixture
async def db(path: Path) -> AsyncIterator[Database]:
    """A SQLite database with one counter, which is at 0."""
    async with Database(f"sqlite:///{path}") as database:
        await database.create_all(Base.metadata)
        await Counters(database).add(Counter(id=1))
        yield database


def sees(path: Path) -> list[tuple[int, ...]]:
    """What another program sees in the counters."""
    with foreign(path, timeout=0) as other:
        return other.execute("SELECT id, value FROM lite_counters ORDER BY id").fetchall()


async def test_every_connection_is_set_up(db: Database) -> None:
    """WAL, foreign keys and a busy time-out, on each connection of the pool."""

    async def ask(pragma: str) -> object:
        return await db.scalar(text(f"PRAGMA {pragma}"))

    pragmas = ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
    async with db.snapshot(connections=3) as snapshot:
        await asyncio.gather(*(Counters(snapshot).count() for _ in range(3)))
    assert [await ask(pragma) for pragma in pragmas] == ["wal", 1, 10_000, 1]


async def test_the_busy_timeout_comes_from_the_url(path: Path) -> None:
    """`?timeout=` is how many seconds to wait for another program."""
    async with Database(f"sqlite:///{path}?timeout=0.25") as db:
        assert await db.scalar(text("PRAGMA busy_timeout")) == 250


async def test_transactions_that_read_and_then_write_lose_nothing(db: Database) -> None:
    """Ten of them at once, each adding one, end at ten."""

    async def add_one() -> None:
        async with db.transaction() as tx:
            counter = await Counters(tx).get_one(1)
            await asyncio.sleep(0)
            await Counters(tx).update(counter, value=counter.value + 1)

    await asyncio.gather(*(add_one() for _ in range(10)))
    assert (await Counters(db).get_one(1)).value == 10


async def begun(db: Database, *, read_only: bool) -> list[str]:
    """What a transaction sends before its first statement."""
    sent: list[str] = []

    def listen(_c: Connection, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(db.engine.sync_engine, "before_cursor_execute", listen)
    async with db.transaction(read_only=read_only) as tx:
        await Counters(tx).count()
    event.remove(db.engine.sync_engine, "before_cursor_execute", listen)
    return [statement for statement in sent if statement.startswith("BEGIN")]


async def test_a_transaction_begins_as_it_goes_on(db: Database) -> None:
    """One that may write takes the write lock at its beginning, one that only reads never does."""
    assert await begun(db, read_only=False) == ["BEGIN IMMEDIATE"]
    assert await begun(db, read_only=True) == ["BEGIN"]


async def test_a_reader_is_not_kept_waiting_by_a_writer(db: Database) -> None:
    """While a transaction writes, others read what was committed before."""
    async with db.transaction() as tx:
        await Counters(tx).update(1, value=5)
        async with db.transaction(read_only=True) as reading:
            assert (await Counters(reading).get_one(1)).value == 0
        assert (await Counters(db).get_one(1)).value == 0


async def test_ddl_rolls_back(db: Database) -> None:
    """A table that was made in a transaction that fails was never there."""
    with pytest.raises(Undo):
        async with db.transaction() as tx:
            await tx.execute(text("CREATE TABLE made (id INTEGER)"))
            raise Undo
    assert await db.scalar(text("SELECT count(*) FROM sqlite_master WHERE name = 'made'")) == 0


async def test_a_savepoint_undoes_its_part_and_a_rollback_all(db: Database, path: Path) -> None:
    """What a savepoint let through is undone with the transaction around it."""
    async with db.transaction() as tx:
        await Counters(tx).add(Counter(id=2))
        with pytest.raises(errors.UniqueViolation):
            async with tx.savepoint():
                await Counters(tx).add(Counter(id=3))
                await Counters(tx).add(Counter(id=2))
        assert [counter.id for counter in await Counters(tx).all()] == [1, 2]
        async with tx.savepoint():
            await Counters(tx).add(Counter(id=4))
        await tx.rollback()
    assert sees(path) == [(1, 0)]


async def test_the_engine_itself_has_real_transactions(db: Database, path: Path) -> None:
    """`db.engine.begin()` rolls back on an error, and commits without one."""
    with pytest.raises(Undo):
        async with db.engine.begin() as connection:
            await connection.execute(text("UPDATE lite_counters SET value = 7"))
            raise Undo
    assert sees(path) == [(1, 0)]
    async with db.engine.begin() as connection:
        await connection.execute(text("UPDATE lite_counters SET value = 8"))
    assert sees(path) == [(1, 8)]


async def test_autocommit_of_the_users_own_leaves_the_pool_as_it_was(path: Path) -> None:
    """A statement in AUTOCOMMIT is stored at once, and the connection begins transactions again afterwards."""
    async with Database(f"sqlite:///{path}", pool_size=1) as db:
        await db.create_all(Base.metadata)
        async with db.engine.connect() as connection:
            alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await alone.execute(text("INSERT INTO lite_counters VALUES (1, 1)"))
            assert sees(path) == [(1, 1)]
        with pytest.raises(Undo):
            async with db.engine.begin() as connection:
                await connection.execute(text("UPDATE lite_counters SET value = 2"))
                raise Undo
        await Counters(db).update(1, value=3)
        assert sees(path) == [(1, 3)]


async def test_a_commit_that_fails_leaves_no_lock(db: Database, path: Path) -> None:
    """A connection whose COMMIT was refused goes back to the pool without a transaction."""
    deferred = text("PRAGMA defer_foreign_keys=ON")
    connection = await db.engine.connect()
    await connection.execute(deferred)
    await connection.execute(text("INSERT INTO lite_ticks VALUES (1, 99)"))
    with pytest.raises(Exception, match="FOREIGN KEY"):
        await connection.commit()
    await connection.close()
    with foreign(path, timeout=0) as other:
        other.execute("BEGIN IMMEDIATE")
    await Ticks(db).add(Tick(id=1, counter_id=1))


async def test_memory_is_a_private_file() -> None:
    """`:memory:` behaves as a file does, is shared with nobody, and is gone with its `Database`."""
    async with Database("sqlite://") as first, Database("sqlite:///:memory:") as second:
        await first.create_all(Base.metadata)
        file = Path(first.engine.url.database or "")
        assert sees(file) == []
        assert await first.scalar(text("PRAGMA journal_mode")) == "wal"
        assert await second.scalar(text("SELECT count(*) FROM sqlite_master")) == 0
    assert not file.parent.exists()


async def test_a_file_that_can_only_be_read_can_be_read(path: Path) -> None:
    """A URI with `mode=ro` reads, and says that it is the file when a write fails."""
    with foreign(path) as made:
        made.execute("CREATE TABLE lite_counters (id INTEGER PRIMARY KEY, value INTEGER)")
    async with Database(f"sqlite:///file:{path}?mode=ro&uri=true") as db:
        assert await Counters(db).count() == 0
        with pytest.raises(errors.StorageFailed, match="can only be read") as raised:
            await Counters(db).add(Counter(id=1))
    assert raised.value.code == "SQLITE_READONLY"


async def test_a_locked_file_is_told(path: Path) -> None:
    """When another program keeps the write lock for longer than the busy time-out, that is said; it is retryable."""
    async with Database(f"sqlite:///{path}?timeout=0.05") as db:
        await db.create_all(Base.metadata)
        with foreign(path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(errors.DatabaseLocked) as raised:
                await Counters(db).add(Counter(id=1))
            other.execute("ROLLBACK")
        assert (raised.value.code, raised.value.retryable) == ("SQLITE_BUSY", True)
        await Counters(db).add(Counter(id=1))


async def in_the_database(db: Database) -> None:
    await db.scalar(FOREVER)


async def in_a_transaction(db: Database) -> None:
    async with db.transaction() as tx:
        await Counters(tx).update(1, value=5)
        await tx.scalar(FOREVER)


async def in_a_snapshot(db: Database) -> None:
    async with db.snapshot() as snapshot:
        await snapshot.scalar(FOREVER)


@pytest.mark.parametrize("place", [in_the_database, in_a_transaction, in_a_snapshot])
async def test_a_cancelled_statement_stops_and_leaves_no_lock(
    db: Database, path: Path, place: Callable[[Database], Awaitable[None]]
) -> None:
    """A time-out around a statement that would take minutes ends at once, and everybody can write again."""
    started = time.perf_counter()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await place(db)
    assert time.perf_counter() - started < 2
    with foreign(path, timeout=0) as other:
        other.execute("BEGIN IMMEDIATE")
    assert sees(path) == [(1, 0)]


async def test_no_thread_is_left(path: Path) -> None:
    """After `close` no thread of a connection runs, not even of one whose statement was cancelled."""
    before = set(threading.enumerate())
    async with Database(f"sqlite:///{path}") as db:
        await asyncio.gather(*(db.ping() for _ in range(5)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await db.scalar(FOREVER)
    for thread in set(threading.enumerate()) - before:
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()


async def test_an_engine_of_the_users_own_is_only_read_about(path: Path) -> None:
    """Without listeners SQLite cannot be asked: of several foreign keys none is named, the only one is."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    event.listen(engine.sync_engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys=ON"))
    async with Database(engine) as db:
        await db.create_all(Base.metadata)
        with pytest.raises(ForeignKeyViolation) as raised:
            await Ticks(db).add(Tick(counter_id=99))
    await engine.dispose()
    violated = raised.value
    assert not hasattr(violated.__cause__, diagnosis.Clues.KEPT_AS)
    assert (violated.constraint, violated.table, violated.columns) == (
        "fk_lite_ticks_counter_id_lite_counters",
        "lite_ticks",
        ("counter_id",),
    )


async def test_rows_whose_keys_do_not_count_up_are_returned_in_order(path: Path) -> None:
    """Where the largest key is in use, SQLite makes up random ones; entities come back in the order of the source."""
    async with Database(f"sqlite:///{path}") as db:
        await db.create_all(Base.metadata)
        await Counters(db).add(Counter(id=2**63 - 1, value=-1))
        async with db.transaction() as tx:
            added = await Counters(tx).add_many(({"value": n} for n in range(20)), returning=True)
            await Counters(tx).add(Counter(id=1, value=-2))
        stored = {counter.id: counter.value for counter in await Counters(db).all()}
    assert [counter.value for counter in added] == [*range(20)]
    assert stored == {counter.id: counter.value for counter in added} | {2**63 - 1: -1, 1: -2}


async def test_a_look_for_a_foreign_key_is_short(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was inserted is found at once however large the table; a look through whole tables has a limit."""
    monkeypatch.setattr(diagnosis, "EFFORT", 1000)
    async with Database(f"sqlite:///{path}") as db:
        await seed(db)
        rows = ({"title": "new", "author_id": 101, "editor_id": 102} for _ in range(2000))
        await Books(db).add_many(rows)
        wrong = {"title": "new", "author_id": 101, "editor_id": 999}
        for storing in (Books(db).add(Book(**wrong)), Books(db).add_many([wrong] * 1001)):
            inserted = await caught(storing)
            assert isinstance(inserted, ForeignKeyViolation)
            assert inserted.constraint == "fk_books_editor_id_authors"
        deleted = await caught(Authors(db).delete(102))
        await Books(db).add(Book(title="new", author_id=101))
    assert isinstance(deleted, ForeignKeyViolation)
    assert (deleted.constraint, deleted.table, deleted.columns) == (None, None, ())


NO_ERRORS = {"OK", "ROW", "DONE", "NOTICE", "WARNING"}
BROKEN = {"ABORT", "INTERNAL", "MISUSE", "NOTFOUND", "EMPTY", "FORMAT"}


def codes() -> dict[str, int]:
    """Every result code of SQLite that Python knows, primary and extended."""
    primary = [
        *("OK", "ERROR", "INTERNAL", "PERM", "ABORT", "BUSY", "LOCKED", "NOMEM", "READONLY", "INTERRUPT", "IOERR"),
        *("CORRUPT", "NOTFOUND", "FULL", "CANTOPEN", "PROTOCOL", "EMPTY", "SCHEMA", "TOOBIG", "CONSTRAINT"),
        *("MISMATCH", "MISUSE", "NOLFS", "AUTH", "FORMAT", "RANGE", "NOTADB", "NOTICE", "WARNING", "ROW", "DONE"),
    ]
    known = {
        name: getattr(sqlite3, name)
        for name in dir(sqlite3)
        if name.startswith("SQLITE_") and not name.startswith("SQLITE_DBCONFIG_")
    }
    ours = {f"SQLITE_{name}" for name in primary}
    return {name: code for name, code in known.items() if name in ours or code > 0xFF}


def made(name: str, code: int) -> sqlite3.Error:
    """The driver's error of a code."""
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorname, error.sqlite_errorcode = name, code
    return error


def test_every_code_has_a_class_or_is_listed_as_having_none() -> None:
    """A code is mapped by its name or its class, or it is no error, or says that SQLite is broken."""
    translated = {name: translate(made(name, code), None) for name, code in codes().items()}
    unlisted = {name for name in translated if name.split("_")[1] in NO_ERRORS | BROKEN}
    assert {name for name, error in translated.items() if type(error) is UNLISTED[0]} == unlisted
    mapped = {name for name, code in codes().items() if name in CONSTRAINTS or name in NAMES or code & 0xFF in CLASSES}
    assert mapped == translated.keys() - unlisted
    assert [name for name, error in translated.items() if error is None or error.code != name] == []


def test_a_code_that_python_does_not_know_is_mapped_by_its_class() -> None:
    """The wrong type in a STRICT table is an InvalidValue; an unheard-of extension is its class's."""
    wrong = translate(made("unknown", 3091), None)
    assert (type(wrong), wrong and wrong.code) == (errors.InvalidValue, "SQLITE_CONSTRAINT_DATATYPE")
    assert type(translate(made("unknown", sqlite3.SQLITE_IOERR | 99 << 8), None)) is errors.StorageFailed
