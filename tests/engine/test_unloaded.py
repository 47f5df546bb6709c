import pickle
import warnings
from collections.abc import AsyncIterator
from inspect import getmodule

import pytest
from sqlalchemy import Engine, ForeignKey, create_engine, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from repo import Database, Repository
from repo.engine import unloaded
from repo.errors import NotLoaded


class Base(DeclarativeBase):
    """A base of the application's own."""


class Author(Base):
    __tablename__ = "unloaded_authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    life: Mapped[str] = mapped_column(default="long", deferred=True)
    books: Mapped[list["Book"]] = relationship(back_populates="author")
    rivals: Mapped[list["Book"]] = relationship(viewonly=True, lazy="raise")


class Book(Base):
    __tablename__ = "unloaded_books"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int | None] = mapped_column(ForeignKey(Author.id))
    author: Mapped[Author | None] = relationship(back_populates="books")


class Authors(Repository[Author]):
    """Authors."""


class Books(Repository[Book]):
    """Books."""


@pytest.fixture
async def library(db: Database) -> AsyncIterator[Database]:
    """An author with a book, and a book without an author."""
    await db.create_all(Base.metadata)
    await Authors(db).add(Author(id=1, name="Ada"))
    await Books(db).add_many([{"id": 1, "author_id": 1}, {"id": 2, "author_id": None}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as a coroutine that was never awaited
        yield db


async def test_it_names_the_relationship_and_the_way(library: Database) -> None:
    """A relationship that was not loaded raises, with the ``load=`` to write."""
    author = await Authors(library).get_one(1)
    with pytest.raises(NotLoaded, match=r"Author\.books was not loaded .* load=Author\.books"):
        _ = author.books
    author = await Authors(library).get_one(1, load=Author.books)
    assert [book.id for book in author.books] == [1]
    with pytest.raises(NotLoaded, match=r"Book\.author"):
        _ = (await Books(library).get_one(1)).author


async def test_a_transaction_goes_on(library: Database) -> None:
    """Inside a transaction it is the same error, no statement is sent, and the transaction goes on."""
    async with library.transaction() as tx:
        author = await Authors(tx).get_one(1)
        with pytest.raises(NotLoaded):
            _ = author.books
        await Authors(tx).load(author, Author.books)
        assert [book.id for book in author.books] == [1]
        await Authors(tx).update(author, name="Grace")
    assert (await Authors(library).get_one(1)).name == "Grace"


async def test_what_needs_no_statement_is_there(library: Database) -> None:
    """None for an empty foreign key, and an entity that the session has already, are no I/O."""
    async with library.transaction() as tx:
        ada = await Authors(tx).get_one(1)
        assert (await Books(tx).get_one(1)).author is ada
        assert (await Books(tx).get_one(2)).author is None


async def test_new_entities_are_empty(library: Database) -> None:
    """Of an entity that was never stored nothing could be loaded, so its relationships are empty."""
    assert Author(name="new").books == []
    assert Book().author is None


async def test_deferred_columns(library: Database) -> None:
    """A deferred column that was not asked for is the same mistake."""
    author = await Authors(library).get_one(1)
    with pytest.raises(NotLoaded, match=r"Author\.life"):
        _ = author.life
    assert (await Authors(library).get_one(1, load=Author.life)).life == "long"


async def test_what_the_model_itself_refuses(library: Database) -> None:
    """``lazy="raise"`` of the model is the same error, with the ``load=`` to write."""
    author = await Authors(library).get_one(1)
    with pytest.raises(NotLoaded, match=r"Author\.rivals was not loaded .* load=Author\.rivals"):
        _ = author.rivals
    assert [book.id for book in (await Authors(library).load(author, Author.rivals)).rivals] == [1]


async def test_after_every_verb(library: Database) -> None:
    """It is so with every entity that a verb gives, and after a journey as a pickle."""
    authors = Authors(library)
    given = [
        await authors.add(Author(id=2, name="new")),
        *await authors.add_many([{"id": 3, "name": "many"}, Author(id=4, name="more")], returning=True),
        await authors.update(1, name="key"),
        await authors.update(await authors.get_one(1), name="entity"),
        *await authors.update_where(Author.id == 1, values={"name": "where"}, returning=True),
        await authors.get_one(1, load=Author.life),
        *await authors.delete_where(Author.name == "new", returning=True),
    ]
    assert len(given) == 8
    for author in [*given, *pickle.loads(pickle.dumps(given))]:
        with pytest.raises(NotLoaded, match=r"^Author\.books was not loaded"):
            _ = author.books


async def test_what_a_commit_has_forgotten(library: Database) -> None:
    """In a session that expires its entities, using one after the commit says why, and what to do."""
    async with AsyncSession(library.engine) as session:
        author = await Authors(session).get_one(1, load=Author.books)
        await session.commit()
        with pytest.raises(NotLoaded, match=r"^this Author has forgotten books, id, .*name, .* expire_on_commit=False"):
            _ = author.name
        with pytest.raises(NotLoaded, match=r"^Author\.books"):
            _ = author.books
        await session.refresh(author)
        assert author.name == "Ada"
        await session.rollback()
        assert await session.run_sync(lambda _: author.name) == "Ada"


async def test_inside_a_greenlet_it_loads(library: Database) -> None:
    """Code of SQLAlchemy's synchronous style, in ``run_sync``, loads as ever."""
    async with library.transaction() as tx:
        author = await Authors(tx).get_one(1)
        assert await tx.session.run_sync(lambda _: len(author.books)) == 1


async def test_a_session_of_the_users(library: Database) -> None:
    """In a session of the user's it is ``NotLoaded`` in place of ``MissingGreenlet``."""
    async with AsyncSession(library.engine) as session:
        author = await Authors(session).get_one(1)
        with pytest.raises(NotLoaded):
            _ = author.books


def test_synchronous_sessions_load() -> None:
    """The same models in a session without asyncio load when they are used, as ever."""
    engine: Engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Author(id=1, name="Ada", books=[Book(id=1)]))
        session.commit()
        author = session.scalars(select(Author)).one()
        assert [book.id for book in author.books] == [1]
    engine.dispose()


async def test_sqlalchemy_has_the_place_for_it(library: Database) -> None:
    """The private function that is replaced exists; when this fails, ``unloaded.py`` must change."""
    implementation = Author.books.impl
    assert callable(implementation.callable_)
    assert hasattr(implementation.callable_, "refuses")
    assert getmodule(inspect(Author).class_manager.expired_attribute_loader) is unloaded
