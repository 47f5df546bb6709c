"""Rows, and changes of rows, that break a constraint: by every way in which they can come."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from sqlalchemy import delete, text

from repo import (
    CheckViolation,
    ConstraintViolation,
    ForeignKeyViolation,
    NotNullViolation,
    Transaction,
    UniqueViolation,
)
from repo.errors import ExclusionViolation
from tests.mistakes import SECRET, UPSERTS, WAYS, Author, Authors, Books, Libraries, Review, Reviews, Row, transacted
from tests.mistakes.entry import Bench, Mistake, Told, Way, mistake

CODES: Mapping[type[ConstraintViolation], tuple[str, str]] = {
    UniqueViolation: ("SQLITE_CONSTRAINT_UNIQUE", "23505"),
    ForeignKeyViolation: ("SQLITE_CONSTRAINT_FOREIGNKEY", "23503"),
    NotNullViolation: ("SQLITE_CONSTRAINT_NOTNULL", "23502"),
    CheckViolation: ("SQLITE_CONSTRAINT_CHECK", "23514"),
}


def same(kind: type[ConstraintViolation], name: str | None, table: str, *columns: str) -> dict[str, Told]:
    """What is told on each database, which differs in nothing but the code."""
    sqlite, postgresql = CODES[kind]
    return {
        "sqlite": Told(kind, (sqlite,), name, table, columns),
        "postgresql": Told(kind, (postgresql,), name, table, columns),
    }


def primary_key(name: str | None, table: str, *columns: str) -> dict[str, Told]:
    """The same for a primary key, for which SQLite has a code of its own."""
    told = same(UniqueViolation, name, table, *columns)
    return {**told, "sqlite": replace(told["sqlite"], codes=("SQLITE_CONSTRAINT_PRIMARYKEY",))}


def unnamed(made_up: str, told: dict[str, Told]) -> dict[str, Told]:
    """The same for a constraint without a name, for which Postgres makes one up."""
    return {**told, "postgresql": replace(told["postgresql"], constraint=made_up)}


def rows(table: str, row: Row) -> tuple[Way, ...]:
    """All the ways in which a row can come; where it brings its primary key, an upsert is no mistake."""
    ways = WAYS if {"id", "country"} & row.keys() and table != "books" else (*WAYS, *UPSERTS)
    return tuple(_row(way, table, row) for way in ways)


def _row(way: Callable[..., Awaitable[object]], table: str, row: Row) -> Way:
    async def arrive(bench: Bench) -> None:
        await way(bench.db, table, row)

    arrive.__name__ = way.__name__
    return arrive


def change(work: Callable[[Transaction], Awaitable[object]]) -> Way:
    """A change in a transaction as a way."""

    async def make(bench: Bench) -> None:
        await transacted(bench.db, work)

    return make


EDITOR = same(ForeignKeyViolation, "fk_books_editor_id_authors", "books", "editor_id")
PLACE = same(ForeignKeyViolation, "fk_books_country_city_libraries", "books", "country", "city")


async def _update_an_entity(tx: Transaction) -> object:
    authors = Authors(tx)
    return await authors.update(await authors.get_one(102), email=SECRET)


async def _delete_an_entity(tx: Transaction) -> object:
    authors = Authors(tx)
    return await authors.delete(await authors.get_one(102))


async def _delete_and_commit(bench: Bench) -> None:
    await Reviews(bench.db).add(Review(id=1, words=SECRET, book_id=101, reader_id=None))
    passed = False
    try:
        async with bench.db.transaction() as tx:
            await Books(tx).delete(101)
            passed = True
    finally:
        assert passed
        await Reviews(bench.db).delete(1)


MISTAKES: tuple[Mistake, ...] = (
    mistake(
        "a value that must be unique, and is there already",
        *rows("authors", {"name": "new", "email": SECRET}),
        change(_update_an_entity),
        change(lambda tx: Authors(tx).update(102, email=SECRET)),
        change(lambda tx: Authors(tx).update_many([{"id": 102, "email": SECRET}])),
        change(lambda tx: Authors(tx).update_where(Author.id == 102, values={"email": SECRET})),
        **same(UniqueViolation, "uq_authors_email", "authors", "email"),
    ),
    mistake(
        "values of several columns that must be unique together",
        *rows("authors", {"name": SECRET, "born": 1900}),
        **same(UniqueViolation, "uq_authors_name_born", "authors", "name", "born"),
    ),
    mistake(
        "a primary key that is there already",
        *rows("authors", {"id": 101, "name": "new"}),
        **primary_key("pk_authors", "authors", "id"),
    ),
    mistake(
        "a primary key of several columns",
        *rows("libraries", {"country": SECRET, "city": SECRET}),
        **primary_key("pk_libraries", "libraries", "country", "city"),
    ),
    mistake(
        "a value in a unique index with WHERE",
        *rows("authors", {"name": "new", "pen_name": SECRET}),
        **same(UniqueViolation, "ix_authors_pen_name", "authors", "pen_name"),
    ),
    mistake(
        "a value in a unique index over an expression",
        *rows("authors", {"name": "new", "motto": SECRET.upper()}),
        **same(UniqueViolation, "ix_authors_lower_motto", "authors"),
    ),
    mistake(
        "a value that must be unique, checked at COMMIT",
        *rows("seats", {"place": SECRET}),
        sqlite="a unique constraint is checked at once",
        postgresql=Told(UniqueViolation, ("23505",), "uq_seats_place", "seats", ("place",)),
    ),
    mistake(
        "a value that must be unique, without a name of the constraint",
        *rows("tags", {"name": SECRET}),
        **unnamed("tags_name_key", same(UniqueViolation, None, "tags", "name")),
    ),
    mistake(
        "a primary key, without a name of the constraint",
        *rows("tags", {"id": 101, "name": "new"}),
        **unnamed("tags_pkey", primary_key(None, "tags", "id")),
    ),
    mistake(
        "a reference to a row that is not there",
        *rows("books", {"title": SECRET, "author_id": 101, "editor_id": 999}),
        change(lambda tx: Books(tx).update(101, editor_id=999)),
        change(lambda tx: Books(tx).add_many([{"title": SECRET, "author_id": 101, "editor_id": n} for n in (102, 9)])),
        **EDITOR,
    ),
    mistake(
        "a reference by several columns",
        *rows("books", {"title": "new", "author_id": 101, "country": SECRET, "city": "nowhere"}),
        **PLACE,
    ),
    mistake(
        "a reference, checked at COMMIT",
        *rows("reviews", {"words": SECRET, "book_id": 101, "reader_id": 999}),
        **same(ForeignKeyViolation, "fk_reviews_reader_id_authors", "reviews", "reader_id"),
    ),
    mistake(
        "a reference, without a name of the constraint",
        *rows("tags", {"name": "new", "parent_id": 999}),
        **unnamed("tags_parent_id_fkey", same(ForeignKeyViolation, None, "tags", "parent_id")),
    ),
    mistake(
        "DELETE of a row, or change of its key, that others refer to",
        change(lambda tx: Authors(tx).delete(102)),
        change(_delete_an_entity),
        change(lambda tx: Authors(tx).delete_where(Author.id == 102)),
        change(lambda tx: tx.execute(delete(Author).where(Author.id == 102))),
        change(lambda tx: Authors(tx).update_where(Author.id == 102, values={"id": 103})),
        **EDITOR,
    ),
    mistake(
        "DELETE of a row that others refer to, as `text`",
        change(lambda tx: tx.execute(text("DELETE FROM authors WHERE id = 102"))),
        sqlite=EDITOR["sqlite"],
        postgresql=replace(EDITOR["postgresql"], columns=()),
    ),
    mistake(
        "DELETE of a row that others refer to with ON DELETE RESTRICT",
        change(lambda tx: Libraries(tx).delete((SECRET, SECRET))),
        sqlite=PLACE["sqlite"],
        postgresql=replace(PLACE["postgresql"], codes=("23001", "23503")),
    ),
    mistake(
        "DELETE of a row that others refer to, checked at COMMIT",
        _delete_and_commit,
        **same(ForeignKeyViolation, "fk_reviews_book_id_books", "reviews", "book_id"),
    ),
    mistake(
        "no value where there must be one",
        *rows("books", {"title": None, "author_id": 101, "country": SECRET}),
        change(lambda tx: Books(tx).update(101, title=None)),
        **same(NotNullViolation, None, "books", "title"),
    ),
    mistake(
        "a value that a check refuses",
        *rows("authors", {"name": SECRET, "born": -1}),
        change(lambda tx: Authors(tx).update(101, born=-1)),
        **same(CheckViolation, "ck_authors_born_positive", "authors"),
    ),
    mistake(
        "a value that a check refuses, without a name of the constraint",
        *rows("tags", {"name": "new", "weight": 0}),
        **unnamed("tags_weight_check", same(CheckViolation, None, "tags")),
    ),
    mistake(
        "a row that an exclusion constraint refuses",
        *rows("slots", {"hour": SECRET}),
        sqlite="there are none",
        postgresql=Told(ExclusionViolation, ("23P01",), "ex_slots_hour", "slots", ("hour",)),
    ),
)
