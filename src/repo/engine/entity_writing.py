"""The statements that write an entity's row, and what they do to the entity."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.orm.attributes import instance_state

from repo.engine import entities, generated, hydration, unhindered, versions
from repo.engine.conditions import key_names, stored
from repo.engine.directly import NotDirectly, Parameter, Statement, Way
from repo.engine.originals import originals_of
from repo.engine.plans import Plans
from repo.engine.reach import Reach
from repo.engine.rows import shape_of
from repo.engine.writing import ByKey, generated_values, is_clause, table_of

_NOTHING: Any = object()


class _OfEntity(ByKey[Any]):
    """A write of an entity, which comes back."""

    __slots__ = ("_before", "_entity", "_joined", "_own", "_sent", "_unharmed")

    def __init__(self, plans: Plans | None, reach: Reach, entity: Any, row: Hashable) -> None:
        super().__init__(plans, reach, row)
        self._entity = entity
        self._unharmed: entities.Unharmed | None = None
        self._before: entities.Before | None = None

    @property
    def entities(self) -> Sequence[object]:
        return (self._entity,)

    def restore(self) -> None:
        if self._unharmed is not None:
            self._unharmed.restore()

    def undo(self) -> None:
        state = instance_state(self._entity)
        if self._own is not None:
            state.session_id = self._joined
        if self._before is not None:
            self._before.restore(state)

    def _begin(self, state: InstanceState[Any], own: Session | None) -> None:
        """Begin to write the entity as it is now."""
        self._own, self._sent = own, dict(state.dict)
        if own is not None:
            if not hydration.can_tell(own):
                raise NotDirectly
            self._joined, state.session_id = state.session_id, own.hash_key

    def _settle(self, values: Mapping[str, Any]) -> Any:
        """The entity, with what its row has now."""
        entity, own, sent = self._entity, self._own, self._sent
        state = instance_state(entity)
        held = state.dict
        changed = {name: value for name, value in held.items() if sent.get(name, _NOTHING) is not value}
        held.update(values)
        if state.key is None:
            mapper = state.mapper
            state.key = mapper.identity_key_from_primary_key(tuple(held[name] for name in key_names(mapper)))
        state._commit_all(held, None if own is None else own.identity_map)
        if own is not None:
            if not own.identity_map.contains_state(state):
                hydration.join(own, state)
            hydration.tell(own, state)
        # What somebody has set meanwhile is a change of what was written.
        for name, value in changed.items():
            held[name] = sent.get(name)
            setattr(entity, name, value)
        return entity


class Add(_OfEntity):
    """The INSERT of an entity."""

    __slots__ = ("_given",)

    def __init__(self, plans: Plans | None, reach: Reach, entity: Any) -> None:
        super().__init__(plans, reach, entity, id(entity))

    @property
    def may_go_along(self) -> bool:
        mapper = self._reach.own.mapper
        key = unhindered.made_key(mapper)
        if not key or self._plans is None:
            return False
        given = self._reach.own.filled(instance_state(self._entity).dict)
        return all(given.get(name) is None for name in key) and self._plans.unhindered.may_be(table_of(mapper))

    async def goes_along(self, way: Way) -> bool:
        table = table_of(self._reach.own.mapper)
        return self._plans is not None and await self._plans.unhindered.find_out(way.dialect, way.driver, table)

    def _by(self, own: Session) -> Any:
        entities.refuse_stored(self._entity)  # by another call, since this one was made
        self._unharmed = entities.insert(own, self._reach, self._entity)
        return self._entity

    def _build(self, parameter: Parameter) -> Any:
        mapper, columns = self._reach.own.mapper, stored(self._reach.own.mapper)
        statement = insert(table_of(mapper)).values(
            {columns[name]: parameter(columns[name].type) for name in self._new}
        )
        return statement if self._returned else statement.inline()

    def ready(self, own: Session | None, number: int | None) -> Statement:
        mapper, state = self._reach.own.mapper, instance_state(self._entity)
        given = self._reach.own.filled(state.dict)
        if state.key is not None or state.session_id is not None or _hangs_together(mapper, given):
            raise NotDirectly
        self._given, self._new = given.keys(), shape_of(mapper).row(given)
        if any(map(is_clause, self._new.values())) or (given is not state.dict and mapper.validators):
            raise NotDirectly
        self._new |= versions.after(mapper, None)
        self._new |= generated_values(generated.defaults(mapper), self._new)
        self._returned = [name for name in generated.returned_by_insert(mapper) if name not in self._new]
        shape = ("insert", tuple(self._new))
        statement = self._statement(shape, [*self._new.values()], number if self._returned else None)
        if own is not None:
            originals_of(own).keep(self._entity, outside=True)
        self._begin(state, own)
        return statement

    def finish(self, row: Sequence[Any] | None) -> Any:
        if self._returned and row is None:
            raise NotDirectly
        made = {name: value for name, value in self._new.items() if value is not None or name in self._given}
        return self._settle({**made, **dict(zip(self._returned, row or (), strict=False))})


class Change(_OfEntity):
    """The UPDATE of an entity, after values were set on it."""

    __slots__ = ("_values",)

    def __init__(self, plans: Plans | None, reach: Reach, entity: Any, values: Mapping[str, Any]) -> None:
        super().__init__(plans, reach, entity, instance_state(entity).identity)
        self._values = values
        self._clauses: Mapping[str, Any] = {}

    def _by(self, own: Session) -> Any:
        self._unharmed = entities.update(own, self._reach, self._entity, self._values)
        return self._entity

    def ready(self, own: Session | None, number: int | None) -> Statement | None:
        mapper, state = self._reach.own.mapper, instance_state(self._entity)
        values, expected = versions.expectation(mapper, self._values)
        if not values.keys() <= stored(mapper).keys() or mapper.validators or _hangs_together(mapper, state.dict):
            raise NotDirectly
        if expected is not versions.ANY and versions.held(self._entity) != expected:
            raise NotDirectly
        session = state.session
        if session is not own and (session is not None or own is None or _has_another(own, state)):
            raise NotDirectly
        kept = None if own is None else originals_of(own).keep(self._entity, outside=session is not own)
        before = kept or entities.Before(state)
        try:
            for name, each in values.items():
                setattr(self._entity, name, each)
            self._new = _changes(state)
            statement = self._changed(state, number)
            self._begin(state, own)
        except BaseException:
            before.restore(state)
            raise
        self._before = before
        return statement

    def _changed(self, state: InstanceState[Any], number: int | None) -> Statement | None:
        """The UPDATE of what was changed, if something was."""
        mapper, new = self._reach.own.mapper, self._new
        if state.expired_attributes or (not new and self._reach.narrows):
            raise NotDirectly
        if not new:
            return None
        keys, key = key_names(mapper), tuple(state.identity or ())
        if not new.keys().isdisjoint(keys) or any(map(is_clause, new.values())):
            raise NotDirectly
        self._reach.own.check(new)
        self._expected = versions.ANY
        if mapper.version_id_col is not None:
            self._expected = versions.held(self._entity)
            new |= versions.after(mapper, self._expected)
        new |= generated_values(generated.updates(mapper), new)
        made = [name for name in generated.returned_by_update(mapper) if name not in new]
        self._returned = [*keys, *made] if made else keys
        return self._update(key, number)

    def finish(self, row: Sequence[Any] | None) -> Any:
        if not self._new:
            return self._settle({})
        if row is None:
            raise NotDirectly
        keys = len(key_names(self._reach.own.mapper))
        made = zip(self._returned[keys:], row[keys:], strict=False)
        return self._settle({**self._new, **dict(made)} if len(self._returned) > keys else self._new)


def _has_another(own: Session, state: InstanceState[Any]) -> bool:
    """Whether a session has another entity for the same row."""
    return state.key is not None and own.identity_map.get(state.key) is not None


def _changes(state: InstanceState[Any]) -> dict[str, Any]:
    """The columns that have other values than their row, as SQLAlchemy tells them."""
    new, names, manager, values = {}, stored(state.mapper), state.manager, state.dict
    for name, old in state.committed_state.items():
        if name not in names or name not in values:
            raise NotDirectly
        value = values[name]
        if manager[name].impl.is_equal(value, old) is not True:
            new[name] = value
    return new


def _hangs_together(mapper: Mapper[Any], values: Iterable[str]) -> bool:
    """Whether other entities hang on one with these attributes, or did before."""
    return not _related(mapper).isdisjoint(values)


@lru_cache(maxsize=1024)
def _related(mapper: Mapper[Any]) -> frozenset[str]:
    """The names of a model's relationships."""
    return frozenset(mapper.relationships.keys())
