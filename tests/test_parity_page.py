"""What `docs/sqlite-and-postgres.md` says of types, expressions and keys is so on each database."""

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    DateTime,
    Enum,
    Float,
    Integer,
    MetaData,
    Numeric,
    String,
    Text,
    bindparam,
    func,
    literal,
    literal_column,
    select,
    text,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, RepoError, Repository
from repo.errors import InvalidStatement, InvalidValue


class Base(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData()


class Shade(enum.Enum):
    """Stored by SQLAlchemy's own type."""

    DARK = 1


class Other(enum.Enum):
    """Not the enumeration of the column."""

    DARK = 1


class Cell(Base):
    """A column of each of SQLAlchemy's types that the page names."""

    __tablename__ = "cells"
    id: Mapped[int] = mapped_column(primary_key=True)
    short: Mapped[Any] = mapped_column(String(3), nullable=True)
    number: Mapped[Any] = mapped_column(Integer, nullable=True)
    words: Mapped[Any] = mapped_column(Text, nullable=True)
    shade: Mapped[Any] = mapped_column(Enum(Shade), nullable=True)
    at: Mapped[Any] = mapped_column(DateTime, nullable=True)
    moment: Mapped[Any] = mapped_column(DateTime(timezone=True), nullable=True)
    ratio: Mapped[Any] = mapped_column(Float, nullable=True)
    amount: Mapped[Any] = mapped_column(Numeric(30, 2), nullable=True)


class Cells(Repository[Cell]):
    """Cells."""


@dataclass(frozen=True)
class Differs:
    """What each database says, a value or the class of an error."""

    sqlite: Any
    postgresql: Any


EAST = timezone(timedelta(hours=2))
NOON = datetime(2024, 1, 1, 12, tzinfo=EAST)

STORED: Mapping[str, tuple[str, Any, Differs]] = {
    "a text that is too long": ("short", "long", Differs("long", InvalidValue)),
    "a number of 40 bits": ("number", 2**40, Differs(2**40, InvalidValue)),
    "a number of more than 64 bits": ("number", 2**64, Differs(InvalidValue, InvalidValue)),
    "a text in an Integer": ("number", "abc", Differs("abc", InvalidValue)),
    "a fraction in an Integer": ("number", 1.5, Differs(1.5, 1)),
    "a number in a String": ("short", 7, Differs("7", InvalidValue)),
    "a zero character": ("words", "a\0b", Differs("a\0b", InvalidValue)),
    "a text that is no member": ("shade", "NONE", Differs(InvalidValue, InvalidValue)),
    "a member of another enumeration": ("shade", Other.DARK, Differs(InvalidValue, InvalidValue)),
    "an aware datetime in a plain DateTime": ("at", NOON, Differs(NOON.replace(tzinfo=None), InvalidValue)),
    "an aware datetime": ("moment", NOON, Differs(NOON.replace(tzinfo=None), NOON.astimezone(UTC))),
    "NaN": ("ratio", float("nan"), Differs(None, "nan")),
    "a Numeric of many digits": (
        "amount",
        Decimal("123456789012345678.25"),
        Differs(Decimal("123456789012345680.00"), Decimal("123456789012345678.25")),
    ),
}


@pytest.mark.parametrize("what", STORED)
async def test_values_that_only_one_database_would_take(db: Database, what: str) -> None:
    """What the table of other types says of a value holds for `add` and the read that follows."""
    await db.create_all(Base.metadata)
    name, value, differs = STORED[what]

    async def told() -> Any:
        await Cells(db).add(Cell(id=1, **{name: value}))
        stored = getattr(await Cells(db).get_one(1), name)
        return "nan" if isinstance(stored, float) and math.isnan(stored) else stored

    await check(told, getattr(differs, db.engine.dialect.name))


async def test_a_sum_of_numerics_in_a_condition(db: Database) -> None:
    """A sum of `Numeric` is one of floats on SQLite."""
    await db.create_all(Base.metadata)
    await Cells(db).add_many([{"amount": Decimal("0.1")}, {"amount": Decimal("0.2")}])
    total = func.sum(Cell.amount)
    found = await db.scalars(select(total).having(total == Decimal("0.3")))
    assert found == {"sqlite": [], "postgresql": [Decimal("0.30")]}[db.engine.dialect.name]


LOCALE = object()
"""It depends on the server's."""

ZERO = literal_column("0", Integer)
EXPRESSIONS: Mapping[str, tuple[Any, Differs]] = {
    "like": (select(literal("ADA").like("a%")), Differs(True, False)),
    "ilike of an ASCII letter": (select(literal("ADA").ilike("a%")), Differs(True, True)),
    "ilike of another letter": (select(literal("É").ilike("é")), Differs(False, LOCALE)),
    "lower": (select(func.lower("É")), Differs("É", LOCALE)),
    "division by zero": (select(literal(1) / ZERO), Differs(None, InvalidValue)),
    "average of integers": (select(func.avg(literal(2))), Differs(2.0, Decimal(2))),
    "true of a text": (text("SELECT true"), Differs(1, True)),
    "unknown in double quotes": (text('SELECT "unknown"'), Differs("unknown", InvalidStatement)),
    "neither grouped nor aggregated": (
        text("SELECT a FROM (SELECT 1 AS a, 2 AS b) AS t GROUP BY b"),
        Differs(1, InvalidStatement),
    ),
}


@pytest.mark.parametrize("what", EXPRESSIONS)
async def test_expressions_that_differ(db: Database, what: str) -> None:
    """What the table of expressions says of a statement."""
    statement, differs = EXPRESSIONS[what]
    expected = getattr(differs, db.engine.dialect.name)
    if expected is LOCALE:
        pytest.skip("feature: the letters of a language; what they are is up to the server's locale")
    await check(lambda: db.scalar(statement), expected)


async def check(call: Any, expected: Any) -> None:
    """The call gives this, value and type, or raises this class."""
    if isinstance(expected, type) and issubclass(expected, RepoError):
        with pytest.raises(expected):
            await call()
    else:
        given = await call()
        assert (given, type(given)) == (expected, type(expected))


async def test_orders_that_differ(db: Database) -> None:
    """NULL comes first in a statement of one's own on SQLite only, and last in `all` on both."""
    await db.create_all(Base.metadata)
    await Cells(db).add_many([{"id": 1, "words": "b"}, {"id": 2}, {"id": 3, "words": "a"}])
    own = select(Cell.id).order_by(Cell.words)
    first = {"sqlite": [2, 3, 1], "postgresql": [3, 1, 2]}
    assert await db.scalars(own) == first[db.engine.dialect.name]
    assert await db.scalars(own.order_by(None).order_by(Cell.words.nulls_last())) == [3, 1, 2]
    assert [cell.id for cell in await Cells(db).all(order_by=Cell.words)] == [3, 1, 2]


async def test_now_differs(db: Database) -> None:
    """The database's own now is naive, without fractions, on SQLite, and aware on Postgres."""
    now: datetime = await db.scalar(select(func.now()))
    aware = db.engine.dialect.name == "postgresql"
    assert (now.tzinfo is not None) is aware
    assert aware or now.microsecond == 0


async def test_parameters_of_one_statement(db: Database) -> None:
    """More than 32,767 parameters are refused by Postgres; `get_many` takes any number of keys on both."""
    await db.create_all(Base.metadata)
    await Cells(db).add_many({"id": n} for n in range(1, 3))
    many = select(Cell.id).where(Cell.id.in_(bindparam("ids", list(range(40_000)), expanding=True)))
    if db.engine.dialect.name == "postgresql":  # for SQLite it depends on how it was built
        with pytest.raises(InvalidStatement):
            await db.scalars(many)
    assert len(await Cells(db).get_many([1, 2] * 20_000)) == 40_000


async def test_keys_are_given_again_on_sqlite(db: Database) -> None:
    """The key of the last row is given again after it was deleted, on SQLite only."""
    await db.create_all(Base.metadata)
    first = await Cells(db).add(Cell())
    await Cells(db).delete_where(true())
    again = (await Cells(db).add(Cell())).id == first.id
    assert again is (db.engine.dialect.name == "sqlite")
