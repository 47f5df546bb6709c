"""Connections to a server that may go away: closed in bounded time, and looked at before they are used again."""

import asyncio
import time
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from repo.gather import finish

T = TypeVar("T")

FAREWELL = 2.0
"""Seconds that a server has to answer when a connection is closed, and a statement stopped for that."""

HINT = 0.1
"""Seconds in which the driver takes notice of a cancellation, if it does at all."""

IDLE = 1.0
"""Seconds after which a connection that nobody used is asked whether it is still there."""

PING = 5.0
"""Seconds that it has to answer."""

_RETURNED = "repo.returned"


async def connect(*args: Any, **options: Any) -> Any:
    """Open a connection; for SQLAlchemy's ``async_creator_fn``."""
    import asyncpg

    return await asyncpg.connect(*args, **{"connection_class": _connection_class(), **options})


@cache
def _connection_class() -> Any:
    """The driver's connection with a ``close`` that ends; made here, because drivers are imported lazily.

    By itself ``close`` waits without limit for the server's word that a statement was stopped, before
    asyncpg 0.32 also where it is given a time-out; and there the socket then stays open.
    """
    import asyncpg

    class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
        async def close(self, **options: Any) -> None:
            transport = getattr(self, "_transport", None)
            try:
                async with asyncio.timeout(FAREWELL):
                    await super().close(**options)
            except TimeoutError:
                self.terminate()
                if transport is not None:
                    transport.abort()

    return Connection


async def sent(driver: Any, sending: Coroutine[Any, Any, T]) -> T:
    """What the driver gives for many sets of values; a cancellation ends it in any case.

    While more is sent than fits into its buffers, asyncpg takes no notice of one: it stops, and waits for the
    answer to what it has not sent. Its connection is of no use then.
    """
    task = asyncio.ensure_future(sending)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await finish(_stop(driver, task))
        raise


async def _stop(driver: Any, task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=HINT)
    if not task.done():
        driver.terminate()
        await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # of which nobody wants to know


def watch(engine: AsyncEngine) -> None:
    """Have no connection of the pool used again that is known to be broken, or does not answer after a pause.

    In place of SQLAlchemy's own ``pool_pre_ping``, which at every use costs three round trips: BEGIN,
    the question and ROLLBACK.
    """
    event.listen(engine.sync_engine, "checkin", _returned)
    event.listen(engine.sync_engine, "checkout", _look)


def _returned(_: Any, record: Any) -> None:
    """A connection came back to the pool."""
    record.info[_RETURNED] = time.monotonic()


def _look(connection: Any, record: Any, _: Any) -> None:
    """Have the pool open another connection in place of a dead one; of all, if the server went away."""
    driver = connection.driver_connection
    if driver.is_closed():
        raise DisconnectionError("the server has closed the connection")
    # A new connection did not come back yet.
    if time.monotonic() - record.info.get(_RETURNED, time.monotonic()) > IDLE:
        try:
            await_only(driver.execute("SELECT 1", timeout=PING))
        except _no_answer() as error:
            raise InvalidatePoolError("the connection did not answer") from error


@cache
def refusals() -> tuple[type[Exception], ...]:
    """What the driver raises where a statement has done nothing: the server says so, or it was not sent."""
    import asyncpg

    return asyncpg.PostgresError, asyncpg.InterfaceError


def _no_answer() -> tuple[type[Exception], ...]:
    """What the driver raises instead of an answer."""
    import asyncpg

    return OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError
