"""The BEGIN that SQLAlchemy sends with the first statement, and one that the server refuses.

Statements that the driver runs itself need it sent before; SQLAlchemy's own function for that is private.

A BEGIN is refused, as a standby does for SERIALIZABLE.

The driver takes itself to be in that transaction from then on, whatever is rolled back: whoever gets the
connection next is told of savepoints and of isolation levels that it never asked for. What the driver
takes itself to be in is private to it, so this module, and no other, looks there. Where there is
nothing to be found, connections are given back as they are; a test notices.
"""

from typing import Any

from sqlalchemy import Connection

KEPT_IN = "_top_xact"
"""Where the driver's connection keeps the transaction that it is in."""

BEGINS_BY = "_start_transaction"
"""By what SQLAlchemy's connection sends BEGIN."""


async def begin_now(connection: Connection) -> bool:
    """Send the BEGIN that SQLAlchemy keeps for its next statement; whether the driver is in a transaction."""
    driver: Any = connection.connection.driver_connection
    if not driver.is_in_transaction():
        begin = getattr(connection.connection.dbapi_connection, BEGINS_BY, None)
        if begin is not None:
            await begin()
    return bool(driver.is_in_transaction())


def is_spoiled(connection: Connection) -> bool:
    """Whether a connection that was rolled back is of no use any more."""
    if connection.closed or connection.invalidated:
        return False
    driver: Any = connection.connection.driver_connection
    return getattr(driver, KEPT_IN, None) is not None
