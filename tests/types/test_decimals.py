"""Decimal numbers."""

from decimal import Decimal, localcontext

import pytest
from sqlalchemy import func, select

from repo import ConfigurationError
from repo.errors import InvalidValue
from repo.types import ExactDecimal
from tests.types.samples import Sample, Samples


async def test_decimals_have_their_places(samples: Samples) -> None:
    """A decimal comes back with all its places, whatever it was given as; so does what is computed of some."""
    await samples.add_many(
        [{"price": 1}, {"price": Decimal("2.5")}, {"price": Decimal("-1E+1")}, {"price": Decimal("0E-9")}]
    )
    prices = await samples.scope.scalars(select(Sample.price).order_by(Sample.price))
    assert list(map(str, prices)) == ["-10.00", "0.00", "1.00", "2.50"]
    total = func.sum(Sample.price)
    assert str(await samples.scope.scalar(select(total))) == "-6.50"
    assert await samples.scope.scalar(select(total).where(Sample.price > 99)) is None
    assert str(await samples.scope.scalar(select(func.coalesce(total, 0)).where(Sample.price > 99))) == "0.00"
    assert await samples.count(Sample.price.in_([1, Decimal("2.50")])) == 2
    assert await samples.count(Sample.price.between(-10, 0)) == 2


async def test_many_digits_are_all_kept(samples: Samples) -> None:
    """Digits beyond what a machine's number or Python's own context holds are stored, compared and sorted exactly."""
    numbers = [Decimal(f"{sign}1234567890123456789012345678.{n:02}") for sign in ("", "-") for n in (0, 1, 99)]
    await samples.add_many([{"long": number} for number in numbers])
    with localcontext(prec=3):
        found = [sample.long for sample in await samples.all(order_by=Sample.long)]
        assert await samples.count(Sample.long <= numbers[1]) == 5
        ends = await samples.scope.rows(select(func.min(Sample.long), func.max(Sample.long)))
    assert found == sorted(numbers)
    assert list(map(tuple, ends)) == [(min(numbers), max(numbers))]


async def test_the_programs_context_rounds_nothing(samples: Samples) -> None:
    """A context of the program's with few digits does not change what is stored and read."""
    with localcontext(prec=2):
        await samples.add(Sample(price=Decimal("1234.56")))
        (found,) = await samples.all(Sample.price == Decimal("1234.56"))
    assert found.price == Decimal("1234.56")


async def test_a_sum_may_have_more_digits_than_a_row(samples: Samples) -> None:
    """What is compared with a sum may have more digits than a row's value, up to 18."""
    await samples.add_many({"price": Decimal("9999.99")} for _ in range(100))
    total = func.sum(Sample.price)
    assert await samples.scope.scalar(select(total).having(total == Decimal("999999.00"))) == Decimal("999999.00")
    assert await samples.count(Sample.price < Decimal("123456.00")) == 100
    with pytest.raises(InvalidValue, match=r"not at most 18 digits, 2 of them"):
        await samples.count(Sample.price < 10**16)


async def test_a_product_with_a_whole_number_is_a_decimal(samples: Samples) -> None:
    """The whole number may stand on either side, and be a column."""
    await samples.add(Sample(price=Decimal("1.25"), count=3))
    products = (Sample.price * 3, 3 * Sample.price, Sample.price * Sample.count, Sample.count * Sample.price)
    for product in products:
        assert str(await samples.scope.scalar(select(product))) == "3.75"


async def test_what_is_no_decimal_of_the_column_is_told(samples: Samples) -> None:
    """What the database computes with other places is InvalidValue, such as an average, which says what to do."""
    await samples.add_many([{"price": 1}, {"price": 2}])
    mean = func.avg(Sample.price, type_=Sample.price.type)
    with pytest.raises(InvalidValue, match=r"what is no decimal of 2 places, such as an average: ask for the sum"):
        await samples.scope.scalar(select(mean))


@pytest.mark.parametrize(("precision", "scale"), [(1001, 2), (5, 6), (0, 0), (5, -1)])
def test_a_decimal_has_at_most_1000_digits(precision: int, scale: int) -> None:
    """Digits that no database has are refused when the model is made."""
    with pytest.raises(ConfigurationError, match=r"^a decimal has 1 to 1000 digits"):
        ExactDecimal(precision, scale)
