"""Values that asyncpg gives, and that Postgres then compares with what they came from."""

from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Dialect,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    String,
    Time,
    Uuid,
    extract,
    func,
    literal_column,
)
from sqlalchemy.dialects.postgresql import INTERVAL
from sqlalchemy.types import TypeDecorator, TypeEngine

_DIGITS = 131_072, 16_383
"""Digits of a ``numeric`` before and behind its point."""
_ZONE = timedelta(hours=16)
"""Every zone of a ``timetz`` is nearer to UTC."""

_FAMILIES: tuple[tuple[type[TypeEngine[Any]] | tuple[type[TypeEngine[Any]], ...], type | tuple[type, ...]], ...] = (
    ((Integer, Float, Numeric), (int, float, Decimal)),
    (Boolean, bool),
    (String, str),
    ((Date, DateTime), date),
    (Time, time),
    (INTERVAL, timedelta),
    (LargeBinary, bytes),
)
"""Types of which each can be compared with the others of its line, and the values that stand for them."""


def stored(kind: TypeEngine[Any], syntax: Dialect) -> TypeEngine[Any]:
    """The type that a column of this type has in the database."""
    found = kind.dialect_impl(syntax)
    while isinstance(found, TypeDecorator) and not isinstance(found, Interval):
        found = found.load_dialect_impl(syntax).dialect_impl(syntax)
    return found


def comparable(kind: TypeEngine[Any], value: object) -> bool:
    """Whether Postgres takes the value for one to compare with those of a stored type."""
    is_truth = isinstance(kind, Boolean) == isinstance(value, bool)  # Python's truth values are integers, too
    return is_truth and isinstance(value, _values_of(kind)) and _is_in_range(kind, value)


def _values_of(kind: TypeEngine[Any]) -> type | tuple[type, ...]:
    """The values that stand for those of a type and of others that can be compared with it."""
    if isinstance(kind, Uuid):
        return UUID if kind.native_uuid else str
    if isinstance(kind, Interval):
        return date  # an Interval that is not native is stored as a moment
    return next((values for types, values in _FAMILIES if isinstance(kind, types)), ())


def _is_in_range(kind: TypeEngine[Any], value: object) -> bool:
    """Whether a value of the right kind is one that Postgres has."""
    if isinstance(value, str):
        known = not isinstance(kind, Enum) or not kind.native_enum or value in kind.enums
        return known and "\0" not in value
    if isinstance(value, Decimal) and value.is_finite():
        exponent = value.as_tuple().exponent
        return value.adjusted() < _DIGITS[0] and isinstance(exponent, int) and exponent >= -_DIGITS[1]
    if isinstance(value, Decimal):
        return str(value) in ("NaN", "Infinity", "-Infinity")
    zone = value.utcoffset() if isinstance(value, time) else None
    return zone is None or abs(zone) < _ZONE


def in_days(element: ColumnElement[Any]) -> ColumnElement[Any]:
    """An interval with 30 days for each of its months, which is how Postgres compares it.

    asyncpg gives twelve months as 365 days, and that is not equal to them.
    """
    months = extract("year", element) * 12 + extract("month", element)
    return element - func.date_trunc("month", element) + months * literal_column("INTERVAL '30 days'")
