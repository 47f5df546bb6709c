"""Universally unique identifiers."""

import uuid
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy import Uuid as PlainUuid

from repo.errors import InvalidValue
from repo.types.base import PortableType


class Uuid(PortableType[uuid.UUID]):
    """A ``uuid.UUID``, which comes out as just that; it sorts by its bytes.

    Stored as ``UUID`` on Postgres and as 32 hexadecimal digits on SQLite.

    Raises:
        InvalidValue: something else, such as a text.
        UsageError: an operator that does not compare.

        class Order(Base):
            id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    """

    impl = PlainUuid()
    cache_ok = True
    written = "sa.Uuid()"

    @property
    def python_type(self) -> type[uuid.UUID]:
        return uuid.UUID

    def process_bind_param(self, value: Any, dialect: Dialect) -> uuid.UUID | None:
        if value is not None and not isinstance(value, uuid.UUID):
            raise InvalidValue(f"a UUID is given as a uuid.UUID, not as {type(value).__name__}")
        return value

    def process_result_value(self, value: uuid.UUID | None, dialect: Dialect) -> uuid.UUID | None:
        # A driver may have a class of its own for them.
        return value if value is None or type(value) is uuid.UUID else uuid.UUID(int=value.int)
