"""The databases of the tests: every test that asks for one gets its own, on SQLite and on a real Postgres."""

import asyncio
import shutil
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncSession

from repo import Database, Scope
from repo.testing import PostgresUnavailable, postgres_url
from tests.models import WRITING_SCOPES, Document, Documents, opened, stocked
from tests.proxy import Proxy, in_front_of


def pytest_report_header() -> str:
    """What is tested, in the first lines of the output; without a Postgres there is no test run."""
    try:
        server = asyncio.run(_ask("SHOW server_version"))
    except (PostgresUnavailable, OSError, asyncpg.PostgresError) as error:
        raise pytest.UsageError(str(error)) from error
    libraries = ", ".join(f"{name} {version(name)}" for name in ("sqlalchemy", "aiosqlite", "asyncpg"))
    return f"databases: {libraries}, SQLite {sqlite3.sqlite_version}, Postgres {server}"


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a fresh, empty database, which is gone after the test."""
    async with DATABASES[request.param](tmp_path) as made:
        yield made


@asynccontextmanager
async def copied(url: str, folder: Path) -> AsyncIterator[str]:
    """The URL of a copy of a database that nobody uses, which is gone after the block."""
    original = make_url(url)
    if original.get_backend_name() == "postgresql":
        async with _postgres_database(folder, original.database) as made:
            yield made
    else:
        copy = shutil.copy(str(original.database), folder / "copy.db")
        yield original.set(database=str(copy)).render_as_string()


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    """An open `Database` on `url`."""
    async with Database(url) as database:
        yield database


@pytest.fixture
async def proxy(db: Database) -> AsyncIterator[Proxy]:
    """A proxy in front of the server of `db`."""
    if not db.dialect.remote:
        pytest.skip("feature: a server behind a network")
    async with in_front_of(db.engine.url.host or "127.0.0.1", db.engine.url.port or 5432) as made:
        yield made


@pytest.fixture
async def shop(db: Database) -> Database:
    """Two teams, three users, two orders with two lines each; one document."""
    await stocked(db)
    await Documents(db).add(Document(id=1, title="draft"))
    return db


@pytest.fixture(params=WRITING_SCOPES)
async def scope(request: pytest.FixtureRequest, shop: Database) -> AsyncIterator[Scope | AsyncSession]:
    """Each kind of scope that writes, over the shop."""
    async with opened(shop, request.param) as scope:
        yield scope


@asynccontextmanager
async def _sqlite_database(folder: Path) -> AsyncIterator[str]:
    yield f"sqlite+aiosqlite:///{folder / 'test.db'}"


@asynccontextmanager
async def _postgres_database(_folder: Path, original: str | None = "template0") -> AsyncIterator[str]:
    """Copying template0 as files takes 15 ms, half of what the WAL strategy takes."""
    name = f"test_{uuid.uuid4().hex}"
    server = make_url(postgres_url())
    await _ask(f"CREATE DATABASE {name} TEMPLATE {original} STRATEGY file_copy")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        await _ask(f"DROP DATABASE {name} WITH (FORCE)")


async def _ask(statement: str) -> str | None:
    """Run one statement on the server itself; the first value of its answer."""
    url = make_url(postgres_url()).set(drivername="postgresql")
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    try:
        answer: str | None = await connection.fetchval(statement)
        return answer
    finally:
        await connection.close()


DATABASES: dict[str, Callable[[Path], AbstractAsyncContextManager[str]]] = {
    "sqlite": _sqlite_database,
    "postgresql": _postgres_database,
}
