"""What only Postgres can raise, and its codes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg.exceptions
import pytest
from sqlalchemy import MetaData, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import (
    ConstraintViolation,
    Database,
    Repository,
    UniqueViolation,
    errors,
)
from repo.dialects.postgresql.errors import CODES, CONSTRAINTS, UNLISTED, translate
from repo.model import NAMING_CONVENTION
from tests.databases import DATABASES
from tests.mistakes import SECRET, caught


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Room(Base):
    __tablename__ = "rooms"
    id: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[int]
    name: Mapped[str | None]
    __table_args__ = (UniqueConstraint("place", deferrable=True, initially="DEFERRED"),)


class Rooms(Repository[Room]):
    """Rooms."""


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a fresh database on Postgres."""
    async with DATABASES["postgresql"](tmp_path) as made:
        yield made


@pytest.fixture
async def rooms(db: Database) -> Rooms:
    """Two rooms."""
    await db.create_all(Base.metadata)
    await Rooms(db).add_many([{"id": 1, "place": 1}, {"id": 2, "place": 2}])
    return Rooms(db)


async def test_a_deferred_unique_constraint_is_checked_at_commit(db: Database, rooms: Rooms) -> None:
    """Two rooms may change places, and a place that is taken twice at the end is a UniqueViolation."""
    async with db.transaction() as tx:
        await Rooms(tx).update(1, place=2)
        await Rooms(tx).update(2, place=1)
    with pytest.raises(UniqueViolation) as raised:
        async with db.transaction() as tx:
            await Rooms(tx).update(1, place=1)
    assert (raised.value.constraint, raised.value.columns) == ("uq_rooms_place", ("place",))


async def test_a_closed_connection_is_no_mistake_of_the_callers(db: Database, rooms: Rooms) -> None:
    """A connection that proves to be closed is lost, whatever was to be sent; the driver takes it for a wrong call."""
    async with db.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        await driver.close()
        table: Any = Room.__table__
        for sending in (
            db.dialect.fetch(driver, "SELECT 1", (), None),
            db.dialect.fetch_many(driver, "SELECT $1::int", [(1,), (2,)], None),
            db.dialect.load(driver, [table.c.id, table.c.place], [3, 3]),
        ):
            with pytest.raises(errors.ConnectionLost):
                await sending
        await connection.invalidate()
    assert await rooms.count() == 2


async def test_a_servers_words_for_values_are_not_repeated(db: Database, rooms: Rooms) -> None:
    """Errors whose text shows a value, a trigger's among them, are told by what the code is called."""
    await db.execute(
        text(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'not %', NEW.name; END $$"
        )
    )
    await db.execute(text("CREATE TRIGGER refusing BEFORE UPDATE ON rooms FOR EACH ROW EXECUTE FUNCTION refuse()"))
    for doing, kind, code in (
        (rooms.update(1, name=SECRET), errors.InvalidStatement, "P0001"),
        (db.scalar(text(f"SELECT CAST('{SECRET}' AS integer)")), errors.InvalidValue, "22P02"),
        (db.scalar(text("SELECT CAST(:v AS date)"), {"v": SECRET}), errors.InvalidValue, "22000"),
    ):
        error = await caught(doing)
        assert (type(error), error.code) == (kind, code)
        assert SECRET not in f"{error} {error!r} {vars(error)}"


def test_the_columns_are_found_in_any_language() -> None:
    """The server's detail is read by its form, not by its words; an expression is no column."""
    for detail, columns in (
        (f"Schlüssel »(place, name)=(1, {SECRET})« existiert bereits.", ("place", "name")),
        (f"La clé « (place)=({SECRET}=(x)) » existe déjà.", ("place",)),
        (f'Key ("my place", "Größe")=(1, {SECRET}) already exists.', ("my place", "Größe")),
        (f"Key (lower(name))=({SECRET}) already exists.", ()),
        ("", ()),
    ):
        driver = asyncpg.exceptions.UniqueViolationError("doppelter Schlüsselwert")
        driver.constraint_name, driver.table_name, driver.column_name, driver.detail = "uq", "rooms", None, detail
        error = translate(driver)
        assert isinstance(error, UniqueViolation)
        assert (error.constraint, error.table, error.columns) == ("uq", "rooms", columns)
        assert SECRET not in str(error)


@pytest.fixture
async def small(db: Database) -> AsyncIterator[Database]:
    """The database of a user who may have one connection."""
    name = f"{db.engine.url.database}_small"
    await db.execute(text(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 1 PASSWORD 'small'"))
    async with Database(db.engine.url.set(username=name, password="small")) as database:
        yield database
    await db.execute(text(f"DROP ROLE {name}"))


async def test_too_many_connections(small: Database) -> None:
    """A server that takes no more connections is Unavailable, retryable, and says what to do."""
    async with small.transaction() as tx:
        await tx.scalar(text("SELECT 1"))
        error = await caught(small.ping())
    assert (type(error), error.code, error.retryable) == (errors.Unavailable, "53300", True)
    assert "pool_size" in str(error)
    await small.ping()


async def test_what_a_user_may_not_do(small: Database, rooms: Rooms) -> None:
    """A table that belongs to another is InvalidStatement with the server's reason."""
    error = await caught(Rooms(small).count())
    assert (type(error), error.code) == (errors.InvalidStatement, "42501")
    assert "permission denied for table rooms" in str(error)


async def test_tables_that_change_while_the_program_runs(db: Database, rooms: Rooms) -> None:
    """A plan that the driver had cached for the old table is retryable, and works the next time."""
    statement = text("SELECT * FROM rooms")
    async with Database(db.engine.url, pool_size=1) as other:
        async with other.transaction() as tx:
            await tx.rows(statement)
        await db.execute(text("ALTER TABLE rooms ALTER COLUMN place TYPE bigint"))
        with pytest.raises(errors.InvalidStatement) as raised:
            async with other.transaction() as tx:
                await tx.rows(statement)
        assert raised.value.retryable
        assert len(await other.rows(statement)) == 2


NONE_OF_OURS = {"01", "02", "09", "0Z", "10", "20", "XX"}
"""Warnings, states that no client is told, and what belongs to no class of ours."""


def codes() -> dict[str, type[asyncpg.exceptions.PostgresError]]:
    """Every SQLSTATE that asyncpg has a class for."""
    classes = [value for value in vars(asyncpg.exceptions).values() if isinstance(value, type)]
    return {state: kind for kind in classes if (state := getattr(kind, "sqlstate", None))}


def test_every_code_has_a_class_or_is_listed_as_having_none() -> None:
    """A code is mapped by itself or by its class, or its class is one that means nothing to us."""
    translated = {code: translate(kind("as the server says it")) for code, kind in codes().items()}
    listed = {code for code in translated if {code, code[:2]} & (CODES.keys() | CONSTRAINTS.keys())}
    assert {code for code in translated if code[:2] not in NONE_OF_OURS} <= listed
    assert {code for code, error in translated.items() if type(error) is not UNLISTED[0]} == listed
    assert [code for code, error in translated.items() if error is None or error.code != code] == []
    violations = {code for code, error in translated.items() if isinstance(error, ConstraintViolation)}
    assert violations == {code for code in translated if code[:2] in ("23", "44") or code == "40002"}
