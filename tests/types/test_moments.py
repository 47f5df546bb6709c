"""Moments in time."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest
from sqlalchemy import func, select

from repo.errors import InvalidValue
from tests.types.samples import Sample, Samples

EAST = timezone(timedelta(hours=5, minutes=30))
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


async def test_a_moment_comes_back_in_utc(samples: Samples) -> None:
    """An aware datetime of any zone comes back as the same moment in UTC, to the microsecond; None stays None."""
    given = datetime(2024, 3, 1, 1, 15, 30, 123456, tzinfo=EAST)
    await samples.add(Sample(at=given, until=None))
    await samples.add_many([{"at": given + timedelta(days=1), "until": given}])
    first, second = await samples.all(order_by=Sample.at)
    assert (first.at, first.at and first.at.tzinfo, first.until) == (given, UTC, None)
    assert (second.until, second.until and second.until.tzinfo) == (given, UTC)


async def test_moments_are_compared_across_zones(samples: Samples) -> None:
    """A moment is found by any zone's datetime, and sorts as time does, not as what a clock shows."""
    # As text, the second would sort before the first.
    later = NOON + timedelta(hours=1)
    times = [NOON.astimezone(EAST), later.astimezone(timezone(-timedelta(hours=8)))]
    await samples.add_many([{"at": at} for at in times])
    assert [sample.at for sample in await samples.all(order_by=Sample.at.desc())] == [later, NOON]
    assert await samples.count(Sample.at > times[0]) == 1
    assert await samples.count(Sample.at == times[1]) == 1
    assert await samples.scope.scalar(select(func.max(Sample.at))) == later


class Nowhere(tzinfo):
    """A zone that does not know how far it is from UTC, which for Python is none."""

    def utcoffset(self, _: datetime | None) -> None:
        return None

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> str:
        return "nowhere"


@pytest.mark.parametrize("zone", [None, Nowhere()])
async def test_a_naive_datetime_is_refused(samples: Samples, zone: tzinfo | None) -> None:
    """A datetime without a zone is InvalidValue wherever it is written or compared, and says what is missing."""
    naive = datetime(2024, 3, 1, tzinfo=zone)
    for call in (
        samples.add(Sample(at=naive)),
        samples.add_many([{"at": naive}]),
        samples.count(Sample.at > naive),
        samples.count(Sample.at.in_([naive])),
    ):
        with pytest.raises(InvalidValue, match=r"without a time zone: say datetime\.now"):
            await call
