"""The Postgres connection that can be closed although its server does not answer any more."""

import asyncio
from functools import cache
from typing import Any

FAREWELL = 2.0
"""Seconds that a server has to answer when a connection is closed, and a statement stopped for that."""


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
