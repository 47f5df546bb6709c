"""The benchmark on what the environment of the tests has: `repo`, SQLAlchemy, and the bare drivers."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import main
from benchmarks.contenders import Rows
from benchmarks.contenders.driver_sqlite3 import Sqlite3
from benchmarks.databases import opened
from benchmarks.documents import read
from benchmarks.extras import EXTRAS
from benchmarks.operations import OPERATIONS, Job, Outcome, execute
from benchmarks.rounds import Course, Measured, once
from benchmarks.schema import Model
from benchmarks.tables import Comparison


@pytest.mark.parametrize(
    ("database", "model", "contenders"),
    [("sqlite", "wide", ("repo", "sqlalchemy", "aiosqlite")), ("postgresql", "related", ("repo", "asyncpg"))],
)
def test_every_operation_is_done(database: str, model: str, contenders: Sequence[str], tmp_path: Path) -> None:
    """Each contender finds the rows that are there, and leaves those that it must."""
    file = tmp_path / "bench.json"
    sizes = ["--rounds", "1", "--rows", "100", "--concurrency", "3", "--model", model]
    what = ["--database", database, "--contender", *contenders, "--only", *OPERATIONS]
    code = main([*sizes, *what, "--json", str(file), "--svg", str(tmp_path)])
    results = read(file).operations
    assert [(result.contender, result.errors) for result in results if result.errors] == []
    assert code == 0
    done = {(result.contender, result.operation) for result in results if len(result.samples) == 1}
    assert done == {(name, operation) for name in contenders for operation in OPERATIONS}
    ElementTree.parse(tmp_path / "operations.svg")


@pytest.mark.parametrize(
    ("database", "most", "extras"), [("sqlite", 10, tuple(EXTRAS)), ("postgresql", 1, ("stream", "bulk"))]
)
def test_everything_else_is_measured(database: str, most: int, extras: Sequence[str], tmp_path: Path) -> None:
    """Each other measurement gives its figures, those of what grows in every size and with its memory."""
    file = tmp_path / "bench.json"
    main(["--rounds", "1", "--most", str(most), "--database", database, "--only", *extras, "--json", str(file)])
    main(["--read", str(file), "--svg", str(tmp_path)])
    figures = read(file).extras
    assert {figure.extra for figure in figures} == set(extras)
    assert all(figure.samples for figure in figures)
    sizes = {(figure.extra, figure.size) for figure in figures if figure.grown is not None}
    assert sizes == {(name, size) for name in extras if EXTRAS[name].grows for size in (1, 10) if size <= most}
    if most > 1:
        ElementTree.parse(tmp_path / "growth.svg")


class Wrong(Sqlite3):
    """A contender that is fast because it leaves something out."""

    async def insert_bulk(self, rows: Rows) -> None:
        await super().insert_bulk(rows[:-1])

    async def get(self, key: int) -> Any:
        return await super().get(1)

    async def filter_large(self, level: int) -> Sequence[Any]:
        return (await super().filter_large(level))[1:]

    async def filter_dicts(self, level: int) -> Sequence[Any]:
        return [{**row, "text": ""} for row in await super().filter_dicts(level)]

    async def update_partial(self, objects: Sequence[Any], levels: Sequence[int]) -> None:
        await super().update_partial(objects, [level + 1 for level in levels])

    async def delete(self, objects: Sequence[Any]) -> None:
        await super().delete(objects[1:])


def test_a_contender_that_does_not_do_the_work_is_found_out() -> None:
    """What was left out is an error and no figure; what was done is a figure."""
    model, refused = Model("simple"), set()

    async def work(job: Job) -> Outcome:
        contender = Wrong()
        await contender.open(store.url, model)
        outcome = await execute(contender, model, job)
        await contender.close()
        return outcome

    with opened("sqlite") as store:
        store.create(model)
        for operation in OPERATIONS:
            job = Job(operation, 100, 2, seed=1)
            outcome = once(Course(store, model, {}), lambda job: asyncio.run(work(job)), job)
            if outcome.error.startswith("WrongResult"):
                refused.add(operation)
    assert refused == {"insert-bulk", "get", "filter-large", "filter-dicts", "update-partial", "delete"}


def test_a_table_tells_who_is_faster() -> None:
    """Means are geometric, ratios are to `repo`, and one failure takes a contender out."""
    figures = {"repo": (10.0, 40.0), "asyncpg": (10.0, 10.0), "tortoise": (5.0, 320.0), "piccolo": (1.0, 1.0)}
    results = [
        Measured("simple", "postgresql", 10, operation, name, [value] * 3, [value] * 3, _errors(name))
        for number, operation in enumerate(("get", "delete"))
        for name, value in ((name, values[number]) for name, values in figures.items())
    ]
    comparison = Comparison(results)
    assert comparison.mean("repo") == pytest.approx(20)
    assert comparison.mean("tortoise") == pytest.approx(40)
    table = "\n".join(comparison.lines())
    assert "repo is 2.00 times as fast as the best peer, tortoise" in table
    assert "2.00 times as long as the bare driver, asyncpg" in table
    assert "a peer is faster at get (2.00)" in table
    assert "piccolo, get: it broke" in table


def _errors(name: str) -> list[str]:
    return ["it broke"] if name == "piccolo" else []
