"""What callers give, as rows: items of a source, their names and values, what is missing."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

from sqlalchemy import Column, ColumnDefault, Table, inspect
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.schema import CallableColumnDefault

from repo.engine.conditions import check_columns, name_of, stored
from repo.errors import UsageError

CHUNK = 5000
"""How many rows go to the database at a time."""

AS_THEY_ARE = {"render_nulls": True}
"""How an INSERT of rows is executed: a None that ``Shape.row`` leaves is meant.

SQLAlchemy would otherwise begin a statement of its own for each other set of columns that are not None.
"""

Row = Mapping[str, Any]


def check_source(mapper: Mapper[Any], source: Any, verb: str) -> None:
    """Refuse what is no source of rows, such as one row."""
    if isinstance(source, str | bytes | Mapping) or not isinstance(source, Iterable | AsyncIterable):
        raise UsageError(
            f"{verb} of {name_of(mapper)} takes a list, or anything else that gives {name_of(mapper)} or "
            f"mappings one after the other, not {type(source).__name__}; "
            f"{verb.removesuffix('_many')}() takes a single entity"
        )


async def chunks(source: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[list[Any], None]:
    """The source's items in lists of ``CHUNK``; an asynchronous generator is closed in the end."""
    if not isinstance(source, AsyncIterable):
        items = iter(source)
        while some := list(islice(items, CHUNK)):
            yield some
        return
    some = []
    try:
        async for item in source:
            some.append(item)
            if len(some) == CHUNK:
                yield some
                some = []
        if some:
            yield some
    finally:
        if (close := getattr(source, "aclose", None)) is not None:
            await close()


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
        self.optional = {name for name, column in self.names.items() if self._is_optional(name, column)}
        self.kinds = [name for name, column in self.names.items() if column is mapper.polymorphic_on]
        self.needs_flush = _needs_flush(mapper)
        self.plain = [name for name in self.names if name not in self.optional]

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


def groups(
    mapper: Mapper[Any],
    items: Iterable[Any],
    verb: str,
    first: int = 1,
    *,
    check: Callable[[Shape, dict[str, Any]], None] | None = None,
) -> Iterator[Group]:
    """The items as rows, in their order, those together that look alike.

    Args:
        mapper: the model's.
        items: entities or mappings.
        verb: what messages call the caller's verb.
        first: the number of the first item, for messages.
        check: looks at each row, and may complete or refuse it. With it, rows are parted also where
            what the caller named differs, even if the same is stored.
    """
    shapes: dict[Mapper[Any], Shape] = {}
    made: list[tuple[Shape, dict[str, Any], frozenset[str]]] = []
    for number, item in enumerate(items, first):
        try:
            shape, values = _values(mapper, shapes, item)
            row = shape.row(values)
            if check is not None:
                check(shape, row)
        except UsageError as error:
            raise UsageError(f"item {number} of {verb}: {error}") from None
        given = frozenset(values) if check is not None else _ANY
        made.append((shape, row, given))
    for (shape, names, given), alike in groupby(made, lambda each: (each[0], each[1].keys(), each[2])):
        yield Group(shape, list(names), given, [row for _, row, _ in alike])


_ANY: frozenset[str] = frozenset()


def group_of(mapper: Mapper[Any], entity: Any, check: Callable[[Shape, dict[str, Any]], None]) -> Group:
    """One new entity as a row."""
    shape, values = _values(mapper, {}, entity)
    row = shape.row(values)
    check(shape, row)
    return Group(shape, list(row), frozenset(values), [row])


def _values(mapper: Mapper[Any], shapes: dict[Mapper[Any], Shape], item: Any) -> tuple[Shape, Row]:
    """One item's values by attribute names, and the shape of its row."""
    if isinstance(item, Mapping):
        shape = shapes.get(mapper) or shapes.setdefault(mapper, Shape(mapper))
        if not item.keys() <= shape.names.keys():
            check_columns(mapper, item)
        if mapper.polymorphic_abstract and not any(item.get(kind) for kind in shape.kinds):
            raise UsageError(f"{name_of(mapper)} is abstract, so no row is only that: give entities of its subclasses")
        return shape, item
    if not isinstance(item, mapper.class_):
        raise UsageError(f"{name_of(mapper)} or a mapping is wanted, not {type(item).__name__}")
    state = inspect(item)
    if state.key is not None:
        raise UsageError(f"this {name_of(mapper)} is stored already; update() is for that")
    shape = shapes.get(state.mapper) or shapes.setdefault(state.mapper, Shape(state.mapper))
    related = [name for name in shape.relationships if state.dict.get(name)]
    if related:
        raise UsageError(
            f"{name_of(mapper)}.{related[0]} is set, and only columns are written here: set the "
            "columns behind it, or use add()"
        )
    return shape, state.dict


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
