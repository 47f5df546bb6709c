"""Sources of many rows: nobody waits for them but the caller, and they may be longer than memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ForeignKey, MetaData, String
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from repo import Database, Repository, Scope, Transaction, UniqueViolation, UsageError
from repo.engine import sources
from repo.engine.sources import CHUNK
from repo.errors import NotLoaded
from repo.testing import queries
from tests.models import WRITING_SCOPES, opened

AnyScope = Scope | AsyncSession


class Base(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData()


class Secret:
    """A value that no other process could make sense of."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> str:
        raise TypeError("a secret is kept")


class Kept(TypeDecorator[Secret]):
    """Stores a secret as text."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Secret | None, _: Any) -> str | None:
        return None if value is None else value.text

    def process_result_value(self, value: str | None, _: Any) -> Secret | None:
        return None if value is None else Secret(value)


class Point(Base):
    """A row."""

    __tablename__ = "points"
    id: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[str]
    secret: Mapped[Secret | None] = mapped_column(Kept)
    visits: Mapped[list["Visit"]] = relationship()


class Visit(Base):
    """Refers to a point."""

    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    point_id: Mapped[int] = mapped_column(ForeignKey("points.id"))


class Points(Repository[Point]):
    """Rows."""


class Visits(Repository[Visit]):
    """What refers to them."""


@pytest.fixture
async def points(db: Database) -> Points:
    """The table, empty."""
    await db.create_all(Base.metadata)
    return Points(db)


@pytest.fixture(params=WRITING_SCOPES)
async def scope(request: pytest.FixtureRequest, db: Database, points: Points) -> AsyncIterator[AnyScope]:
    """Each kind of scope that writes."""
    async with opened(db, request.param) as scope:
        yield scope


async def rows(count: int, at_the_end: Callable[[], Any]) -> AsyncIterator[dict[str, Any]]:
    """So many rows, before the last of which something is awaited."""
    for number in range(count):
        if number == count - 1:
            await at_the_end()
        yield {"id": number, "place": f"place {number}"}


def names_in(folder: Path) -> list[str]:
    """The files in a folder."""
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("verb", ["add_many", "upsert_many"])
async def test_nobody_waits_for_a_source(points: Points, db: Database, verb: str) -> None:
    """While an asynchronous source waits for something else, others can write, and so can the source itself."""

    async def write() -> None:
        await asyncio.create_task(Points(db.independent()).add(Point(id=-1, place="written meanwhile")))

    async with asyncio.timeout(60):
        if verb == "add_many":
            assert await points.add_many(rows(2 * CHUNK + 2, write)) == 2 * CHUNK + 2
        else:
            assert await points.upsert_many(rows(2 * CHUNK + 2, write), on="id") == 2 * CHUNK + 2
    assert await points.count() == 2 * CHUNK + 3


async def test_rows_that_wait_are_stored_as_they_are(scope: AnyScope, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of all kinds come out of the file, or of memory, in their order and with their values."""
    monkeypatch.setattr(sources, "CHUNK", 10)
    monkeypatch.setattr(sources, "MEMORY", 1)

    async def mixed() -> AsyncIterator[Point | dict[str, Any]]:
        for number in range(45):
            secret = Secret(f"{number}") if 20 <= number < 30 else None
            values = {"place": f"place {number}"} | ({"id": 1000 + number} if number % 7 == 0 else {})
            yield Point(**values, secret=secret) if number % 2 else values | {"secret": secret}

    heard: list[int] = []
    stored = await Points(scope).add_many(mixed(), returning=True, progress=heard.append)
    assert [point.place for point in stored] == [f"place {number}" for number in range(45)]
    assert [point.secret.text for point in stored if point.secret] == [f"{number}" for number in range(20, 30)]
    assert [point.id for point in stored][::7] == list(range(1000, 1045, 7))
    assert heard == [10, 20, 30, 40, 45]


async def test_a_row_that_is_refused_late(points: Points) -> None:
    """A row that the database refuses undoes all of them, also where they had waited in a file."""

    async def twice() -> AsyncIterator[dict[str, Any]]:
        for number in (*range(CHUNK + 10), 5):
            yield {"id": number, "place": "x"}

    with pytest.raises(UniqueViolation):
        await points.add_many(twice())
    assert await points.count() == 0


async def test_a_source_that_is_cancelled_leaves_nothing(
    points: Points, db: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A cancellation while the source waits closes it, stores nothing, and leaves no file and no connection."""
    monkeypatch.setattr(sources, "MEMORY", 1)
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    waiting = asyncio.Event()
    closed: list[bool] = []

    async def source() -> AsyncIterator[dict[str, Any]]:
        async def wait() -> None:
            waiting.set()
            await asyncio.Event().wait()

        try:
            async for row in rows(3 * CHUNK, wait):
                yield row
        finally:
            closed.append(True)

    task = asyncio.create_task(points.add_many(source()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (closed, names_in(spare), db.stats.checked_out) == ([True], [], 0)
    assert await points.count() == 0


async def test_an_empty_source_sends_nothing(points: Points, db: Database) -> None:
    """Nothing to store is nothing to do, not even a transaction."""

    async def none() -> AsyncIterator[dict[str, Any]]:
        for number in range(0):
            yield {"id": number}

    with queries(db) as sent:
        assert [await points.add_many([]), await points.add_many(none())] == [0, 0]
        assert [await points.add_many([], returning=True), await points.add_many(none(), returning=True)] == [[], []]
        assert [await points.upsert_many([], on="id"), await points.upsert_many(none(), on="id")] == [0, 0]
        assert [await points.update_many([]), await points.get_many([])] == [0, []]
    assert sent == []


def plain(count: int) -> Iterator[dict[str, Any]]:
    """So many rows, at once."""
    return ({"id": number, "place": "x"} for number in range(count))


async def test_a_statement_takes_further_rows_while_it_runs(points: Points, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the database takes them, up to a number of rows; `progress` hears of what each statement has stored."""
    monkeypatch.setattr(sources, "PATIENCE", float("inf"))
    monkeypatch.setattr(sources, "STATEMENT", 2 * CHUNK)
    heard: list[int] = []
    assert await points.add_many(plain(3 * CHUNK + 1), progress=heard.append) == 3 * CHUNK + 1
    if points.scope.dialect.streams_in:
        assert heard == [2 * CHUNK, 3 * CHUNK + 1]
    else:
        assert heard == [CHUNK, 2 * CHUNK, 3 * CHUNK, 3 * CHUNK + 1]


async def test_no_statement_waits_for_a_slow_source(points: Points, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that takes its time is read between statements."""
    monkeypatch.setattr(sources, "PATIENCE", 0)
    heard: list[int] = []
    assert await points.add_many(plain(2 * CHUNK + 1), progress=heard.append) == 2 * CHUNK + 1
    assert heard == [CHUNK, 2 * CHUNK, 2 * CHUNK + 1]


async def test_an_item_that_is_refused_late(points: Points) -> None:
    """An item that is no row is told by its number, wherever it stands, and nothing is stored."""
    with pytest.raises(UsageError, match=rf"^item {CHUNK + 3} of add_many: Point has no attribute 'plcae'"):
        await points.add_many([*plain(CHUNK + 2), {"plcae": "x"}])
    late: list[Any] = [*plain(CHUNK), 5]
    with pytest.raises(UsageError, match=rf"^item {CHUNK + 1} of add_many: Point or a mapping is wanted, not int"):
        await points.add_many(late)
    assert await points.count() == 0


async def test_what_a_source_puts_into_the_session_goes_first(db: Database, points: Points) -> None:
    """A source may add what its next rows refer to to the session of the transaction."""

    def visits(tx: Transaction) -> Iterator[dict[str, Any]]:
        yield from ({"point_id": 1} for _ in range(CHUNK))
        tx.session.add(Point(id=2, place="late"))
        yield from ({"point_id": 2} for _ in range(CHUNK))

    async with db.transaction() as tx:
        await Points(tx).add(Point(id=1, place="early"))
        assert await Visits(tx).add_many(visits(tx)) == 2 * CHUNK
    assert [await Visits(db).count(Visit.point_id == number) for number in (1, 2)] == [CHUNK, CHUNK]


async def test_a_source_does_no_hidden_io(db: Database, points: Points) -> None:
    """What a source uses of an entity must have been loaded, in whichever of its rows."""
    await points.add(Point(id=1, place="x"))
    async with db.transaction() as tx:
        point = await Points(tx).get_one(1)

        def source() -> Iterator[dict[str, Any]]:
            yield from ({"id": number + 2, "place": "x"} for number in range(CHUNK))
            yield {"id": 1_000_000, "place": f"{len(point.visits)}"}

        with pytest.raises(NotLoaded, match=r"^Point\.visits was not loaded"):
            await Points(tx).add_many(source())
    assert await points.count() == 1
