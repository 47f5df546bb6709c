"""Members of enumerations, and UUIDs."""

import enum
import uuid

import pytest
from sqlalchemy import select, text

from repo import ConfigurationError
from repo.errors import InvalidValue
from repo.types import TextEnum
from tests.types.samples import Sample, Samples, Suit


async def test_members_sort_by_name(samples: Samples) -> None:
    """Members are stored by name, and sort and compare by its letters."""
    await samples.add_many([{"suit": suit} for suit in (Suit.SPADES, Suit.HEARTS)])
    assert await samples.scope.scalars(text("SELECT suit FROM samples ORDER BY suit")) == ["HEARTS", "SPADES"]
    assert [sample.suit for sample in await samples.all(order_by=Sample.suit)] == [Suit.HEARTS, Suit.SPADES]
    assert await samples.count(Sample.suit < Suit.SPADES) == 1


async def test_an_unknown_member_is_told(samples: Samples) -> None:
    """A stored text that is no member's name is InvalidValue: it names the enumeration and its members, no value."""
    await samples.add(Sample(suit=Suit.HEARTS))
    await samples.scope.execute(text("UPDATE samples SET suit = 'secret'"))
    expected = r"^a text is stored for Suit that is the name of none of its members \(SPADES, HEARTS\)"
    with pytest.raises(InvalidValue, match=expected) as caught:
        await samples.all()
    assert "secret" not in str(caught.value)


def test_flags_are_refused() -> None:
    """Members that can be put together have no single name to be stored by: refused when the model is made."""

    class Rights(enum.Flag):
        READ = 1
        WRITE = 2

    with pytest.raises(ConfigurationError, match=r"^Rights is an enumeration of flags"):
        TextEnum(Rights)


async def test_uuids_are_pythons_own(samples: Samples) -> None:
    """A UUID is found by its key, and is of Python's own class, not of a driver's."""
    sample = await samples.add(Sample())
    assert type((await samples.get_one(sample.id)).id) is uuid.UUID
    assert [each.id for each in await samples.get_many([sample.id])] == [sample.id]
    assert type(await samples.scope.scalar(select(Sample.id))) is uuid.UUID
