"""What holds for the rows of one model: a condition, the values that it fixes, and those that new rows get."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    BooleanClauseList,
    Column,
    ColumnElement,
    False_,
    FromClause,
    Null,
    Select,
    True_,
    select,
    tuple_,
)
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression, ClauseElement, Grouping
from sqlalchemy.sql.selectable import SelectBase

from repo.engine.conditions import name_of, stored
from repo.errors import UsageError

Where = tuple[ColumnElement[bool], ...]


@dataclass(frozen=True)
class Rules:
    """What holds for the rows of one model."""

    mapper: Mapper[Any]
    where: Where = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What new rows get where they have no value."""

    @cached_property
    def fixed(self) -> dict[str, Sequence[Any]]:
        """The columns that the condition compares to something, and the values that they may get."""
        compared = (_compared(part, self.mapper) for condition in self.where for part in _parts(condition))
        return {name: self._known(name) if values is None else values for name, values in filter(None, compared)}

    def _known(self, name: str) -> Sequence[Any]:
        """What a column may get that is compared to something which only the database knows."""
        return [self.defaults[name]] if name in self.defaults else []

    def filled(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """A new row's values with the defaults.

        Raises:
            UsageError: the row would be out of reach.
        """
        if not (self.where or self.defaults):
            return values
        given = {name: value for name, value in values.items() if value is not None or name not in self.defaults}
        complete = {**self.defaults, **given}
        for name, allowed in self.fixed.items():
            if complete.get(name) is not None:
                self._check(name, complete[name])
            elif allowed:
                raise UsageError(
                    f"{name_of(self.mapper)}.{name} has no value, and the condition() of this repository asks for one: "
                    "give it, or let defaults() return it"
                )
        return complete

    def check(self, values: Mapping[str, Any]) -> None:
        """Refuse new values that would move a row out of reach."""
        for name in self.fixed.keys() & values.keys():
            self._check(name, values[name])

    def _check(self, name: str, value: Any) -> None:
        # An SQL expression is equal to none but itself.
        if value not in self.fixed[name]:
            raise UsageError(
                f"{name_of(self.mapper)}.{name} cannot get another value than the condition() of this repository asks "
                "for: the row would be out of its reach. Leave it out, or use a repository that reaches both"
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


def _compared(part: ColumnElement[bool], mapper: Mapper[Any]) -> tuple[str, Sequence[Any] | None] | None:
    """The attribute that a part compares to something, and the values of which it must be one.

    None for values that only the database knows; a column that is compared to true or false says in
    which state a row is, which may change.
    """
    if not isinstance(part, BinaryExpression) or part.operator not in (operators.eq, operators.in_op):
        return None
    names = _names(mapper)
    for column, value in ((part.left, part.right), (part.right, part.left)):
        if isinstance(column, Column) and column in names and not isinstance(value, True_ | False_ | Null):
            if not isinstance(value, BindParameter):
                return names[column], None
            one: Any = value.effective_value
            return names[column], list(one) if part.operator is operators.in_op else [one]
    return None


@dataclass(frozen=True)
class Carried:
    """The parts of a model's condition that can be asked of another model, which has columns of the same names.

    A part over the primary key alone, or with a subquery, means the model itself.
    """

    mapper: Mapper[Any]
    where: Where

    def __call__(self, other: Mapper[Any]) -> Where:
        """The parts for another model."""
        names, columns = _names(self.mapper), _columns(other)
        asked = (part for part, attributes in self._parts if attributes <= columns.keys())
        return tuple(_replaced(part, lambda column: columns[names[column]]) for part in asked)

    @cached_property
    def _parts(self) -> list[tuple[ColumnElement[bool], set[str]]]:
        """The parts, and the attributes that each is about."""
        names, key = _names(self.mapper), set(self.mapper.primary_key)
        found: list[tuple[ColumnElement[bool], set[str]]] = []
        for part in (part for condition in self.where for part in _parts(condition)):
            used = {element for element in visitors.iterate(part) if isinstance(element, Column)}
            if not used <= key and used <= names.keys() and not has_subquery(part):
                found.append((part, {names[column] for column in used}))
        return found


def _replaced(
    expression: ColumnElement[bool], other: Callable[[Column[Any]], ColumnElement[Any]]
) -> ColumnElement[bool]:
    """An expression with other columns in place of its own."""

    def replace(element: Any, **_: Any) -> Any:
        return other(element) if isinstance(element, Column) else None

    return visitors.replacement_traverse(expression, {}, replace)


def settled(mapper: Mapper[Any], condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """A condition of which the subqueries refer to the model's tables alone.

    Otherwise SQLAlchemy takes a table of theirs for the same table of any statement that they are put into.
    """

    def replace(element: Any, **_: Any) -> Any:
        if not isinstance(element, Select):
            return None
        others = [table for table in element.get_final_froms() if table not in mapper.tables]
        return element.correlate_except(*others) if others else element.correlate(None)

    return visitors.replacement_traverse(condition, {}, replace) if has_subquery(condition) else condition


def has_subquery(*elements: ClauseElement) -> bool:
    """Whether expressions ask other tables."""
    return any(isinstance(part, SelectBase) for element in elements for part in visitors.iterate(element))


def of_table(mapper: Mapper[Any], condition: ColumnElement[bool], table: FromClause) -> ColumnElement[bool]:
    """A condition of a model asked of its own table under another name, or as a subquery has it."""
    columns = {column: table.c[column.key] for column in mapper.local_table.columns}
    return _moved(mapper, condition, columns, [columns[column] for column in mapper.local_table.primary_key])


def of_alias(mapper: Mapper[Any], condition: ColumnElement[bool], alias: Any) -> ColumnElement[bool]:
    """A condition of a model asked of an alias of it."""
    columns = {column: getattr(alias, name).__clause_element__() for column, name in _names(mapper).items()}
    return _moved(mapper, condition, columns, [columns[column] for column in mapper.primary_key])


def _moved(
    mapper: Mapper[Any],
    condition: ColumnElement[bool],
    columns: Mapping[Any, ColumnElement[Any]],
    key: Sequence[ColumnElement[Any]],
) -> ColumnElement[bool]:
    """A condition asked of other columns; where that is not enough, of a row's key."""
    used = (element for element in visitors.iterate(condition) if isinstance(element, Column))
    if has_subquery(condition) or not all(column in columns for column in used):
        return among_keys(key, mapper, (condition,))
    return _replaced(condition, lambda column: columns[column])


def among_keys(key: Sequence[ColumnElement[Any]], mapper: Mapper[Any], where: Where) -> ColumnElement[bool]:
    """The condition for a key that is one of those of the rows that meet a condition."""
    keys = select(*mapper.primary_key).select_from(mapper.selectable).where(*where).correlate(None)
    return key[0].in_(keys) if len(key) == 1 else tuple_(*key).in_(keys)


@lru_cache(maxsize=1024)
def _names(mapper: Mapper[Any]) -> dict[Any, str]:
    """The attributes by their columns."""
    names = stored(mapper).keys()
    return {column: each.key for each in mapper.column_attrs if each.key in names for column in each.columns}


@lru_cache(maxsize=1024)
def _columns(mapper: Mapper[Any]) -> dict[Any, ColumnElement[Any]]:
    """The columns by their attributes, as parts of a statement."""
    return {name: getattr(mapper.class_, name).__clause_element__() for name in stored(mapper)}
