"""Column types that behave the same on every database."""

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect
from sqlalchemy.types import TypeDecorator

from repo.errors import InvalidValue


class UTCDateTime(TypeDecorator[datetime]):
    """A moment in time: aware ``datetime`` in any zone goes in, aware in UTC comes out.

    Stored as ``TIMESTAMP WITH TIME ZONE`` on Postgres and as text in UTC on SQLite, where it sorts
    and compares as the moment does.

    Raises:
        InvalidValue: a naive ``datetime``, as which moment it means nobody can know.

        class Flight(Base):
            departed_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise InvalidValue("a datetime without a time zone: say datetime.now(UTC), for example")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
