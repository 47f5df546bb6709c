"""The databases of the tests: one that was used before is as new, or it is not used again."""

from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url

from tests.databases import DATABASES, LEFT, ask

CONTENTS = """
SELECT nspname, nspowner::regrole::text, nspacl::text, (SELECT count(*) FROM pg_class WHERE relnamespace = n.oid)
FROM pg_namespace n WHERE nspname NOT LIKE 'pg_%' ORDER BY 1
"""


async def connect(url: str) -> asyncpg.Connection:
    """A connection to a database by its URL."""
    plain = make_url(url).set(drivername="postgresql")
    return await asyncpg.connect(plain.render_as_string(hide_password=False))


async def test_a_database_that_was_used_is_as_new(tmp_path: Path) -> None:
    """The next test finds no table, type or function, and is alone, in a database of another name."""
    async with DATABASES["postgresql"](tmp_path) as first:
        connection = await connect(first)
        new = await connection.fetch(CONTENTS)
        await connection.execute("CREATE TYPE mood AS ENUM ('fine'); CREATE TABLE moods (id serial, mood mood)")
        await connection.execute("CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        await connection.execute("CREATE TEMPORARY TABLE passing (id int); BEGIN; LOCK TABLE moods")
    name = make_url(first).database
    assert LEFT[-1] == name
    async with DATABASES["postgresql"](tmp_path) as second:
        assert name not in LEFT
        assert first != second
        assert connection.is_closed()
        other = await connect(second)
        assert await other.fetch(CONTENTS) == new
        assert await other.fetchval("SELECT count(*) FROM pg_proc WHERE oid >= 16384") == 0
        await other.close()
    assert await ask(f"SELECT count(*) FROM pg_database WHERE datname = '{name}'") == 0


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE SCHEMA other",
        "CREATE CAST (point AS text) WITH INOUT",
        "SELECT lo_create(0)",
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "ALTER DATABASE {name} SET work_mem = '1MB'",
        "ALTER DATABASE {name} CONNECTION LIMIT 50",
        "GRANT CONNECT ON DATABASE {name} TO pg_monitor",
    ],
)
async def test_what_cannot_be_made_new_is_dropped(tmp_path: Path, statement: str) -> None:
    """What a test has changed outside of the public schema is never seen by another test."""
    async with DATABASES["postgresql"](tmp_path) as url:
        name = make_url(url).database
        connection = await connect(url)
        await connection.execute(statement.format(name=name))
        await connection.close()
    assert name not in LEFT
    assert await ask(f"SELECT count(*) FROM pg_database WHERE datname = '{name}'") == 0
