"""Many rows go into a table of SQLite as an INSERT of each would put them there, whatever it says of conflicts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import MetaData, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, Repository, UniqueViolation
from repo.testing import queries
from tests.models import opened

ROWS = [{"code": n} for n in range(2000)]
"""More than one statement inserts."""

AGAIN = {"code": 7}


class Base(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData()


class Mark(Base):
    __tablename__ = "inserting_marks"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[int] = mapped_column(unique=True)


class Marks(Repository[Mark]): ...


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    """A database in which the tables are to be made by each test."""
    async with Database(f"sqlite:///{tmp_path / 'test.db'}") as database:
        yield database


async def test_several_rows_that_can_only_fail(db: Database) -> None:
    """Where only errors can come of a conflict, SQLite keeps no copies of pages for each statement to be undone by."""
    await db.create_all(Base.metadata)
    with queries(db) as sent:
        await Marks(db).add_many(ROWS)
    inserts = [statement for statement in sent if statement.startswith("INSERT")]
    assert {statement.partition("INTO")[0] for statement in inserts} == {"INSERT OR FAIL "}


@pytest.mark.parametrize("kind", ["database", "transaction", "session"])
async def test_a_conflict_leaves_nothing(db: Database, kind: str) -> None:
    """A row that is refused takes with it all rows of the call, and no more than that."""
    await db.create_all(Base.metadata)
    await Marks(db).add(Mark(code=-1))
    async with opened(db, kind) as scope:
        with pytest.raises(UniqueViolation):
            await Marks(scope).add_many([*ROWS[:-1], AGAIN])
    assert await Marks(db).count() == 1


@pytest.mark.parametrize(("clause", "kept"), [("IGNORE", 8), ("REPLACE", 2000)])
async def test_what_the_table_says_holds(db: Database, clause: str, kept: int) -> None:
    """A constraint's own ON CONFLICT decides which of two rows is kept."""
    conflict = f"UNIQUE ON CONFLICT {clause}"
    await db.execute(text(f"CREATE TABLE inserting_marks (id INTEGER PRIMARY KEY, code INTEGER {conflict})"))
    await Marks(db).add_many([*ROWS[:-1], AGAIN])
    found = await Marks(db).all(order_by=Mark.id)
    assert (len(found), [mark.id for mark in found if mark.code == 7]) == (1999, [kept])


async def test_what_a_trigger_says_holds(db: Database) -> None:
    """A trigger's own OR IGNORE and OR REPLACE are not overruled."""
    await db.create_all(Base.metadata)
    await db.execute(text("CREATE TABLE seen (code INTEGER UNIQUE)"))
    await db.execute(
        text(
            "CREATE TRIGGER see AFTER INSERT ON inserting_marks "
            "BEGIN INSERT OR IGNORE INTO seen VALUES (NEW.code % 10); END"
        )
    )
    await Marks(db).add_many(ROWS)
    assert (await Marks(db).count(), await db.scalar(text("SELECT count(*) FROM seen"))) == (2000, 10)
