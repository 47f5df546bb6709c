"""The shapes of plain parts of statements: comparisons of a column to a value, and SELECTs of columns by such.

SQLAlchemy tells the shape of any part by its cache key, for which it goes through all of the part each
time. Of plain ones, only the columns need its key, and these keep theirs. What a SELECT consists of, and
the key of a type, are private to SQLAlchemy: where something is there that is not known here, there is
no shape, and SQLAlchemy is asked after all; a test notices, and compares the shapes to SQLAlchemy's keys.
"""

from collections.abc import Hashable
from typing import Any

from sqlalchemy import LABEL_STYLE_DEFAULT, BinaryExpression, BindParameter, Column, Select, Table, UnaryExpression

_COLUMNS = ("_raw_columns", "_where_criteria", "_order_by_clauses")
_BOUNDS = ("_limit_clause", "_offset_clause")
_FETCH = ("_fetch_clause", "_fetch_clause_options")
_LABELS, _MODEL, _DIALECTS = "_label_style", "_propagate_attrs", "dialect_options"
_COMPILED, _FOUND_OUT = "_compile_options", "_memoized_keys"
"""What a SELECT notes when it is compiled, and the names of what else it has found out: no parts of it."""
_KNOWN = {*_COLUMNS, *_BOUNDS, *_FETCH, _LABELS, _MODEL, _DIALECTS, _COMPILED, _FOUND_OUT}


def plain(part: Any, parameters: list[BindParameter[Any]]) -> Hashable | None:
    """The shape of a plain part of a statement, whose parameters are added to the others; None if it is not plain."""
    if type(part) is BinaryExpression:
        return _comparison(part, parameters)
    if type(part) is UnaryExpression:
        return _term(part)
    return _select(part, parameters) if type(part) is Select else None


def _select(statement: Select[Any], parameters: list[BindParameter[Any]]) -> Hashable | None:
    """The shape of a SELECT."""
    parts = vars(statement)
    if not _has_only_known(parts):
        return None
    selected, where, order = (parts.get(name, ()) for name in _COLUMNS)
    found: list[BindParameter[Any]] = []
    shapes = [*map(_column, selected), *[_comparison(each, found) for each in where], *map(_term, order)]
    shapes += [_bound(parts.get(name), found) for name in _BOUNDS]
    if None in shapes or len({*map(id, found)}) != len(found):
        return None
    parameters.extend(found)
    attributes = parts.get(_MODEL, {}).items()
    return Select, len(selected), len(where), len(order), tuple(shapes), tuple(attributes)


def _has_only_known(parts: dict[str, Any]) -> bool:
    """Whether a SELECT is nothing but columns, conditions, an order and a limit."""
    further = parts.keys() - _KNOWN
    if further and not further <= parts.get(_FOUND_OUT, _KNOWN):
        return False
    is_fetched = any(parts.get(name) is not None for name in _FETCH)
    return not is_fetched and not parts.get(_DIALECTS) and parts.get(_LABELS) is LABEL_STYLE_DEFAULT


def _bound(value: Any, parameters: list[BindParameter[Any]]) -> Hashable | None:
    """The shape of a limit or an offset."""
    if value is None:
        return ()
    if not isinstance(value, BindParameter) or not value.unique or (kind := _kind(value)) is None:
        return None
    parameters.append(value)
    return type(value), kind, value.literal_execute


def _term(element: Any) -> Hashable | None:
    """The shape of a column to order by, in one direction or the other."""
    if type(element) is not UnaryExpression:
        return _column(element)
    column = _column(element.element)
    return None if column is None else (UnaryExpression, column, element.operator, element.modifier)


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
