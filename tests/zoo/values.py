"""Values of every kind that a column can hold."""

import enum
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    DateTime,
    Double,
    Enum,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    PickleType,
    String,
    Text,
    Time,
)
from sqlalchemy.dialects.postgresql import INT4RANGE, JSONB, Range
from sqlalchemy.ext.mutable import MutableDict, MutableList
from sqlalchemy.orm import Mapped, mapped_column

from repo.types import ExactDecimal, Json, TextEnum, UTCDateTime, Uuid
from tests.zoo.specimen import Specimen, Zoo


class Colour(enum.Enum):
    """Stored by name."""

    RED = "r"
    BLUE = "b"


class Size(enum.StrEnum):
    """Stored by value."""

    SMALL = "small one"
    LARGE = "large one"


class Scalars(Zoo):
    """One column of each plain type."""

    __tablename__ = "scalars"
    id: Mapped[int] = mapped_column(primary_key=True)
    flag: Mapped[bool]
    big: Mapped[int] = mapped_column(BigInteger)
    ratio: Mapped[float] = mapped_column(Double)
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    text: Mapped[str] = mapped_column(Text)
    blob: Mapped[bytes] = mapped_column(LargeBinary)
    day: Mapped[date]
    at: Mapped[datetime] = mapped_column(DateTime)
    moment: Mapped[datetime] = mapped_column(UTCDateTime)
    hour: Mapped[time] = mapped_column(Time)
    span: Mapped[timedelta] = mapped_column(Interval)
    other: Mapped[uuid.UUID]
    empty: Mapped[str | None]


class Enums(Zoo):
    """Enumerations: of the database's own kind and as text, by name and by value."""

    __tablename__ = "enums"
    id: Mapped[int] = mapped_column(primary_key=True)
    native: Mapped[Colour] = mapped_column(Enum(Colour, name="native_colour"))
    text: Mapped[Colour] = mapped_column(Enum(Colour, native_enum=False, length=20))
    by_value: Mapped[Size] = mapped_column(
        Enum(Size, name="size_by_value", values_callable=lambda sizes: [size.value for size in sizes])
    )
    words: Mapped[str] = mapped_column(Enum("on", "off", name="words"))
    none: Mapped[Colour | None] = mapped_column(Enum(Colour, name="native_colour"))


class Jsons(Zoo):
    """JSON: nothing and JSON's null, values that notice their changes, pickles."""

    __tablename__ = "jsons"
    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[Any] = mapped_column(JSON)
    null: Mapped[Any] = mapped_column(JSON, nullable=True)
    none: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    binary: Mapped[Any] = mapped_column(JSON().with_variant(JSONB, "postgresql"), nullable=True)
    noticed: Mapped[dict[str, Any] | None] = mapped_column(MutableDict.as_mutable(JSON))
    listed: Mapped[list[Any] | None] = mapped_column(MutableList.as_mutable(JSON))
    pickled: Mapped[Any] = mapped_column(PickleType, nullable=True)


class Portable(Zoo):
    """The types of `repo`."""

    __tablename__ = "portable"
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    price: Mapped[Decimal | None] = mapped_column(ExactDecimal(9, 3))
    long: Mapped[Decimal | None] = mapped_column(ExactDecimal(40, 20))
    at: Mapped[datetime] = mapped_column(UTCDateTime)
    size: Mapped[Size] = mapped_column(TextEnum(Size), default=Size.SMALL)
    data: Mapped[dict[str, Any] | None] = mapped_column(MutableDict.as_mutable(Json()))
    anything: Mapped[Any] = mapped_column(Json, nullable=True)


class Arrays(Zoo):
    """Lists and ranges that the database knows."""

    __tablename__ = "arrays"
    id: Mapped[int] = mapped_column(primary_key=True)
    integers: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    texts: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    matrix: Mapped[list[list[int]] | None] = mapped_column(ARRAY(Integer, dimensions=2))
    colours: Mapped[list[Colour] | None] = mapped_column(ARRAY(Enum(Colour, name="array_colour")))
    span: Mapped[Range[int] | None] = mapped_column(INT4RANGE)


VALUES = [
    Specimen(
        model=Scalars,
        row=lambda n: {
            "flag": bool(n % 2),
            "big": 2**40 + n,
            "ratio": n + 0.1,
            "price": Decimal(n) + Decimal("0.10"),
            "text": f"é \\ ' \" % {n}",
            "blob": bytes([0, 255, n]),
            "day": date(2024, 2, 29),
            "at": datetime(2024, 2, 29, 1, 2, 3, 456789),
            "moment": datetime(2024, 2, 29, 1, 2, 3, 456789, tzinfo=UTC),
            "hour": time(23, 59, 59, 999999),
            "span": timedelta(days=n, microseconds=1),
            "other": uuid.UUID(int=n),
        },
        change={"big": -1, "price": Decimal("99999999.99"), "text": "", "blob": b""},
    ),
    Specimen(
        model=Enums,
        row=lambda n: {
            "native": Colour.RED,
            "text": Colour.RED if n % 2 else Colour.BLUE,
            "by_value": Size.SMALL,
            "words": "on",
        },
        change={"native": Colour.BLUE, "by_value": Size.LARGE, "words": "off", "none": Colour.RED},
    ),
    Specimen(
        model=Jsons,
        row=lambda n: {
            "data": {"n": n, "list": [1, None, "é"]},
            "null": None,
            "none": None,
            "binary": [n],
            "noticed": {"n": n},
            "pickled": (n, {n}),
        },
        change={"data": None, "null": [], "none": "", "noticed": {"new": 1}, "listed": [1]},
        unordered=frozenset({"data", "null", "none", "binary", "noticed", "listed"}),
    ),
    Specimen(
        model=Portable,
        row=lambda n: {
            "price": Decimal(n) / 8 if n else None,
            "long": Decimal(1 - n) / 2**20,
            "at": datetime(2024, 2, 29, n, tzinfo=UTC),
            "data": {"n": n, "list": [None, 1.5]},
        },
        change={"price": Decimal("-0.001"), "size": Size.LARGE, "data": None, "anything": [{"a": []}, "b"]},
        unordered=frozenset({"data", "anything"}),
    ),
    Specimen(
        model=Arrays,
        row=lambda n: {"integers": [n], "texts": None, "matrix": [[1, 2], [3, n]], "colours": [Colour.RED]},
        change={"integers": [], "texts": ["a", "b,{}"], "colours": None, "span": Range(1, 5)},
        unordered=frozenset({"integers", "texts", "matrix", "colours"}),
        feature="arrays",
    ),
]
