"""One row added, changed or deleted on the short way: one statement, of which RETURNING gives what the database made.

What a session does besides, such as writing what hangs on an entity, or calling listeners, makes the
write go the long way. So does a statement that finds no row: there it is known why.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_state

from repo.engine import generated, hydration, versions
from repo.engine.conditions import Key, stored
from repo.engine.entities import early
from repo.engine.entity_writing import Add, Change
from repo.engine.plans import Plans
from repo.engine.reach import Reach
from repo.engine.writing import ChangeByKey, Delete, is_clause


@lru_cache(maxsize=1024)
def refusal(mapper: Mapper[Any]) -> str | None:
    """Why a model's rows cannot be written by a single statement each that tells all about them; None if they can."""
    if reason := hydration.refusal(mapper):
        return reason
    if len(stored(mapper)) != len(list(mapper.column_attrs)):
        return "an expression among its attributes has to be read after each write"
    if any(len(attribute.columns) > 1 for attribute in mapper.column_attrs):
        return "an attribute of it stands for several columns"
    if left := early(mapper):
        return f"{left[0]} is left to a trigger, of which RETURNING does not know"
    if mapper.version_id_col is not None and not versions.is_generated(mapper):
        return "its versions are made by the database, or by whoever writes"
    for name, column in stored(mapper).items():
        if any(generated.made(default) is NotImplemented for default in (column.default, column.onupdate)):
            return f"{name} has a default that is made of the other values of a statement"
    return None


def add(plans: Plans | None, reach: Reach, entity: Any) -> Add:
    """Store a new entity."""
    is_own = type(entity) is reach.own.mapper.class_
    return Add(plans_for(reach.own.mapper, plans) if is_own else None, reach, entity)


def change(plans: Plans | None, reach: Reach, entity: Any, values: Mapping[str, Any]) -> Change:
    """Set values, and write what was changed on an entity."""
    is_own = type(entity) is reach.own.mapper.class_
    return Change(plans_for(reach.own.mapper, plans) if is_own else None, reach, entity, values)


def change_by_key(plans: Plans | None, reach: Reach, key: Key, values: Mapping[str, Any]) -> ChangeByKey:
    """Change a row by its key: its entity, or None if there is no such row."""
    mapper = reach.own.mapper
    plain = bool(values) and values.keys() <= stored(mapper).keys()
    # The subqueries of an expression have to be kept in reach.
    if not plain or (reach.where and any(map(is_clause, values.values()))):
        plans = None
    return ChangeByKey(plans_for(mapper, plans), reach, key, values)


def delete(plans: Plans | None, reach: Reach, key: Key) -> Delete:
    """Delete a row by its key: whether it was there."""
    return Delete(plans_for(reach.own.mapper, plans), reach, key)


def delete_entity(plans: Plans | None, reach: Reach, entity: Any) -> Delete:
    """Delete an entity's row in the version in which it was read: whether it was there."""
    state = instance_state(entity)
    if state.mapper is not reach.own.mapper or (state.modified and state.session is not None):
        plans = None
    return Delete(plans_for(reach.own.mapper, plans), reach, tuple(state.identity or ()), entity)


def plans_for(mapper: Mapper[Any], plans: Plans | None) -> Plans | None:
    """The plans for writes of a model; None where they go the long way."""
    if plans is None:
        return None
    if reason := refusal(mapper):
        plans.refuse(("writes", mapper), mapper.class_, reason)
        return None
    return None if _is_listened_to(mapper) else plans


def _is_listened_to(mapper: Mapper[Any]) -> bool:
    """Whether somebody wants to be told when an entity is written, or may change it when it is."""
    told = mapper.dispatch
    return bool(
        told.before_insert
        or told.after_insert
        or told.before_update
        or told.after_update
        or told.before_delete
        or told.after_delete
        or mapper.class_manager.dispatch.refresh_flush
        or hydration.is_listened_to(mapper)
    )
