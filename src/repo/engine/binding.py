"""Rows as a driver wants them: the columns of a table, with their defaults, bound by their types."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Table, bindparam
from sqlalchemy import Dialect as SQLAlchemyDialect
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.schema import CallableColumnDefault, ScalarElementColumnDefault

from repo.engine.rows import Group, Shape, plain_function
from repo.errors import InvalidValue, RepoError


@dataclass(frozen=True, slots=True)
class _Given:
    """The value is one of those that a row has."""

    position: int


@dataclass(frozen=True, slots=True)
class _Made:
    """The value is made for each row."""

    make: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class _Same:
    """The value is the same for all rows."""

    value: Any


@dataclass(frozen=True, slots=True)
class _Bound:
    """A column, where its value comes from, and what makes of it that of the driver, if something does."""

    column: Column[Any]
    origin: _Given | _Made | _Same
    process: Callable[[Any], Any] | None

    def misfit(self, error: Exception) -> RepoError:
        """What is to be raised for an error of the type's, or of the default's."""
        if isinstance(error, RepoError):
            return error
        return InvalidValue(
            f"a value for {self.column} does not fit its type, or its default cannot be made: "
            f"{type(error).__name__}; its cause says more"
        )


class Binding:
    """How rows that have values for the same attributes become rows of a table."""

    def __init__(self, bound: Sequence[_Bound], width: int) -> None:
        self.columns = [each.column for each in bound]
        """Those that get values, in the order of the table's."""
        self._stays = [each.origin for each in bound] == [_Given(n) for n in range(width)]
        self._steps = [(n, each) for n, each in enumerate(bound) if each.process or not self._stays]
        self._makers = [(each, each.origin.make) for each in bound if isinstance(each.origin, _Made)]

    def values(self, group: Group) -> list[Any]:
        """The values of the columns, of one row after the other.

        Raises:
            InvalidValue: a value does not fit its column's type, or a default cannot be made.
        """
        if not self._steps:
            return group.values
        made, width = iter(self._make(group.count)), len(self.columns)
        values = group.values.copy() if self._stays else [None] * (group.count * width)
        for n, each in self._steps:
            match each.origin:
                case _Given(position):
                    values[n::width] = _processed(each, group.column(position))
                case _Made():
                    values[n::width] = _processed(each, next(made))
                case _Same(value):
                    values[n::width] = _processed(each, [value]) * group.count
        return values

    def _make(self, count: int) -> list[list[Any]]:
        """What is made for so many rows, one row after the other: the values of each column."""
        made: list[list[Any]] = [[] for _ in self._makers]
        steps = [(each, make, values.append) for (each, make), values in zip(self._makers, made, strict=True)]
        for _ in range(count if made else 0):
            for each, make, keep in steps:
                try:
                    keep(make())
                except Exception as error:
                    raise each.misfit(error) from error
        return made


def _processed(bound: _Bound, values: list[Any]) -> list[Any]:
    """Values of a column as the driver wants them."""
    if bound.process is None:
        return values
    try:
        return list(map(bound.process, values))
    except Exception as error:
        raise bound.misfit(error) from error


@lru_cache(maxsize=256)
def binding(shape: Shape, names: tuple[str, ...], dialect: SQLAlchemyDialect) -> Binding | None:
    """How rows with values for these attributes are bound; None where only SQLAlchemy's own INSERT does all of it."""
    mapper = shape.mapper
    table = mapper.local_table
    if not isinstance(table, Table) or mapper.polymorphic_on is not None:
        return None
    attributes = {column: name for name, column in shape.names.items()}
    bound: list[_Bound] = []
    for column in table.columns:
        origin = _origin(mapper, column, attributes.get(column), names)
        kind = column.type.dialect_impl(dialect)
        if origin is NotImplemented or kind.bind_expression(bindparam(None, type_=column.type)) is not None:
            return None
        if origin is not None:
            bound.append(_Bound(column, origin, kind.bind_processor(dialect)))
    return Binding(bound, len(names)) if bound else None


def _origin(mapper: Mapper[Any], column: Column[Any], name: str | None, names: Sequence[str]) -> Any:
    """How a column gets its value; None, the database makes it; NotImplemented, SQLAlchemy does."""
    if name in names:
        return _Given(names.index(name))
    if column is mapper.version_id_col and callable(generate := mapper.version_id_generator):
        return _Made(lambda: generate(None))
    default = column.default
    if default is None:
        return None
    if isinstance(default, ScalarElementColumnDefault):
        return _Same(default.arg)
    make = plain_function(default) if isinstance(default, CallableColumnDefault) else None
    return NotImplemented if make is None else _Made(make)
