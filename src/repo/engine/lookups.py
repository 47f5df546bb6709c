"""Rows of several keys by one statement, for callers of which each has one key."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.orm import Mapper, Session

from repo.engine.conditions import Key

_BITS = {"integer": 32, "INTEGER": 32, "big_integer": 64, "BIGINT": 64, "small_integer": 16, "SMALLINT": 16}
_TEXTS = ("string", "text", "unicode", "unicode_text", "VARCHAR", "TEXT")
_UUIDS = ("uuid", "UUID")


def shareable(mapper: Mapper[Any], key: Key) -> bool:
    """Whether a key may be asked for together with others.

    It must not be able to fail by itself, as a number out of range does, because the others would
    fail with it; and what the database finds for it must be equal to it in Python.
    """
    return all(_plain(column.type, value) for column, value in zip(mapper.primary_key, key, strict=True))


def _plain(kind: Any, value: Any) -> bool:
    """Whether a column of this type takes the value as it is."""
    name = kind.__visit_name__
    if type(value) is int:
        return name in _BITS and -(1 << _BITS[name] - 1) <= value < 1 << _BITS[name] - 1
    if type(value) is str:
        # Postgres refuses the character NUL, and UTF-8 half a pair of surrogates.
        return name in _TEXTS and "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
    return isinstance(value, UUID) and name in _UUIDS and bool(kind.as_uuid)


def mark(load: Any) -> Hashable:
    """What is the same for the same ``load=``, of which the parts compare to an expression."""
    return tuple(map(mark, load)) if isinstance(load, list | tuple) else id(load)


def find(own: Session, mapper: Mapper[Any], select: Callable[[Sequence[Key]], Select[Any]], keys: Sequence[Key]) -> Any:
    """The entity of each key, or None, as a list; for the same key twice, two entities.

    Args:
        own: a session that has nothing else to do; the entities come back detached.
        mapper: the model's.
        select: makes the statement for some keys.
        keys: what ``shareable`` says may be asked for together.
    """
    found: list[Any | None] = [None] * len(keys)
    for places in _rounds(keys):
        read = _read(own, mapper, select, [keys[place] for place in places])
        for place in places:
            found[place] = read.get(keys[place])
            if found[place] is None and any(isinstance(value, str) for value in keys[place]):
                # A column may compare texts in a way of its own, without regard to case for one.
                found[place] = own.scalars(select([keys[place]])).unique().one_or_none()
        own.expunge_all()
    return found


def _rounds(keys: Sequence[Key]) -> Iterator[list[int]]:
    """The places of the keys, those of the first occurrence of each, those of the second, and so on."""
    rounds: list[list[int]] = []
    seen: Counter[Key] = Counter()
    for place, key in enumerate(keys):
        if seen[key] == len(rounds):
            rounds.append([])
        rounds[seen[key]].append(place)
        seen[key] += 1
    yield from rounds


def _read(
    own: Session, mapper: Mapper[Any], select: Callable[[Sequence[Key]], Select[Any]], keys: list[Key]
) -> dict[Key, Any]:
    """The entities that there are, by key.

    One key is repeated until their number is a power of two: each number makes another text of the
    statement, which SQLAlchemy, the driver and the server would have to keep.
    """
    padded = keys + keys[-1:] * ((1 << (len(keys) - 1).bit_length()) - len(keys))
    return {tuple(mapper.primary_key_from_instance(entity)): entity for entity in own.scalars(select(padded)).unique()}
