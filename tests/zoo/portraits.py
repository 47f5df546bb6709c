"""What can be seen of an entity, in a form that can be compared: its state, its life and those that hang on it."""

import pickle
from collections.abc import Mapping
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import ColumnProperty, InstanceState, Mapper, Session

Key = tuple[Any, ...]


def identity(entity: Any) -> Key:
    state: InstanceState[Any] = inspect(entity)
    assert state.identity is not None
    return tuple(state.identity)


def everything(entity: Any) -> dict[str, Any]:
    """The class, and the columns that are loaded, by attribute."""
    state = inspect(entity)
    return {"class": state.class_} | {
        each.key: state.dict[each.key] for each in columns(state.mapper) if each.key in state.dict
    }


def expected(mapper: Mapper[Any]) -> set[str]:
    """The columns that come with every entity."""
    later = {"query_expression"}
    return {each.key for each in columns(mapper) if not each.deferred and not dict(each.strategy_key).keys() & later}


def columns(mapper: Mapper[Any]) -> list[ColumnProperty[Any]]:
    """The mapper's columns and expressions that are attributes of the class."""
    return [each for each in mapper.column_attrs if hasattr(mapper.class_, each.key)]


def portrait(entity: Any, seen: frozenset[Any] = frozenset()) -> dict[str, Any]:
    """All that can be seen of an entity, and of those that hang on it."""
    state = inspect(entity)
    if state.key in seen:
        return {"key": state.key}
    seen |= {state.key}
    relationships = state.mapper.relationships.keys()
    others = {"_sa_instance_state", *relationships, *state.mapper.column_attrs.keys()}
    return {
        "class": state.class_,
        "key": state.key,
        "is": [name for name in ("transient", "pending", "persistent", "detached", "modified") if getattr(state, name)],
        "unloaded": sorted(state.unloaded),
        "expired": sorted(state.expired_attributes),
        "changed": sorted(state.committed_state),
        "values": everything(entity),
        "related": {key: _related(value, seen) for key, value in state.dict.items() if key in relationships},
        "others": {key: value for key, value in state.dict.items() if key not in others},
    }


def _related(value: Any, seen: frozenset[Any]) -> Any:
    if value is None:
        return None
    if isinstance(value, dict):
        return {key: portrait(each, seen) for key, each in value.items()}
    if isinstance(value, set):
        return sorted((portrait(each, seen) for each in value), key=lambda each: str(each["key"]))
    return [portrait(each, seen) for each in value] if isinstance(value, list) else portrait(value, seen)


def life(own: Session, entity: Any, change: Mapping[str, Any]) -> list[Any]:
    """What becomes of a detached entity: as a pickle, changed, in a session, read again, and expired."""
    told: list[Any] = [portrait(entity), portrait(pickled(entity))]
    for name, value in change.items():
        setattr(entity, name, value)
    told += [{name: inspect(entity).attrs[name].history for name in change}, portrait(pickled(entity))]
    own.add(entity)
    told.append(portrait(entity))
    own.refresh(entity)
    told.append(portrait(entity))
    own.expire(entity)
    told += [portrait(entity), {name: getattr(entity, name) for name in change}]
    own.expunge_all()
    return told


def pickled(entity: Any) -> Any:
    """The entity after a journey as a pickle."""
    return pickle.loads(pickle.dumps(entity))
