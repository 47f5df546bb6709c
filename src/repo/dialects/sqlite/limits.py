"""Time-outs of statements and of the lock."""

import asyncio
import contextlib
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError

from repo.dialects.sqlite.constraints import kind
from repo.errors import StatementTimeout

_BUSY = "repo.busy_timeout"
_MOST = 2**31 - 1
"""SQLite's largest number of milliseconds, 24 days."""


@contextmanager
def limited(connection: Connection, seconds: float | None) -> Iterator[None]:
    """Interrupt a statement in the block that runs longer; the connection can be used afterwards."""
    if seconds is None or seconds == math.inf:
        yield
        return
    with stopping(connection.connection.driver_connection, seconds) as alarm:
        event.listen(connection, "before_cursor_execute", alarm.start)
        try:
            yield
        finally:
            event.remove(connection, "before_cursor_execute", alarm.start)


@contextmanager
def stopping(driver: Any, seconds: float) -> Iterator["_Alarm"]:
    """Interrupt what runs longer in the block, or since ``start`` of the alarm was called."""
    alarm = _Alarm(driver, seconds)
    alarm.start()
    try:
        yield alarm
    except (OperationalError, sqlite3.OperationalError) as error:
        cause = getattr(error, "orig", error)
        if kind(cause) != "SQLITE_INTERRUPT" or not alarm.rang:
            raise
        raise StatementTimeout(
            f"the statement was stopped, because it ran for longer than {seconds:g} s (statement_timeout): make it "
            "faster, or the time-out longer",
            code="SQLITE_INTERRUPT",
        ) from cause
    finally:
        alarm.stop()


class _Alarm:
    """Interrupts what a connection does when its time is over."""

    def __init__(self, driver: Any, seconds: float) -> None:
        self._driver = driver
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self.rang = False

    def start(self, *_: Any) -> None:
        """The time begins, anew if it had begun."""
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._ring)

    def stop(self) -> None:
        """There is nothing to interrupt any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self.rang = True
        # The coroutine awaits nothing. As a task it would run a moment later, and might then meet a
        # statement that began meanwhile; where none runs, SQLite does nothing.
        interrupting = self._driver.interrupt()
        with contextlib.suppress(Exception):
            interrupting.send(None)
        interrupting.close()


def wait_for_lock(connection: Connection, seconds: float | None) -> None:
    """Wait so long for the write lock from here on; ``as_before`` ends that."""
    if seconds is not None:
        connection.info[_BUSY] = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
        _set_busy(connection, int(min(math.ceil(seconds * 1000), _MOST)) if seconds < math.inf else _MOST)


def as_before(connection: Connection) -> None:
    """Wait for the write lock as the connection did when it was made."""
    before = connection.info.pop(_BUSY, None)
    if before is not None:
        _set_busy(connection, before)


def _set_busy(connection: Connection, milliseconds: int) -> None:
    connection.exec_driver_sql(f"PRAGMA busy_timeout={milliseconds:d}")
