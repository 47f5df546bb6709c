"""A model with a column of each type of `repo`."""

import enum
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Repository
from repo.types import ExactDecimal, Json, TextEnum, UTCDateTime, Uuid


class Model(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData()


class Suit(enum.Enum):
    """A kind of card, of which the names sort otherwise than the values."""

    SPADES = 1
    HEARTS = 2


class Sample(Model):
    """A column of each type, and some beside them."""

    __tablename__ = "samples"
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    price: Mapped[Decimal | None] = mapped_column(ExactDecimal(6, 2))
    rate: Mapped[Decimal | None] = mapped_column(ExactDecimal(6, 4))
    long: Mapped[Decimal | None] = mapped_column(ExactDecimal(30, 2))
    longer: Mapped[Decimal | None] = mapped_column(ExactDecimal(31, 2))
    count: Mapped[int | None]
    suit: Mapped[Suit | None] = mapped_column(TextEnum(Suit))
    data: Mapped[Any] = mapped_column(Json, nullable=True)


class Samples(Repository[Sample]):
    """Samples."""
