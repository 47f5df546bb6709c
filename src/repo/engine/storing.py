"""One row added, changed or deleted on the short way: one statement, of which RETURNING gives what the database made.

What a session does besides, such as writing what hangs on an entity, or calling listeners, makes the
write go the long way. So does a statement that finds no row: there it is known why.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, insert, inspect, update
from sqlalchemy.orm import InstanceState, Mapper, Session

from repo.engine import generated, hydration, versions
from repo.engine.conditions import Key, key_names, stored
from repo.engine.directly import Direct, Finish, NotDirectly, Reading, Statement, Way, prepared
from repo.engine.entities import Before, early
from repo.engine.flushing import guard_of
from repo.engine.originals import originals_of
from repo.engine.plans import Plans
from repo.engine.reach import Reach
from repo.engine.rows import Shape

_NOTHING: Any = object()


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


def _is_refused(plans: Plans, mapper: Mapper[Any]) -> bool:
    """Whether the model's rows go the long way."""
    if reason := refusal(mapper):
        plans.refuse(("writes", mapper), mapper.class_, reason)
    return reason is not None or _is_listened_to(mapper)


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


def add(plans: Plans | None, reach: Reach, entity: Any) -> Direct[Any] | None:
    """Store a new entity; None where it goes the long way."""
    mapper = reach.own.mapper
    if plans is None or type(entity) is not mapper.class_ or _is_refused(plans, mapper):
        return None
    return _Add(plans, reach, entity)


def change(plans: Plans | None, reach: Reach, entity: Any, values: Mapping[str, Any]) -> Direct[Any] | None:
    """Set values, and write what was changed on an entity; None where it goes the long way."""
    mapper = reach.own.mapper
    if plans is None or type(entity) is not mapper.class_ or _is_refused(plans, mapper):
        return None
    return _Change(plans, reach, entity, values)


def change_by_key(plans: Plans | None, reach: Reach, key: Key, values: Mapping[str, Any]) -> Direct[Any] | None:
    """Change a row by its key: its entity, or None if there is no such row; None where it goes the long way."""
    mapper = reach.own.mapper
    if plans is None or _is_refused(plans, mapper) or not values or not values.keys() <= stored(mapper).keys():
        return None
    if reach.where and any(map(_is_clause, values.values())):
        return None  # its subqueries have to be kept in reach
    values, expected = versions.expectation(mapper, values)
    following = versions.following(mapper)
    if following is None or not values:
        return None
    names = [attribute.key for attribute in hydration.loaded(mapper)]
    statement = _updating(plans, reach, key, {**following, **values}, expected=expected, returned=names)
    if statement is None:
        return None

    def finish(found: Sequence[Any]) -> Any:
        if not found and expected is not versions.ANY:
            raise NotDirectly
        return found[0] if found else None

    return Reading(statement, mapper, finish, (mapper, [key]))


def delete_by_key(plans: Plans | None, reach: Reach, key: Key, expected: Any = versions.ANY) -> Direct[bool] | None:
    """Delete a row by its key: whether it was there; None where it goes the long way."""
    mapper = reach.own.mapper
    if plans is None or _is_refused(plans, mapper):
        return None
    columns, given = _identified(mapper, key, expected)

    def build(parameters: Sequence[Any]) -> Any:
        same = [column == parameter for column, parameter in zip(columns, parameters, strict=True)]
        return delete(_table(mapper)).where(*same, *reach.where).returning(*mapper.primary_key)

    further = [(column.type, each) for column, each in zip(columns, given, strict=True)]
    shape = ("delete", len(columns))
    statement = prepared(plans, mapper, shape, build, parts=reach.where, further=further, refusal=refusal)

    def finish(rows: Sequence[Any]) -> bool:
        if not rows and expected is not versions.ANY:
            raise NotDirectly
        return bool(rows)

    return None if statement is None else _Delete(statement, finish, mapper.identity_key_from_primary_key(key))


def delete_entity(plans: Plans | None, reach: Reach, entity: Any) -> Direct[bool] | None:
    """Delete an entity's row in the version in which it was read; None where it goes the long way."""
    state = inspect(entity)
    if state.mapper is not reach.own.mapper or (state.modified and state.session is not None):
        return None
    expected = versions.ANY if state.mapper.version_id_col is None else versions.held(entity)
    return delete_by_key(plans, reach, state.identity, expected)


class _Delete(Reading[bool]):
    """The DELETE of a row, of which a session is told that has its entity."""

    __slots__ = ("_identity",)

    def __init__(self, statement: Statement, finish: Finish[bool], identity: Any) -> None:
        super().__init__(statement, None, finish)
        self._identity = identity

    async def run(self, way: Way) -> bool:
        own = way.own
        known = None if own is None else own.identity_map.get(self._identity)
        if own is None or known is None:
            return await super().run(way)
        if not hydration.can_tell(own):
            raise NotDirectly
        deleted = await super().run(way)
        if deleted:
            hydration.tell_gone(own, inspect(known))
        return deleted


class _Add(Direct[Any]):
    """The INSERT of an entity."""

    __slots__ = ("_entity", "_plans", "_reach")

    def __init__(self, plans: Plans, reach: Reach, entity: Any) -> None:
        self._plans = plans
        self._reach = reach
        self._entity = entity

    async def run(self, way: Way) -> Any:
        mapper, state = self._reach.own.mapper, inspect(self._entity)
        shape = _shape(mapper)
        given = self._reach.own.filled(state.dict)
        if state.key is not None or state.session_id is not None or _hangs_together(mapper, given):
            raise NotDirectly
        row = shape.row(given)
        columns = shape.names
        if any(map(_is_clause, row.values())) or (given is not state.dict and mapper.validators):
            raise NotDirectly
        row |= versions.after(mapper, None)
        row |= _generated(generated.defaults(mapper), row)
        returned = [name for name in generated.returned_by_insert(mapper) if name not in row]

        def build(parameters: Sequence[Any]) -> Any:
            values = {columns[name]: parameter for name, parameter in zip(row, parameters, strict=True)}
            statement = insert(_table(mapper)).values(values)
            return statement.returning(*(columns[name] for name in returned)) if returned else statement.inline()

        further = [(columns[name].type, each) for name, each in row.items()]
        statement = prepared(self._plans, mapper, ("insert", tuple(row)), build, further=further, refusal=refusal)
        if statement is None:
            raise NotDirectly
        with _writing(state, way.own) as settle:
            rows = await way.fetch(statement)
            made = {name: row[name] for name in row if row[name] is not None or name in given}
            settle({**made, **dict(zip(returned, rows[0] if rows else (), strict=True))})
        return self._entity


class _Change(Direct[Any]):
    """The UPDATE of an entity."""

    __slots__ = ("_entity", "_plans", "_reach", "_values")

    def __init__(self, plans: Plans, reach: Reach, entity: Any, values: Mapping[str, Any]) -> None:
        self._plans = plans
        self._reach = reach
        self._entity = entity
        self._values = values

    @property
    def entity(self) -> object:
        return self._entity

    async def run(self, way: Way) -> Any:
        mapper, state = self._reach.own.mapper, inspect(self._entity)
        values, expected = versions.expectation(mapper, self._values)
        if not values.keys() <= stored(mapper).keys() or mapper.validators or _hangs_together(mapper, state.dict):
            raise NotDirectly
        if expected is not versions.ANY and versions.held(self._entity) != expected:
            raise NotDirectly
        if state.session is not way.own and (
            state.session is not None or way.own is None or state.key in way.own.identity_map
        ):
            raise NotDirectly
        if way.own is not None:
            originals_of(way.own).keep(self._entity, outside=state.session is not way.own)
        before = Before(state)
        try:
            for name, each in values.items():
                setattr(self._entity, name, each)
            await self._write(way, mapper, state)
        except BaseException:
            before.restore(state)
            raise
        return self._entity

    async def _write(self, way: Way, mapper: Mapper[Any], state: InstanceState[Any]) -> None:
        """Write what was changed."""
        new = _changes(mapper, state)
        key = tuple(state.identity or ())
        if not new or not new.keys().isdisjoint(key_names(mapper)) or any(map(_is_clause, new.values())):
            raise NotDirectly
        self._reach.own.check(new)
        held = versions.ANY
        if mapper.version_id_col is not None:
            held = versions.held(self._entity)
            new |= versions.after(mapper, held)
        new |= _generated(generated.updates(mapper), new)
        returned = [name for name in generated.returned_by_update(mapper) if name not in new]
        statement = _updating(
            self._plans, self._reach, key, new, expected=held, returned=[*key_names(mapper), *returned]
        )
        if statement is None:
            raise NotDirectly
        with _writing(state, way.own) as settle:
            rows = await way.fetch(statement)
            if not rows:
                raise NotDirectly
            got = dict(zip([*key_names(mapper), *returned], rows[0], strict=True))
            settle(new | {name: got[name] for name in returned})


@contextmanager
def _writing(state: InstanceState[Any], own: Session | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A block in which an entity is written; it gives what to call with what its row then has."""
    entity, sent = state.obj(), dict(state.dict)

    def settle(values: Mapping[str, Any]) -> None:
        changed = {name: value for name, value in state.dict.items() if sent.get(name, _NOTHING) is not value}
        state.dict.update(values)
        if state.key is None:
            state.key = state.mapper.identity_key_from_instance(entity)
        state._commit_all(state.dict, None if own is None else own.identity_map)
        if own is not None:
            if not own.identity_map.contains_state(state):
                hydration.join(own, state)
            hydration.tell(own, state)
        # What somebody has set meanwhile is a change of what was written.
        for name, value in changed.items():
            state.dict[name] = sent.get(name)
            setattr(entity, name, value)

    if own is None:
        yield settle
        return
    if not hydration.can_tell(own):
        raise NotDirectly
    originals_of(own).keep(entity, outside=state.session is not own)
    guard, joined = guard_of(own), state.session_id
    state.session_id = own.hash_key
    guard.begin([entity])
    try:
        yield settle
    except BaseException:
        state.session_id = joined
        raise
    finally:
        guard.end()


def _identified(mapper: Mapper[Any], key: Key, expected: Any) -> tuple[list[ColumnElement[Any]], list[Any]]:
    """What a row must have: the columns, and their values."""
    version = mapper.version_id_col
    if expected is versions.ANY or version is None:
        return [*mapper.primary_key], [*key]
    return [*mapper.primary_key, version], [*key, expected]


def _updating(
    plans: Plans, reach: Reach, key: Key, values: Mapping[str, Any], *, expected: Any, returned: Sequence[str]
) -> Statement | None:
    """The UPDATE of a row by its key, in the version that is expected; it returns these attributes."""
    mapper, columns = reach.own.mapper, stored(reach.own.mapper)
    same, given = _identified(mapper, key, expected)
    plain = [name for name, each in values.items() if not _is_clause(each)]
    clauses = {name: each for name, each in values.items() if _is_clause(each)}

    def build(parameters: Sequence[Any]) -> Any:
        where = [column == parameter for column, parameter in zip(same, parameters, strict=False)]
        new = {columns[name]: parameter for name, parameter in zip(plain, parameters[len(same) :], strict=True)}
        statement = update(_table(mapper)).where(*where, *reach.where)
        statement = statement.values(new | {columns[name]: clause for name, clause in clauses.items()})
        return statement.returning(*(columns[name] for name in returned))

    further = [(column.type, each) for column, each in zip(same, given, strict=True)]
    further += [(columns[name].type, values[name]) for name in plain]
    shape = ("update", len(same), tuple(plain), tuple(clauses), tuple(returned))
    parts = [*reach.where, *clauses.values()]
    return prepared(plans, mapper, shape, build, parts=parts, further=further, refusal=refusal)


def _changes(mapper: Mapper[Any], state: InstanceState[Any]) -> dict[str, Any]:
    """The columns that have other values than their row, as SQLAlchemy tells them."""
    new = {}
    for name, old in state.committed_state.items():
        if name not in stored(mapper) or name not in state.dict:
            raise NotDirectly
        if mapper.class_manager[name].impl.is_equal(state.dict[name], old) is not True:
            new[name] = state.dict[name]
    return new


def _generated(makers: Iterable[tuple[str, Callable[[], Any]]], given: Container[str]) -> dict[str, Any]:
    """What Python makes in place of what was not given; if that fails, the long way will tell."""
    try:
        return {name: make() for name, make in makers if name not in given}
    except Exception as error:
        raise NotDirectly from error


def _hangs_together(mapper: Mapper[Any], values: Iterable[str]) -> bool:
    """Whether other entities hang on one with these attributes, or did before."""
    return any(name in mapper.relationships for name in values)


def _is_clause(value: Any) -> bool:
    return hasattr(value, "__clause_element__") or isinstance(value, ColumnElement)


def _table(mapper: Mapper[Any]) -> Table:
    table = mapper.local_table
    if not isinstance(table, Table):
        raise NotDirectly
    return table


@lru_cache(maxsize=1024)
def _shape(mapper: Mapper[Any]) -> Shape:
    return Shape(mapper)
