"""The shapes of plain parts of statements: comparisons of a column to a value, and SELECTs of columns by such.

SQLAlchemy tells the shape of any part by its cache key, for which it goes through all of the part each
time. Of plain ones, only the columns need its key, and these keep theirs. What a SELECT consists of, and
the key of a type, are private to SQLAlchemy: where something is there that is not known here, there is
no shape, and SQLAlchemy is asked after all; a test notices, and compares the shapes to SQLAlchemy's keys.
"""

from collections.abc import Hashable
from typing import Any

from sqlalchemy import LABEL_STYLE_DEFAULT, BinaryExpression, BindParameter, Column, Select, Table

_PARTS = {"_raw_columns", "_where_criteria", "_label_style", "_propagate_attrs"}
"""What a SELECT has that is nothing but columns and conditions."""


def plain(part: Any, parameters: list[BindParameter[Any]]) -> Hashable | None:
    """The shape of a plain part of a statement, whose parameters are added to the others; None if it is not plain."""
    if type(part) is BinaryExpression:
        return _comparison(part, parameters)
    return _select(part, parameters) if type(part) is Select else None


def _select(statement: Select[Any], parameters: list[BindParameter[Any]]) -> Hashable | None:
    """The shape of a SELECT."""
    parts = vars(statement)
    if not parts.keys() <= _PARTS or parts.get("_label_style") is not LABEL_STYLE_DEFAULT:
        return None
    found: list[BindParameter[Any]] = []
    columns = tuple([_column(column) for column in parts.get("_raw_columns", ())])
    where = tuple([_comparison(condition, found) for condition in parts.get("_where_criteria", ())])
    if None in columns or None in where or len({*map(id, found)}) != len(found):
        return None
    parameters.extend(found)
    return Select, columns, where, tuple(parts.get("_propagate_attrs", {}).items())


def _comparison(element: Any, parameters: list[BindParameter[Any]]) -> Hashable | None:
    """The shape of a comparison of a column to a value."""
    if type(element) is not BinaryExpression or type(value := element.right) is not BindParameter:
        return None
    column, kind, result = _column(element.left), _kind(value), _kind(element)
    if column is None or kind is None or result is None or element.modifiers or not value.unique:
        return None
    parameters.append(value)
    return BinaryExpression, column, element.operator, kind, result, value.literal_execute


def _column(element: Any) -> Hashable | None:
    """The shape of a column of a table, or of a table with all of its columns."""
    table = element.table if isinstance(element, Column) else element
    if not isinstance(table, Table):
        return None
    cached = element._generate_cache_key()
    return None if cached is None else cached.key


def _kind(element: Any) -> Hashable | None:
    """The shape of an element's type; None for one that must not be kept."""
    key = getattr(element.type, "_static_cache_key", None)
    return key if isinstance(key, tuple) else None
