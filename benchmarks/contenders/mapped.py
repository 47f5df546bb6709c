"""The tables as SQLAlchemy's declarative classes, which three contenders share."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Double, ForeignKey, Integer, Numeric, SmallInteger, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeEngine

from benchmarks.schema import MODELS, TABLE, Column, Model, kind_of

TYPES: dict[str, TypeEngine[Any]] = {
    "float": Double(),
    "smallint": SmallInteger(),
    "int": Integer(),
    "bigint": BigInteger(),
    "char": String(255),
    "text": Text(),
    "decimal": Numeric(12, 8),
    "json": JSON().with_variant(JSONB(), "postgresql"),
}


def now() -> datetime:
    """The default of a time."""
    return datetime.now(UTC)


class Common:
    """The columns that every table has."""

    id: Mapped[int] = mapped_column(primary_key=True)
    timestamp: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
    level: Mapped[int] = mapped_column(SmallInteger, index=True)
    text: Mapped[str] = mapped_column(String(255), index=True)


def journal(model: Model) -> type[Any]:
    """The class for a table, on a base of its own."""
    base = type("Base", (DeclarativeBase,), {})
    members: dict[str, Any] = {"__tablename__": TABLE, "__annotations__": {}}
    if model.name == "related":
        members |= {
            "parent_id": mapped_column(ForeignKey(f"{TABLE}.id"), index=True),
            "parent": relationship("Journal", remote_side="Journal.id", back_populates="children"),
            "children": relationship("Journal", back_populates="parent"),
        }
    for column in MODELS["wide"][4:] if model.name == "wide" else ():
        members[column.name] = _wide(column)
    return type("Journal", (Common, base), members)


def _wide(column: Column) -> Any:
    """A column of the wide table."""
    kind = TYPES[kind_of(column.name)]
    return mapped_column(kind, nullable=True) if column.nullable else mapped_column(kind, default=column.default)
