"""What callers give, as rows: items of a source, their names and values, what is missing."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Column, ColumnDefault, Table, inspect
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.schema import CallableColumnDefault

from repo.engine import versions
from repo.engine.conditions import check_columns, name_of, stored
from repo.engine.reach import Reach
from repo.errors import UsageError

AS_THEY_ARE = {"render_nulls": True}
"""How an INSERT of rows is executed: a None that ``Shape.row`` leaves is meant.

SQLAlchemy would otherwise begin a statement of its own for each other set of columns that are not None.
"""

Row = Mapping[str, Any]


class Shape:
    """Which values a row of a model has.

    As in a flush, None and nothing are the same for a column: it gets its default, or NULL. The
    exception are types that have a value for None, such as JSON's null.
    """

    def __init__(self, mapper: Mapper[Any]) -> None:
        self.mapper = mapper
        self.names = stored(mapper)
        self.relationships = mapper.relationships.keys()
        self.nulls = {name for name, column in self.names.items() if column.type.should_evaluate_none}
        written = {name for name, column in self.names.items() if not self._is_generated(column)}
        self.optional = {name for name in written if self._is_optional(name, self.names[name])}
        self.kinds = [name for name, column in self.names.items() if column is mapper.polymorphic_on]
        self.needs_flush = _needs_flush(mapper)
        self.plain = [name for name in self.names if name in written - self.optional]

    def _is_generated(self, column: Column[Any]) -> bool:
        """Whether a column is the version of which a new row gets the first, whatever was given."""
        return column is self.mapper.version_id_col and versions.is_generated(self.mapper)

    def _is_optional(self, name: str, column: Column[Any]) -> bool:
        """Whether a column gets something else than NULL if a row has no value for it."""
        return (
            column.default is not None
            or column.server_default is not None
            or name in self.nulls
            or column is self.mapper.version_id_col
            or column is self.mapper.polymorphic_on
            or column is getattr(column.table, "autoincrement_column", None)
        )

    def row(self, values: Row) -> dict[str, Any]:
        """The values of one row: each plain column, the others where there is something to store."""
        row = {name: values.get(name) for name in self.plain}
        for name in self.optional:
            value = values.get(name)
            if value is not None or (name in self.nulls and name in values):
                row[name] = value
        return row


def _needs_flush(mapper: Mapper[Any]) -> bool:
    """Whether an INSERT of the model is beyond a single statement of SQLAlchemy's.

    So it is with rows in several tables, with a model that joins its subclasses' tables to each of
    its queries, and where the kind of a row is an expression over its columns.
    """
    kind = mapper.polymorphic_on
    one_table = mapper.selectable is mapper.local_table and isinstance(mapper.local_table, Table)
    return not (one_table and (kind is None or isinstance(kind, Column)))


@dataclass(frozen=True, slots=True)
class Group:
    """Rows one after another that have values for the same columns."""

    shape: Shape
    names: list[str]
    """The attributes that each of the rows has."""
    given: frozenset[str]
    """The attributes that the caller named, where rows were parted by that."""
    rows: list[dict[str, Any]]


class Intake:
    """How what a caller gives becomes rows of a model.

    Args:
        reach: the rows that the repository reaches, and what new ones get.
        verb: what messages call the caller's verb.
        check: looks at each row, and may complete or refuse it. With it, rows are parted also where
            what the caller named differs, even if the same is stored.
    """

    def __init__(
        self, reach: Reach, verb: str, *, check: Callable[[Shape, dict[str, Any]], None] | None = None
    ) -> None:
        self.reach = reach
        self.mapper = reach.own.mapper
        self.verb = verb
        self._check = check
        self._shapes: dict[Mapper[Any], Shape] = {}

    def groups(self, items: Iterable[Any], first: int = 1) -> list[Group]:
        """The items as rows, in their order, those together that look alike; the first item has this number."""
        made: list[tuple[Shape, dict[str, Any], frozenset[str]]] = []
        for number, item in enumerate(items, first):
            try:
                made.append(self._row(item))
            except UsageError as error:
                raise UsageError(f"item {number} of {self.verb}: {error}") from None
        alike = groupby(made, lambda each: (each[0], each[1].keys(), each[2]))
        return [Group(shape, list(names), given, [row for _, row, _ in some]) for (shape, names, given), some in alike]

    def group(self, entity: Any) -> Group:
        """One new entity as a row."""
        shape, row, given = self._row(entity)
        return Group(shape, list(row), given, [row])

    def _row(self, item: Any) -> tuple[Shape, dict[str, Any], frozenset[str]]:
        """One item's row, and what of it the caller named."""
        shape, values = self._values(item)
        row = shape.row(self.reach.own.filled(values))
        if self._check is None:
            return shape, row, _ANY
        self._check(shape, row)
        return shape, row, frozenset(values)

    def _values(self, item: Any) -> tuple[Shape, Row]:
        """One item's values by attribute names, and the shape of its row."""
        name = name_of(self.mapper)
        if isinstance(item, Mapping):
            shape = self._shape(self.mapper)
            if not item.keys() <= shape.names.keys():
                check_columns(self.mapper, item)
            if self.mapper.polymorphic_abstract and not any(item.get(kind) for kind in shape.kinds):
                raise UsageError(f"{name} is abstract, so no row is only that: give entities of its subclasses")
            return shape, item
        if not isinstance(item, self.mapper.class_):
            raise UsageError(f"{name} or a mapping is wanted, not {type(item).__name__}")
        state = inspect(item)
        if state.key is not None:
            raise UsageError(f"this {name} is stored already; update() is for that")
        shape = self._shape(state.mapper)
        related = [name for name in shape.relationships if state.dict.get(name)]
        if related:
            raise UsageError(
                f"{name}.{related[0]} is set, and only columns are written here: set the columns behind it, "
                "or use add()"
            )
        return shape, state.dict

    def _shape(self, mapper: Mapper[Any]) -> Shape:
        """The shape of rows of a model."""
        return self._shapes.get(mapper) or self._shapes.setdefault(mapper, Shape(mapper))


_ANY: frozenset[str] = frozenset()


def plain_function(default: CallableColumnDefault) -> Callable[[], Any] | None:
    """The function of a default that takes nothing; None if it takes the statement's context.

    SQLAlchemy wraps those that take nothing. A function may have been wrapped by others, too, so
    SQLAlchemy is asked whether it would wrap the inner one.
    """
    function = getattr(default.arg, "__wrapped__", None)
    try:
        wraps = function is not None and ColumnDefault(function).arg is not function
    except ArgumentError:
        return None
    return function if wraps else None
