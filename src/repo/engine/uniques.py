"""By which columns two rows are the same: the unique keys of a model, and which of them is meant."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Index,
    PrimaryKeyConstraint,
    Table,
    TextClause,
    UniqueConstraint,
    literal,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import QueryableAttribute
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import UnaryExpression

from repo.dialects.base import Dialect
from repo.engine.conditions import check_columns, name_of, stored
from repo.errors import UniqueViolation, UsageError


@dataclass(frozen=True, slots=True)
class Unique:
    """A unique key, as ON CONFLICT is told of it."""

    name: str | None
    columns: tuple[Column[Any], ...]
    """The columns that it is about."""
    elements: tuple[ColumnElement[Any], ...]
    """What must be equal: columns, or expressions over some."""
    where: Any = None
    """Among which rows it holds; None for all."""
    is_late: bool = False
    """Whether it may be checked at the COMMIT, so that no statement can tell a conflict."""

    def is_over(self, columns: set[Column[Any]]) -> bool:
        """Whether it is a key of just these columns."""
        return set(self.elements) == columns

    def __str__(self) -> str:
        names = ", ".join(column.name for column in self.columns)
        return f"{self.name} ({names})" if self.name else f"one on {names}"

    def matching(self, values: Mapping[Column[Any], Any]) -> list[ColumnElement[bool]]:
        """The conditions for the row that a row of these values would be in conflict with."""
        same = [element == _of_values(element, values) for element in self.elements]
        return same if self.where is None else [*same, self.where]

    def violated(self, why: str) -> UniqueViolation:
        """The error for a row that is in the way and that is not to be reached."""
        table, names = self.columns[0].table.name, tuple(column.name for column in self.columns)
        return UniqueViolation(
            f"{table} has a row with the same {' and '.join(names)} that {why}; it was left as it is, and is not shown",
            constraint=self.name,
            table=table,
            columns=names,
        )


def unique(mapper: Mapper[Any], dialect: Dialect, on: Any) -> Unique:
    """The unique key that ``on=`` means: by its name, or by all of its columns in any order.

    Raises:
        UsageError: the model has no such key, or not one by which a conflict can be resolved.
    """
    known = list(_keys(mapper, dialect))
    if isinstance(on, str) and (named := next((key for key in known if key.name == on), None)):
        return _resolvable(named)
    wanted = [_column(mapper, each) for each in (on if isinstance(on, tuple | list) else (on,))]
    if not wanted:
        raise _no_key(mapper, "nothing")
    fitting = [key for key in known if key.is_over(set(wanted))]
    for key in fitting:
        if key.where is None and not key.is_late:
            return key
    if fitting and fitting[0].where is not None:
        raise UsageError(
            f"{fitting[0]} is unique among some rows only: others may have the same values. If those are to be left "
            f"alone, name it: on={fitting[0].name!r}"
        )
    if fitting:
        return _resolvable(fitting[0])
    names = ", ".join(mapper.get_property_by_column(column).key for column in wanted)
    raise UsageError(
        f"{name_of(mapper)} has no unique constraint on {names}, so two callers at once could both find nothing and "
        f"add a row each; it has {', '.join(map(str, known))}"
    )


def _resolvable(key: Unique) -> Unique:
    """The key, unless the database resolves no conflict by it."""
    if key.is_late:
        raise UsageError(f"{key.name or key} may be checked late (deferrable), and no conflict can be resolved by such")
    if any(isinstance(element, TextClause) for element in key.elements):
        raise UsageError(f"{key.name or key} is written as text, which cannot be asked for: write it with func")
    return key


def _keys(mapper: Mapper[Any], dialect: Dialect) -> Iterable[Unique]:
    """The unique keys of the model's table: the primary key, constraints, indexes."""
    table = mapper.local_table
    if not isinstance(table, Table):
        return
    constraints = [each for each in table.constraints if isinstance(each, PrimaryKeyConstraint | UniqueConstraint)]
    for constraint in sorted(constraints, key=lambda each: (isinstance(each, UniqueConstraint), str(each.name))):
        columns = tuple(constraint.columns)
        if columns:
            yield Unique(_name(constraint), columns, columns, is_late=bool(constraint.deferrable))
    for index in sorted((index for index in table.indexes if index.unique), key=lambda each: str(each.name)):
        where = index.dialect_options[dialect.name]["where"]
        elements = tuple(_literal(_unordered(element)) for element in index.expressions)
        yield Unique(_name(index), tuple(index.columns), elements, None if where is None else _literal(_clause(where)))


def _name(of: PrimaryKeyConstraint | UniqueConstraint | Index) -> str | None:
    """The name, if the model or its naming convention gives one."""
    return str(of.name) if isinstance(of.name, str) else None


def _column(mapper: Mapper[Any], named: Any) -> Column[Any]:
    """The column that one part of ``on=`` means."""
    columns = stored(mapper)
    if isinstance(named, str):
        check_columns(mapper, [named])
        return columns[named]
    if isinstance(named, Column) and named in columns.values():
        return named
    if isinstance(named, QueryableAttribute):
        if mapper.isa(named.parent.mapper) or named.parent.mapper.isa(mapper):
            check_columns(mapper, [named.key])
            return columns[named.key]
        raise _no_key(mapper, str(named))
    raise _no_key(mapper, type(named).__name__)


def _no_key(mapper: Mapper[Any], instead: str) -> UsageError:
    """The error for what is no part of a key."""
    return UsageError(
        f"on= of {name_of(mapper)} takes the name of a unique constraint, an attribute or its name, or a tuple of "
        f"these, not {instead}"
    )


def _clause(where: Any) -> Any:
    """The WHERE of an index, which a model may have as text."""
    return text(where) if isinstance(where, str) else where


def _unordered(element: Any) -> Any:
    """An element of an index without its direction, which has no part in what is equal."""
    directions = (operators.desc_op, operators.asc_op, operators.nulls_first_op, operators.nulls_last_op)
    while isinstance(element, UnaryExpression) and element.modifier in directions:
        element = element.element
    return element


class _Constant(ColumnElement[Any]):
    """A value in the text of a statement, as an index has it: by a parameter no index would be recognised."""

    inherit_cache = False  # its value is a part of the text

    def __init__(self, value: BindParameter[Any]) -> None:
        self.value = value
        self.type = value.type


@compiles(_Constant)
def _render(constant: _Constant, compiler: SQLCompiler, **_: Any) -> str:
    """The value of the model's index, as its DDL shows it."""
    return compiler.process(constant.value, literal_binds=True)


def _literal(expression: Any) -> Any:
    """An expression with its values in its text."""

    def replace(element: Any, **_: Any) -> Any:
        return _Constant(element) if isinstance(element, BindParameter) else None

    return expression if isinstance(expression, Column) else visitors.replacement_traverse(expression, {}, replace)


def _of_values(expression: Any, values: Mapping[Column[Any], Any]) -> Any:
    """What an element of a key is for a row of these values."""

    def replace(element: Any, **_: Any) -> Any:
        return literal(values.get(element), element.type) if isinstance(element, Column) else None

    if isinstance(expression, Column):
        return replace(expression)
    return visitors.replacement_traverse(expression, {}, replace)
