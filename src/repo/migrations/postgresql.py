"""Migrations on Postgres: an advisory lock, on a connection of its own.

The functions of this module are those of ``repo.migrations.sqlite``, in the same order.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from repo.errors import ConnectionLost
from repo.migrations.locking import wait_for, waiter

KEY = int.from_bytes(b"repo.mig", "big")
"""The advisory lock's key: one lock for each database, whatever is migrated there."""

_TAKE = text("SELECT pg_try_advisory_xact_lock(:key)")
_STAY = text("""
    SELECT set_config(name, '0', true) FROM pg_settings
    WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
""")
_HOLDER = text("""
    SELECT pid, application_name, usename, coalesce(host(client_addr), 'a local socket') AS address,
           round(extract(epoch FROM clock_timestamp() - xact_start), 1) AS seconds
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND (classid::bigint << 32 | objid::bigint) = :key
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


def options() -> dict[str, Any]:
    """What alembic has to be told about this database."""
    return {}


def preamble() -> tuple[str, ...]:
    """Statements to write before the BEGIN of a script."""
    return ()


def adapt(migration: MigrationContext) -> None:
    """Nothing to change: alembic's own way is right here."""


@contextmanager
def exclusive(connection: Connection, timeout: float) -> Iterator[Callable[[], None]]:
    """Hold the database's migration lock; yields what must be called before the commit.

    The lock belongs to an open transaction of a second connection. So it survives an
    `autocommit_block`, excludes through a pooler that hands out connections per transaction (a
    session's lock does not), and needs no place in the caller's pool. No lock of a table is waited
    for longer than the time-out either: everybody queues up behind one that waits for its table.
    """
    limit = _limit(timeout)
    keeper = create_engine(connection.engine.url, pool=connection.engine.pool.recreate())
    event.listen(connection, "begin", limit)
    try:
        with keeper.connect() as holding:
            wait_for(
                lambda: _take(holding),
                lock=f"the migration lock of database {connection.engine.url.database!r}",
                holder=lambda: _holder(holding),
                timeout=timeout,
            )
            yield lambda: _refuse_lost(holding)
    finally:
        event.remove(connection, "begin", limit)
        keeper.dispose()


def _limit(timeout: float) -> Callable[[Connection], None]:
    """What sets how long a statement of a transaction waits for a lock."""

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, round(timeout * 1000))}")

    return limit


def _take(holding: Connection) -> bool:
    """Take the lock if it is free; in a transaction that nothing ends but its owner."""
    if not holding.scalar(_TAKE, {"key": KEY}):
        holding.rollback()
        return False
    holding.execute(_STAY)
    # A SELECT leaves its snapshot open until the next statement, and CREATE INDEX CONCURRENTLY
    # waits for all old snapshots: so the last statement must be one that needs none.
    holding.exec_driver_sql(f"SET LOCAL application_name = {_quoted(waiter())}")
    return True


def _quoted(name: str) -> str:
    """A literal, not longer than a name may be."""
    return "'" + name[:63].replace("'", "''") + "'"


def _holder(holding: Connection) -> str:
    """Who has the lock, for how long, from where."""
    found = holding.execute(_HOLDER, {"key": KEY}).one_or_none()
    holding.rollback()
    if found is None:
        return "its holder has just released it"
    return (
        f"backend {found.pid} holds it ({found.application_name!r}, user {found.usename!r},"
        f" from {found.address}) for {found.seconds} s"
    )


def _refuse_lost(holding: Connection) -> None:
    """Raise `ConnectionLost` if the lock was lost with its connection: others may be at work."""
    try:
        holding.execute(text("SELECT 1"))
    except (DBAPIError, OSError) as error:
        raise ConnectionLost("the connection that held the migration lock was lost; nothing was changed") from error
