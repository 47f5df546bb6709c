"""Statements that the database does not understand, or does not want; and rows that are not there."""

from sqlalchemy import select, text, true
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import ConstraintViolation, Database, MultipleFound, NotFound, Repository, TransactionFailed
from repo.errors import InvalidStatement, InvalidValue, ReadOnlyScope
from tests.mistakes import SECRET, Author, Authors, Paint, Paints, caught
from tests.mistakes.entry import Bench, Fine, Mistake, Told, Way, mistake
from tests.mistakes.rows import change


class Missing(DeclarativeBase):
    """Tables that nobody has made."""


class Ghost(Missing):
    __tablename__ = "ghosts"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]


class Ghosts(Repository[Ghost]):
    """Ghosts."""


def runs(sql: str) -> tuple[Way, ...]:
    """The ways to run a statement that reads."""
    statement = text(sql)

    async def alone(bench: Bench) -> None:
        await bench.db.rows(statement)

    async def stream(bench: Bench) -> None:
        async for _ in bench.db.stream(statement):
            pass

    async def snapshot(bench: Bench) -> None:
        async with bench.db.snapshot() as snapshot:
            await snapshot.scalar(statement)

    return (
        alone,
        stream,
        snapshot,
        change(lambda tx: tx.execute(statement)),
        change(lambda tx: tx.session.execute(statement)),
    )


async def _write_in_a_snapshot(bench: Bench) -> None:
    async with bench.db.snapshot() as snapshot:
        await snapshot.execute(text("DELETE FROM paints"))


async def _write_in_a_reading_transaction(bench: Bench) -> None:
    async with bench.db.transaction(read_only=True) as tx:
        await tx.execute(text("DELETE FROM paints"))


async def _write_behind_a_reading_transaction(bench: Bench) -> None:
    async with bench.db.transaction(read_only=True) as tx:
        tx.session.add(Author(name="new"))


REFUSING = {
    "sqlite": ("CREATE TRIGGER refusing BEFORE DELETE ON paints BEGIN SELECT RAISE(ABORT, 's3cr3t-value'); END",),
    "postgresql": (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'not %', OLD.name; END $$",
        "CREATE TRIGGER refusing BEFORE DELETE ON paints FOR EACH ROW EXECUTE FUNCTION refuse()",
    ),
}


async def _meet_a_trigger(bench: Bench) -> None:
    for sql in REFUSING[bench.db.dialect.name]:
        await bench.db.execute(text(sql))
    await Paints(bench.db).delete(101)


async def _meet_what_is_forbidden(bench: Bench) -> None:
    name = f"{bench.url.database}_stranger"
    await bench.db.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'strange'"))
    try:
        async with Database(bench.url.set(username=name, password="strange")) as db:
            await Paints(db).count()
    finally:
        await bench.db.execute(text(f"DROP ROLE {name}"))


async def _meet_a_table_that_has_changed(bench: Bench) -> None:
    async with Database(bench.url, pool_size=1) as other:
        statement = text("SELECT * FROM authors")
        async with other.transaction() as tx:
            await tx.rows(statement)
        await bench.db.execute(text("ALTER TABLE authors ALTER COLUMN born TYPE bigint"))
        async with other.transaction() as tx:
            await tx.rows(statement)


async def _go_on_after_an_error(bench: Bench) -> None:
    async with bench.db.transaction() as tx:
        await caught(tx.scalar(text("SELEC 1")))
        await Paints(tx).count()


async def _commit_after_an_error(bench: Bench) -> None:
    async with bench.db.transaction() as tx:
        await caught(tx.scalar(text("SELEC 1")))


MISTAKES: tuple[Mistake, ...] = (
    mistake(
        "a table that is not there",
        *runs("SELECT * FROM ghosts"),
        change(lambda tx: Ghosts(tx).all()),
        change(lambda tx: Ghosts(tx).add(Ghost(name=SECRET))),
        change(lambda tx: Ghosts(tx).add_many([{"name": SECRET}])),
        change(lambda tx: Ghosts(tx).delete_where(true())),
        sqlite=Told(InvalidStatement, ("SQLITE_ERROR",)),
        postgresql=Told(InvalidStatement, ("42P01",)),
    ),
    mistake(
        "a column that is not there",
        *runs("SELECT nothing FROM paints"),
        sqlite=Told(InvalidStatement, ("SQLITE_ERROR",)),
        postgresql=Told(InvalidStatement, ("42703",)),
    ),
    mistake(
        "a syntax error",
        *runs("SELEC 1"),
        sqlite=Told(InvalidStatement, ("SQLITE_ERROR",)),
        postgresql=Told(InvalidStatement, ("42601",)),
    ),
    mistake(
        "a parameter without a value",
        *runs("SELECT id FROM paints WHERE id = :key"),
        sqlite=Told(InvalidStatement, cause=("sqlalchemy",)),
        postgresql=Told(InvalidStatement, cause=("sqlalchemy",)),
    ),
    mistake(
        "a table that belongs to somebody else",
        _meet_what_is_forbidden,
        sqlite="there are no users",
        postgresql=Told(InvalidStatement, ("42501",)),
    ),
    mistake(
        "a table that has changed since its statement was prepared",
        _meet_a_table_that_has_changed,
        sqlite="it is prepared again",
        postgresql=Told(InvalidStatement, ("0A000",), retryable=True),
    ),
    mistake(
        "a division by zero",
        *runs("SELECT 1 / 0"),
        sqlite=Fine("it is NULL"),
        postgresql=Told(InvalidValue, ("22012",)),
    ),
    mistake(
        "a row that a trigger refuses",
        _meet_a_trigger,
        sqlite=Told(ConstraintViolation, ("SQLITE_CONSTRAINT_TRIGGER",)),
        postgresql=Told(InvalidStatement, ("P0001",)),
    ),
    mistake(
        "a write where one only reads",
        _write_in_a_snapshot,
        _write_in_a_reading_transaction,
        _write_behind_a_reading_transaction,
        sqlite=Told(ReadOnlyScope, ("SQLITE_READONLY",)),
        postgresql=Told(ReadOnlyScope, ("25006",)),
    ),
    mistake(
        "a call after an error that was caught",
        _go_on_after_an_error,
        _commit_after_an_error,
        sqlite=Told(TransactionFailed, cause=("repo",)),
        postgresql=Told(TransactionFailed, cause=("repo",)),
    ),
    mistake(
        "a key that no row has",
        change(lambda tx: Paints(tx).get_one(999)),
        change(lambda tx: Paints(tx).get_many([999, 1000])),
        change(lambda tx: Paints(tx).update(999, size=1)),
        change(lambda tx: Paints(tx).update_many([{"id": 999, "size": 1}])),
        sqlite=Told(NotFound, cause=()),
        postgresql=Told(NotFound, cause=()),
    ),
    mistake(
        "a condition that no row meets",
        change(lambda tx: Paints(tx).one(Paint.id == 999)),
        change(lambda tx: tx.session.get_one(Paint, 999)),
        change(lambda tx: tx.session.run_sync(lambda own: own.scalars(select(Paint).where(Paint.id == 999)).one())),
        sqlite=Told(NotFound, cause=("sqlalchemy", None)),
        postgresql=Told(NotFound, cause=("sqlalchemy", None)),
    ),
    mistake(
        "a condition that several rows meet, where one may",
        change(lambda tx: Authors(tx).one()),
        change(lambda tx: Authors(tx).one_or_none(Author.alive)),
        change(lambda tx: tx.session.run_sync(lambda own: own.scalars(select(Author)).one())),
        sqlite=Told(MultipleFound, cause=("sqlalchemy", None)),
        postgresql=Told(MultipleFound, cause=("sqlalchemy", None)),
    ),
)
