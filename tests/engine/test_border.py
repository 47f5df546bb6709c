"""What a database refuses becomes an error of `repo` by its code; what is not the database's stays as it is."""

import enum
import re
import uuid
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import JSON, Dialect, Enum, TypeDecorator, event, insert, literal, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.types import Text

from repo import Database, RepoError, Repository, TransactionFailed, errors
from repo.scopes.stream import Stream
from tests.mistakes import SECRET, caught


class Base(DeclarativeBase):
    """Only the tables of this module: what migrations say of the models of others is not touched."""


class Picky(TypeDecorator[str]):
    """A type of the user's own, which does not take everything."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value == SECRET:
            raise LookupError(f"not {value}")
        return value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        if value == "unreadable":
            raise KeyError(value)
        return value


class State(enum.Enum):
    """What a thing may be."""

    NEW = 1
    OLD = 2


class Other(enum.Enum):
    """What a thing may not be."""

    NEW = 1


def _make() -> int:
    return 1 // (not Thing.broken)


class Thing(Base):
    __tablename__ = "border_things"
    broken = False
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(Picky)
    size: Mapped[int] = mapped_column(default=0)
    made: Mapped[int] = mapped_column(default=_make)
    state: Mapped[State | None] = mapped_column(Enum(State, native_enum=False, length=9, name="state"))
    before: Mapped[State | None] = mapped_column(Enum(State, native_enum=False, length=9, name="era"))
    after: Mapped[State | None] = mapped_column(Enum(State, native_enum=False, length=9, name="era"))
    day: Mapped[date | None]
    data: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    mark: Mapped[uuid.UUID | None]
    price: Mapped[Decimal | None]


class Things(Repository[Thing]):
    """Things."""


@pytest.fixture
async def things(db: Database) -> Things:
    """A table with one thing in it."""
    await db.create_all(Thing.metadata)
    await Things(db).add(Thing(id=1001))
    return Things(db)


async def add(things: Things, **values: Any) -> object:
    return await things.add(Thing(**values))


async def add_many(things: Things, **values: Any) -> object:
    return await things.add_many([values])


async def execute(things: Things, **values: Any) -> object:
    return await things.scope.execute(insert(Thing).values(**values))


WAYS = (add, add_many, execute)


async def the_same_by_each_way(things: Things, **values: Any) -> RepoError:
    """The error of a row with these values, which shows none of them."""
    found = [await caught(way(things, **values)) for way in WAYS]
    assert len({type(error) for error in found}) == 1
    assert [shown for error in found if SECRET in (shown := f"{error} {error!r} {vars(error)}") or "\n" in shown] == []
    assert [error for error in found if error.__cause__ is None] == []
    return found[0]


@pytest.mark.parametrize(("values", "cause"), [({"name": SECRET}, LookupError), ({"size": 1}, ZeroDivisionError)])
async def test_an_error_of_the_applications_while_a_value_is_made(
    things: Things, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], cause: type[Exception]
) -> None:
    """In a type's conversion and in a default, it is the cause of an InvalidValue that does not repeat its text."""
    monkeypatch.setattr(Thing, "broken", cause is ZeroDivisionError)
    error = await the_same_by_each_way(things, **values)
    assert type(error) is errors.InvalidValue
    assert isinstance(error.__cause__, cause)


async def test_an_error_in_a_type_of_the_applications_when_a_value_is_read(things: Things, db: Database) -> None:
    """It is raised as it is."""
    await db.execute(text("UPDATE border_things SET name = 'unreadable'"))
    for doing in (things.get(1001), things.all(), db.scalars(select(Thing.name)), _iterated(things.stream())):
        with pytest.raises(KeyError, match="unreadable"):
            await doing


async def _iterated(stream: Stream[Any]) -> None:
    async for _ in stream:
        pass


@pytest.mark.parametrize("column", ["day", "data", "mark", "price"])
async def test_a_stored_value_that_its_type_does_not_understand(things: Things, db: Database, column: str) -> None:
    """What SQLAlchemy cannot convert is an InvalidValue, wherever it is read; the rest of the row can be read."""
    if not db.dialect.one_writer:
        pytest.skip("feature: columns that hold what is not of their type")
    await db.execute(text(f"UPDATE border_things SET {column} = '{SECRET}'"))
    attribute = getattr(Thing, column)
    for doing in (things.get(1001), things.all(), db.scalars(select(attribute)), _iterated(things.stream())):
        error = await caught(doing)
        assert (type(error), SECRET in str(error)) == (errors.InvalidValue, False)
        assert str(error).startswith("a value that is stored does not fit its column's type")
    assert await db.scalars(select(Thing.size)) == [0]


async def test_an_unknown_member_of_an_enumeration_is_told_with_its_column(things: Things, db: Database) -> None:
    """Of the columns with that enumeration, one is named, or all of them; what is asked about knows them."""
    await db.execute(text("UPDATE border_things SET state = 'GONE', before = 'GONE', after = 'GONE'"))
    for doing in (things.get(1001), db.rows(select(Thing.state)), db.scalars(select(Thing))):
        assert re.search(r"stored, .* for border_things.state that is none of .*: NEW, OLD$", str(await caught(doing)))
    error = await caught(db.scalars(select(Thing.before)))
    assert "for border_things.before or border_things.after that" in str(error)
    error = await caught(db.scalars(text("SELECT before FROM border_things").columns(Thing.before)))
    assert "for the enumeration era that" in str(error)
    error = await caught(db.scalar(select(literal(Other.NEW, Thing.state.type))))
    assert re.search(r"is sent for .*state that is none of its members: NEW, OLD$", str(error))


def test_a_key_error_of_nobody_we_know_is_left_alone() -> None:
    """Without a trace of SQLAlchemy's types in it, an error is not taken for one of a value."""
    assert errors.translate(LookupError("'x' is not among the defined enum values")) is None


async def test_an_error_of_ours_in_a_type_is_raised_as_it_is(db: Database) -> None:
    """What a type of `repo` says about a value is what the caller reads."""

    class Told(TypeDecorator[str]):
        impl = Text
        cache_ok = True

        def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
            raise errors.InvalidValue("a value without a unit: say kilogram(3), for example")

    with pytest.raises(errors.InvalidValue, match="without a unit"):
        await db.scalar(select(literal("3", Told())))


STATEMENTS = {
    "missing table": "SELECT * FROM nowhere",
    "missing column": "SELECT nothing FROM border_things",
    "syntax": "SELEC 1",
    "missing parameter": "SELECT size FROM border_things WHERE id = :id",
}


@pytest.mark.parametrize("mistake", STATEMENTS)
async def test_a_statement_that_the_database_does_not_understand(things: Things, mistake: str) -> None:
    """It is InvalidStatement, and says which word was not understood."""
    error = await caught(things.scope.rows(text(STATEMENTS[mistake])))
    assert (type(error), error.retryable) == (errors.InvalidStatement, False)
    word = {"missing table": "nowhere", "missing column": "nothing", "syntax": "SELEC", "missing parameter": "'id'"}
    assert word[mistake].lower() in str(error).lower()
    assert "\n" not in str(error)


async def test_what_follows_a_caught_error_names_it(db: Database, things: Things) -> None:
    """A call after a failed statement is TransactionFailed, caused by the first error."""
    with pytest.raises(TransactionFailed):
        async with db.transaction() as tx:
            first = await caught(tx.scalar(text("SELEC 1")))
            second = await caught(Things(tx).count())
            assert (type(second), second.__cause__) == (TransactionFailed, first)


async def _work_of(db: Database, work: Callable[[Session], object]) -> object:
    async with db.transaction() as tx:
        return await tx.session.run_sync(work)


def _stumble(*_: object, **__: object) -> Any:
    raise ValueError("the application's own")


async def _in_a_block(db: Database) -> None:
    async with db.transaction():
        _stumble()


async def _in_into(db: Database) -> None:
    await db.rows(select(Thing.id), into=_stumble)


async def _in_run_sync(db: Database) -> None:
    await _work_of(db, _stumble)


async def _in_a_source(db: Database) -> None:
    await Things(db).add_many(_stumble() for _ in range(1))


async def _in_a_listener(db: Database) -> None:
    async with db.transaction() as tx:
        event.listen(tx.session.sync_session, "before_flush", _stumble)
        await Things(tx).add(Thing())


async def _in_a_listener_of_the_engine(db: Database) -> None:
    event.listen(db.engine.sync_engine, "before_cursor_execute", _stumble)
    await Things(db).count()


@pytest.mark.parametrize(
    "place", [_in_a_block, _in_into, _in_run_sync, _in_a_source, _in_a_listener, _in_a_listener_of_the_engine]
)
async def test_an_error_that_is_not_the_databases_stays_itself(
    db: Database, things: Things, place: Callable[[Database], Awaitable[None]]
) -> None:
    """An error of the application's code is raised as it is, from wherever it comes."""
    with pytest.raises(ValueError, match="the application's own") as raised:
        await place(db)
    assert type(raised.value) is ValueError
