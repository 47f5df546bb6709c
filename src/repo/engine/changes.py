"""Rows changed by their key or by a condition.

Where a model's columns are in one table, that is one statement. Where they are in several, as with
joined-table inheritance, no single statement reaches all of them: entities are read and locked
first, and then written or deleted table by table.

Functions here take a ``Session`` and run inside SQLAlchemy's greenlet.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Table, delete, inspect, select, update
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.schema import sort_tables

from repo.engine import versions
from repo.engine.conditions import Key, among, by_identities, by_identity, in_parts, stored
from repo.engine.entities import Unharmed, assign, complete_many, early, touched
from repo.engine.execution import whole
from repo.engine.reach import Reach

Values = Mapping[str, Any]
Where = Sequence[ColumnElement[bool]]

_FRESH = {"populate_existing": True}
_UNSYNCHRONIZED = {"synchronize_session": False}


def is_one_table(mapper: Mapper[Any]) -> bool:
    """Whether all rows of the model and of its subclasses are in one table."""
    tables = {table for related in mapper.self_and_descendants for table in related.tables}
    return len(tables) == 1 and isinstance(mapper.local_table, Table)


def returns_whole(mapper: Mapper[Any]) -> bool:
    """Whether RETURNING gives all of an entity.

    It gives no columns of subclasses, no expressions over columns, and no relationships that the
    model loads by a JOIN.
    """
    only_columns = len(stored(mapper)) == len(list(mapper.column_attrs))
    joins = any(relationship.lazy in ("joined", False, "subquery") for relationship in mapper.relationships)
    return only_columns and not joins and len(list(mapper.self_and_descendants)) == 1


def update_key(own: Session, reach: Reach, key: Key, values: Values) -> Any:
    """Change a row by its key: its entity, or None if there is no such row.

    A version among the values is the one in which the row is expected.
    """
    mapper = reach.own.mapper
    values, expected = versions.expectation(mapper, values)
    where = [by_identity(mapper, key), *versions.condition(mapper, expected)]
    if values and is_one_table(mapper) and set(values) <= set(stored(mapper)):
        entities = update_where(own, reach, where, values, returning=True)
    else:
        entities = _locked(own, mapper, [*where, *reach.where])
        _set(own, reach, entities, values)
    if not entities and expected is not versions.ANY and _is_there(own, reach, key):
        raise versions.stale(mapper, key, expected)
    return entities[0] if entities else None


def _is_there(own: Session, reach: Reach, key: Key) -> bool:
    """Whether there is a row with this key."""
    mapper = reach.own.mapper
    return own.execute(select(*mapper.primary_key).where(by_identity(mapper, key), *reach.where)).first() is not None


def update_where(own: Session, reach: Reach, where: Where, values: Values, *, returning: bool) -> Any:
    """Change the rows that meet the conditions: how many, or their entities."""
    mapper, where = reach.own.mapper, [*where, *reach.where]
    version = versions.following(mapper)
    if version is None or not is_one_table(mapper) or (returning and not returns_whole(mapper)):
        entities = _locked(own, mapper, where)
        _set(own, reach, entities, values)
        return entities if returning else len(entities)
    new = dict(zip(values, reach.within(list(values.values())), strict=True))
    statement = update(mapper.class_).where(*where).values({**version, **new})
    if returning:
        returned = own.scalars(statement.returning(mapper.class_), execution_options=_FRESH | _UNSYNCHRONIZED)
        changed = list(returned.unique())
        complete_many(own, mapper, changed, left=early(mapper))
        return changed
    result = own.execute(statement, execution_options=_UNSYNCHRONIZED)
    refresh(own, mapper)
    return cast("CursorResult[Any]", result).rowcount


def delete_where(own: Session, reach: Reach, where: Where, *, returning: bool = False) -> Any:
    """Delete the rows that meet the conditions: how many, or the entities that they were."""
    mapper, where = reach.own.mapper, [*where, *reach.where]
    if not is_one_table(mapper) or (returning and not returns_whole(mapper)):
        entities = _locked(own, mapper, where)
        _delete(own, entities)
        return entities if returning else len(entities)
    statement = delete(mapper.class_).where(*where)
    if returning:
        gone = list(own.scalars(statement.returning(mapper.class_), execution_options=_UNSYNCHRONIZED).unique())
        for entity in gone:
            own.expunge(entity)
        return gone
    known = any(isinstance(entity, mapper.class_) for entity in own)
    result = own.execute(statement, execution_options={"synchronize_session": "fetch" if known else False})
    return cast("CursorResult[Any]", result).rowcount


def delete_key(own: Session, reach: Reach, key: Key) -> bool:
    """Delete a row by its key: whether it was there."""
    return bool(delete_where(own, reach, [by_identity(reach.own.mapper, key)]))


def delete_entity(own: Session, reach: Reach, entity: Any) -> bool:
    """Delete an entity's row in the version in which the entity was read: whether it was there."""
    mapper = reach.own.mapper
    key = inspect(entity).identity
    if versions.attribute(mapper) is None:
        return delete_key(own, reach, key)
    if entity in own:
        versions.flush(own)
    expected = versions.held(entity)
    if delete_where(own, reach, [by_identity(mapper, key), *versions.condition(mapper, expected)]):
        return True
    if _is_there(own, reach, key):
        raise versions.stale(mapper, key, expected)
    return False


def refresh(own: Session, mapper: Mapper[Any]) -> None:
    """Read the session's entities of the model again, after rows were changed without them."""
    known = [entity for entity in own if isinstance(entity, mapper.class_)]
    for keys in in_parts([inspect(entity).identity for entity in known]):
        statement = whole(mapper).where(by_identities(mapper, keys))
        own.scalars(statement, execution_options=_FRESH).unique().all()


def _locked(own: Session, mapper: Mapper[Any], where: Where) -> list[Any]:
    """The entities that meet the conditions, read afresh and locked."""
    base = mapper.base_mapper.local_table
    statement = whole(mapper).where(*where).order_by(*mapper.primary_key).with_for_update(of=base)
    return list(own.scalars(statement, execution_options=_FRESH).unique())


def _set(own: Session, reach: Reach, entities: Sequence[Any], values: Values) -> None:
    """Write the same values to several entities."""
    with Unharmed(own, *entities, *touched(own, reach, values)):
        assign(own, reach, entities, values)
    versions.flush(own)
    complete_many(own, reach.own.mapper, entities)


def _delete(own: Session, entities: Sequence[Any]) -> None:
    """Delete the rows of entities from all their tables, those that refer to others first.

    Not by ``session.delete``, which would apply the cascades of relationships.
    """
    by_mapper: dict[Mapper[Any], list[Any]] = {}
    for entity in entities:
        by_mapper.setdefault(inspect(entity).mapper, []).append(entity)
    for mapper, members in by_mapper.items():
        keys = [inspect(entity).identity for entity in members]
        for table in reversed(sort_tables([t for t in mapper.tables if isinstance(t, Table)])):
            for some in in_parts(keys):
                own.execute(delete(table).where(among(list(table.primary_key), some)))
    for entity in entities:
        own.expunge(entity)
