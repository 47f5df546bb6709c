"""Types that behave the same on both databases."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import column, func, literal, select
from sqlalchemy.orm import Mapped, mapped_column

from repo import Database, Repository
from repo.errors import InvalidValue
from repo.types import UTCDateTime
from tests.models import Model

EAST = timezone(timedelta(hours=5, minutes=30))


class Moment(Model):
    """A moment, as a key and as a column."""

    __tablename__ = "moments"
    at: Mapped[datetime] = mapped_column(UTCDateTime, primary_key=True)
    ended: Mapped[datetime | None] = mapped_column(UTCDateTime)


class Moments(Repository[Moment]):
    """Moments."""


@pytest.fixture
async def moments(db: Database) -> Moments:
    """An empty table of moments."""
    await db.create_all(Model.metadata)
    return Moments(db)


async def test_a_moment_comes_back_in_utc(moments: Moments) -> None:
    """An aware datetime of any zone comes back as the same moment in UTC, to the microsecond; None stays None."""
    given = datetime(2024, 3, 1, 1, 15, 30, 123456, tzinfo=EAST)
    await moments.add(Moment(at=given, ended=None))
    await moments.add_many([{"at": given + timedelta(days=1), "ended": given}])
    first, second = await moments.all()
    assert (first.at, first.at.tzinfo, first.ended) == (given, UTC, None)
    assert (second.ended, second.ended and second.ended.utcoffset()) == (given, timedelta(0))


async def test_moments_are_found_and_compared_across_zones(moments: Moments) -> None:
    """A moment is found by any zone's datetime, as a key and in a condition, and sorts as time does."""
    noon = datetime(2024, 3, 1, 12, tzinfo=UTC)
    # As text, the second would sort before the first.
    times = [noon.astimezone(EAST), (noon + timedelta(hours=1)).astimezone(timezone(-timedelta(hours=8)))]
    await moments.add_many([{"at": at} for at in times])
    found = await moments.get_many([noon + timedelta(hours=1), noon])
    assert [moment.at for moment in found] == [noon + timedelta(hours=1), noon]
    assert [moment.at for moment in await moments.all(order_by=Moment.at.desc())] == [noon + timedelta(hours=1), noon]
    assert await moments.count(Moment.at > times[0]) == 1
    assert await moments.scope.scalar(select(func.max(Moment.at))) == noon + timedelta(hours=1)


async def test_a_naive_datetime_is_refused(moments: Moments) -> None:
    """A datetime without a zone is InvalidValue wherever it is written or compared, and says what is missing."""
    naive = datetime(2024, 3, 1)
    for call in (
        moments.add(Moment(at=naive)),
        moments.add_many([{"at": naive}]),
        moments.get(naive),
        moments.count(Moment.at > naive),
    ):
        with pytest.raises(InvalidValue, match=r"without a time zone: say datetime\.now"):
            await call


def test_the_type_can_be_part_of_a_cached_statement() -> None:
    """SQLAlchemy may cache statements with the type."""
    assert UTCDateTime().cache_ok
    assert select(column("x", UTCDateTime)).where(literal(None) == 1)._generate_cache_key()
