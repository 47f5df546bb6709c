"""The rows that a repository reaches, and the values that its new rows have: of a tenant, not deleted, and so on.

What a repository says of its own model holds for rows of other models, too, that are loaded or written along with it.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, BooleanClauseList, Column, ColumnElement, FromClause, Join, Select, and_, select
from sqlalchemy.orm import InstanceState, Mapper, Session, with_loader_criteria
from sqlalchemy.orm.interfaces import ORMOption
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression, Grouping
from sqlalchemy.sql.selectable import SelectBase

from repo.engine.conditions import by_identities, in_parts, key_names, mapper_of, name_of, not_found, stored
from repo.errors import UsageError

Where = tuple[ColumnElement[bool], ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for the rows of one model."""

    mapper: Mapper[Any]
    where: Where = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What new rows get where they have no value."""

    def fixed(self) -> dict[str, list[Any]]:
        """The columns that the condition compares to values, and those values: no row may get others."""
        names = {column: name for name, column in stored(self.mapper).items()}
        found = (_compared(part, names) for condition in self.where for part in _parts(condition))
        return dict(filter(None, found))

    def filled(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """A new row's values with the defaults.

        Raises:
            UsageError: the row would be out of reach.
        """
        given = {name: value for name, value in values.items() if value is not None or name not in self.defaults}
        all_values = {**self.defaults, **given} if self.defaults else values
        for name, allowed in self.fixed().items():
            if all_values.get(name) is None:
                raise UsageError(
                    f"{name_of(self.mapper)}.{name} has no value, and the condition() of this repository asks for one: "
                    "give it, or let defaults() return it"
                )
            self._check(name, all_values[name], allowed)
        return all_values

    def check(self, values: Mapping[str, Any]) -> None:
        """Refuse new values that would move a row out of reach."""
        if not self.where:
            return
        for name, allowed in self.fixed().items():
            if name in values:
                self._check(name, values[name], allowed)

    def _check(self, name: str, value: Any, allowed: Sequence[Any]) -> None:
        is_value = not hasattr(value, "__clause_element__") and not isinstance(value, ColumnElement)
        if not is_value or value not in allowed:
            raise UsageError(
                f"{name_of(self.mapper)}.{name} cannot get another value than the condition() of this repository asks "
                "for: the row would be out of its reach. Leave it out, or use a repository that reaches both"
            )


class Reach:
    """What a repository's ``condition()`` and ``defaults()`` mean for each model.

    Args:
        own: what holds for the rows of its own model.
        of: the condition for the rows of another model; None for none.
    """

    def __init__(self, own: Rules, of: Callable[[type[Any]], Where]) -> None:
        self.own = own
        self._of = of
        self._rules: dict[Mapper[Any], Rules] = {}

    @property
    def where(self) -> Where:
        """The conditions for the repository's own rows."""
        return self.own.where

    @property
    def mark(self) -> Hashable:
        """What is the same for reads that reach the same rows."""
        return tuple(map(_Same, self.where))

    def rules(self, mapper: Mapper[Any]) -> Rules:
        """What holds for the rows of a model."""
        if mapper is self.own.mapper or not (self.own.where or self.own.defaults):
            return self.own
        if mapper not in self._rules:
            self._rules[mapper] = self._make(mapper)
        return self._rules[mapper]

    def options(self, *, all_models: bool = False) -> list[ORMOption]:
        """The options of a SELECT for the models that it reaches by relationships, or for all that there are."""
        if not self.where:
            return []
        mappers = self.own.mapper.registry.mappers if all_models else _related(self.own.mapper)
        wheres = {mapper: self.rules(mapper).where for mapper in mappers}
        return [
            with_loader_criteria(mapper.class_, and_(*where), include_aliases=True, propagate_to_loaders=False)
            for mapper, where in wheres.items()
            if where and not (mapper.inherits is not None and wheres.get(mapper.inherits))
        ]

    def within(self, conditions: Where) -> Where:
        """The conditions, of which subqueries see only rows in reach, whatever way they name the tables."""
        if not self.where or not has_subquery(*conditions):
            return conditions
        narrowed: list[Select[Any]] = []  # also keeps them alive, so that no other can get the id of one

        def replace(element: Any, **_: Any) -> Any:
            if not isinstance(element, Select) or any(element is each for each in narrowed):
                return None
            narrowed.append(element.where(*self._on(element)))
            return visitors.replacement_traverse(narrowed[-1], {}, replace)

        return tuple(visitors.replacement_traverse(condition, {}, replace) for condition in conditions)

    def _on(self, statement: Select[Any]) -> Iterator[ColumnElement[bool]]:
        """The conditions for the tables of a subquery."""
        by_table = {mapper.local_table: mapper for mapper in self.own.mapper.registry.mappers}
        for table in _tables(statement.get_final_froms()):
            mapper = by_table.get(getattr(table, "element", table))
            for condition in () if mapper is None else self.rules(mapper).where:
                if not has_subquery(condition):
                    yield _adapted(condition, table)

    def admit(self, own: Session, states: Iterable[InstanceState[Any]]) -> None:
        """Complete new entities and refuse what is out of reach, before a flush writes them.

        Raises:
            UsageError: a row would be out of reach.
            NotFound: a row that is stored is.
        """
        if not (self.own.where or self.own.defaults):
            return
        stored_ones: dict[Mapper[Any], list[tuple[Any, ...]]] = {}
        for state in states:
            rules = self.rules(state.mapper)
            if state.key is None:
                for name, value in rules.filled(state.dict).items():
                    if state.dict.get(name) is not value:
                        setattr(state.obj(), name, value)
            elif rules.where:
                rules.check({name: state.dict[name] for name in rules.fixed() if _is_changed(state, name)})
                stored_ones.setdefault(state.mapper, []).append(tuple(state.identity or ()))
        with own.no_autoflush:
            for mapper, keys in stored_ones.items():
                _check_reached(own, self.rules(mapper), list(dict.fromkeys(keys)))

    def _make(self, mapper: Mapper[Any]) -> Rules:
        """What holds for another model: its condition, and the defaults that this needs."""
        if mapper.isa(self.own.mapper):
            return Rules(mapper, self.own.where, self.own.defaults)
        where = self._of(mapper.class_)
        needed = Rules(mapper, where).fixed()
        return Rules(mapper, where, {name: value for name, value in self.own.defaults.items() if name in needed})


@lru_cache(maxsize=1024)
def everything(mapper: Mapper[Any]) -> Reach:
    """All rows."""
    return Reach(Rules(mapper), lambda _: ())


def carried_over(mapper: Mapper[Any], where: Where, model: type[Any]) -> Where:
    """The parts of a model's condition that can be asked of another model, which has columns of the same names.

    A part over the primary key alone, or with a subquery, means the model itself.
    """
    other = mapper_of(model)
    names = {column: name for name, column in stored(mapper).items()}
    columns = {column: getattr(other.class_, name) for column, name in names.items() if name in stored(other)}
    carried = (_carried(part, set(mapper.primary_key), columns) for each in where for part in _parts(each))
    return tuple(part for part in carried if part is not None)


def _carried(
    part: ColumnElement[bool], key: set[Any], columns: Mapping[Column[Any], Any]
) -> ColumnElement[bool] | None:
    """A part of a condition over other columns; None if there are none for it."""
    elements = list(visitors.iterate(part))
    used = {element for element in elements if isinstance(element, Column)}
    if has_subquery(part) or not used or used <= key or not used <= columns.keys():
        return None

    def replace(element: Any, **_: Any) -> Any:
        return columns[element].__clause_element__() if isinstance(element, Column) else None

    return visitors.replacement_traverse(part, {}, replace)


def has_subquery(*elements: ColumnElement[Any]) -> bool:
    """Whether expressions ask other tables."""
    return any(isinstance(part, SelectBase) for element in elements for part in visitors.iterate(element))


def _tables(froms: Iterable[FromClause]) -> Iterator[FromClause]:
    """The tables, and the aliases of some, that a FROM consists of."""
    for each in froms:
        if isinstance(each, Join):
            yield from _tables((each.left, each.right))
        else:
            yield each


def _adapted(condition: ColumnElement[bool], table: FromClause) -> ColumnElement[bool]:
    """A condition over the columns of a table, or of an alias of it."""

    def replace(element: Any, **_: Any) -> Any:
        return table.c[element.key] if isinstance(element, Column) else None

    return visitors.replacement_traverse(condition, {}, replace)


def loads_others(mapper: Mapper[Any]) -> bool:
    """Whether entities of the model always bring along others."""
    related = (relationship for each in mapper.self_and_descendants for relationship in each.relationships)
    return any(
        relationship.lazy not in ("select", True, "raise", "raise_on_sql", "noload", None) for relationship in related
    )


def _parts(condition: Any) -> Iterator[ColumnElement[bool]]:
    """What all must hold for a condition to hold."""
    if isinstance(condition, Grouping):
        yield from _parts(condition.element)
    elif isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        for clause in condition.clauses:
            yield from _parts(clause)
    else:
        yield condition


def _compared(part: ColumnElement[bool], names: Mapping[Column[Any], str]) -> tuple[str, list[Any]] | None:
    """The attribute that a part compares to a value, or to some of which it must be one."""
    if not isinstance(part, BinaryExpression) or part.operator not in (operators.eq, operators.in_op):
        return None
    for column, value in ((part.left, part.right), (part.right, part.left)):
        if isinstance(column, Column) and column in names and isinstance(value, BindParameter):
            one: Any = value.effective_value
            return names[column], list(one) if part.operator is operators.in_op else [one]
    return None


def _is_changed(state: InstanceState[Any], name: str) -> bool:
    """Whether an attribute has another value than its row."""
    return name in state.dict and bool(state.attrs[name].history.has_changes())


def _check_reached(own: Session, rules: Rules, keys: list[tuple[Any, ...]]) -> None:
    """Refuse keys of rows that are out of reach, as if these were not there."""
    mapper = rules.mapper
    columns = [getattr(mapper.class_, name) for name in key_names(mapper)]
    found: set[tuple[Any, ...]] = set()
    for some in in_parts(keys):
        found.update(
            tuple(row) for row in own.execute(select(*columns).where(by_identities(mapper, some), *rules.where))
        )
    if missing := [key for key in keys if key not in found]:
        raise not_found(mapper, missing)


@lru_cache(maxsize=1024)
def _related(mapper: Mapper[Any]) -> tuple[Mapper[Any], ...]:
    """The models that can be reached from one by relationships, itself among them."""
    found: dict[Mapper[Any], None] = {}
    pending = [mapper]
    while pending:
        for each in pending.pop().base_mapper.self_and_descendants:
            if each not in found:
                found[each] = None
                pending.extend(relationship.mapper for relationship in each.relationships)
    return tuple(found)


class _Same:
    """An expression that is equal to others which mean the same."""

    def __init__(self, expression: ColumnElement[Any]) -> None:
        self.expression = expression

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.expression.compare(other.expression)

    def __hash__(self) -> int:
        return hash(str(self.expression))
