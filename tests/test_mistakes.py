"""Every mistake of the table is told as the table says; the table is a page of the docs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from repo import Database
from tests.databases import DATABASES, copied
from tests.mistakes import caught, seed
from tests.mistakes.entry import Bench, Fine, Mistake, Told, flaws
from tests.mistakes.page import PAGE, page
from tests.mistakes.table import SECTIONS


def entries(kind: type[Told | Fine]) -> list[object]:
    """The database and the mistake of each entry that is told so."""
    return [
        pytest.param(database, mistake, id=f"{mistake.what}-{database}")
        for section in SECTIONS
        for mistake in section.mistakes
        for database, told in mistake.told.items()
        if isinstance(told, kind)
    ]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """For each database the URL of one with the tables and rows of `tests.mistakes`, which nobody uses."""
    folder, stack = tmp_path_factory.mktemp("originals"), AsyncExitStack()

    async def make() -> dict[str, str]:
        urls = {name: await stack.enter_async_context(make(folder)) for name, make in DATABASES.items()}
        for url in urls.values():
            async with Database(url) as db:
                await seed(db)
        return urls

    with asyncio.Runner() as runner:
        yield runner.run(make())
        runner.run(stack.aclose())


@pytest.fixture
async def bench(request: pytest.FixtureRequest, originals: dict[str, str], tmp_path: Path) -> AsyncIterator[Bench]:
    """A copy of it for one test."""
    async with copied(originals[request.param], tmp_path) as url, Database(url) as db:
        (tmp_path / "empty").mkdir()
        yield Bench(db, tmp_path / "empty")


@pytest.mark.parametrize(("bench", "mistake"), entries(Told), indirect=["bench"])
async def test_a_mistake_is_told_as_the_table_says(bench: Bench, mistake: Mistake) -> None:
    """By whichever way it is made, it is the error of the table, presentable, and leaves the database as it was."""
    told = mistake.told[bench.db.dialect.name]
    assert isinstance(told, Told)
    found = [(way.__name__, await caught(way(bench))) for way in mistake.ways]
    assert [(name, error, vars(error)) for name, error in found if not told.is_of(error)] == []
    assert [(name, flaw) for name, error in found for flaw in flaws(error)] == []
    assert (bench.db.stats.checked_out, bench.db.stats.waiting) == (0, 0)
    await bench.db.ping()


@pytest.mark.parametrize(("bench", "mistake"), entries(Fine), indirect=["bench"])
async def test_what_is_no_mistake_on_a_database_raises_nothing_there(bench: Bench, mistake: Mistake) -> None:
    """By whichever way it is made."""
    for way in mistake.ways:
        await way(bench)


def test_the_page_of_the_docs_is_the_table() -> None:
    """What is under version control is what `python3 dev.py docs` would write."""
    assert PAGE.read_text() == page()


def test_each_mistake_has_a_name_of_its_own_and_is_told_on_some_database() -> None:
    """An entry says something about each database, and something else than that it never happens."""
    mistakes = [mistake for section in SECTIONS for mistake in section.mistakes]
    assert len({mistake.what for mistake in mistakes}) == len(mistakes)
    assert [
        each.what
        for each in mistakes
        if not any(isinstance(told, Told) for told in each.told.values()) or not each.ways
    ] == []
    assert [each.what for each in mistakes if each.told.keys() != DATABASES.keys()] == []
