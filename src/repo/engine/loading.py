"""Relationships: which to load with an entity, and how."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import ColumnProperty, Mapper, RelationshipProperty, Session, selectinload, undefer
from sqlalchemy.orm.attributes import QueryableAttribute, set_committed_value
from sqlalchemy.orm.collections import collection_adapter
from sqlalchemy.orm.interfaces import ORMOption

from repo.engine.conditions import Key, by_identities, in_parts, name_of
from repo.engine.execution import whole
from repo.errors import UsageError

LATER = ("select", True, "raise", "raise_on_sql", "dynamic", "write_only")
"""How a relationship may be loaded by default so that an entity comes without it."""


def options(mapper: Mapper[Any], load: Any) -> list[Any]:
    """Loader options for ``load=``: an attribute, a path of attributes, an option, or a list.

    Raises:
        UsageError: something else, or another model's attribute.
    """
    if load is None:
        return []
    return [_option(mapper, path) for path in (load if isinstance(load, list) else [load])]


def _option(mapper: Mapper[Any], path: Any) -> Any:
    """The loader option for one path."""
    if isinstance(path, ORMOption):
        return path
    attributes: list[Any] = list(path) if isinstance(path, tuple) and path else [path]
    for attribute in attributes:
        _check_attribute(mapper, attribute)
    first, *others = attributes
    if not (mapper.isa(first.parent.mapper) or first.parent.mapper.isa(mapper)):
        raise UsageError(f"load= of {name_of(mapper)} takes attributes of {name_of(mapper)}, not {first}")
    option = _step(None, first)
    try:
        for attribute in others:
            option = _step(option, attribute)
    except ArgumentError as error:
        raise UsageError(f"load= of {name_of(mapper)} cannot follow the path: {error}") from error
    return option


def _check_attribute(mapper: Mapper[Any], attribute: Any) -> None:
    """Refuse what cannot be a step of a path."""
    kind = getattr(attribute, "property", None) if isinstance(attribute, QueryableAttribute) else None
    if not isinstance(kind, RelationshipProperty | ColumnProperty):
        raise UsageError(
            f"load= of {name_of(mapper)} takes a relationship such as User.orders, a path as a tuple "
            "such as (User.orders, Order.lines), a deferred column, an option of SQLAlchemy, or a "
            f"list of these; not {type(attribute).__name__}"
        )


def _step(option: Any, attribute: QueryableAttribute[Any]) -> Any:
    """The option that goes one attribute further: a relationship, or a deferred column."""
    if isinstance(attribute.property, ColumnProperty):
        return undefer(attribute) if option is None else option.undefer(attribute)
    return selectinload(attribute) if option is None else option.selectinload(attribute)


@dataclass(frozen=True, slots=True)
class Loader:
    """Loads relationships of entities that were read before; what is loaded already stays.

    Its functions take a ``Session`` and run inside SQLAlchemy's greenlet.
    """

    mapper: Mapper[Any]
    wanted: Sequence[Any]
    """The options that load them."""
    where: Sequence[Any] = ()
    """What rows must meet to be found."""

    def shared(self, own: Session, asked: Sequence[Sequence[Any]]) -> list[list[Key]]:
        """Load them for several callers, in a session in which a row is one entity.

        Args:
            own: the session; it may have some of the entities.
            asked: what each of the callers has given.

        Returns:
            For each of the callers, the keys of its entities whose rows are gone.
        """
        return _told(asked, self._load(own, [entity for entities in asked for entity in entities]))

    def apart(self, own: Session, asked: Sequence[Sequence[Any]]) -> list[list[Key]]:
        """The same for callers who have each an entity of their own for a row: no two of these get the same objects.

        Args:
            own: a session that has nothing else to do.
            asked: what each of the callers has given.
        """
        gone: set[Key] = set()
        for entities in _rounds(asked):
            gone |= self._load(own, entities)
            own.expunge_all()
        return _told(asked, gone)

    def _load(self, own: Session, entities: Sequence[Any]) -> set[Key]:
        """Load them for all of the entities; the keys of those whose rows are gone."""
        by_key: dict[Key, list[Any]] = {}
        for entity in entities:
            by_key.setdefault(inspect(entity).identity, []).append(entity)
        for keys in in_parts(list(by_key)):
            statement = whole(self.mapper).where(by_identities(self.mapper, keys), *self.where).options(*self.wanted)
            for read in own.scalars(statement).unique():
                for entity in by_key.pop(inspect(read).identity, ()):
                    _complete(entity, read, set())
        return set(by_key)


def _told(asked: Sequence[Sequence[Any]], gone: set[Key]) -> list[list[Key]]:
    """Of the keys that are gone, each caller's own."""
    keys = ([inspect(entity).identity for entity in entities] for entities in asked)
    return [[key for key in dict.fromkeys(each) if key in gone] for each in keys]


def _rounds(asked: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The entities, in each round those of one caller for a row; one that several callers give is in one round."""
    rounds: list[list[Any]] = []
    numbers: Counter[Key] = Counter()
    seen: set[int] = set()
    for entities in asked:
        new = {id(entity): entity for entity in entities if id(entity) not in seen}
        seen.update(new)
        for entity in new.values():
            number = numbers[inspect(entity).identity]
            rounds.extend([] for _ in range(number + 1 - len(rounds)))
            rounds[number].append(entity)
        numbers.update({inspect(entity).identity for entity in new.values()})
    return rounds


def _complete(entity: Any, read: Any, done: set[int]) -> None:
    """Give an entity what it lacks of the same row as it was read now, and so on along its relationships.

    Entities are not attached for it: that could bring along objects of which the session has others
    for the same row, and would write their changes.
    """
    if entity is read or id(entity) in done:
        return
    done.add(id(entity))
    state, found = inspect(entity), inspect(read).dict
    unloaded, relationships = state.unloaded, state.mapper.relationships
    for name in unloaded & found.keys():
        is_collection = name in relationships and relationships[name].uselist
        set_committed_value(entity, name, _members(found[name]) if is_collection else found[name])
    for name in (found.keys() - unloaded).intersection(relationships.keys()):
        mine = {inspect(member).key: member for member in _members(state.dict[name])}
        for member in _members(found[name]):
            if (same := mine.get(inspect(member).key)) is not None:
                _complete(same, member, done)


def _members(value: Any) -> list[Any]:
    """The entities that a relationship's value consists of."""
    if hasattr(value, "_sa_adapter"):
        return list(collection_adapter(value))
    return [] if value is None else [value]
