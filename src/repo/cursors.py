"""Places in an order as opaque text: values by type, the order that they belong to, and a checksum."""

import base64
import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

from repo.errors import InvalidCursor, UsageError

LONGEST = 16_384
"""Characters of the longest cursor."""

_VERSION = 1
_DIGEST = 8
_HEAD = struct.Struct(f">B?{_DIGEST}s")


@dataclass(frozen=True, slots=True)
class Place:
    """A place between two rows of an order."""

    values: tuple[Any, ...]
    """What a row has in the terms of the order, as the driver gives it."""
    beyond: bool
    """Whether the place is behind that row, or before it."""


def digest(words: str) -> bytes:
    """What a cursor keeps of the order that it was made for."""
    return hashlib.blake2b(words.encode(), digest_size=_DIGEST).digest()


def encode(order: bytes, place: Place) -> str:
    """The place as text that is safe in a URL.

    Args:
        order: what ``digest`` makes of the order.
        place: its values are None, bool, int of 64 bits, float, str, bytes, Decimal, date,
            datetime, time, timedelta or UUID.

    Raises:
        UsageError: a value is none of these, or the text would be too long.
    """
    body = _HEAD.pack(_VERSION, place.beyond, order) + b"".join(map(_packed, place.values))
    text = base64.urlsafe_b64encode(_checksum(body) + body).rstrip(b"=").decode()
    if len(text) > LONGEST:
        raise UsageError(
            f"a page's cursor would have {len(text)} characters, and {LONGEST} is the most: the values of order_by "
            "are too long; order by something shorter, such as their first characters"
        )
    return text


def decode(order: bytes, cursor: object) -> Place:
    """The place that a cursor stands for.

    Raises:
        InvalidCursor: ``encode`` did not make it, or not for this order.
    """
    try:
        body = _body(cursor)
        version, beyond, made_for = _HEAD.unpack_from(body)
        place = Place(tuple(_unpacked(body[_HEAD.size :])), beyond)
        # Each place has one text only: another spelling of it was not made here.
        if version != _VERSION or encode(made_for, place) != cursor:
            raise ValueError
    except (ValueError, ArithmeticError, struct.error, UsageError):
        raise InvalidCursor(
            "this is no cursor of a page: cut off, changed on its way, or made by another version of repo; begin "
            "again without after= and before="
        ) from None
    if made_for != order:
        raise InvalidCursor(
            "this cursor was made for another order_by, another model or another database; begin again without "
            "after= and before="
        )
    return place


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST, person=b"repo.cursors").digest()


def _body(cursor: object) -> bytes:
    """The bytes that the text stands for, without their checksum, which is right."""
    if not isinstance(cursor, str) or len(cursor) > LONGEST:
        raise ValueError
    raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    checksum, body = raw[:_DIGEST], raw[_DIGEST:]
    if checksum != _checksum(body):
        raise ValueError
    return body


def _packed(value: Any) -> bytes:
    """A value with the tag of its kind."""
    for kind in _KINDS:
        if isinstance(value, kind.type):
            return kind.tag + kind.pack(value)
    raise UsageError(
        f"a page's cursor cannot hold a value of {type(value).__name__}: order by a number, a text, a moment or the "
        "like, for example by a cast"
    )


def _unpacked(data: bytes) -> Iterator[Any]:
    """The values, one after another."""
    while data:
        kind = _BY_TAG.get(data[:1])
        if kind is None:
            raise ValueError
        value, size = kind.unpack(data[1:])
        yield value
        data = data[1 + size :]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of value, and how it becomes bytes and comes back, together with their number."""

    tag: bytes
    type: type
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], tuple[Any, int]]


def _fixed(tag: bytes, kind: type, form: str, split: Callable[[Any], Any], join: Callable[..., Any]) -> _Kind:
    """A kind whose values are always of one size: numbers of the form of ``struct``."""
    numbers = struct.Struct(form)

    def unpack(data: bytes) -> tuple[Any, int]:
        return join(*numbers.unpack_from(data)), numbers.size

    return _Kind(tag, kind, lambda value: numbers.pack(*split(value)), unpack)


def _sized(tag: bytes, kind: type, split: Callable[[Any], bytes], join: Callable[[bytes], Any]) -> _Kind:
    """A kind whose values are of any size, which stands in front of them."""

    def pack(value: Any) -> bytes:
        data = split(value)
        return struct.pack(">I", len(data)) + data

    def unpack(data: bytes) -> tuple[Any, int]:
        (size,) = struct.unpack_from(">I", data)
        return join(data[4 : 4 + size]), 4 + size

    return _Kind(tag, kind, pack, unpack)


_MICROSECOND = timedelta(microseconds=1)
_BEGINNING = datetime.min.replace(tzinfo=UTC)


def _split_datetime(value: datetime) -> tuple[bool, int]:
    aware = value.tzinfo is not None
    return aware, (value - (_BEGINNING if aware else datetime.min)) // _MICROSECOND


def _join_datetime(aware: bool, since: int) -> datetime:
    return (_BEGINNING if aware else datetime.min) + since * _MICROSECOND


def _split_time(value: time) -> tuple[int, bool, int]:
    since = timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
    zone = value.utcoffset()
    return since // _MICROSECOND, zone is not None, zone // timedelta(seconds=1) if zone else 0


def _join_time(since: int, aware: bool, zone: int) -> time:
    value = datetime.min + since * _MICROSECOND  # a whole day more does not come back as the same text
    return value.time().replace(tzinfo=timezone(timedelta(seconds=zone)) if aware else None)


_KINDS = (
    _fixed(b"n", NoneType, ">", lambda _: (), lambda: None),
    _fixed(b"?", bool, ">?", lambda value: (value,), lambda value: value),  # a bool is an int, too
    _fixed(b"i", int, ">q", lambda value: (value,), lambda value: value),
    _fixed(b"f", float, ">d", lambda value: (value,), lambda value: value),
    _sized(b"s", str, str.encode, bytes.decode),
    _sized(b"b", bytes, bytes, bytes),
    _sized(b"m", Decimal, lambda value: str(value).encode(), lambda data: Decimal(data.decode())),
    _fixed(b"t", datetime, ">?q", _split_datetime, _join_datetime),  # a datetime is a date, too
    _fixed(b"d", date, ">I", lambda value: (value.toordinal(),), date.fromordinal),
    _fixed(b"h", time, ">Q?i", _split_time, _join_time),
    _fixed(b"l", timedelta, ">iII", lambda value: (value.days, value.seconds, value.microseconds), timedelta),
    _fixed(b"u", UUID, ">16s", lambda value: (value.bytes,), lambda data: UUID(bytes=data)),
)
_BY_TAG = {kind.tag: kind for kind in _KINDS}
