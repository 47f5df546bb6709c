"""The SQLite connection that leaves nothing behind: no lock, and no thread that talks to a closed loop."""

import asyncio
import contextlib
import sqlite3
import weakref
from typing import Any

import aiosqlite

from repo.gather import finish


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
    connection = _StoppingConnection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
    # As SQLAlchemy does: a Database that nobody closed does not keep the program alive.
    connection._thread.daemon = True
    try:
        return await connection
    except BaseException:
        if connection.stopped is not None:
            await finish(_wait_for(connection.stopped))
        raise


class _StoppingConnection(aiosqlite.Connection):
    """Remembers that it was told to stop, which it tells itself when it cannot connect."""

    stopped: asyncio.Future[Any] | None = None

    def stop(self) -> asyncio.Future[Any] | None:
        self.stopped = super().stop()
        return self.stopped


async def _wait_for(future: asyncio.Future[Any]) -> None:
    await future
