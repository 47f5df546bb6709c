"""Migrations: alembic, made safe for async engines, both databases and many processes at once.

Needs the ``migrations`` extra. Four functions, and one error of their own:

    run(metadata)       the whole of an ``env.py``; every command of ``alembic`` goes through it
    tables(metadata)    the metadata, with the tables that `repo` itself needs
    await upgrade(db)   the same as ``alembic upgrade head``, inside a running loop
    await check(db)     raises `SchemaMismatch` unless the database is what the code needs

Only one process changes a database at a time, the others wait for at most ``lock_timeout`` seconds;
where there is nothing to do, nobody waits. A run is one transaction: after a crash the database is
at the revision where it was.
"""

from repo.migrations.commands import check, upgrade
from repo.migrations.environment import run, tables
from repo.migrations.mismatch import SchemaMismatch

__all__ = ["SchemaMismatch", "check", "run", "tables", "upgrade"]
