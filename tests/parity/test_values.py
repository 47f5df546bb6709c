"""What each database makes of a value in a column of SQLAlchemy's own types."""

import enum
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    ARRAY,
    JSON,
    Column,
    DateTime,
    Enum,
    Float,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    func,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, Repository
from repo.errors import InvalidStatement, InvalidValue
from tests.parity.differs import Differs


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
    """A column of each of the types that the page names."""

    __tablename__ = "cells"
    id: Mapped[int] = mapped_column(primary_key=True)
    short: Mapped[Any] = mapped_column(String(3), nullable=True)
    number: Mapped[Any] = mapped_column(Integer, nullable=True)
    words: Mapped[Any] = mapped_column(Text, nullable=True)
    shade: Mapped[Any] = mapped_column(Enum(Shade), nullable=True)
    strict: Mapped[Any] = mapped_column(Enum(Shade, validate_strings=True), nullable=True)
    at: Mapped[Any] = mapped_column(DateTime, nullable=True)
    moment: Mapped[Any] = mapped_column(DateTime(timezone=True), nullable=True)
    ratio: Mapped[Any] = mapped_column(Float, nullable=True)
    amount: Mapped[Any] = mapped_column(Numeric(30, 2), nullable=True)
    price: Mapped[Any] = mapped_column(Numeric(5, 2), nullable=True)
    document: Mapped[Any] = mapped_column(JSON, nullable=True)


class Cells(Repository[Cell]):
    """Cells."""


NOON = datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
LONG = Decimal("123456789012345678.25")

STORED: Mapping[str, tuple[str, Any, Differs]] = {
    "a text longer than `String(3)`": ("short", "long", Differs("long", InvalidValue)),
    "2⁴⁰ in an `Integer`": ("number", 2**40, Differs(2**40, InvalidValue)),
    "more than 64 bits": ("number", 2**64, Differs(InvalidValue, InvalidValue)),
    '`"abc"` in an `Integer`': ("number", "abc", Differs("abc", InvalidValue)),
    "1.5 in an `Integer`": ("number", 1.5, Differs(1.5, 1)),
    "a number in a `String`": ("short", 7, Differs("7", InvalidValue)),
    "a text with a zero character": ("words", "a\0b", Differs("a\0b", InvalidValue)),
    "a text that is no member of an `Enum` column": ("shade", "NONE", Differs(InvalidValue, InvalidValue)),
    "a member of another enumeration": ("shade", Other.DARK, Differs(InvalidValue, InvalidValue)),
    "an aware `datetime` in a plain `DateTime`": ("at", NOON, Differs(NOON.replace(tzinfo=None), InvalidValue)),
    "an aware `datetime` in `DateTime(timezone=True)`": (
        "moment",
        NOON,
        Differs(NOON.replace(tzinfo=None), NOON.astimezone(UTC)),
    ),
    "NaN in a `Float`": ("ratio", float("nan"), Differs(None, "nan")),
    "more digits than a `Numeric(5, 2)` has": ("price", Decimal(1234), Differs(Decimal("1234.00"), InvalidValue)),
    "a `Numeric` of more than 15 digits": ("amount", LONG, Differs(Decimal("123456789012345680.00"), LONG)),
    "a number of more than 64 bits as the whole of a `JSON`": ("document", 2**70, Differs(float(2**70), 2**70)),
}
"""Values by the rows of the table."""


@pytest.fixture
async def cells(db: Database) -> Cells:
    """An empty table of cells."""
    await db.create_all(Base.metadata)
    return Cells(db)


@pytest.mark.parametrize("what", STORED)
async def test_values_that_only_one_database_would_take(db: Database, cells: Cells, what: str) -> None:
    """What the page says of a value holds for `add` and the read that follows."""
    name, value, differs = STORED[what]

    async def told() -> Any:
        await cells.add(Cell(id=1, **{name: value}))
        stored = getattr(await cells.get_one(1), name)
        return "nan" if isinstance(stored, float) and math.isnan(stored) else stored

    await differs.check(db, told)


async def test_a_text_that_is_no_member(db: Database, cells: Cells) -> None:
    """SQLite stores it and fails to read it, Postgres refuses it; a type that looks at texts refuses it on both."""
    await Differs(1, InvalidValue).check(db, lambda: cells.add_many([{"shade": "NONE"}]))
    with pytest.raises(InvalidValue):
        await cells.add_many([{"strict": "NONE"}])


async def test_a_key_of_another_type(cells: Cells) -> None:
    """A text is no key where the key is a number, on both."""
    with pytest.raises(InvalidValue):
        await cells.get("1")


async def test_a_sum_of_numerics_in_a_condition(db: Database, cells: Cells) -> None:
    """A sum of `Numeric` is one of floats on SQLite."""
    await cells.add_many([{"amount": Decimal("0.1")}, {"amount": Decimal("0.2")}])
    total = func.sum(Cell.amount)
    found = await db.scalars(select(total).having(total == Decimal("0.3")))
    assert found == {"sqlite": [], "postgresql": [Decimal("0.30")]}[db.engine.dialect.name]


async def test_a_null_of_sqlalchemys_own_json(db: Database, cells: Cells) -> None:
    """A None that is given to `JSON` is stored as a null of JSON, which is not NULL; Postgres cannot compare it."""
    await cells.add_many([{"document": None}])
    await cells.add(Cell(document={"a": 1}))
    assert await cells.count(Cell.document.is_(None)) == 0
    assert (await cells.get_one(1)).document is None
    await Differs(1, InvalidStatement).check(db, lambda: cells.count(Cell.document == {"a": 1}))


async def test_types_of_one_database(db: Database) -> None:
    """A table with a type that the database does not have cannot be created."""
    table = Table("lists", MetaData(), Column("numbers", ARRAY(Integer)))
    await Differs(InvalidStatement, None).check(db, lambda: db.create_all(table.metadata))
