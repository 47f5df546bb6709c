"""Tables with every kind of constraint and of value, and the ways in which a wrong row can reach them."""

import enum
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Numeric,
    String,
    UniqueConstraint,
    insert,
    text,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, RepoError, Repository, Transaction
from repo.model import NAMING_CONVENTION

SECRET = "s3cr3t-value"
"""Stands in every row, and must stand in no error."""


class Base(DeclarativeBase):
    """Constraints have names by the convention of `repo.Base`."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Unnamed(DeclarativeBase):
    """Constraints have the names that the database makes up, or none."""


class OnPostgres(DeclarativeBase):
    """Tables that only Postgres can have."""


class Author(Base):
    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(unique=True)
    name: Mapped[str]
    born: Mapped[int] = mapped_column(default=1900)
    pen_name: Mapped[str | None]
    alive: Mapped[bool] = mapped_column(default=True)
    motto: Mapped[str | None]
    __table_args__ = (
        UniqueConstraint("name", "born"),
        CheckConstraint("born > 0", name="born_positive"),
        Index(
            "ix_authors_pen_name", "pen_name", unique=True, sqlite_where=text("alive"), postgresql_where=text("alive")
        ),
        Index("ix_authors_lower_motto", text("lower(motto)"), unique=True),
    )


class Library(Base):
    __tablename__ = "libraries"
    country: Mapped[str] = mapped_column(primary_key=True)
    city: Mapped[str] = mapped_column(primary_key=True)


class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey(Author.id))
    editor_id: Mapped[int | None] = mapped_column(ForeignKey(Author.id))
    country: Mapped[str | None]
    city: Mapped[str | None]
    __table_args__ = (
        ForeignKeyConstraint(["country", "city"], ["libraries.country", "libraries.city"], ondelete="RESTRICT"),
    )


class Review(Base):
    __tablename__ = "reviews"
    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str]
    book_id: Mapped[int] = mapped_column(ForeignKey(Book.id, deferrable=True, initially="DEFERRED"))
    reader_id: Mapped[int | None] = mapped_column(ForeignKey(Author.id, deferrable=True, initially="DEFERRED"))


class Colour(enum.Enum):
    """What a paint may have."""

    RED = 1
    BLUE = 2


class Mood(enum.Enum):
    """What a paint has not."""

    RED = 1


class Paint(Base):
    __tablename__ = "paints"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20))
    size: Mapped[int | None]
    price: Mapped[Decimal | None] = mapped_column(Numeric(4, 2))
    colour: Mapped[Colour | None] = mapped_column(Enum(Colour, name="colour"))
    shade: Mapped[Colour | None] = mapped_column(Enum(Colour, name="shade", native_enum=False, length=20))


class Tag(Unnamed):
    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    weight: Mapped[int] = mapped_column(default=1)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("tags.id"))
    __table_args__ = (CheckConstraint("weight > 0"),)


class Seat(OnPostgres):
    __tablename__ = "seats"
    id: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[str]
    __table_args__ = (UniqueConstraint("place", name="uq_seats_place", deferrable=True, initially="DEFERRED"),)


class Slot(OnPostgres):
    __tablename__ = "slots"
    id: Mapped[int] = mapped_column(primary_key=True)
    hour: Mapped[str]
    __table_args__ = (ExcludeConstraint(("hour", "="), name="ex_slots_hour", using="btree"),)


class Authors(Repository[Author]):
    """Authors."""


class Books(Repository[Book]):
    """Books."""


class Libraries(Repository[Library]):
    """Libraries."""


class Reviews(Repository[Review]):
    """Reviews."""


class Paints(Repository[Paint]):
    """Paints."""


class Tags(Repository[Tag]):
    """Tags."""


class Seats(Repository[Seat]):
    """Seats."""


class Slots(Repository[Slot]):
    """Slots."""


REPOSITORIES: dict[str, type[Repository[Any]]] = {
    repository.model.__tablename__: repository
    for repository in (Authors, Books, Libraries, Reviews, Paints, Tags, Seats, Slots)
}

Row = Mapping[str, Any]


async def seed(db: Database) -> None:
    """Make the tables, with two authors, a library and a book of the first author in it."""
    for metadata in (Base.metadata, Unnamed.metadata):
        await db.create_all(metadata)
    await Authors(db).add(Author(id=101, email=SECRET, name=SECRET, pen_name=SECRET, motto=SECRET))
    await Authors(db).add(Author(id=102, name="other"))
    await Libraries(db).add(Library(country=SECRET, city=SECRET))
    await Books(db).add(Book(id=101, title=SECRET, author_id=101, editor_id=102, country=SECRET, city=SECRET))
    await Paints(db).add_many([{"id": 101, "name": SECRET}, {"id": 102, "shade": SECRET}])
    await Tags(db).add(Tag(id=101, name=SECRET))
    if db.dialect.name == "postgresql":
        await db.create_all(OnPostgres.metadata)
        await Seats(db).add(Seat(id=101, place=SECRET))
        await Slots(db).add(Slot(id=101, hour=SECRET))


async def add(db: Database, table: str, row: Row) -> object:
    repository = REPOSITORIES[table]
    return await repository(db).add(repository.model(**row))


async def add_many(db: Database, table: str, row: Row) -> object:
    return await REPOSITORIES[table](db).add_many([row])


async def add_many_returning(db: Database, table: str, row: Row) -> object:
    return await REPOSITORIES[table](db).add_many([row], returning=True)


async def add_in_a_transaction(db: Database, table: str, row: Row) -> object:
    async with db.transaction() as tx:
        return await REPOSITORIES[table](tx).add(REPOSITORIES[table].model(**row))


async def add_in_a_savepoint(db: Database, table: str, row: Row) -> object:
    async with db.transaction() as tx, tx.savepoint():
        return await REPOSITORIES[table](tx).add(REPOSITORIES[table].model(**row))


async def flush(db: Database, table: str, row: Row) -> None:
    async with db.transaction() as tx:
        tx.session.add(REPOSITORIES[table].model(**row))
        await tx.session.flush()


async def leave_the_block(db: Database, table: str, row: Row) -> None:
    async with db.transaction() as tx:
        tx.session.add(REPOSITORIES[table].model(**row))


async def execute(db: Database, table: str, row: Row) -> object:
    return await db.execute(insert(REPOSITORIES[table].model).values(**row))


async def execute_many(db: Database, table: str, row: Row) -> object:
    return await db.execute(insert(REPOSITORIES[table].model.__table__), [row, row])


async def execute_text(db: Database, table: str, row: Row) -> object:
    full = (
        {"born": 1900, "alive": True, **row} if table == "authors" else {"weight": 1, **row} if table == "tags" else row
    )
    names = ", ".join(full)
    values = ", ".join(f":{name}" for name in full)
    return await db.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), full)


WAYS: tuple[Callable[[Database, str, Row], Awaitable[object]], ...] = (
    add,
    add_many,
    add_many_returning,
    add_in_a_transaction,
    add_in_a_savepoint,
    flush,
    leave_the_block,
    execute,
    execute_many,
    execute_text,
)
"""Each makes one wrong row arrive."""


NEW_ID = 900
"""A key that no row has."""


async def upsert(db: Database, table: str, row: Row) -> object:
    repository = REPOSITORIES[table]
    return await repository(db).upsert(repository.model(id=NEW_ID, **row), on="id")


async def upsert_many(db: Database, table: str, row: Row) -> object:
    return await REPOSITORIES[table](db).upsert_many([{"id": NEW_ID, **row}], on="id")


async def get_or_add(db: Database, table: str, row: Row) -> object:
    repository = REPOSITORIES[table]
    return await repository(db).get_or_add(repository.model(id=NEW_ID, **row), on="id")


UPSERTS = (upsert, upsert_many, get_or_add)
"""Each makes one wrong row arrive that has no key of its own yet."""


async def caught(doing: Awaitable[object]) -> RepoError:
    """The error that it raises."""
    try:
        await doing
    except RepoError as error:
        return error
    raise AssertionError("it raised nothing")


async def transacted(db: Database, work: Callable[[Transaction], Awaitable[object]]) -> None:
    """Do it in a transaction."""
    async with db.transaction() as tx:
        await work(tx)
