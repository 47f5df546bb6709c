"""SQLite: one file, one writer at a time, any number of readers beside it (WAL)."""

import asyncio
import contextlib
import math
import sqlite3
import tempfile
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Column, ColumnElement, Connection, MetaData, event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import TypeEngine

from repo.dialects.base import Dialect, EngineSettings, NotPinned, TransactionOptions
from repo.dialects.sqlite import limits
from repo.dialects.sqlite.constraints import kind
from repo.dialects.sqlite.diagnosis import diagnose, diagnose_locked
from repo.dialects.sqlite.driver import ClosingConnection, ThreadedConnection, connect, fetch, fetch_each, fetch_many
from repo.dialects.sqlite.errors import translate
from repo.dialects.sqlite.inserting import insert_many, load, texts_of
from repo.errors import ConfigurationError, RepoError

T = TypeVar("T")

BUSY_TIMEOUT = 10.0
"""Seconds that a connection waits for another process's write lock."""

PIN_ATTEMPTS = 5
"""How often readers try to begin between two writes before writers are stopped for it."""

MOMENT = 0.005
"""Seconds between two attempts to stop a statement."""

_INTERRUPTING: set[asyncio.Future[None]] = set()
"""Kept from being collected as garbage."""

_URL_ARGUMENTS = {"timeout", "cached_statements", "detect_types", "uri"}
"""Arguments of ``sqlite3.connect`` that leave alone what this module sets up."""

_EXPLICIT_BEGIN = "repo_explicit_begin"


class SQLite(Dialect):
    """SQLite by aiosqlite.

    SQLite is always serializable: every isolation level is accepted and means that one. Settings
    are accepted, so that code for another database runs, and have no effect.
    """

    name = "sqlite"
    drivers = ("aiosqlite",)
    one_writer = True
    remote = False
    unexplained = (sqlite3.IntegrityError,)
    returns_in_order = True
    streams_in = False

    def settings(self, url: URL) -> EngineSettings:
        _check(url)
        arguments = {"factory": ClosingConnection, "timeout": _busy_timeout(url), "async_creator_fn": connect}
        # SQLAlchemy's own reset is a ROLLBACK of nothing most times; `_end` sends it where there is something.
        options = {"connect_args": arguments, "pool_reset_on_return": None}
        url = url.difference_update_query(["timeout"])
        if url.database not in (None, "", ":memory:"):
            return EngineSettings(url=url, options=options)
        # In memory there is either one connection, hence no isolation, or a shared cache that
        # ignores the busy time-out. A private file behaves as production does.
        folder = tempfile.TemporaryDirectory(prefix="repo-", ignore_cleanup_errors=True)
        private = url.set(database=str(Path(folder.name, "memory.db")))
        return EngineSettings(url=private, options=options, dispose=folder.cleanup)

    def configure(self, engine: AsyncEngine) -> None:
        event.listen(engine.sync_engine, "connect", _set_up)
        event.listen(engine.sync_engine, "checkout", _restore)
        event.listen(engine.sync_engine, "checkin", _end)
        event.listen(engine.sync_engine, "begin", _begin_implicitly)
        event.listen(engine.sync_engine, "invalidate", _interrupt)
        event.listen(engine.sync_engine, "handle_error", diagnose)

    def autocommit(self, connection: Connection) -> None:
        connection.execution_options(**{_EXPLICIT_BEGIN: True})

    def begin(self, connection: Connection, options: TransactionOptions) -> None:
        self.autocommit(connection)
        limits.wait_for_lock(connection, options.lock_timeout)
        if options.read_only:
            connection.exec_driver_sql("PRAGMA query_only=ON")
        connection.exec_driver_sql("BEGIN" if options.read_only else "BEGIN IMMEDIATE")

    async def has_begun(self, connection: Connection) -> bool:
        driver: Any = connection.connection.driver_connection
        return bool(driver.in_transaction)

    def end(self, connection: Connection, options: TransactionOptions) -> None:
        if options.read_only:
            connection.exec_driver_sql("PRAGMA query_only=OFF")
        limits.as_before(connection)

    def limited(self, connection: Connection, seconds: float | None, *, begun: bool) -> AbstractContextManager[None]:
        return limits.limited(connection, seconds)

    async def fetch(
        self, driver: ThreadedConnection, text: str, values: Sequence[Any], seconds: float | None
    ) -> Sequence[Any]:
        with _within(driver, seconds):
            return await _with_reasons(driver, driver.visit(fetch, text, values))

    async def fetch_many(
        self, driver: ThreadedConnection, text: str, sets: Sequence[Sequence[Any]], seconds: float | None
    ) -> Sequence[Any]:
        with _within(driver, seconds):
            return await driver.visit(fetch_many, text, sets)

    async def fetch_each(
        self, driver: ThreadedConnection, statements: Mapping[int, tuple[str, Sequence[Any]]]
    ) -> Mapping[int, Sequence[Any] | None]:
        found = await _with_reasons(driver, driver.visit(fetch_each, [*statements.values()]))
        return dict(zip(statements, found, strict=True))

    async def codes(self, driver: Any, text: str) -> Sequence[Any]:
        return ()

    def pin(
        self,
        connections: Sequence[Connection],
        options: TransactionOptions,
        *,
        joinable: bool,
        guard: Connection | None = None,
    ) -> str | None:
        if guard is not None:
            self.autocommit(guard)
            guard.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                for connection in connections:
                    self._begin_reading(connection, options)
            finally:
                guard.exec_driver_sql("ROLLBACK")
            return None
        for _ in range(PIN_ATTEMPTS):
            if self._try_to_pin(connections, options):
                return None
        raise NotPinned

    def _try_to_pin(self, connections: Sequence[Connection], options: TransactionOptions) -> bool:
        """Begin on all connections; True if nobody committed meanwhile, else none has begun."""
        first, *others = connections
        self.autocommit(first)
        before = first.exec_driver_sql("PRAGMA data_version").scalar()
        for connection in (*others, first):
            self._begin_reading(connection, options)
        # The first connection began last. What others committed between its two readings of the
        # data version would make the second one differ, so equal means: one moment for all.
        if not others or first.exec_driver_sql("PRAGMA data_version").scalar() == before:
            return True
        for connection in connections:
            connection.exec_driver_sql("ROLLBACK")
            self.end(connection, options)
        return False

    def _begin_reading(self, connection: Connection, options: TransactionOptions) -> None:
        """Begin, and read, because only a read of something real fixes the moment."""
        self.begin(connection, options)
        connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").all()

    def join(self, connection: Connection, options: TransactionOptions, token: str) -> None:
        raise NotPinned

    def recover(self, connection: Connection) -> None:
        pass

    def copy(
        self,
        connection: Connection,
        columns: Sequence[Column[Any]],
        parts: Iterable[Sequence[Any]],
    ) -> bool:
        return insert_many(connection, columns, parts)

    async def load(self, driver: ThreadedConnection, columns: Sequence[Column[Any]], values: Sequence[Any]) -> bool:
        texts = texts_of(self.syntax, tuple(columns))
        if texts is not None:
            await _with_reasons(driver, driver.visit(load, texts, values))
        return texts is not None

    def insert(self, model: Any) -> Any:
        return insert(model)

    def holds(self, kind: TypeEngine[Any], value: object) -> bool:
        # Any column may have a value of any of these; they have an order among each other.
        return type(value) in (int, float, str, bytes)

    def exact(self, element: ColumnElement[Any]) -> ColumnElement[Any]:
        return element

    def translate(self, error: BaseException, metadata: MetaData | None) -> RepoError | None:
        return translate(error, metadata)


def _check(url: URL) -> None:
    """Refuse a URL of which SQLite, or SQLAlchemy, would ignore a part."""
    if url.host or url.username or url.password or url.port:
        raise ConfigurationError(
            "a SQLite URL has a file and no host; a file in the working folder has three slashes, "
            "sqlite+aiosqlite:///app.db, and an absolute path four"
        )
    unknown = set(url.query) - _URL_ARGUMENTS
    if unknown and "uri" not in url.query:
        raise ConfigurationError(
            f"a SQLite URL takes {', '.join(sorted(_URL_ARGUMENTS))}, not {', '.join(sorted(unknown))}; "
            "SQLite's own arguments, such as mode=ro, need a URI: sqlite+aiosqlite:///file:app.db?mode=ro&uri=true"
        )


def _busy_timeout(url: URL) -> float:
    """The URL's ``timeout``, in seconds, or ours."""
    given = url.query.get("timeout", BUSY_TIMEOUT)
    try:
        return float(str(given))
    except ValueError:
        raise ConfigurationError(f"timeout={given} in the URL is no number of seconds") from None


def _set_up(connection: Any, _: Any) -> None:
    """Make a new connection of ours safe: no implicit BEGIN, WAL, foreign keys checked."""
    try:
        connection.isolation_level = None
        _set_pragmas(connection.cursor())
    except BaseException:
        # SQLAlchemy's pool forgets a connection whose set-up has failed.
        connection.close()
        raise


def _set_pragmas(cursor: Any) -> None:
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        # A file that can only be read keeps its mode, and can be read in it.
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY:
            raise
    for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _restore(connection: Any, *_: Any) -> None:
    """Undo what SQLAlchemy's AUTOCOMMIT leaves behind: the driver's own BEGIN before writes."""
    if connection.isolation_level is not None:
        connection.isolation_level = None


def _end(connection: Any, _: Any) -> None:
    """Roll back what a failed COMMIT has left open; SQLAlchemy takes it for ended and gives it back."""
    if connection is not None and connection.driver_connection.in_transaction:
        connection.rollback()


def _begin_implicitly(connection: Connection) -> None:
    """Send the BEGIN that the driver does not send, for those who use the engine themselves."""
    options = connection.get_execution_options()
    if not options.get(_EXPLICIT_BEGIN) and options.get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN")


def _within(driver: ThreadedConnection, seconds: float | None) -> AbstractContextManager[object]:
    """A block in which a statement that runs longer is stopped; None and infinity mean no limit."""
    return contextlib.nullcontext() if seconds is None or seconds == math.inf else limits.stopping(driver, seconds)


async def _with_reasons(driver: Any, running: Awaitable[T]) -> T:
    """What the driver gives; it is found out who has the lock that it has not got."""
    try:
        return await running
    except sqlite3.OperationalError as error:
        if kind(error) == "SQLITE_BUSY":
            await diagnose_locked(driver, error)
        raise


def _interrupt(connection: Any, *_: Any) -> None:
    """Stop the statement of a connection that is thrown away; its thread would finish it first."""
    with contextlib.suppress(RuntimeError):  # there is no loop any more, and nobody who waits
        interrupting = asyncio.get_running_loop().create_task(_stop(connection.driver_connection))
        _INTERRUPTING.add(interrupting)
        interrupting.add_done_callback(_INTERRUPTING.discard)


async def _stop(driver: Any) -> None:
    """Interrupt a connection until it is closed: its thread may begin the statement only now, which undoes that."""
    with contextlib.suppress(ValueError, sqlite3.ProgrammingError):  # it is closed, or is being closed
        while True:
            await driver.interrupt()
            await asyncio.sleep(MOMENT)
