"""The statements that write one row each.

What a session does besides, such as writing what hangs on an entity, or a statement that finds no row,
of which the long way knows why, raises ``NotDirectly``.
"""

from abc import abstractmethod
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from contextvars import copy_context
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Integer, Table, delete, update
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.attributes import instance_state

from repo.engine import changes, generated, hydration, versions
from repo.engine.conditions import Key, stored
from repo.engine.directly import NotDirectly, Parameter, Statement, prepared
from repo.engine.plans import Plans
from repo.engine.reach import Reach
from repo.engine.together import Write

T = TypeVar("T")

_INTEGER = Integer()


def is_clause(value: Any) -> bool:
    """Whether a value is an expression, which the database computes."""
    return hasattr(value, "__clause_element__") or isinstance(value, ColumnElement)


def generated_values(makers: Iterable[tuple[str, Callable[[], Any]]], given: Container[str]) -> dict[str, Any]:
    """What Python makes in place of what was not given; if that fails, the long way will tell."""
    try:
        return {name: make() for name, make in makers if name not in given}
    except Exception as error:
        raise NotDirectly from error


class RowWrite(Write[T]):
    """What there is to know of a write from the beginning.

    Args:
        plans: None where it can only go the long way.
        reach: the rows that it reaches.
        row: which one it is about.
    """

    __slots__ = ("_plans", "_reach", "context", "is_given_up", "row")

    def __init__(self, plans: Plans | None, reach: Reach, row: Hashable) -> None:
        self._plans = plans
        self._reach = reach
        self.row = row
        self.context = copy_context()
        self.is_given_up = False

    @property
    def is_short(self) -> bool:
        return self._plans is not None

    def work(self, own: Session) -> T:
        with self._reach.kept(own):
            return self._by(own)

    @abstractmethod
    def _by(self, own: Session) -> T:
        """Do it by a session, which reads nothing out of reach along with it."""

    @abstractmethod
    def _build(self, parameter: Parameter) -> Any:
        """The statement, by what is known when it is ready; called once for each shape."""

    @abstractmethod
    def _returning(self) -> Sequence[ColumnElement[Any]]:
        """The columns of it that come back."""

    def _statement(self, shape: Hashable, values: Sequence[Any], number: int | None, *parts: Any) -> Statement:
        """The statement with its values.

        Args:
            shape: what makes it another one, besides the shape of the parts.
            values: those of its parameters.
            number: what its row ends with, after the columns; a statement that yields none has none.
            parts: the expressions in it that have values of the caller's.
        """
        numbers = () if number is None else (number,)

        def build(parameter: Parameter) -> Any:
            statement, returned = self._build(parameter), self._returning()
            return statement.returning(*returned, *(parameter(_INTEGER) for _ in numbers)) if returned else statement

        mapper, shape, plans = self._reach.own.mapper, (shape, number is None), self._plans
        values = [*values, *numbers]
        statement = None if plans is None else prepared(plans, mapper, shape, build, parts=parts, values=values)
        if statement is None:
            raise NotDirectly
        return statement


class ByKey(RowWrite[T]):
    """A write of a row that is there, by its key."""

    __slots__ = ("_clauses", "_expected", "_new", "_returned")

    _expected: Any
    """The version in which the row must be; ``versions.ANY`` if that does not matter."""
    _new: dict[str, Any]
    """The values that it gets."""
    _clauses: Mapping[str, Any]
    """Those among them that are expressions."""
    _returned: Sequence[str]
    """The attributes that come back."""

    def _build(self, parameter: Parameter) -> Any:
        """The UPDATE, in the version that is expected."""
        mapper, columns = self._reach.own.mapper, stored(self._reach.own.mapper)
        plain = {columns[name]: parameter(columns[name].type) for name in self._new if name not in self._clauses}
        same = self._same(parameter)
        clauses = {columns[name]: clause for name, clause in self._clauses.items()}
        return update(table_of(mapper)).where(*same, *self._reach.where).values(plain | clauses)

    def _returning(self) -> Sequence[ColumnElement[Any]]:
        columns = stored(self._reach.own.mapper)
        return [columns[name] for name in self._returned]

    def _update(self, key: Key, number: int | None) -> Statement:
        """The same, with values."""
        same = key if self._expected is versions.ANY else (*key, self._expected)
        plain: Iterable[Any] = self._new.values()
        if self._clauses:
            plain = [each for name, each in self._new.items() if name not in self._clauses]
        shape = ("update", len(same), tuple(self._new), tuple(self._clauses), tuple(self._returned))
        # In the order in which most of their texts have them.
        return self._statement(shape, [*plain, *same], number, *self._reach.where, *self._clauses.values())

    def _same(self, parameter: Parameter) -> list[ColumnElement[bool]]:
        """The conditions for the row, in the version that is expected."""
        mapper = self._reach.own.mapper
        version = None if self._expected is versions.ANY else mapper.version_id_col
        found = [*mapper.primary_key, *([] if version is None else [version])]
        return [column == parameter(column.type) for column in found]


class ChangeByKey(ByKey[Any]):
    """The UPDATE of a row, of which nobody has the entity yet: its entity, or None if there is no such row."""

    __slots__ = ("_key", "_own", "_values")

    def __init__(self, plans: Plans | None, reach: Reach, key: Key, values: Mapping[str, Any]) -> None:
        super().__init__(plans, reach, key)
        self._key = key
        self._values = values

    def _by(self, own: Session) -> Any:
        return changes.update_key(own, self._reach, self._key, self._values)

    def ready(self, own: Session | None, number: int | None) -> Statement:
        mapper, self._own = self._reach.own.mapper, own
        if own is not None and mapper.identity_key_from_primary_key(self._key) in own.identity_map:
            raise NotDirectly
        values, self._expected = versions.expectation(mapper, self._values)
        following = versions.following(mapper)
        if following is None or not values:
            raise NotDirectly
        self._new = {**following, **values}
        self._new |= generated_values(generated.updates(mapper), self._new)
        self._clauses = {name: each for name, each in self._new.items() if is_clause(each)}
        self._returned = [attribute.key for attribute in hydration.loaded(mapper)]
        return self._update(self._key, number)

    def finish(self, row: Sequence[Any] | None) -> Any:
        mapper = self._reach.own.mapper
        if row is None:
            if self._expected is not versions.ANY:
                raise NotDirectly
            return None
        values = row[: len(self._returned)]
        if self._own is None:
            return hydration.hydrator(mapper)([values])[0]
        return hydration.refreshed(self._own, mapper, values)


class Delete(ByKey[bool]):
    """The DELETE of a row, or of an entity's row in the version in which it was read: whether it was there."""

    __slots__ = ("_entity", "_key", "_known", "_own")

    def __init__(self, plans: Plans | None, reach: Reach, key: Key, entity: Any = None) -> None:
        super().__init__(plans, reach, key)
        self._key = key
        self._entity = entity

    def _by(self, own: Session) -> bool:
        if self._entity is None:
            return changes.delete_key(own, self._reach, self._key)
        return changes.delete_entity(own, self._reach, self._entity)

    def _build(self, parameter: Parameter) -> Any:
        return delete(table_of(self._reach.own.mapper)).where(*self._same(parameter), *self._reach.where)

    def _returning(self) -> Sequence[ColumnElement[Any]]:
        return self._reach.own.mapper.primary_key

    def ready(self, own: Session | None, number: int | None) -> Statement:
        mapper, self._own = self._reach.own.mapper, own
        self._known = None if own is None else own.identity_map.get(mapper.identity_key_from_primary_key(self._key))
        if own is not None and self._known is not None and not hydration.can_tell(own):
            raise NotDirectly
        has_version = self._entity is not None and mapper.version_id_col is not None
        self._expected = versions.held(self._entity) if has_version else versions.ANY
        same = (*self._key, self._expected) if has_version else self._key
        return self._statement(("delete", len(same)), same, number, *self._reach.where)

    def finish(self, row: Sequence[Any] | None) -> bool:
        if row is None and self._expected is not versions.ANY:
            raise NotDirectly
        if row is None or self._own is None:
            return row is not None
        mapper = self._reach.own.mapper
        # The database may find a row by a key that it has in another spelling.
        key = mapper.identity_key_from_primary_key(tuple(row[: len(mapper.primary_key)]))
        known = self._known or self._own.identity_map.get(key)
        if known is not None:
            hydration.tell_gone(self._own, instance_state(known))
        return True


def table_of(mapper: Mapper[Any]) -> Table:
    """The model's table."""
    table = mapper.local_table
    if not isinstance(table, Table):
        raise NotDirectly
    return table
