"""What remains different of the types of `repo`: where SQLite computes without knowing the type."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import CheckConstraint, MetaData, String, case, cast, func, literal, select, text, true
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import CheckViolation, Database, Repository
from repo.errors import InvalidStatement, InvalidValue
from repo.types import ExactDecimal, Json, Uuid
from tests.parity.differs import Differs


class Base(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData()


class Product(Base):
    """A price and a document, and what stands beside them."""

    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[Decimal | None] = mapped_column(ExactDecimal(5, 2))
    most: Mapped[Decimal] = mapped_column(ExactDecimal(5, 2), server_default=text("9"))
    large: Mapped[Decimal | None] = mapped_column(ExactDecimal(18, 0))
    count: Mapped[int] = mapped_column(default=10)
    code: Mapped[UUID | None] = mapped_column(Uuid)
    data: Mapped[Any] = mapped_column(Json, nullable=True)


class Cheap(Base):
    """A price with a rule, which is about what is stored."""

    __tablename__ = "cheap_products"
    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[Decimal] = mapped_column(ExactDecimal(5, 2))
    __table_args__ = (CheckConstraint("price >= 0 AND price < 500", name="cheap"),)


class Products(Repository[Product]):
    """Products."""


class Cheaps(Repository[Cheap]):
    """Products that cost less than 500."""


PRICE = Product.price.type


@pytest.fixture
async def products(db: Database) -> Products:
    """One product for 9.99."""
    await db.create_all(Base.metadata)
    data = {"on": True, "ratio": 0.1 + 0.2, "word": "x", "one": 1}
    await Products(db).add(Product(id=1, price=Decimal("9.99"), large=10**18 - 1, data=data))
    return Products(db)


COMPUTED: dict[str, tuple[Callable[[], Any], Differs]] = {
    "a function": (lambda: func.abs(Product.price), Differs(999, Decimal("9.99"))),
    "a function with the type": (
        lambda: func.abs(Product.price, type_=PRICE),
        Differs(Decimal("9.99"), Decimal("9.99")),
    ),
    "an average": (lambda: func.avg(Product.price), Differs(999.0, Decimal("9.99"))),
    "a cast": (lambda: cast(Product.price, String), Differs("999", "9.99")),
    "a constant": (
        lambda: case((Product.id == 2, Product.price), else_=9),
        Differs(Decimal("0.09"), Decimal("9.00")),
    ),
    "a constant with the type": (
        lambda: case((Product.id == 2, Product.price), else_=literal(Decimal(9), PRICE)),
        Differs(Decimal("9.00"), Decimal("9.00")),
    ),
    "zero": (lambda: func.coalesce(func.sum(Product.price), 0), Differs(Decimal("9.99"), Decimal("9.99"))),
    "a sum with another type": (lambda: Product.count + Product.price, Differs(Decimal("10.09"), Decimal("19.99"))),
    "a comparison with another type": (lambda: Product.count < Product.price, Differs(True, False)),
    "a text": (lambda: text("price FROM products"), Differs(999, Decimal("9.99"))),
    "a server default": (lambda: Product.most, Differs(Decimal("0.09"), Decimal("9.00"))),
    "a sum beyond 64 bits": (
        lambda: func.sum(Product.large) * 10 - func.sum(Product.large) * 9,
        Differs(InvalidValue, Decimal(10**18 - 1)),
    ),
    "true in a document": (lambda: Product.data["on"], Differs(1, True)),
    "a float in a document": (lambda: Product.data["ratio"], Differs(0.3, 0.1 + 0.2)),
}
"""Expressions over a product for 9.99."""


@pytest.mark.parametrize("what", COMPUTED)
async def test_what_sqlite_computes_of_what_is_stored(db: Database, products: Products, what: str) -> None:
    """Functions, constants, other types and texts see how many of the smallest unit it is."""
    expression, differs = COMPUTED[what]
    await differs.check(db, lambda: db.scalar(select(expression())))


async def test_a_number_that_is_written_into_a_decimal(db: Database, products: Products) -> None:
    """A column of another type that is written into a decimal counts units on SQLite."""
    await products.update_where(true(), values={"price": Product.count})
    await Differs(Decimal("0.10"), Decimal("10.00")).check(db, lambda: db.scalar(select(Product.price)))


async def test_a_check_of_a_decimal(db: Database, products: Products) -> None:
    """A rule for a decimal is one for what is stored; zero is zero on both."""
    with pytest.raises(CheckViolation):
        await Cheaps(db).add(Cheap(price=Decimal("-0.01")))
    await Differs(CheckViolation, 1).check(db, lambda: Cheaps(db).add_many([{"price": Decimal("9.99")}]))


async def test_one_and_its_float_in_a_document(db: Database, products: Products) -> None:
    """Documents that differ in 1 and 1.0 are equal on Postgres only."""
    same = {"on": True, "ratio": 0.1 + 0.2, "word": "x", "one": 1.0}
    await Differs(0, 1).check(db, lambda: products.count(Product.data == same))


async def test_a_word_that_is_read_as_a_number(db: Database, products: Products) -> None:
    """A part of a document that is no number is no error on SQLite."""
    read = select(Product.data["word"].as_integer() > 5)
    if db.engine.dialect.name == "sqlite":
        assert await db.scalar(read) in (True, False)  # SQLAlchemy 2.0 compares the text, 2.1 makes it 0
    else:
        with pytest.raises(InvalidValue):
            await db.scalar(read)


async def test_the_largest_uuid(db: Database, products: Products) -> None:
    """Postgres has no `max` of UUIDs."""
    largest = select(func.max(Product.code))
    await Differs(None, InvalidStatement).check(db, lambda: db.scalar(largest))
