"""Rows of several keys by one statement, for callers of which each has one key."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Select, inspect
from sqlalchemy.orm import Mapper, Session

from repo.engine import directly, hydration
from repo.engine.conditions import KEYS, Key
from repo.engine.directly import Direct, NotDirectly
from repo.engine.plans import Plans

_BITS = {"integer": 32, "INTEGER": 32, "big_integer": 64, "BIGINT": 64, "small_integer": 16, "SMALLINT": 16}
_TEXTS = ("string", "text", "unicode", "unicode_text", "VARCHAR", "TEXT")
_UUIDS = ("uuid", "UUID")


def shareable(mapper: Mapper[Any], key: Key) -> bool:
    """Whether a key may be asked for together with others.

    It must not be able to fail by itself, as a number out of range does, because the others would
    fail with it; and what the database finds for it must be equal to it in Python.
    """
    return _check_of(mapper)(key)


@lru_cache(maxsize=1024)
def _check_of(mapper: Mapper[Any]) -> Callable[[Key], bool]:
    """Whether the key's columns take values as they are."""
    first, *others = checks = [_check(column.type) for column in mapper.primary_key]
    if not others:
        return lambda key: first(key[0])
    return lambda key: all(takes(value) for takes, value in zip(checks, key, strict=True))


def _check(kind: Any) -> Callable[[Any], bool]:
    """Whether a column of this type takes a value as it is."""
    name = kind.__visit_name__
    if name in _BITS:
        low, high = -(1 << _BITS[name] - 1), 1 << _BITS[name] - 1
        return lambda value: type(value) is int and low <= value < high
    if name in _TEXTS:
        return lambda value: type(value) is str and _is_text(value)
    return lambda value: isinstance(value, UUID) and name in _UUIDS and bool(kind.as_uuid)


def _is_text(value: str) -> bool:
    """Whether a database takes a text: Postgres refuses the character NUL, and UTF-8 half a pair of surrogates."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def mark(load: Any) -> Hashable:
    """What is the same for the same ``load=``, of which the parts compare to an expression."""
    return tuple(map(mark, load)) if isinstance(load, list | tuple) else id(load)


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds rows of a model by key, each for a caller of its own.

    Its functions take a ``Session`` and run inside SQLAlchemy's greenlet.
    """

    mapper: Mapper[Any]
    select: Callable[[Sequence[Key]], Select[Any]]
    """Makes the statement for some keys, which are such as may be asked for together."""
    one: Callable[[Session, Key], Any]
    """Finds a row by itself, or None."""
    always: bool
    """Whether a row is asked for even if the session has its entity."""
    apart: bool
    """Whether each caller gets an entity of its own, which comes back detached."""

    def find(self, own: Session, keys: Sequence[Key]) -> list[Any]:
        """The entity of each key, or None; one for each caller."""
        return self._detached(own, keys) if self.apart else self._attached(own, keys)

    def direct(
        self,
        plans: Plans | None,
        keys: Sequence[Key],
        reaching: Callable[[Select[Any], Sequence[Any]], Select[Any]],
        parts: Sequence[Any],
    ) -> Direct[list[Any]] | None:
        """The same on the short way; None where that is not to be had.

        Args:
            plans: those of the scope.
            keys: one for each caller.
            reaching: adds what the repository reaches to a SELECT.
            parts: the expressions of which that consists.
        """

        def finish(found: Sequence[Any]) -> list[Any]:
            keys_of = hydration.keys_of(self.mapper) if self.apart else _identities
            by_key = dict(zip(keys_of(found), found, strict=True))
            each = [by_key.get(key) for key in keys]
            if any(_has_text(key) for one, key in zip(each, keys, strict=True) if one is None):
                raise NotDirectly
            if not self.apart:
                return each
            there = iter(hydration.hydrator(self.mapper)([row for row in each if row is not None]))
            return [None if row is None else next(there) for row in each]

        return directly.by_keys(plans, self.mapper, padded(keys), reaching, finish, parts=parts, rows=self.apart)

    def _detached(self, own: Session, keys: Sequence[Key]) -> list[Any]:
        """The entity of each key, or None; for the same key twice, two entities.

        Args:
            own: a session that has nothing else to do; the entities come back detached.
            keys: one for each caller.
        """
        found: list[Any | None] = [None] * len(keys)
        for places in _rounds(keys):
            read = self._read(own, [keys[place] for place in places])
            own.expunge_all()
            for place in places:
                key = keys[place]
                found[place] = read.get(key)
                if found[place] is None and _has_text(key):
                    found[place] = self.one(own, key)
                    own.expunge_all()
        return found

    def _attached(self, own: Session, keys: Sequence[Key]) -> list[Any]:
        """The entity of each key, or None, as the session has it: one for a row.

        Args:
            own: a session that goes on; it gives what it has without a statement.
            keys: one for each caller.
        """
        distinct = list(dict.fromkeys(keys))
        known = {key for key in distinct if self.is_known(own, key)}
        unknown = [key for key in distinct if key not in known]
        found = self._read(own, unknown) if unknown else {}
        for key in distinct:
            if key not in found and (key in known or _has_text(key) or self._has_expired(own, key)):
                found[key] = self.one(own, key)
        return [found.get(key) for key in keys]

    def is_known(self, own: Session, key: Key) -> bool:
        """Whether a session gives what belongs to a key without a statement."""
        if self.always or self.mapper.always_refresh:
            return False
        entity = own.identity_map.get(self.mapper.identity_key_from_primary_key(key))
        return entity is not None and not inspect(entity).expired

    def _read(self, own: Session, keys: Sequence[Key]) -> dict[Key, Any]:
        """The entities that there are, by key."""
        entities = own.scalars(self.select(padded(keys))).unique()
        return {tuple(self.mapper.primary_key_from_instance(entity)): entity for entity in entities}

    def _has_expired(self, own: Session, key: Key) -> bool:
        """Whether a session has an entity that it lets go when the row proves to be gone."""
        return not self.always and self.mapper.identity_key_from_primary_key(key) in own.identity_map


def padded(keys: Sequence[Key]) -> Sequence[Key]:
    """The keys, of which one is repeated until their number is a power of two.

    Each number makes another text of the statement, which SQLAlchemy, the driver and the server would
    have to keep.
    """
    size = max(min(1 << (len(keys) - 1).bit_length(), KEYS), len(keys))
    return [*keys, *[keys[-1]] * (size - len(keys))]


def _identities(entities: Sequence[Any]) -> list[Key]:
    return [tuple(inspect(entity).identity) for entity in entities]


def _has_text(key: Key) -> bool:
    """Whether a column may compare the key in a way of its own, without regard to case for one."""
    return any(isinstance(value, str) for value in key)


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
