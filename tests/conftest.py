"""The databases of the tests: every test that asks for one gets its own, on SQLite and on a real Postgres."""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from xdist.scheduler import LoadScopeScheduling

from repo import Database, Scope
from repo.testing import PostgresUnavailable
from tests.databases import DATABASES, ask, drop_left
from tests.models import WRITING_SCOPES, Document, Documents, opened, stocked
from tests.proxy import Proxy, in_front_of

MEMORY = Path("/dev/shm")  # where Linux has a file system in memory
ROOM = 2 * 2**30  # bytes; the tests need less than half of it
FLIGHTS = ("tests/examples/test_loaded.py", "tests/examples/test_command.py::test_from_nothing")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each process gets one test after another; those that need all of the flights are done by one."""
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda nodeid: FLIGHTS[0] if nodeid.startswith(FLIGHTS) else nodeid
    return scheduler


def pytest_configure() -> None:
    """Databases and other temporary files are in memory, where there is room: on a disk most of the time is its."""
    if "TMPDIR" not in os.environ and _has_room(MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def _has_room(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    system = os.statvfs(folder)
    return system.f_bavail * system.f_frsize > ROOM and not system.f_flag & os.ST_NOEXEC


@pytest.hookimpl(trylast=True)  # the fixtures of a session that was cut short end in this hook, too
def pytest_sessionfinish() -> None:
    """Nothing is left on a server that was there before."""
    drop_left()


def pytest_report_header() -> str:
    """What is tested, in the first lines of the output; without a Postgres there is no test run."""
    try:
        server = asyncio.run(ask("SHOW server_version"))
    except (PostgresUnavailable, OSError, asyncpg.PostgresError) as error:
        raise pytest.UsageError(str(error)) from error
    libraries = ", ".join(f"{name} {version(name)}" for name in ("sqlalchemy", "aiosqlite", "asyncpg"))
    return f"databases: {libraries}, SQLite {sqlite3.sqlite_version}, Postgres {server}"


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a fresh, empty database, which is gone after the test."""
    async with DATABASES[request.param](tmp_path) as made:
        yield made


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
