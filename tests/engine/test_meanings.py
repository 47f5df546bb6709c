"""What SQLAlchemy raises by itself becomes an error of `repo`, too; also for those who have no engine of ours."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import delete, event, exc, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import exc as orm_exc
from sqlalchemy.orm.attributes import set_committed_value

from repo import (
    CheckViolation,
    ConstraintViolation,
    Database,
    ForeignKeyViolation,
    NotFound,
    NotNullViolation,
    RepoError,
    Transaction,
    UniqueViolation,
    UsageError,
    errors,
)
from repo.engine.meanings import CLASSES
from tests.mistakes import SECRET, Author, Authors, Base, Book, Review, Tag, caught, seed, transacted

Work = Callable[[Transaction], Awaitable[object]]
NONSENSE: Any = SECRET
NOTHING: Any = None


async def _row_of(tx: Transaction) -> Author:
    """An entity whose row is gone."""
    author = await Authors(tx).add(Author(name=SECRET + "2"))
    await tx.session.run_sync(lambda own: own.connection().execute(delete(Author).where(Author.id == author.id)))
    return author


async def _refresh_what_is_gone(tx: Transaction) -> None:
    await tx.session.refresh(await _row_of(tx))


async def _read_what_is_gone(tx: Transaction) -> None:
    author = await _row_of(tx)
    tx.session.expire(author)
    await tx.session.run_sync(lambda _: author.name)


async def _read_of_no_session(tx: Transaction) -> None:
    author = await Authors(tx).get_one(101)
    tx.session.expire(author)
    tx.session.expunge(author)
    await tx.session.run_sync(lambda _: author.name)


async def _flush_what_has_no_key(tx: Transaction) -> None:
    author = await Authors(tx).get_one(101)
    set_committed_value(author, "id", None)
    author.born = 1
    await tx.session.flush()


async def _merge_what_is_not_mapped(tx: Transaction) -> None:
    await tx.session.merge(object())


async def _insert_into_no_column(tx: Transaction) -> None:
    await tx.execute(insert(Base.metadata.tables["authors"]).values(nothing=SECRET))


async def _read_a_closed_result(tx: Transaction) -> None:
    result = await tx.session.execute(select(Author))
    result.close()
    await tx.session.run_sync(lambda _: result.all())


async def _execute_no_statement(tx: Transaction) -> None:
    await tx.session.execute(NONSENSE)


MISTAKES: dict[Work, tuple[type[RepoError], type[Exception]]] = {
    _refresh_what_is_gone: (NotFound, exc.InvalidRequestError),
    _read_what_is_gone: (NotFound, orm_exc.ObjectDeletedError),
    _read_of_no_session: (errors.NotLoaded, orm_exc.DetachedInstanceError),
    _flush_what_has_no_key: (UsageError, orm_exc.FlushError),
    _merge_what_is_not_mapped: (UsageError, orm_exc.UnmappedInstanceError),
    _insert_into_no_column: (errors.InvalidStatement, exc.CompileError),
    _read_a_closed_result: (UsageError, exc.ResourceClosedError),
    _execute_no_statement: (UsageError, exc.ArgumentError),
}


@pytest.fixture
async def seeded(db: Database) -> Database:
    """The tables of `tests.mistakes` with a few rows."""
    await seed(db)
    return db


@pytest.mark.parametrize("work", MISTAKES)
async def test_what_sqlalchemy_does_not_take(seeded: Database, work: Work) -> None:
    """It is an error of `repo` with SQLAlchemy's as its cause, and shows no value."""
    error = await caught(transacted(seeded, work))
    kind, cause = MISTAKES[work]
    assert (type(error), isinstance(error.__cause__, cause)) == (kind, True)
    assert (SECRET in str(error), "\n" in str(error)) == (False, False)
    assert await Authors(seeded).count() == 2


def every_class(base: type[Exception] = exc.SQLAlchemyError) -> Iterator[type[Exception]]:
    """Each error of SQLAlchemy's; ours, some of which are also such errors, left out."""
    yield base
    for below in base.__subclasses__():
        if below.__module__.startswith("sqlalchemy."):
            yield from every_class(below)


def test_every_error_of_sqlalchemy_has_a_meaning_or_is_listed_as_having_none() -> None:
    """What is not in the table is the base class, and what wraps an error of a driver's: its code says what it is."""
    unlisted = {kind for kind in every_class() if not CLASSES.keys() & set(kind.__mro__)}
    assert unlisted == {exc.SQLAlchemyError, *every_class(exc.StatementError)}


@asynccontextmanager
async def engine_of_the_users_own(url: str) -> AsyncIterator[AsyncEngine]:
    """An engine that `repo` has not made."""
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys=ON"))
    try:
        yield engine
    finally:
        await engine.dispose()


def listeners(*targets: Any) -> list[tuple[str, int]]:
    """How many listeners each event of these has."""
    return [
        (name, len(list(getattr(target.dispatch, name))))
        for target in targets
        for name in sorted(target.dispatch._event_names)
    ]


ENTITIES: list[tuple[Callable[[], Any], type[ConstraintViolation], str | None, tuple[str, ...]]] = [
    (lambda: Author(name="new", email=SECRET), UniqueViolation, "uq_authors_email", ("email",)),
    (lambda: Author(name=SECRET), UniqueViolation, "uq_authors_name_born", ("name", "born")),
    (lambda: Author(id=101, name="new"), UniqueViolation, "pk_authors", ("id",)),
    (lambda: Author(name="new", motto=SECRET), UniqueViolation, "ix_authors_lower_motto", ()),
    (lambda: Author(name="new", born=-1), CheckViolation, "ck_authors_born_positive", ()),
    (lambda: Book(title=NOTHING, author_id=101), NotNullViolation, None, ("title",)),
]


@pytest.mark.parametrize("metadata", [Base.metadata, None], ids=["with metadata", "without"])
async def test_translate_serves_sessions_of_the_users_own(seeded: Database, url: str, metadata: Any) -> None:
    """It says what a flush and a COMMIT outside of `repo` have raised, and leaves no listener behind."""
    async with engine_of_the_users_own(url) as engine:
        for make, *expected in ENTITIES:
            async with AsyncSession(engine) as session:
                before = listeners(engine.sync_engine, engine.pool, session.sync_session)
                session.add(make())
                with pytest.raises(exc.IntegrityError) as raised:
                    await session.commit()
                error = errors.translate(raised.value, metadata)
                assert before == listeners(engine.sync_engine, engine.pool, session.sync_session)
            assert isinstance(error, ConstraintViolation)
            assert SECRET not in f"{error!r} {vars(error)}"
            if metadata is None and seeded.dialect.name == "sqlite":
                # Names of unique constraints are nowhere in its message.
                expected[1] = error.constraint
            assert [type(error), error.constraint, error.columns] == expected


async def test_translate_tells_the_only_foreign_key_that_can_be_meant(seeded: Database, url: str) -> None:
    """On an engine of the user's own SQLite can be asked nothing, so of several foreign keys none is named."""
    async with engine_of_the_users_own(url) as engine:
        for entity, known in ((Tag(name="new", parent_id=9), True), (Book(title="new", author_id=9), False)):
            async with AsyncSession(engine) as session:
                session.add(entity)
                with pytest.raises(exc.IntegrityError) as raised:
                    await session.flush()
            error = errors.translate(raised.value, type(entity).metadata)
            assert isinstance(error, ForeignKeyViolation)
            told = known or seeded.dialect.name == "postgresql"
            assert error.columns == ((("parent_id",) if known else ("author_id",)) if told else ())


async def test_translate_knows_what_is_raised_at_a_commit_of_the_users_own(seeded: Database, url: str) -> None:
    """A deferred foreign key; where SQLite says nothing, nothing is made up."""
    async with engine_of_the_users_own(url) as engine, AsyncSession(engine) as session:
        session.add(Review(words=SECRET, book_id=999))
        with pytest.raises(exc.IntegrityError) as raised:
            await session.commit()
    error = errors.translate(raised.value, Base.metadata)
    assert isinstance(error, ForeignKeyViolation)
    known = ("fk_reviews_book_id_books", "reviews", ("book_id",))
    assert (error.constraint, error.table, error.columns) == (
        known if seeded.dialect.name == "postgresql" else (None, None, ())
    )


async def test_repositories_leave_nothing_on_what_is_not_ours(seeded: Database, url: str) -> None:
    """A `Database` over an engine of the user's, and a repository over a session, add no listener, failed or not."""
    async with engine_of_the_users_own(url) as engine, AsyncSession(engine, expire_on_commit=False) as session:
        before = listeners(engine.sync_engine, engine.pool, session.sync_session)
        async with Database(engine) as db:
            assert isinstance(await caught(Authors(db).add(Author(id=101, name="new"))), UniqueViolation)
            assert isinstance(await caught(Authors(db).add_many([{"id": 101, "name": "new"}])), UniqueViolation)
            async with db.transaction() as tx:
                assert await Authors(tx).count() == 2
        assert isinstance(await caught(Authors(session).add(Author(id=101, name="new"))), UniqueViolation)
        await session.rollback()
        assert await Authors(session).count() == 2
        assert before == listeners(engine.sync_engine, engine.pool, session.sync_session)
