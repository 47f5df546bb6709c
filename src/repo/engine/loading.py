"""Relationships: which to load with an entity, and how."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import ColumnProperty, Mapper, RelationshipProperty, Session, selectinload, undefer
from sqlalchemy.orm.attributes import QueryableAttribute, set_committed_value
from sqlalchemy.orm.collections import collection_adapter
from sqlalchemy.orm.interfaces import ORMOption

from repo.engine.conditions import by_identities, in_parts, name_of, not_found
from repo.engine.execution import whole
from repo.errors import UsageError


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


def load(
    own: Session, mapper: Mapper[Any], entities: Sequence[Any], wanted: Sequence[Any], where: Sequence[Any] = ()
) -> None:
    """Load relationships of entities that were read before; what is loaded already stays.

    Raises:
        NotFound: the rows of some are gone.
    """
    by_key: dict[tuple[Any, ...], list[Any]] = {}
    for entity in entities:
        by_key.setdefault(inspect(entity).identity, []).append(entity)
    for keys in in_parts(list(by_key)):
        statement = whole(mapper).where(by_identities(mapper, keys), *where).options(*wanted)
        for read in own.scalars(statement).unique():
            for entity in by_key.pop(inspect(read).identity, ()):
                _complete(entity, read, set())
    if by_key:
        raise not_found(mapper, list(by_key))


def _complete(entity: Any, read: Any, done: set[int]) -> None:
    """Give an entity what it lacks of the same row as it was read now, and so on along its relationships.

    Entities are not attached for it: that could bring along objects of which the session has others
    for the same row, and would write their changes.
    """
    if entity is read or id(entity) in done:
        return
    done.add(id(entity))
    state = inspect(entity)
    for name, value in dict(inspect(read).dict).items():
        relationship = state.mapper.relationships.get(name)
        if name in state.unloaded:
            loaded = _members(value) if relationship is not None and relationship.uselist else value
            set_committed_value(entity, name, loaded)
        elif relationship is not None:
            mine = {inspect(member).key: member for member in _members(state.dict[name])}
            for member in _members(value):
                if (same := mine.get(inspect(member).key)) is not None:
                    _complete(same, member, done)


def _members(value: Any) -> list[Any]:
    """The entities that a relationship's value consists of."""
    if hasattr(value, "_sa_adapter"):
        return list(collection_adapter(value))
    return [] if value is None else [value]
