"""Cursors: every value comes back as it was, and whatever was not made here is refused."""

import base64
import hashlib
import random
import string
import struct
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo import UsageError
from repo.cursors import LONGEST, Place, decode, digest, encode
from repo.errors import InvalidCursor

ORDER = digest("users.name, users.id")
OTHER = digest("users.age, users.id")
ALPHABET = string.ascii_letters + string.digits + "-_"
ZONES = st.integers(-15 * 60, 15 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
ZONE = timezone(timedelta(hours=-5, minutes=-30))
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=50),
    st.binary(max_size=50),
    st.decimals(),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=ZONES),
    st.times(),
    st.times(timezones=ZONES),
    st.timedeltas(),
    st.uuids(),
)
EDGES = (
    *(None, True, False, 0, -1, 2**63 - 1, -(2**63), -0.0, 5e-324, float("inf"), float("-inf"), "", "é\0", b"", b"\0"),
    *(Decimal("1.50"), Decimal("-0"), Decimal("1E+40"), Decimal("Infinity"), date.min, date.max, datetime.min),
    *(datetime.max, datetime.max.replace(tzinfo=UTC), time.max, time(1, tzinfo=ZONE), timedelta.min, timedelta.max),
    *(UUID(int=0), UUID(int=2**128 - 1)),
)


def same(one: Any, other: Any) -> bool:
    """Whether both are the same, with their types, their digits and the sign of their zero."""
    return type(one) is type(other) and (repr(one) == repr(other) or one == other)


def forged(values: bytes, *, version: int = 1, beyond: int = 1, order: bytes = ORDER) -> str:
    """A cursor with a right checksum, by someone who has read how it is made."""
    body = bytes([version, beyond]) + order + values
    checksum = hashlib.blake2b(body, digest_size=8, person=b"repo.cursors").digest()
    return base64.urlsafe_b64encode(checksum + body).rstrip(b"=").decode()


@given(st.lists(VALUES, max_size=5), st.booleans())
def test_values_come_back_as_they_were(values: list[Any], beyond: bool) -> None:
    """Whatever a cursor was made of comes back by type, digits, zone and microsecond, and makes the same cursor."""
    cursor = encode(ORDER, Place(tuple(values), beyond))
    place = decode(ORDER, cursor)
    assert set(cursor) <= set(ALPHABET)
    assert (len(place.values), place.beyond) == (len(values), beyond)
    assert all(map(same, place.values, values))
    assert encode(ORDER, place) == cursor


@pytest.mark.parametrize("value", EDGES, ids=repr)
def test_the_edges_of_each_type_come_back(value: Any) -> None:
    """The smallest, largest and emptiest values come back, too."""
    (back,) = decode(ORDER, encode(ORDER, Place((value,), beyond=False))).values
    assert same(back, value)


def test_a_moment_comes_back_in_utc() -> None:
    """Of an aware datetime the moment is kept, not the zone."""
    noon = datetime(2024, 1, 1, 12, 0, 0, 1, tzinfo=ZONE)
    (back,) = decode(ORDER, encode(ORDER, Place((noon,), beyond=True))).values
    assert back == noon
    assert back.tzinfo is UTC


@pytest.mark.parametrize("value", [[1], {"a": 1}, object(), 1j, (1,)], ids=lambda value: type(value).__name__)
def test_a_value_of_another_type_is_refused(value: Any) -> None:
    """What has no place in a cursor is refused when it is made, without being shown."""
    with pytest.raises(UsageError, match=r"^a page's cursor cannot hold a value of \w+: order by"):
        encode(ORDER, Place((value,), beyond=True))


def test_a_cursor_has_a_longest_length() -> None:
    """A value that would make too long a cursor is refused when it is made, and a longer text when it is read."""
    assert len(encode(ORDER, Place(("x" * 12_000,), beyond=True))) < LONGEST
    with pytest.raises(UsageError, match=r"^a page's cursor would have \d+ characters, and 16384 is the most"):
        encode(ORDER, Place(("x" * 13_000,), beyond=True))
    with pytest.raises(InvalidCursor):
        decode(ORDER, forged(b"s" + struct.pack(">I", 13_000) + b"x" * 13_000))


def test_a_cursor_belongs_to_its_order() -> None:
    """A cursor that was made for another order is refused by name."""
    with pytest.raises(InvalidCursor, match=r"^this cursor was made for another order_by, another model"):
        decode(OTHER, encode(ORDER, Place((1,), beyond=True)))


def test_a_cursor_with_any_character_changed_is_refused() -> None:
    """Each character of a cursor, changed to each other one, left out, doubled or followed by more, is noticed."""
    cursor = encode(ORDER, Place(("Ada", 1, None, 1.5, datetime(2024, 1, 1)), beyond=True))
    changed = {cursor[:at] + other + cursor[at + 1 :] for at in range(len(cursor)) for other in ALPHABET}
    changed |= {cursor[:at] + cursor[at + 1 :] for at in range(len(cursor))}
    changed |= {cursor[:at] + cursor[at] + cursor[at:] for at in range(len(cursor))}
    changed |= {cursor[:at] for at in range(len(cursor))} | {cursor + end for end in ("=", "==", "A", "\n", " ", ".")}
    refused = [text for text in changed - {cursor} if is_refused(text)]
    assert len(refused) == len(changed) - 1


def test_a_cursor_with_any_byte_changed_is_refused() -> None:
    """The same of its bytes, each bit of each."""
    raw = base64.urlsafe_b64decode(encode(ORDER, Place((1, "x"), beyond=True)) + "=")
    for at in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[at // 8] ^= 1 << at % 8
        assert is_refused(base64.urlsafe_b64encode(changed).rstrip(b"=").decode())


def test_a_hundred_thousand_fuzzed_cursors_are_refused() -> None:
    """Random text, and cursors with random bytes behind a right checksum, are refused or are places; nothing else."""
    chance = random.Random(20240101)
    cursor = encode(ORDER, Place(("Ada", 1), beyond=True))
    for _ in range(60_000):
        characters = list(cursor)
        for _ in range(chance.randint(1, 4)):
            characters[chance.randrange(len(cursor))] = chance.choice(ALPHABET + "=+/ é\0")
        text = "".join(characters)
        assert is_refused(text) or text == cursor
    for _ in range(40_000):
        tag = chance.choice("n?ifsbmtdhluxyz").encode()
        text = forged(tag + chance.randbytes(chance.randint(0, 16)))
        if not is_refused(text):
            assert encode(ORDER, decode(ORDER, text)) == text


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "====", "é", None, 5, b"AAAA", "A" * 100_000, "1 OR 1=1", "'; DROP TABLE users; --", [], "\uff21" * 4],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_cursor_is_refused(cursor: Any) -> None:
    """Anything else, of any type, is InvalidCursor and no other error; it is not shown."""
    with pytest.raises(InvalidCursor, match=r"^this is no cursor of a page: cut off, changed on its way, or made by"):
        decode(ORDER, cursor)


@pytest.mark.parametrize(
    "values",
    {
        "unknown kind": b"x",
        "cut off": b"i\0\0",
        "number with a tail": b"i" + struct.pack(">q", 1) + b"\0",
        "text shorter than it says": b"s\0\0\0\x09abc",
        "text that is no UTF-8": b"s\0\0\0\1\xff",
        "truth that is not 1": b"?\2",
        "moment after the last": b"t\0" + struct.pack(">q", 2**62),
        "moment before the first": b"t\1" + struct.pack(">q", -1),
        "day before the first": b"d\0\0\0\0",
        "day after the last": b"d\xff\xff\xff\xff",
        "time of a day of 25 hours": b"h" + struct.pack(">Q?i", 25 * 3_600_000_000, False, 0),
        "time in a zone of two days": b"h" + struct.pack(">Q?i", 0, True, 172_800),
        "time without a zone in a zone": b"h" + struct.pack(">Q?i", 0, False, 60),
        "span too long": b"l" + struct.pack(">iII", 2**31 - 1, 0, 0),
        "span of seconds that are days": b"l" + struct.pack(">iII", 0, 86_400, 0),
        "number that is none": b"m\0\0\0\3abc",
        "number in another spelling": b"m\0\0\0\3 1 ",
        "number in other digits": b"m\0\0\0\2\xd9\xa1",
        "number too large for anything": b"m\0\0\0\x18" + b"1e9999999999999999999999",
        "UUID cut off": b"u123",
    }.items(),
    ids=lambda pair: pair[0],
)
def test_a_forged_cursor_is_refused(values: tuple[str, bytes]) -> None:
    """Who recomputes the checksum still cannot make what `encode` would not have made."""
    with pytest.raises(InvalidCursor):
        decode(ORDER, forged(values[1]))


def test_another_version_or_flag_is_refused() -> None:
    """A cursor of another version, or with a flag that is neither, is refused; the forgery itself is a good one."""
    assert decode(ORDER, forged(b"n")) == Place((None,), beyond=True)
    for wrong in (forged(b"n", version=2), forged(b"n", beyond=2), forged(b"n", order=ORDER + b"\0")):
        assert is_refused(wrong)


def is_refused(cursor: str) -> bool:
    try:
        decode(ORDER, cursor)
    except InvalidCursor:
        return True
    return False
