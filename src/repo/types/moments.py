"""Moments in time."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect

from repo.errors import InvalidValue
from repo.types.base import PortableType


class UTCDateTime(PortableType[datetime]):
    """A moment in time: aware ``datetime`` in any zone goes in, aware in UTC comes out.

    Stored as ``TIMESTAMP WITH TIME ZONE`` on Postgres and as text in UTC on SQLite, where it sorts
    and compares as the moment does.

    Raises:
        InvalidValue: a naive ``datetime``, as which moment it means nobody can know; something else.
        UsageError: an operator that does not compare.

        class Flight(Base):
            departed_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """

    impl = DateTime(timezone=True)
    cache_ok = True
    written = "sa.DateTime(timezone=True)"

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_bind_param(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if not isinstance(value, datetime):
            raise InvalidValue(f"a moment is given as an aware datetime, not as {type(value).__name__}")
        if value.utcoffset() is None:
            raise InvalidValue("a datetime without a time zone: say datetime.now(UTC), for example")
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise InvalidValue("a moment that is not in the years 1 to 9999 of UTC") from None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
