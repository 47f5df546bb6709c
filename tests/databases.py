"""Databases for the tests, each fresh and empty, on SQLite and on a real Postgres."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import make_url

from repo.testing import postgres_url

LEFT: list[str] = []  # databases of this process that a test has left and that are as new

MAKE_EMPTY = """
SET client_min_messages = warning;
SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC
"""

# What users make has an oid from 16384 on.
USERS = "oid >= 16384 AND nspname <> 'public' AND nspname !~ '^pg_(toast_)?temp_'"
CATALOGS = "cast, class, event_trigger, extension, language, largeobject_metadata, operator, proc, publication, type"
IS_EMPTY = f"""
SELECT NOT EXISTS (SELECT FROM pg_namespace WHERE {USERS})
    AND {" AND ".join(f"NOT EXISTS (SELECT FROM pg_{catalog} WHERE oid >= 16384)" for catalog in CATALOGS.split(", "))}
    AND NOT EXISTS (SELECT FROM pg_prepared_xacts WHERE database = datname)
    AND NOT EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = oid)
    AND datacl IS NULL AND datconnlimit = -1 AND datallowconn
FROM pg_database WHERE datname = current_database()
"""


@asynccontextmanager
async def copied(url: str, folder: Path) -> AsyncIterator[str]:
    """The URL of a copy of a database that nobody uses, which is gone after the block."""
    original = make_url(url)
    if original.get_backend_name() == "postgresql":
        async with _postgres_copy(original.database or "") as made:
            yield made
    else:
        copy = shutil.copy(str(original.database), folder / "copy.db")
        yield original.set(database=str(copy)).render_as_string()


async def ask(statement: str, *, database: str | None = None, first: str | None = None) -> Any:
    """Run a statement on the Postgres server itself, or in a database after others; the first value of its answer."""
    url = make_url(postgres_url()).set(drivername="postgresql")
    connection = await asyncpg.connect(url.set(database=database or url.database).render_as_string(hide_password=False))
    try:
        if first:
            await connection.execute(first)
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def drop_left() -> None:
    """Drop what is kept for later tests, as the server may be one that stays."""
    while LEFT:
        asyncio.run(ask(f"DROP DATABASE {LEFT.pop()}"))


@asynccontextmanager
async def _sqlite(folder: Path) -> AsyncIterator[str]:
    yield f"sqlite+aiosqlite:///{folder / 'test.db'}"


@asynccontextmanager
async def _postgres(_folder: Path) -> AsyncIterator[str]:
    """A database of an earlier test, emptied and under a new name, or a new one, whose files take long to make."""
    name = _new_name()
    await ask(f"ALTER DATABASE {LEFT.pop()} RENAME TO {name}" if LEFT else f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        yield _url(name)
    finally:
        if await ask(IS_EMPTY, database=name, first=MAKE_EMPTY):
            LEFT.append(name)
        else:
            await ask(f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def _postgres_copy(original: str) -> AsyncIterator[str]:
    """Copying files takes half of the time that the WAL strategy takes."""
    name = _new_name()
    await ask(f"CREATE DATABASE {name} TEMPLATE {original} STRATEGY file_copy")
    try:
        yield _url(name)
    finally:
        await ask(f"DROP DATABASE {name} WITH (FORCE)")


def _new_name() -> str:
    return f"test_{uuid.uuid4().hex}"


def _url(database: str) -> str:
    return make_url(postgres_url()).set(database=database).render_as_string(hide_password=False)


DATABASES: dict[str, Callable[[Path], AbstractAsyncContextManager[str]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgres,
}
