"""The rows that a repository reaches, and the values that its new rows have: of a tenant, not deleted, and so on.

What a repository says of its own model holds for rows of other models, too, that are loaded or written along with it.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import (
    BindParameter,
    ClauseElement,
    Column,
    ColumnElement,
    FromClause,
    Join,
    Select,
    and_,
    event,
    select,
)
from sqlalchemy.orm import InstanceState, Mapper, ORMExecuteState, RelationshipDirection, Session, selectinload
from sqlalchemy.orm.interfaces import ORMOption
from sqlalchemy.sql import visitors

from repo.engine.conditions import by_identities, in_parts, key_names, not_found
from repo.engine.criteria import Criteria
from repo.engine.loading import LATER
from repo.engine.rules import Rules, Where, has_subquery, of_table

Related = Callable[[Mapper[Any]], Where]
"""The condition for the rows of another model."""


class Reach:
    """What a repository's ``condition()`` and ``defaults()`` mean for each model.

    Args:
        own: what holds for the rows of its own model.
        related: the condition for the rows of another model. None: the repository declares nothing.
    """

    def __init__(self, own: Rules, related: Related | None = None) -> None:
        self.own = own
        self._related = related
        self._rules = {own.mapper: own}

    @property
    def narrows(self) -> bool:
        """Whether the repository declares anything."""
        return self._related is not None

    @property
    def where(self) -> Where:
        """The conditions for the repository's own rows."""
        return self.own.where

    def rules(self, mapper: Mapper[Any]) -> Rules:
        """What holds for the rows of a model."""
        if mapper not in self._rules:
            self._rules[mapper] = self._made(mapper)
        return self._rules[mapper]

    def _made(self, mapper: Mapper[Any]) -> Rules:
        """What holds for another model: its condition, and the defaults that this needs."""
        if self._related is None:
            return Rules(mapper)
        if mapper.isa(self.own.mapper):
            return Rules(mapper, self.own.where, self.own.defaults)
        where = self._related(mapper)
        needed = Rules(mapper, where).fixed
        return Rules(mapper, where, {name: value for name, value in self.own.defaults.items() if name in needed})

    def mark(self, *, others: bool) -> Hashable:
        """What is the same for reads that reach the same rows; ``others``: of all models, not only of its own."""
        if self._related is None:
            return ()
        mappers = _along(self.own.mapper) if others else (self.own.mapper,)
        return tuple(_Same(condition) for mapper in mappers for condition in self.rules(mapper).where)

    def options(self, *, all_models: bool = False, own: bool = True) -> list[ORMOption]:
        """The options of a SELECT for the models that it reaches by relationships.

        Args:
            all_models: for all models that there are.
            own: for the repository's own model, too.
        """
        if self._related is None:
            return []
        mappers = self.own.mapper.registry.mappers if all_models else _along(self.own.mapper)
        wheres = {
            each: self.rules(each).where
            for each in mappers
            if own or each.base_mapper is not self.own.mapper.base_mapper
        }
        return [
            Criteria(mapper.class_, and_(*where))
            for mapper, where in wheres.items()
            if where and (mapper is self.own.mapper or mapper.inherits is None or not wheres.get(mapper.inherits))
        ]

    @contextmanager
    def kept(self, own: Session) -> Iterator[None]:
        """A block in which all that SQLAlchemy reads along is in reach.

        The repository's own rows are not asked: they are found by their condition, and may have left
        it since they were written.
        """
        if self._related is None:
            yield
            return

        def narrow(state: ORMExecuteState) -> None:
            mapper = state.bind_mapper
            if not state.is_select or mapper is None:
                return
            if state.is_relationship_load:
                state.statement = state.statement.options(*self.options())
            elif brings_others(mapper):
                state.statement = state.statement.options(*self.options(own=False), *_apart(mapper, state.statement))

        event.listen(own, "do_orm_execute", narrow)
        try:
            yield
        finally:
            event.remove(own, "do_orm_execute", narrow)

    def within(self, expressions: Sequence[Any]) -> tuple[Any, ...]:
        """The expressions, of which subqueries see only rows in reach, whatever way they name the tables."""
        if self._related is None:
            return tuple(expressions)
        return tuple(map(self._within, expressions))

    def order(self, order_by: Any) -> Any:
        """What stands in an ``order_by=``, likewise."""
        several = isinstance(order_by, tuple | list)
        return list(self.within(order_by)) if several else self.within([order_by])[0]

    def _within(self, expression: Any) -> Any:
        """One of them; what is no expression, as it is."""
        element = _element(expression)
        if element is None or not has_subquery(element):
            return expression

        def replace(element: Any, **_: Any) -> Any:
            return narrowed(element) if isinstance(element, Select) else None

        def narrowed(statement: Select[Any]) -> Select[Any]:
            inner: Any = visitors.replacement_traverse(
                statement, {}, lambda element, **_: None if element is statement else replace(element)
            )
            return cast(Select[Any], inner.where(*self._on(inner)))

        return visitors.replacement_traverse(element, {}, replace)

    def _on(self, statement: Select[Any]) -> Iterator[ColumnElement[bool]]:
        """The conditions for the tables of a subquery."""
        for table in _tables(statement.get_final_froms()):
            mapper = _owner(self.own.mapper, getattr(table, "element", table))
            if mapper is not None:
                yield from (of_table(mapper, condition, table) for condition in self.rules(mapper).where)

    def admit(self, own: Session, states: Iterable[InstanceState[Any]]) -> None:
        """Complete new entities and refuse what is out of reach, before a flush writes them.

        Raises:
            UsageError: a row would be out of reach.
            NotFound: a row that is stored is.
        """
        if self._related is None:
            return
        there: dict[Mapper[Any], list[tuple[Any, ...]]] = {}
        for state in states:
            rules = self.rules(state.mapper)
            given: Mapping[str, Any] = _from_related(state, rules.fixed)
            if state.key is None:
                given = rules.filled({**state.dict, **given})
            else:
                rules.check({name: state.dict[name] for name in rules.fixed if _is_changed(state, name)} | {**given})
                there.setdefault(state.mapper, []).append(tuple(state.identity or ()))
            for name, value in {**state.dict, **given}.items():
                if (narrowed := self._within(value)) is not state.dict.get(name):
                    setattr(state.obj(), name, narrowed)
        with own.no_autoflush:
            for mapper, keys in there.items():
                _check_reached(own, self.rules(mapper), keys)


@lru_cache(maxsize=1024)
def everything(mapper: Mapper[Any]) -> Reach:
    """All rows."""
    return Reach(Rules(mapper))


@lru_cache(maxsize=1024)
def brings_others(mapper: Mapper[Any]) -> bool:
    """Whether a SELECT of the model's entities always asks other tables, too."""
    mappers = list(mapper.self_and_descendants)
    related = (relationship for each in mappers for relationship in each.relationships)
    columns = (column for each in mappers for attribute in each.column_attrs for column in attribute.columns)
    later = (*LATER, "noload", None)  # of which the last two never ask
    return any(relationship.lazy not in later for relationship in related) or has_subquery(*columns)


def asks_others(expressions: Iterable[Any]) -> bool:
    """Whether one of them has a subquery; what is no expression has none."""
    elements = map(_element, expressions)
    return any(element is not None and has_subquery(element) for element in elements)


def _element(expression: Any) -> ClauseElement | None:
    """The expression as part of a statement, which an attribute or a hybrid becomes; None if it is not one."""
    element = expression.__clause_element__() if hasattr(expression, "__clause_element__") else expression
    return element if isinstance(element, ClauseElement) else None


def _apart(mapper: Mapper[Any], statement: Any) -> list[Any]:
    """The options by which rows of the model that come along with others by a JOIN are read apart from them."""
    if all(column["type"] is not mapper.class_ for column in statement.column_descriptions):
        return []
    joined = (each for each in mapper.relationships if each.lazy in ("joined", False))
    own = (each.class_attribute for each in joined if each.mapper.base_mapper is mapper.base_mapper)
    return [selectinload(attribute) for attribute in own]


@lru_cache(maxsize=1024)
def _along(mapper: Mapper[Any]) -> tuple[Mapper[Any], ...]:
    """The models that can be reached from one by relationships, itself among them."""
    found: dict[Mapper[Any], None] = {}
    pending = [mapper]
    while pending:
        for each in pending.pop().base_mapper.self_and_descendants:
            if each not in found:
                found[each] = None
                pending.extend(relationship.mapper for relationship in each.relationships)
    return tuple(found)


def _tables(froms: Iterable[FromClause]) -> Iterator[FromClause]:
    """The tables, and the aliases of some, that a FROM consists of."""
    for each in froms:
        if isinstance(each, Join):
            yield from _tables((each.left, each.right))
        else:
            yield each


def _owner(mapper: Mapper[Any], table: Any) -> Mapper[Any] | None:
    """The model whose rows are in a table; of several the one that the others inherit from."""
    owners = [each for each in mapper.registry.mappers if each.local_table == table]  # annotated, it is another object
    return min(owners, key=lambda each: len(list(each.iterate_to_root())), default=None)


def _from_related(state: InstanceState[Any], names: Iterable[str]) -> dict[str, Any]:
    """The values that a flush gives to columns by what the entity refers to, where that is new."""
    given: dict[str, Any] = {}
    for relationship in state.mapper.relationships if names else ():
        if relationship.direction is not RelationshipDirection.MANYTOONE or not _is_changed(state, relationship.key):
            continue
        other = state.dict[relationship.key]
        for local, remote in relationship.local_remote_pairs or ():
            name = state.mapper.get_property_by_column(local).key
            if name in names and (other is not None or state.key is not None):
                there = None if other is None else relationship.mapper.get_property_by_column(remote).key
                # What does not have its key yet stands for itself: no value that is allowed.
                given[name] = other if there is None else other.__dict__.get(there, other)
    return given


def _is_changed(state: InstanceState[Any], name: str) -> bool:
    """Whether an attribute has another value than its row."""
    return name in state.dict and bool(state.attrs[name].history.has_changes())


def _check_reached(own: Session, rules: Rules, keys: Sequence[tuple[Any, ...]]) -> None:
    """Refuse keys of rows that are out of reach, as if these were not there."""
    if not rules.where:
        return
    mapper = rules.mapper
    columns = [getattr(mapper.class_, name) for name in key_names(mapper)]
    found: set[tuple[Any, ...]] = set()
    for some in in_parts(keys):
        statement = select(*columns).where(by_identities(mapper, some), *rules.where)
        found.update(tuple(row) for row in own.execute(statement))
    if missing := [key for key in keys if key not in found]:
        raise not_found(mapper, missing)


class _Same:
    """A condition that is equal to others which mean the same."""

    def __init__(self, condition: ColumnElement[bool]) -> None:
        self.condition = condition

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.condition.compare(other.condition)

    def __hash__(self) -> int:
        parts = list(visitors.iterate(self.condition))
        columns = tuple(part.key for part in parts if isinstance(part, Column))
        return hash((columns, *(repr(part.effective_value) for part in parts if isinstance(part, BindParameter))))
