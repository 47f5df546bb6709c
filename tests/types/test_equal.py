"""Values of the types of `repo`, at random: stored, compared, ordered and paged as Python does, on both databases.

`EXAMPLES=500 python3 dev.py test tests/types` looks deeper.
"""

import enum
import operator
import os
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from sqlalchemy import MetaData, func, select, true
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, Repository
from repo.model import NAMING_CONVENTION
from repo.types import ExactDecimal, Json, TextEnum, UTCDateTime, Uuid
from tests.paging import all_of


class Base(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Word(enum.Enum):
    """Names of which the order depends on who orders them."""

    Zebra = "z"
    apple = "A"
    Apple = "a b"
    _under = "é"
    ZEBRA2 = "Z"


class Value(Base):
    """A column of each type of `repo`."""

    __tablename__ = "values_of_types"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[Decimal | None] = mapped_column(ExactDecimal(18, 4))
    wide: Mapped[Decimal | None] = mapped_column(ExactDecimal(40, 10))
    moment: Mapped[datetime | None] = mapped_column(UTCDateTime)
    key: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    word: Mapped[Word | None] = mapped_column(TextEnum(Word))
    data: Mapped[Any | None] = mapped_column(Json)


class Values(Repository[Value]):
    """Values."""


AMOUNTS = st.decimals(Decimal(-(10**14) + 1), Decimal(10**14 - 1), places=4)
WIDE = st.integers(-(10**40) + 1, 10**40 - 1).map(lambda units: Decimal(f"{units}E-10"))
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
DATA = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
ORDERED: dict[str, tuple[SearchStrategy[Any], Callable[[Any], Any]]] = {
    "amount": (AMOUNTS, lambda value: value),
    "wide": (WIDE, lambda value: value),
    "moment": (MOMENTS, lambda value: value),
    "key": (st.uuids(), lambda value: value),
    "word": (st.sampled_from(Word), lambda value: value.name),
}
"""Values of a column, and what orders them."""

OPERATORS = [operator.lt, operator.le, operator.eq, operator.ne, operator.ge, operator.gt]

EXAMPLES = settings(
    max_examples=int(os.environ.get("EXAMPLES", "8")),
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
async def values(db: Database) -> Values:
    """The table, empty."""
    await db.create_all(Base.metadata)
    return Values(db)


async def replaced(values: Values, name: str, given: list[Any]) -> list[Any]:
    """What is in the column after these values were stored one by one and at once; each twice."""
    await values.delete_where(true())
    for value in given[:2]:
        await values.add(Value(**{name: value}))
    await values.add_many([{name: value} for value in given[2:]])
    await values.add_many([{name: value} for value in given], returning=True)
    return await values.scope.scalars(select(getattr(Value, name)).order_by(Value.id))


@pytest.mark.parametrize("name", [*ORDERED, "data"])
@EXAMPLES
@given(data=st.data())
async def test_values_come_back_as_they_were(values: Values, name: str, data: st.DataObject) -> None:
    """What is stored by any verb comes back equal; None is NULL."""
    strategy = DATA if name == "data" else ORDERED[name][0]
    stored = data.draw(st.lists(st.none() | strategy, min_size=1, max_size=15))
    assert await replaced(values, name, stored) == stored * 2
    assert await values.count(getattr(Value, name).is_(None)) == stored.count(None) * 2


@pytest.mark.parametrize("name", ORDERED)
@EXAMPLES
@given(data=st.data())
async def test_sql_compares_and_orders_as_python_does(values: Values, name: str, data: st.DataObject) -> None:
    """Every comparison, the order, the least and the greatest are what Python says of the same values."""
    strategy, order = ORDERED[name]
    stored = data.draw(st.lists(strategy, min_size=2, max_size=15))
    other = data.draw(st.sampled_from(stored) | strategy)
    await replaced(values, name, stored)
    column: Any = getattr(Value, name)
    for compare in OPERATORS:
        expected = [value for value in stored * 2 if compare(order(value), order(other))]
        assert await values.count(compare(column, other)) == len(expected), compare
    ordered = [getattr(value, name) for value in await values.all(order_by=[column.desc(), Value.id])]
    assert list(map(order, ordered)) == sorted(map(order, stored * 2), reverse=True)
    if name == "key":
        return  # Postgres has no min and max of UUIDs
    ends = [await values.scope.scalar(select(end(column))) for end in (func.min, func.max)]
    assert list(map(order, ends)) == [min(map(order, stored)), max(map(order, stored))]


@pytest.mark.parametrize("name", ORDERED)
@EXAMPLES
@given(data=st.data())
async def test_pages_are_what_a_sort_gives(values: Values, name: str, data: st.DataObject) -> None:
    """Pages from either end, in either direction, are the values sorted, with NULL as the largest."""
    strategy, order = ORDERED[name]
    stored = data.draw(st.lists(st.none() | strategy, min_size=1, max_size=4))
    await replaced(values, name, stored)
    column: Any = getattr(Value, name)
    ranked = sorted(stored * 2, key=lambda value: (value is None, value is not None and order(value)))
    for by, expected in ((column, ranked), (column.desc(), ranked[::-1])):
        found = await all_of(partial(values.page, order_by=by, limit=2), lambda value: value.id)
        assert [getattr(value, name) for value in found] == expected


@EXAMPLES
@given(stored=st.lists(AMOUNTS, min_size=1, max_size=8), other=AMOUNTS)
async def test_sums_are_exact(values: Values, stored: list[Decimal], other: Decimal) -> None:
    """A sum, a difference and a product with a whole number are exact, also inside of a condition."""
    small = [value / 1000 for value in stored]
    given = [value.quantize(Decimal("0.0001")) for value in small]
    await replaced(values, "amount", given)
    total = func.sum(Value.amount)
    assert await values.scope.scalar(select(total)) == 2 * sum(given)
    assert await values.scope.scalar(select(total).having(total == 2 * sum(given))) == 2 * sum(given)
    change = (other / 1000).quantize(Decimal("0.0001"))
    terms = [Value.amount + change, change - Value.amount, -Value.amount, Value.amount * 3]
    rows = await values.scope.rows(select(*(term.label(f"t{n}") for n, term in enumerate(terms))).order_by(Value.id))
    assert list(map(tuple, rows)) == [(each + change, change - each, -each, each * 3) for each in given * 2]
