"""Migrations on SQLite: the file's write lock, and foreign keys around a table's rebuild.

The functions of this module are those of ``repo.migrations.postgresql``, in the same order.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from repo.errors import ForeignKeyViolation
from repo.migrations.locking import wait_for


def options() -> dict[str, Any]:
    """What alembic has to be told: rebuild a table to alter it, all in one transaction.

    alembic believes that DDL is not transactional here, which is true of Python's default
    transaction handling and not of SQLite.
    """
    return {
        "render_as_batch": True,
        "transactional_ddl": True,
        "transaction_per_migration": False,
    }


def preamble() -> tuple[str, ...]:
    """Statements to write before the BEGIN of a script.

    Dropping a table that is being rebuilt deletes its rows first: enforced foreign keys would
    refuse that, or cascade. The pragma has no effect inside a transaction.
    """
    return ("PRAGMA foreign_keys=OFF",)


def adapt(migration: MigrationContext) -> None:
    """Keep an `autocommit_block` inside the transaction: nothing here has to leave it.

    Leaving it would give the lock away.
    """
    migration.autocommit_block = _within  # type: ignore[method-assign]  # alembic has no option


@contextmanager
def exclusive(connection: Connection, timeout: float) -> Iterator[Callable[[], None]]:
    """Hold the file's write lock; yields what must be called before the commit.

    The lock is the migrating transaction itself, begun before the revision is read.
    """
    connection.execution_options(isolation_level="AUTOCOMMIT")
    enforced, patience = _pragma(connection, "foreign_keys"), _pragma(connection, "busy_timeout")
    _set(connection, foreign_keys=0, busy_timeout=0)
    try:
        wait_for(
            lambda: _begin(connection),
            lock=f"the write lock of {connection.engine.url.database!r}",
            holder=lambda: "another connection holds it, SQLite does not say whose",
            timeout=timeout,
        )
        yield lambda: _refuse_orphans(connection)
    finally:
        connection.rollback()
        _set(connection, foreign_keys=enforced, busy_timeout=patience)


@contextmanager
def _within() -> Iterator[None]:
    """Stay where one is."""
    yield


def _pragma(connection: Connection, name: str) -> int:
    """A pragma's value."""
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def _set(connection: Connection, **pragmas: int) -> None:
    """Set pragmas, outside a transaction."""
    for name, value in pragmas.items():
        connection.exec_driver_sql(f"PRAGMA {name}={value}")
    connection.rollback()


def _begin(connection: Connection) -> bool:
    """Begin a transaction that may write, unless another one does."""
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as error:
        connection.rollback()
        if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _refuse_orphans(connection: Connection) -> None:
    """Do what enforced foreign keys would have done, for all rows at once."""
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if orphans:
        table, _, parent, _ = orphans[0]
        raise ForeignKeyViolation(
            f"after the migration, {len(orphans)} foreign keys point to nothing, the first from a row"
            f" of {table!r} to {parent!r}; nothing was changed. PRAGMA foreign_key_check lists them"
            " where they were there before.",
            table=table,
        )
