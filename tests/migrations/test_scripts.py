"""`--sql`: a script does what the online run does."""

import sqlite3
from io import StringIO

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import make_url, text

from repo import Database, migrations
from tests.migrations.support import ROOT, schema

ROWS = (
    "INSERT INTO airlines VALUES ('UA', 'United')",
    "INSERT INTO airports VALUES ('EWR', 'Newark', 40.7, -74.2, 18, -5, 'A', NULL)",
    "INSERT INTO flights (id, date, scheduled_departure, scheduled_arrival, carrier, number, origin,"
    " destination, distance, hour_at) VALUES (1, '2013-01-01', 517, 900, 'UA', 15, 'EWR', 'IAH',"
    " 1400, '2013-01-01 12:00:00')",
)


async def _execute(url: str, script: str) -> None:
    """Run a script as the database's own command line would."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        connection = sqlite3.connect(str(parsed.database))
        connection.execute("PRAGMA foreign_keys=ON")
        connection.executescript(script)
        connection.close()
    else:
        plain = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        client = await asyncpg.connect(plain)
        await client.execute(script)
        await client.close()


def _script(run: str, revisions: str) -> str:
    """What `alembic upgrade --sql` or `alembic downgrade --sql` writes."""
    written = StringIO()
    config = Config(ROOT / "alembic.ini", output_buffer=written)
    {"upgrade": command.upgrade, "downgrade": command.downgrade}[run](config, revisions, sql=True)
    return written.getvalue()


async def _schema(db: Database) -> dict[str, dict[str, object]]:
    async with db.engine.connect() as connection:
        return await connection.run_sync(schema)


async def test_scripts_do_what_online_runs_do(db: Database, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts apply cleanly, with rows in the tables, and leave the schema of an online run."""
    monkeypatch.setenv("DATABASE_URL", url)
    await _execute(url, _script("upgrade", "0001"))
    async with db.engine.begin() as connection:
        for statement in ROWS:
            await connection.execute(text(statement))
    await _execute(url, _script("upgrade", "0001:head"))
    async with db.engine.connect() as connection:
        clock = await connection.execute(text("SELECT hour, minute FROM flights"))
        assert clock.all() == [(5, 17)]
    await migrations.check(db, config=ROOT / "alembic.ini")

    by_script = await _schema(db)
    await _execute(url, _script("downgrade", "head:base"))
    assert await _schema(db) == {}
    await migrations.upgrade(db, config=ROOT / "alembic.ini")
    assert await _schema(db) == by_script
