"""The databases of the zoo: one of each kind for all specimens, as most of the time would go to making them."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from repo import Database
from tests.databases import DATABASES


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def zoo_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a database that several tests share."""
    database = DATABASES[request.param](tmp_path_factory.mktemp("zoo"))
    with asyncio.Runner() as runner:
        yield runner.run(database.__aenter__())
        runner.run(database.__aexit__(None, None, None))


@pytest.fixture
async def zoo(zoo_url: str) -> AsyncIterator[Database]:
    """An open `Database` on it."""
    async with Database(zoo_url) as database:
        yield database
