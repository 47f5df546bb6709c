"""The SQLite connection that leaves nothing behind: no lock, and no thread that talks to a closed loop."""

import asyncio
import contextlib
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import aiosqlite

from repo.dialects.sqlite.constraints import kind
from repo.gather import finish

T = TypeVar("T")


class ClosingConnection(sqlite3.Connection):
    """A connection that closes its cursors first, as ``connect(factory=...)`` of ``sqlite3``.

    ``sqlite3.Connection.close`` with an open cursor keeps the connection alive inside SQLite until
    the cursor is collected as garbage, and with it its locks: after a cancellation between execute
    and fetch the cursor sits in the traceback, and the file stays locked for everyone.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._cursors: weakref.WeakSet[sqlite3.Cursor] = weakref.WeakSet()

    def cursor(self, *args: Any, **options: Any) -> Any:
        cursor = super().cursor(*args, **options)
        self._cursors.add(cursor)
        return cursor

    def close(self) -> None:
        for cursor in list(self._cursors):
            with contextlib.suppress(sqlite3.Error):
                cursor.close()
        super().close()


async def connect(database: str, **options: Any) -> aiosqlite.Connection:
    """Open a connection; for SQLAlchemy's ``async_creator_fn``.

    When it fails, its thread has ended as well. Otherwise the thread may report its end to a loop
    that is closed by then, and print a traceback beside the error that was raised.
    """
    connection = ThreadedConnection(lambda: sqlite3.connect(database, **options))
    # As SQLAlchemy does: a Database that nobody closed does not keep the program alive.
    connection._thread.daemon = True
    try:
        return await connection
    except BaseException:
        if connection.stopped is not None:
            await finish(_wait_for(connection.stopped))
        raise


class ThreadedConnection(aiosqlite.Connection):
    """The driver's connection, which knows what its thread does."""

    stopped: asyncio.Future[Any] | None = None
    """Done when it has ended; it is told to stop by itself, too, when it cannot connect."""

    def __init__(self, opening: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(self._open, iter_chunk_size=64)
        self._opening = opening
        self._opened: sqlite3.Connection | None = None

    async def visit(self, function: Callable[..., T], *args: Any) -> T:
        """What a function gives that works on the connection of ``sqlite3``, in its thread."""
        execute: Any = self._execute
        given: T = await execute(function, self._conn, *args)
        return given

    def stop(self) -> asyncio.Future[Any] | None:
        # The driver closes only what it knows of: not what is opened for a caller that was cancelled meanwhile.
        self._tx.put_nowait((None, self._close_opened))
        self.stopped = super().stop()
        return self.stopped

    def _open(self) -> sqlite3.Connection:
        self._opened = self._opening()
        return self._opened

    def _close_opened(self) -> None:
        if self._opened is not None:
            self._opened.close()


class _HalfDone(Exception):
    """A statement has failed, but may have left something: by a trigger's ``RAISE(FAIL)``, or a row nobody can read."""


def fetch(connection: sqlite3.Connection, text: str, values: Sequence[Any]) -> list[Any]:
    """All rows of a statement."""
    return connection.execute(text, values).fetchall()


def fetch_many(connection: sqlite3.Connection, text: str, sets: Sequence[Sequence[Any]]) -> list[Any]:
    """All rows of a statement with each of some sets of values, in a transaction; all of them, or none."""
    rows: list[Any] = []
    connection.execute("SAVEPOINT repo_many")
    try:
        for values in sets:
            rows += connection.execute(text, values).fetchall()
    except BaseException:
        # Where the whole transaction was rolled back, there is none any more.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK TO repo_many")
            connection.execute("RELEASE repo_many")
        raise
    connection.execute("RELEASE repo_many")
    return rows


def fetch_each(
    connection: sqlite3.Connection, statements: Sequence[tuple[str, Sequence[Any]]]
) -> list[list[Any] | None]:
    """The rows of each statement, committed together; None for one that has failed, and done nothing."""
    found: list[list[Any] | None] = []
    with contextlib.suppress(_HalfDone), committing(connection):
        for text, values in statements:
            before = connection.total_changes
            try:
                found.append(connection.execute(text, values).fetchall())
            except Exception as error:
                if not connection.in_transaction or kind(error) == "SQLITE_INTERRUPT":
                    raise
                if connection.total_changes != before:
                    raise _HalfDone from error
                found.append(None)
        return found
    return [None] * len(statements)


@contextlib.contextmanager
def committing(connection: sqlite3.Connection) -> Iterator[None]:
    """A block of statements that are all committed, or none of them."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


async def _wait_for(future: asyncio.Future[Any]) -> None:
    await future
