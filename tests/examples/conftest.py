"""One loaded database of each kind for the whole test run: a load takes seconds."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from examples.flights.loader import load
from repo import Base, Database
from tests.conftest import DATABASES


@pytest.fixture(scope="session", params=DATABASES)
def flights_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a database that holds the flights, for tests that only read."""
    made = _loaded(request.param, tmp_path_factory.mktemp("flights"))
    # A thread of its own, because the loop of the test that asks first may be running in this one.
    with asyncio.Runner() as runner, ThreadPoolExecutor(max_workers=1) as thread:
        yield thread.submit(runner.run, made.__aenter__()).result()
        thread.submit(runner.run, made.__aexit__(None, None, None)).result()


@asynccontextmanager
async def _loaded(kind: str, folder: Path) -> AsyncIterator[str]:
    async with DATABASES[kind](folder) as url:
        async with Database(url) as db:
            await db.create_all(Base.metadata)
            await load(db)
        yield url
