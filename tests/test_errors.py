"""The same mistake is the same error on every database: its class, its code, and what it says it is about."""

import copy
import pickle
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import delete, exc, insert, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from repo import (
    CheckViolation,
    ConstraintViolation,
    Database,
    ForeignKeyViolation,
    NotNullViolation,
    RepoError,
    Transaction,
    UniqueViolation,
    errors,
)
from tests.mistakes import (
    SECRET,
    WAYS,
    Author,
    Authors,
    Base,
    Book,
    Books,
    Libraries,
    Review,
    Reviews,
    Row,
    caught,
    seed,
    transacted,
)

Change = Callable[[Transaction], Awaitable[object]]


@pytest.fixture
async def seeded(db: Database) -> Database:
    """A database with the tables of `tests.mistakes` and a few rows."""
    await seed(db)
    return db


@dataclass(frozen=True)
class Facts:
    """What an error says about a constraint, in a form that can be compared."""

    kind: type[ConstraintViolation]
    constraint: str | None
    table: str | None
    columns: tuple[str, ...] = ()
    retryable: bool = False


def facts(error: RepoError) -> Facts:
    """What it says; nothing of it shows a row, and its cause is the driver's."""
    assert isinstance(error, ConstraintViolation)
    assert isinstance(error, exc.IntegrityError)
    assert type(error.__cause__).__module__.partition(".")[0] in ("sqlite3", "asyncpg")
    shown = (str(error), repr(error), str(error.args), str(vars(error)))
    assert [text for text in shown if SECRET in text or "\n" in text] == []
    return Facts(type(error), error.constraint, error.table, error.columns, error.retryable)


CODES: dict[type[ConstraintViolation], set[str]] = {
    UniqueViolation: {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "23505"},
    ForeignKeyViolation: {"SQLITE_CONSTRAINT_FOREIGNKEY", "23503"},
    NotNullViolation: {"SQLITE_CONSTRAINT_NOTNULL", "23502"},
    CheckViolation: {"SQLITE_CONSTRAINT_CHECK", "23514"},
}

WRONG_ROWS: dict[str, tuple[str, Row, Facts]] = {
    "unique": (
        "authors",
        {"name": "new", "email": SECRET},
        Facts(UniqueViolation, "uq_authors_email", "authors", ("email",)),
    ),
    "composite unique": (
        "authors",
        {"name": SECRET, "born": 1900},
        Facts(UniqueViolation, "uq_authors_name_born", "authors", ("name", "born")),
    ),
    "primary key": (
        "authors",
        {"id": 101, "name": "new"},
        Facts(UniqueViolation, "pk_authors", "authors", ("id",)),
    ),
    "composite primary key": (
        "libraries",
        {"country": SECRET, "city": SECRET},
        Facts(UniqueViolation, "pk_libraries", "libraries", ("country", "city")),
    ),
    "partial index": (
        "authors",
        {"name": "new", "pen_name": SECRET},
        Facts(UniqueViolation, "ix_authors_pen_name", "authors", ("pen_name",)),
    ),
    "expression index": (
        "authors",
        {"name": "new", "motto": SECRET.upper()},
        Facts(UniqueViolation, "ix_authors_lower_motto", "authors"),
    ),
    "foreign key": (
        "books",
        {"title": SECRET, "author_id": 101, "editor_id": 999},
        Facts(ForeignKeyViolation, "fk_books_editor_id_authors", "books", ("editor_id",)),
    ),
    "composite foreign key": (
        "books",
        {"title": "new", "author_id": 101, "country": SECRET, "city": "nowhere"},
        Facts(ForeignKeyViolation, "fk_books_country_city_libraries", "books", ("country", "city")),
    ),
    "deferred foreign key": (
        "reviews",
        {"words": SECRET, "book_id": 101, "reader_id": 999},
        Facts(ForeignKeyViolation, "fk_reviews_reader_id_authors", "reviews", ("reader_id",)),
    ),
    "not null": (
        "books",
        {"title": None, "author_id": 101, "country": SECRET},
        Facts(NotNullViolation, None, "books", ("title",)),
    ),
    "check": (
        "authors",
        {"name": SECRET, "born": -1},
        Facts(CheckViolation, "ck_authors_born_positive", "authors"),
    ),
}


@pytest.mark.parametrize("mistake", WRONG_ROWS)
async def test_a_wrong_row_is_the_same_error_by_whichever_way_it_comes(seeded: Database, mistake: str) -> None:
    """Each way of writing a row that breaks a constraint raises the same, on every database."""
    table, row, expected = WRONG_ROWS[mistake]
    found = {way.__name__: await caught(way(seeded, table, row)) for way in WAYS}
    assert [(name, facts(error)) for name, error in found.items() if facts(error) != expected] == []
    assert {error.code for error in found.values()} <= CODES[expected.kind]


CHANGES: dict[str, tuple[Change, Facts]] = {
    "update of an entity": (
        lambda tx: _update_entity(tx, 102, email=SECRET),
        WRONG_ROWS["unique"][2],
    ),
    "update by key": (
        lambda tx: Authors(tx).update(102, email=SECRET),
        WRONG_ROWS["unique"][2],
    ),
    "update_where": (
        lambda tx: Authors(tx).update_where(Author.id == 102, values={"email": SECRET}),
        WRONG_ROWS["unique"][2],
    ),
    "update to NULL": (
        lambda tx: Books(tx).update(101, title=None),
        WRONG_ROWS["not null"][2],
    ),
    "update that breaks a check": (
        lambda tx: Authors(tx).update(101, born=-1),
        WRONG_ROWS["check"][2],
    ),
    "update of the row that refers": (
        lambda tx: Books(tx).update(101, editor_id=999),
        WRONG_ROWS["foreign key"][2],
    ),
    "update of the row that is referred to": (
        lambda tx: Authors(tx).update_where(Author.id == 102, values={"id": 103}),
        WRONG_ROWS["foreign key"][2],
    ),
    "delete of the row that is referred to": (
        lambda tx: Authors(tx).delete(102),
        WRONG_ROWS["foreign key"][2],
    ),
    "delete of a row that only one foreign key refers to": (
        lambda tx: Libraries(tx).delete((SECRET, SECRET)),
        WRONG_ROWS["composite foreign key"][2],
    ),
    "delete_where": (
        lambda tx: Authors(tx).delete_where(Author.id == 102),
        WRONG_ROWS["foreign key"][2],
    ),
    "delete through the session": (
        lambda tx: tx.execute(delete(Author).where(Author.id == 102)),
        WRONG_ROWS["foreign key"][2],
    ),
    "delete as text": (
        lambda tx: tx.execute(text("DELETE FROM authors WHERE id = 102")),
        WRONG_ROWS["foreign key"][2],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_wrong_change_is_the_same_error_as_a_wrong_row(seeded: Database, change: str) -> None:
    """UPDATE and DELETE that break a constraint raise the same on every database."""
    work, expected = CHANGES[change]
    error = await caught(transacted(seeded, work))
    assert facts(error) == (replace(expected, columns=()) if _cannot_know(seeded, change) else expected)


def _cannot_know(db: Database, change: str) -> bool:
    """After a DELETE that comes without metadata, Postgres tells the referring table and no columns."""
    return change == "delete as text" and db.dialect.name == "postgresql"


async def _update_entity(tx: Transaction, key: int, **values: object) -> object:
    authors = Authors(tx)
    return await authors.update(await authors.get_one(key), **values)


async def test_a_deferred_foreign_key_is_checked_at_commit(seeded: Database) -> None:
    """Deleting what a deferred foreign key refers to passes, and COMMIT raises: before the block is left."""
    await Reviews(seeded).add(Review(id=1, words=SECRET, book_id=101, reader_id=None))
    passed = False
    with pytest.raises(ForeignKeyViolation) as raised:
        async with seeded.transaction() as tx:
            await Books(tx).delete(101)
            passed = True
    assert passed
    assert facts(raised.value) == Facts(ForeignKeyViolation, "fk_reviews_book_id_books", "reviews", ("book_id",))
    assert await Books(seeded).count() == 1


async def test_the_row_that_fails_may_be_any_of_many(seeded: Database) -> None:
    """Of many rows in one statement, the one in the middle that breaks a foreign key is found."""
    rows = [
        {"id": n, "title": "new", "author_id": 101, "editor_id": None if n != 150 else 999} for n in range(110, 200)
    ]
    for doing in (Books(seeded).add_many(rows), seeded.execute(insert(Base.metadata.tables["books"]), rows)):
        assert facts(await caught(doing)) == WRONG_ROWS["foreign key"][2]
    assert await Books(seeded).count() == 1


async def test_what_is_left_to_do_after_an_error_is_not_disturbed_by_looking_into_it(seeded: Database) -> None:
    """In a savepoint, a violated foreign key leaves no trace, and foreign keys are checked as before."""
    async with seeded.transaction() as tx:
        for _ in range(2):
            with pytest.raises(ForeignKeyViolation):
                async with tx.savepoint():
                    await Books(tx).add(Book(id=7, title="new", author_id=101, editor_id=999))
        await Books(tx).add(Book(id=8, title="new", author_id=101))
    assert [book.id for book in await Books(seeded).all()] == [8, 101]


UNNAMED: dict[str, tuple[Row, Facts, str]] = {
    "unique": ({"name": SECRET}, Facts(UniqueViolation, None, "tags", ("name",)), "tags_name_key"),
    "primary key": ({"id": 101, "name": "new"}, Facts(UniqueViolation, None, "tags", ("id",)), "tags_pkey"),
    "check": ({"name": "new", "weight": 0}, Facts(CheckViolation, None, "tags"), "tags_weight_check"),
    "foreign key": (
        {"name": "new", "parent_id": 999},
        Facts(ForeignKeyViolation, None, "tags", ("parent_id",)),
        "tags_parent_id_fkey",
    ),
}


@pytest.mark.parametrize("mistake", UNNAMED)
async def test_a_constraint_without_a_name_is_told_by_table_and_columns(seeded: Database, mistake: str) -> None:
    """Where no convention gives names, Postgres makes one up, SQLite has none, and all else is the same."""
    row, expected, made_up = UNNAMED[mistake]
    name = made_up if seeded.dialect.name == "postgresql" else None
    found = [facts(await caught(way(seeded, "tags", row))) for way in WAYS]
    assert set(found) == {replace(expected, constraint=name)}


async def test_translate_serves_sessions_of_the_users_own(url: str) -> None:
    """`errors.translate` says what a flush outside of `repo` has raised; the engine has no listener of ours."""
    async with Database(url) as db:
        await seed(db)
    engine = create_async_engine(url)
    async with AsyncSession(engine) as session:
        session.add(Author(email=SECRET, name="new"))
        with pytest.raises(exc.IntegrityError) as raised:
            await session.flush()
    await engine.dispose()
    error = errors.translate(raised.value, Base.metadata)
    assert isinstance(error, UniqueViolation)
    assert (error.constraint, error.table, error.columns) == ("uq_authors_email", "authors", ("email",))
    assert errors.translate(error) is error
    assert errors.translate(ValueError("not the database's")) is None


async def test_whoever_knows_sqlalchemy_finds_its_errors(seeded: Database) -> None:
    """A violation is SQLAlchemy's IntegrityError, with the driver's error as `orig`, and no values in `params`."""
    with pytest.raises(exc.IntegrityError) as raised:
        await Authors(seeded).add(Author(id=101, name="new"))
    assert raised.value.orig is raised.value.__cause__
    assert (raised.value.statement, raised.value.params, raised.value.detail) == (None, None, [])
    with pytest.raises(exc.NoResultFound):
        await Authors(seeded).get_one(999)
    with pytest.raises(exc.MultipleResultsFound):
        await Authors(seeded).one(Author.alive.is_(True))


def every_class(base: type[RepoError] = RepoError) -> Iterator[type[RepoError]]:
    """Each class of the tree in `repo.errors`."""
    yield base
    for below in base.__subclasses__():
        if below.__module__ == base.__module__:
            yield from every_class(below)


@pytest.mark.parametrize("kind", set(every_class()))
def test_an_error_can_be_copied_and_sent_to_another_process(kind: type[RepoError]) -> None:
    """Pickling and copying keep everything that an error says."""
    error = kind("what happened", code="X1")
    error.add_note("a note")
    if isinstance(error, ConstraintViolation):
        error.constraint, error.table, error.columns = "uq_t_a", "t", ("a",)
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))


def test_the_tree_at_the_top_of_the_module_is_the_tree() -> None:
    """The drawing names every class once, and marks the retryable ones."""
    drawing, _, _ = (errors.__doc__ or "").partition("Every error has")
    named = re.findall(r"(?<![.\w])[A-Z]\w+", drawing)
    assert sorted(named) == sorted({kind.__name__ for kind in every_class()} | {"What"})
    marked = {
        name for line in drawing.splitlines() if line.endswith(" retryable") for name in re.findall(r"[A-Z]\w+", line)
    }
    assert marked == {kind.__name__ for kind in every_class() if kind.retryable}
