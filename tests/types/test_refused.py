"""What would not be the same on every database: values by every verb that writes, operators where they are written."""

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Numeric, func, literal, null, select, true, type_coerce

from repo import UsageError
from repo.errors import InvalidValue
from tests.types.samples import Sample, Samples, Suit

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
WEST = timezone(timedelta(hours=-5))

VALUES: dict[str, tuple[str, Any]] = {
    "a date for a moment": ("at", date(2024, 3, 1)),
    "a text for a moment": ("at", "2024-03-01 12:00"),
    "a moment after the year 9999": ("at", datetime.max.replace(tzinfo=WEST)),
    "more places": ("price", Decimal("1.001")),
    "more digits": ("price", Decimal("12345.00")),
    "more digits in front": ("long", 10**28),
    "an enormous number": ("price", Decimal("1E+999999")),
    "a tiny number": ("price", Decimal("1E-999999")),
    "not a number": ("price", Decimal("NaN")),
    "infinity": ("long", Decimal("-Infinity")),
    "a float": ("price", 1.5),
    "a truth value": ("price", True),
    "a text for a UUID": ("id", str(uuid.UUID(int=1))),
    "a text for a member": ("suit", "HEARTS"),
    "the value of a member": ("suit", 1),
    "JSON without an end": ("data", {"a": [float("inf")]}),
    "JSON of no number": ("data", float("nan")),
    "JSON with a key of no text": ("data", [{1: 2}]),
    "JSON with NUL": ("data", "a\0"),
    "JSON with half a letter": ("data", {"\ud800": 1}),
    "JSON of anything": ("data", {"at": WEST}),
}


@pytest.mark.parametrize("name", VALUES)
async def test_values_that_one_database_could_not_keep(samples: Samples, name: str) -> None:
    """A value that does not fit is InvalidValue from every verb that writes, on both databases, and is not shown."""
    attribute, value = VALUES[name]
    stored = await samples.add(Sample(count=1))
    row = {attribute: value}
    with_key = row if attribute == "id" else {"id": stored.id, **row}
    for write in (
        samples.add(Sample(**row)),
        samples.add_many([row]),
        samples.add_many([row], returning=True),
        samples.update(stored.id, **row),
        samples.update_many([with_key]),
        samples.update_where(true(), values=row),
        samples.upsert(Sample(**with_key), on="id"),
        samples.upsert_many([with_key], on="id"),
        samples.get_or_add(Sample(**row, **({} if attribute == "id" else {"id": uuid.uuid4()})), on="id"),
    ):
        with pytest.raises(InvalidValue) as caught:
            await write
        assert str(value) not in str(caught.value)
    assert await samples.count(getattr(Sample, attribute).is_(None)) == (attribute != "id")
    assert await samples.count() == 1


OPERATORS: dict[str, Callable[[], object]] = {
    "a product of decimals": lambda: Sample.price * Sample.rate,
    "a product with a decimal": lambda: Sample.price * Decimal("1.5"),
    "a product of many digits": lambda: Sample.long * 2,
    "a sum of many digits": lambda: Sample.long + 1,
    "minus many digits": lambda: -Sample.long,
    "a comparison with a sum of many digits": lambda: func.sum(Sample.long) > 1,
    "a comparison of other digits": lambda: Sample.long < Sample.longer,
    "a division": lambda: Sample.price / 2,
    "a division by a decimal": lambda: 2 / Sample.price,
    "a floor": lambda: Sample.price // 2,
    "a rest": lambda: Sample.price % 2,
    "a sum of other places": lambda: Sample.price + Sample.rate,
    "a comparison of other places": lambda: Sample.price < Sample.rate,
    "a comparison with a number": lambda: Sample.price > Sample.count,
    "a comparison with a plain decimal": lambda: Sample.price > literal(Decimal(1)),
    "a comparison with numbers that are selected": lambda: Sample.price.in_(select(Sample.count)),
    "an end of other places": lambda: Sample.price.between(Sample.count, 5),
    "a pattern": lambda: Sample.price.like("1%"),
    "a time between moments": lambda: Sample.until - Sample.at,
    "a moment and a time": lambda: Sample.at + timedelta(hours=1),
    "a pattern of a moment": lambda: Sample.at.like("2024%"),
    "a pattern of a UUID": lambda: Sample.id.like("0%"),
    "a pattern of a member": lambda: Sample.suit.like("H%"),
    "an operator of one database": lambda: Sample.suit.op("~")("H"),
    "documents in an order": lambda: Sample.data < {},
    "an order of documents": Sample.data.desc,
    "a pattern of a document": lambda: Sample.data.contains("a"),
    "a part that is nothing": lambda: Sample.data["a"].is_(None),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_that_would_differ(name: str) -> None:
    """What the databases would compute differently is a UsageError where it is written, with what to do."""
    with pytest.raises(UsageError, match=r" is not the same on every database: compare .* say by type_coerce\(\)"):
        OPERATORS[name]()


EQUALITIES: dict[str, Callable[[], Any]] = {
    "decimals of other places": lambda: Sample.price == Sample.rate,
    "a decimal and a number": lambda: Sample.price != Sample.count,
    "a part of a document": lambda: Sample.data["a"] == {"n": 7},
}


@pytest.mark.parametrize("name", EQUALITIES)
async def test_equalities_that_would_differ(samples: Samples, name: str) -> None:
    """SQLAlchemy compares columns by == itself, so a statement with such an equality is refused when it is sent."""
    with pytest.raises(UsageError, match=r" is not the same on every database: compare "):
        await samples.count(EQUALITIES[name]())
    columns: list[Any] = [Sample.__table__.c.rate, Sample.__table__.c.price]
    assert columns.index(Sample.__table__.c.price) == 1


async def test_operators_that_are_the_same(samples: Samples) -> None:
    """Comparisons with columns of the type, with None and with values that are selected are as of any type."""
    await samples.add_many([{"price": 1, "at": NOON, "suit": Suit.SPADES}, {"price": 2, "until": NOON}])
    assert await samples.count(Sample.price.in_(select(Sample.price).where(Sample.price > 1))) == 1
    assert await samples.count(Sample.price > select(func.avg(Sample.price)).scalar_subquery()) == 1
    assert await samples.count(Sample.at.is_distinct_from(Sample.until)) == 2
    assert await samples.count(Sample.suit == null()) == 1


async def test_a_type_of_one_database_can_be_said(samples: Samples) -> None:
    """Where one database is enough, type_coerce() lets its own operators through."""
    await samples.add(Sample(price=Decimal("2.50")))
    half = type_coerce(Sample.price, Numeric) / 2
    units = {"sqlite": Decimal(125), "postgresql": Decimal("1.25")}
    assert await samples.scope.scalar(select(half)) == units[samples.scope.dialect.name]
