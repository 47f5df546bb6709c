"""Keys of every kind: who makes them, of what they are, and how many columns they have."""

import enum
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Identity, Integer, String
from sqlalchemy import Uuid as PlainUuid
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.functions import FunctionElement

from repo.types import ExactDecimal, TextEnum, UTCDateTime, Uuid
from tests.zoo.specimen import Specimen, Zoo

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)


class NewUuid(FunctionElement[Any]):
    """A random UUID that the database makes, in the way in which SQLAlchemy stores one there."""

    inherit_cache = True


@compiles(NewUuid, "postgresql")
def _in_postgres(*_: Any, **__: Any) -> str:
    return "gen_random_uuid()"


@compiles(NewUuid, "sqlite")
def _in_sqlite(*_: Any, **__: Any) -> str:
    return "(lower(hex(randomblob(16))))"


class IntegerKey(Zoo):
    """A number that the database counts."""

    __tablename__ = "integer_keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class IdentityKey(Zoo):
    """A number that only the database may give, where it has such columns."""

    __tablename__ = "identity_keys"
    id: Mapped[int] = mapped_column(Identity(always=True, start=7), primary_key=True)
    name: Mapped[str]


class UuidKey(Zoo):
    """A UUID that Python makes."""

    __tablename__ = "uuid_keys"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str]


class ServerUuidKey(Zoo):
    """A UUID that the database makes."""

    __tablename__ = "server_uuid_keys"
    id: Mapped[uuid.UUID] = mapped_column(PlainUuid, primary_key=True, server_default=NewUuid())
    name: Mapped[str]


class StringKey(Zoo):
    """A key that means something."""

    __tablename__ = "string_keys"
    code: Mapped[str] = mapped_column(String(20), primary_key=True)
    name: Mapped[str]


class RenamedKey(Zoo):
    """A key whose attribute has another name than its column, and a third name in the table."""

    __tablename__ = "renamed_keys"
    key: Mapped[int] = mapped_column("the_id", Integer, key="table_key", primary_key=True)
    name: Mapped[str] = mapped_column("the name (in %)", key="table_name")


class MomentKey(Zoo):
    """A key of a type that converts its values."""

    __tablename__ = "moment_keys"
    at: Mapped[datetime] = mapped_column(UTCDateTime, primary_key=True)
    name: Mapped[str]


class Suit(enum.Enum):
    """A kind of card."""

    HEARTS = "h"
    SPADES = "s"


class CompositeKey(Zoo):
    """Several columns of several types, in another order than that of the attributes."""

    __tablename__ = "composite_keys"
    name: Mapped[str]
    suit: Mapped[Suit] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column("position", primary_key=True, autoincrement=False)
    deck: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)


class PortableKey(Zoo):
    """Several columns of the types of `repo`."""

    __tablename__ = "portable_keys"
    name: Mapped[str]
    number: Mapped[Decimal] = mapped_column(ExactDecimal(5, 2), primary_key=True)
    long: Mapped[Decimal] = mapped_column(ExactDecimal(30, 10), primary_key=True)
    suit: Mapped[Suit] = mapped_column(TextEnum(Suit), primary_key=True)
    at: Mapped[datetime] = mapped_column(UTCDateTime, primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)


def _named(n: int) -> dict[str, Any]:
    return {"name": f"name {n}"}


KEYS = [
    Specimen(model=IntegerKey, row=_named, change={"name": "new"}),
    Specimen(model=IdentityKey, row=_named, change={"name": "new"}, without=("upsert", "get_or_add")),
    Specimen(model=UuidKey, row=_named, change={"name": "new"}),
    Specimen(model=ServerUuidKey, row=_named, change={"name": "new"}),
    Specimen(model=StringKey, row=lambda n: {"code": f"é'{n}", "name": "old"}, change={"name": "new"}),
    Specimen(model=RenamedKey, row=lambda n: {"key": n, "name": "old"}, change={"name": "new"}),
    Specimen(
        model=MomentKey,
        row=lambda n: {"at": EPOCH + timedelta(microseconds=n), "name": "old"},
        change={"name": "new"},
    ),
    Specimen(
        model=CompositeKey,
        row=lambda n: {"name": "old", "suit": list(Suit)[n % 2], "rank": n},
        change={"name": "new"},
    ),
    Specimen(
        model=PortableKey,
        row=lambda n: {
            "name": "old",
            "number": Decimal(n // 2),
            "long": Decimal(10**19) - n,
            "suit": list(Suit)[n % 2],
            "at": EPOCH + timedelta(hours=n),
        },
        change={"name": "new"},
    ),
]
