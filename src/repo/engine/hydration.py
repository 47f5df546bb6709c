"""Entities from rows of plain columns, as SQLAlchemy makes them, where that is all there is to it.

Whatever else a model wants to happen when an entity is loaded, such as a subclass to be told from a
column, a relationship to come along, or a listener to be called, is SQLAlchemy's to do: ``refusal``
says so. How an entity gets its state is not quite public in SQLAlchemy; the zoo of the tests compares
every entity with one that SQLAlchemy has made.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Table
from sqlalchemy.orm import ColumnProperty, InstanceState, Mapper, Session
from sqlalchemy.orm.attributes import instance_dict, instance_state

from repo.engine.loading import LATER

_STATE = "_sa_instance_state"
"""Where an entity keeps its state, among its other attributes."""

_TOLD_BY = "_register_altered"
"""By what a session of SQLAlchemy's tells itself which entities it has written."""

_TOLD_GONE_BY = "_remove_newly_deleted"
"""By what it tells itself which of them are deleted."""

_PLAIN = {"deferred": False, "instrument": True}
_DEFERRED = {"deferred": True, "instrument": True}


@lru_cache(maxsize=1024)
def refusal(mapper: Mapper[Any]) -> str | None:
    """Why entities of a model cannot be made of plain columns; None if they can."""
    if mapper.polymorphic_on is not None or mapper.inherits is not None or len(list(mapper.self_and_descendants)) > 1:
        return "it has subclasses, or is one"
    if not isinstance(mapper.local_table, Table) or mapper.persist_selectable is not mapper.local_table:
        return "it is not mapped to one table"
    if mapper.always_refresh or mapper.allow_partial_pks is None:
        return "it has options of its own for how it is loaded"
    for relationship in mapper.relationships:
        if relationship.lazy not in LATER:
            return f"{relationship.key} is loaded along with it"
    for attribute in mapper.column_attrs:
        if dict(attribute.strategy_key) not in (_PLAIN, _DEFERRED):
            return f"{attribute.key} is loaded in a way of its own"
    if not {*map(_attribute(mapper), mapper.primary_key)} <= {each.key for each in loaded(mapper)}:
        return "its primary key is not loaded with it"
    return None


def is_listened_to(mapper: Mapper[Any]) -> bool:
    """Whether somebody wants to be told when an entity is loaded; composites and mutable values do."""
    return bool(mapper.class_manager.dispatch.load)


@lru_cache(maxsize=1024)
def loaded(mapper: Mapper[Any]) -> Sequence[ColumnProperty[Any]]:
    """The columns and expressions that come with every entity."""
    return [attribute for attribute in mapper.column_attrs if dict(attribute.strategy_key) == _PLAIN]


def columns(mapper: Mapper[Any]) -> list[ColumnElement[Any]]:
    """What to select for the entities of a model."""
    return [attribute.columns[0] for attribute in loaded(mapper)]


@lru_cache(maxsize=1024)
def keys_of(mapper: Mapper[Any]) -> Callable[[Sequence[Sequence[Any]]], Iterable[tuple[Any, ...]]]:
    """The function that gives the primary keys of such rows."""
    places = _key_places(mapper)
    values = itemgetter(*places)
    if len(places) > 1:
        return lambda rows: map(values, rows)
    return lambda rows: zip(map(values, rows))


@lru_cache(maxsize=1024)
def hydrator(mapper: Mapper[Any]) -> Callable[[Sequence[Sequence[Any]]], list[Any]]:
    """The function that makes detached entities of such rows, one of each; of a row without a key, None."""
    places = list(enumerate(attribute.key for attribute in loaded(mapper)))
    model: Any = mapper.class_
    keys_in, manager = keys_of(mapper), mapper.class_manager
    identity_class = _identity_class(mapper)
    create, state_class = model.__new__, type(instance_state(manager.new_instance()))

    def hydrate(rows: Sequence[Sequence[Any]]) -> list[Any]:
        entities: list[Any] = []
        for key, row in zip(keys_in(rows), rows, strict=True):
            if None in key:
                entities.append(None)
                continue
            entity = create(model)
            # All that an entity is made of is set here: what SQLAlchemy has for it takes half as long again.
            values = entity.__dict__
            values[_STATE] = state = state_class(entity, manager)
            state.key = (identity_class, key, None)
            for place, name in places:
                values[name] = row[place]
            entities.append(entity)
        return entities

    return hydrate


def attached(own: Session, mapper: Mapper[Any], rows: Sequence[Sequence[Any]]) -> list[Any]:
    """The entities of such rows in a session, which may have some of them already: those stay as they are.

    Raises:
        LookupError: the session has one that lacks something, which is SQLAlchemy's to fill in.
    """
    known = own.identity_map
    identity_class = _identity_class(mapper)
    names = {attribute.key for attribute in loaded(mapper)}
    members: list[Any] = [known.get((identity_class, key, None)) for key in keys_of(mapper)(rows)]
    for member in members:
        if member is not None and not names <= instance_dict(member).keys():
            raise LookupError(member)
    new = [row for row, member in zip(rows, members, strict=True) if member is None]
    made = iter(hydrator(mapper)(new))
    for place, member in enumerate(members):
        if member is None:
            members[place] = entity = next(made)
            if entity is not None:
                join(own, instance_state(entity))
    return members


def refreshed(own: Session, mapper: Mapper[Any], row: Sequence[Any]) -> Any:
    """The entity of such a row in a session; one that it has already gets the values of the row."""
    [key] = keys_of(mapper)([row])
    known = own.identity_map.get(mapper.identity_key_from_primary_key(key))
    if known is None:
        return attached(own, mapper, [row])[0]
    values, state = instance_dict(known), instance_state(known)
    values.update(zip((attribute.key for attribute in loaded(mapper)), row, strict=True))
    state._commit_all(values, own.identity_map)
    return known


def join(own: Session, state: InstanceState[Any]) -> None:
    """Let a session have an entity whose row is as the entity is, in place of another that was there before."""
    state.session_id = own.hash_key
    own.identity_map.replace(state)


def can_tell(own: Session) -> bool:
    """Whether a session can be told of rows that were written without it."""
    return hasattr(own, _TOLD_BY) and hasattr(own, _TOLD_GONE_BY)


def tell(own: Session, state: InstanceState[Any]) -> None:
    """Tell a session that an entity's row was changed: it reads the entity again if its savepoint is rolled back."""
    _tell(own, _TOLD_BY, state)


def tell_gone(own: Session, state: InstanceState[Any]) -> None:
    """Tell a session that an entity's row was deleted."""
    _tell(own, _TOLD_GONE_BY, state)


def _tell(own: Session, by: str, state: InstanceState[Any]) -> None:
    """Tell a session something about an entity, which it notes for its transaction."""
    if not own.in_transaction():
        own.begin()
    getattr(own, by)([state])


@lru_cache(maxsize=1024)
def _identity_class(mapper: Mapper[Any]) -> type[Any]:
    """The class in the identity keys of a model."""
    return mapper.identity_key_from_primary_key((None,) * len(mapper.primary_key))[0]


def _attribute(mapper: Mapper[Any]) -> Callable[[Any], str]:
    """Gives the attribute of a column."""
    return lambda column: mapper.get_property_by_column(column).key


def _key_places(mapper: Mapper[Any]) -> list[int]:
    """Where the primary key stands in a row."""
    names = [attribute.key for attribute in loaded(mapper)]
    return [names.index(_attribute(mapper)(column)) for column in mapper.primary_key]
