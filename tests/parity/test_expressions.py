"""What each database makes of the same statement."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Integer, bindparam, cast, extract, func, literal, literal_column, select, text
from sqlalchemy import true as sql_true

from repo import Database
from repo.errors import InvalidStatement, InvalidValue
from repo.types import UTCDateTime
from tests.models import statements
from tests.parity.differs import Differs
from tests.parity.test_values import Base, Cell, Cells

ZERO = literal_column("0", Integer)

EXPRESSIONS: Mapping[str, tuple[Any, Differs]] = {
    "`like`": (select(literal("ADA").like("a%")), Differs(True, False)),
    "division by zero": (select(literal(1) / ZERO), Differs(None, InvalidValue)),
    "`avg` of integers": (select(func.avg(literal(2))), Differs(2.0, Decimal(2))),
    "`true` in a `text`": (text("SELECT true"), Differs(1, True)),
    '`"unknown"` in double quotes in a `text`': (text('SELECT "unknown"'), Differs("unknown", InvalidStatement)),
    "a column neither grouped nor aggregated": (
        text("SELECT a FROM (SELECT 1 AS a, 2 AS b) AS t GROUP BY b"),
        Differs(1, InvalidStatement),
    ),
}
"""Statements by the rows of the table."""


@pytest.mark.parametrize("what", EXPRESSIONS)
async def test_expressions_that_differ(db: Database, what: str) -> None:
    """What the page says of a statement."""
    statement, differs = EXPRESSIONS[what]
    await differs.check(db, lambda: db.scalar(statement))


async def test_expressions_that_are_the_same(db: Database) -> None:
    """What the page says to write in place of what differs gives the same on both."""
    assert await db.scalar(select(literal("ADA").ilike("a%"))) is True
    assert await db.scalar(select(sql_true())) is True


async def locale_of(db: Database, what: str) -> str:
    """The database's locale for the order or the letters of texts; SQLite has none."""
    if db.engine.dialect.name == "sqlite":
        return "C"
    query = text(f"SELECT {what} FROM pg_database WHERE datname = current_database()")
    return str(await db.scalar(query))


async def test_letters_of_a_language(db: Database) -> None:
    """Where no locale knows them, letters beyond ASCII have no small ones."""
    knows = await locale_of(db, "datctype") not in ("C", "POSIX")
    assert await db.scalar(select(func.lower("ÉA"))) == ("éa" if knows else "Éa")
    assert await db.scalar(select(literal("É").ilike("é"))) is knows


async def test_order_of_texts(db: Database) -> None:
    """Without a collation texts are sorted by their bytes, with one as its language does."""
    by_bytes = (await locale_of(db, "datcollate")).partition(".")[0] in ("C", "POSIX")
    await db.create_all(Base.metadata)
    await Cells(db).add_many([{"words": "a"}, {"words": "B"}])
    assert await db.scalars(select(Cell.words).order_by(Cell.words)) == (["B", "a"] if by_bytes else ["a", "B"])


async def test_nulls_in_an_order(db: Database) -> None:
    """NULL comes first in a statement of one's own on SQLite only, and last in `all` on both."""
    await db.create_all(Base.metadata)
    await Cells(db).add_many([{"id": 1, "number": 2}, {"id": 2}, {"id": 3, "number": 1}])
    own = select(Cell.id).order_by(Cell.number)
    first = {"sqlite": [2, 3, 1], "postgresql": [3, 1, 2]}
    assert await db.scalars(own) == first[db.engine.dialect.name]
    assert await db.scalars(own.order_by(None).order_by(Cell.number.nulls_last())) == [3, 1, 2]
    assert [cell.id for cell in await Cells(db).all(order_by=Cell.number)] == [3, 1, 2]


async def test_now(db: Database) -> None:
    """The database's own now is naive, without fractions, on SQLite, and aware on Postgres."""
    now = await db.scalar(select(func.now()))
    assert now is not None
    aware = db.engine.dialect.name == "postgresql"
    assert (now.tzinfo is not None) is aware
    assert aware or now.microsecond == 0
    assert abs((now if aware else now.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds() < 60


async def test_a_part_of_a_moment(db: Database) -> None:
    """The hour of a moment is that of UTC on SQLite, and that of the session's zone on Postgres."""
    moment = literal(datetime(2024, 1, 1, 12, tzinfo=UTC), UTCDateTime)
    async with db.transaction(settings={"TimeZone": "Asia/Tokyo"}) as tx:
        hour = await tx.scalar(select(cast(extract("hour", moment), Integer)))
    assert hour == {"sqlite": 12, "postgresql": 21}[db.engine.dialect.name]


async def test_a_moment_in_a_text(db: Database) -> None:
    """A statement of text has no types: SQLite gives a text for a moment; `select()` gives a moment on both."""
    await db.create_all(Base.metadata)
    noon = datetime(2024, 1, 1, 12)
    await Cells(db).add(Cell(at=noon))
    await Differs("2024-01-01 12:00:00.000000", noon).check(db, lambda: db.scalar(text("SELECT at FROM cells")))
    assert await db.scalar(select(Cell.at)) == noon


async def test_parameters_of_one_statement(db: Database) -> None:
    """More than 32,767 parameters are refused by Postgres; `get_many` takes any number of keys on both."""
    await db.create_all(Base.metadata)
    await Cells(db).add_many({"id": n} for n in range(1, 3))
    many = select(Cell.id).where(Cell.id.in_(bindparam("ids", list(range(40_000)), expanding=True)))
    if db.engine.dialect.name == "postgresql":  # for SQLite it depends on how it was built
        with pytest.raises(InvalidStatement):
            await db.scalars(many)
    assert len(await Cells(db).get_many([1, 2] * 20_000)) == 40_000


async def test_for_update(db: Database) -> None:
    """SQLite, whose writing transaction has the lock already, is not told to lock rows."""
    await db.create_all(Base.metadata)
    with statements(db) as sent:
        async with db.transaction() as tx:
            await tx.scalars(select(Cell.id).with_for_update())
    assert [statement.endswith("FOR UPDATE") for statement in sent] == [db.engine.dialect.name == "postgresql"]
