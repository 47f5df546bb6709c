"""Time-outs of statements and locks: the server's in a transaction, the driver's for a call by itself.

SET LOCAL is of no effect outside of a transaction, and a setting of the session would cost two round
trips and leak to others behind a pooler. The driver has a time-out for each of its calls, which costs
nothing, but SQLAlchemy passes none. So this module, and no other, sets the one that the driver's
connection takes for a call without, in an attribute that is private to the driver. Where that is not
there, it is a setting of the session after all; a test notices.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, ExceptionContext, func, select, text

from repo.dialects.base import TransactionOptions
from repo.errors import StatementTimeout

KEPT_IN = "_config"
"""Where the driver's connection keeps ``command_timeout``, in a named tuple."""

_MOST = 2**31 - 1
"""The server's largest number of milliseconds, 24 days."""


def set_local(connection: Connection, options: TransactionOptions) -> None:
    """Set what holds until the transaction's end, in one round trip; the user's own settings win."""
    limits = {"statement_timeout": options.statement_timeout, "lock_timeout": options.lock_timeout}
    settings = {name: _milliseconds(seconds) for name, seconds in limits.items() if seconds is not None}
    _set(connection, {**settings, **options.settings}, local=True)


@contextmanager
def limited(connection: Connection, seconds: float | None) -> Iterator[None]:
    """Let no statement in the block run longer, on a connection that is no transaction of the user's."""
    if seconds is None or seconds == math.inf:
        yield
        return
    driver = connection.connection.driver_connection
    around = _by_driver if hasattr(driver, KEPT_IN) else _by_server
    with around(connection, seconds):
        yield


def keep(context: ExceptionContext) -> None:
    """Have SQLAlchemy keep the connection of a statement that the driver has stopped.

    The driver waits for the statement's end before it sends another. To throw connections away would
    make a server that is slow already open new ones.
    """
    error = context.original_exception
    if isinstance(error, TimeoutError) and error.errno is None and not context.is_pre_ping:
        context.is_disconnect = False


@contextmanager
def _by_driver(connection: Connection, seconds: float) -> Iterator[None]:
    """Have the driver stop a statement, and wait for its end before it sends another."""
    driver: Any = connection.connection.driver_connection
    before = getattr(driver, KEPT_IN)
    setattr(driver, KEPT_IN, before._replace(command_timeout=seconds))
    try:
        with told(seconds):
            yield
    finally:
        setattr(driver, KEPT_IN, before)


@contextmanager
def told(seconds: float) -> Iterator[None]:
    """Say which time-out it was that the driver has kept."""
    try:
        yield
    except TimeoutError as error:
        raise StatementTimeout(
            f"the statement was stopped, because it ran for longer than {seconds:g} s (statement_timeout): make it "
            "faster, or the time-out longer"
        ) from error


@contextmanager
def _by_server(connection: Connection, seconds: float) -> Iterator[None]:
    """Have the server stop a statement."""
    _set(connection, {"statement_timeout": _milliseconds(seconds)}, local=False)
    try:
        yield
    finally:
        # A transaction that has failed takes the setting with it when it is rolled back.
        with contextlib.suppress(Exception):
            connection.execute(text("RESET statement_timeout"))


def _set(connection: Connection, settings: Mapping[str, str], *, local: bool) -> None:
    if settings:
        connection.execute(select(*(func.set_config(name, value, local) for name, value in settings.items())))


def _milliseconds(seconds: float) -> str:
    """A time as the server takes it; 0 means none."""
    return "0" if seconds == math.inf else str(min(math.ceil(seconds * 1000), _MOST))
