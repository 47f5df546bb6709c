"""What callers give, as rows: items of a source, their names and values, what is missing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby, repeat
from operator import is_, itemgetter
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
        self.written = [name for name, column in self.names.items() if not self._is_generated(column)]
        self.optional = {name for name in self.written if self._is_optional(name, self.names[name])}
        self.droppable = self.optional - self.nulls
        self.kinds = [name for name, column in self.names.items() if column is mapper.polymorphic_on]
        self.needs_flush = _needs_flush(mapper)
        counted = [name for name, column in self.names.items() if column is _counted(column)]
        self.counted = counted[0] if len(mapper.primary_key) == 1 and counted else None
        """The primary key, if the database counts it up."""
        self.plain = [name for name in self.written if name not in self.optional]

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
            or column is _counted(column)
        )

    def row(self, values: Row) -> dict[str, Any]:
        """The values of one row: each plain column, the others where there is something to store."""
        row = {name: values.get(name) for name in self.plain}
        for name in self.optional:
            value = values.get(name)
            if value is not None or (name in self.nulls and name in values):
                row[name] = value
        return row

    def alike(self, rows: Sequence[Row]) -> "Group | None":
        """Rows that all have values for the same names, by what ``row`` makes of each; else None."""
        first = rows[0]
        given = [name for name in self.written if name in first]
        names = tuple(name for name in self.written if name in first or name not in self.optional)
        if not given or set(map(len, rows)) != {len(first)}:
            return None
        if len(given) < len(first) and any(row.keys() != first.keys() for row in rows):
            return None
        try:
            values = _picked(rows, names, {*given})
        except KeyError:
            return None
        group = Group(self, names, _ANY, len(rows), values)
        has_none = (
            any(map(is_, group.column(n), repeat(None))) for n, name in enumerate(names) if name in self.droppable
        )
        return None if any(has_none) else group


def _counted(column: Column[Any]) -> Column[Any] | None:
    """The column of the same table that the database counts up."""
    return getattr(column.table, "autoincrement_column", None)


def _picked(rows: Sequence[Row], names: Sequence[str], given: set[str]) -> list[Any]:
    """The values of rows, one row after the other, in the order of the names; None for those that are not given."""
    if len(names) == len(given) > 1:
        return list(chain.from_iterable(map(itemgetter(*names), rows)))
    values = [None] * (len(rows) * len(names))
    for n, name in enumerate(names):
        if name in given:
            values[n :: len(names)] = map(itemgetter(name), rows)
    return values


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
    names: tuple[str, ...]
    """The attributes that each of the rows has, in the order of the model's."""
    given: frozenset[str]
    """The attributes that the caller named, where rows were parted by that."""
    count: int
    """How many rows there are."""
    values: list[Any]
    """Those of one row after the other, each in the order of the names: one list, as that is quickest to make."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The values of each row by their names."""
        width = len(self.names)
        starts = (number * width for number in range(self.count))
        return [dict(zip(self.names, self.values[start : start + width], strict=True)) for start in starts]

    def column(self, position: int) -> list[Any]:
        """The values of all rows for the name at a position."""
        return self.values[position :: len(self.names)]

    @classmethod
    def of(cls, shape: Shape, given: frozenset[str], rows: Sequence[Row]) -> "Group":
        """Rows that have values for the same columns."""
        names = tuple(name for name in shape.names if name in rows[0])
        return cls(shape, names, given, len(rows), [row[name] for row in rows for name in names])


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

    def groups(self, items: Sequence[Any], first: int = 1) -> list[Group]:
        """The items as rows, in their order, those together that look alike; the first item has this number."""
        alike = self._alike(items)
        if alike is not None:
            return [alike]
        made: list[tuple[Shape, dict[str, Any], frozenset[str]]] = []
        for number, item in enumerate(items, first):
            try:
                made.append(self._row(item))
            except UsageError as error:
                raise UsageError(f"item {number} of {self.verb}: {error}") from None
        parted = groupby(made, lambda each: (each[0], each[1].keys(), each[2]))
        return [Group.of(shape, given, [row for _, row, _ in some]) for (shape, _, given), some in parted]

    def group(self, entity: Any) -> Group:
        """One new entity as a row."""
        shape, row, given = self._row(entity)
        return Group.of(shape, given, [row])

    def _alike(self, items: Sequence[Any]) -> Group | None:
        """The items as one group, made by a few steps for all of them; None where they have to be looked at one by one.

        So it is with whatever might have to be refused.
        """
        kinds = set(map(type, items))
        if self._check is not None or len(kinds) != 1:
            return None
        shape, rows = self._dicts(items) if kinds == {dict} else self._states(items)
        if shape is None:
            return None
        try:
            own = self.reach.own
            return shape.alike([own.filled(row) for row in rows] if own.where or own.defaults else rows)
        except UsageError:
            return None

    def _dicts(self, items: Sequence[dict[str, Any]]) -> tuple[Shape | None, Sequence[Row]]:
        """The shape of rows that are dicts, if the first one names columns of the model."""
        shape = shape_of(self.mapper)
        if self.mapper.polymorphic_abstract or not items[0].keys() <= shape.names.keys():
            return None, ()
        return shape, items

    def _states(self, items: Sequence[Any]) -> tuple[Shape | None, Sequence[Row]]:
        """The shape and the values of new entities without relationships, all of one class."""
        if isinstance(items[0], Mapping) or not isinstance(items[0], self.mapper.class_):
            return None, ()
        states = [inspect(item) for item in items]
        shape = shape_of(states[0].mapper)
        rows = [state.dict for state in states]
        related = [name for name in shape.relationships if name in rows[0]]
        if any(state.key is not None for state in states) or any(row.get(name) for name in related for row in rows):
            return None, ()
        return shape, rows

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
            shape = shape_of(self.mapper)
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
        shape = shape_of(state.mapper)
        related = [name for name in shape.relationships if state.dict.get(name)]
        if related:
            raise UsageError(
                f"{name}.{related[0]} is set, and only columns are written here: set the columns behind it, "
                "or use add()"
            )
        return shape, state.dict


_ANY: frozenset[str] = frozenset()


@lru_cache(maxsize=1024)
def shape_of(mapper: Mapper[Any]) -> Shape:
    """The shape of rows of a model; the same one each time, by which ``binding`` is found again."""
    return Shape(mapper)


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
