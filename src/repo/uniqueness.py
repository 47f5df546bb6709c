"""What tells the rows of a SELECT apart, and what can be NULL in them.

SQLAlchemy has no public way to ask a SELECT for its GROUP BY, DISTINCT, LIMIT and ORDER BY: what begins with an
underscore is read here and nowhere else.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Cast,
    Column,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Join,
    Label,
    Select,
    Table,
    UniqueConstraint,
)
from sqlalchemy.exc import SADeprecationWarning
from sqlalchemy.orm import lazyload
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BooleanClauseList,
    ClauseElement,
    ClauseList,
    ColumnClause,
    Grouping,
    Over,
)
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import Alias, AliasedReturnsRows, FromGrouping, SelectBase

Key = tuple[ColumnElement[Any], ...]
"""Expressions; no two rows have the same values in all of them, NULL being a value like others."""

_AGGREGATES = {"array_agg", "avg", "bool_and", "bool_or", "count", "json_agg", "max", "min", "string_agg", "sum"}
_SEVERAL_GROUPINGS = {"cube", "grouping_sets", "rollup"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a SELECT does to the rows of its tables, and what its rows are made of."""

    key: Key | None
    """What tells its rows apart; None if nothing says so."""
    solid: frozenset[FromClause]
    """Tables whose columns are NULL only where the table itself has NULL: no outer join adds rows of NULLs."""
    grouped: bool
    distinct: Key | None
    """The selected expressions of a DISTINCT."""
    cut: str
    """What makes a further condition change the rows themselves, such as LIMIT; empty if nothing does."""
    ordered: bool


def shape(statement: Select[Any]) -> Shape:
    """Look at a SELECT."""
    froms = _froms(statement)
    return Shape(
        key=_key_of_select(statement, froms),
        solid=frozenset(table for source in froms for table in _solid(source)),
        grouped=bool(statement._group_by_clauses),
        distinct=_selected(statement) if statement._distinct else None,
        cut=_cut(statement),
        ordered=bool(statement._order_by_clauses),
    )


def same(one: ClauseElement, other: ClauseElement) -> bool:
    """Whether both are the same column of the same table or alias, or the very same expression."""
    if isinstance(one, Column) and isinstance(other, Column):
        return hash(one.table) == hash(other.table) and one.key == other.key
    return hash(one) == hash(other)


def among(element: ClauseElement, elements: Iterable[ClauseElement]) -> bool:
    """Whether the expression is one of these."""
    return any(same(element, each) for each in elements)


def bare(element: Any) -> Any:
    """The expression without the label, or the reference to a label, that it may be."""
    while isinstance(element, Label | Grouping) or element.__visit_name__ == "label_reference":
        element = element.element
    return element


def is_name(element: ClauseElement) -> bool:
    """Whether it is text that SQLAlchemy would look up among the labels, as in ``desc("name")``."""
    return element.__visit_name__ == "textual_label_reference"


def may_be_null(element: ColumnElement[Any], solid: Iterable[FromClause]) -> bool:
    """Whether the expression can be NULL, as far as the columns that it is made of tell."""
    if isinstance(element, Column):
        return element.nullable or element.table not in solid
    if isinstance(element, Cast):
        return may_be_null(element.clause, solid)
    if isinstance(element, BinaryExpression) and element.operator is operators.collate:
        return may_be_null(element.left, solid)
    if isinstance(element, FunctionElement) and element.name in ("lower", "upper"):
        return any(may_be_null(each, solid) for each in element.clauses)
    return True


def parts(element: ClauseElement, *, windows: bool = True) -> Iterator[ClauseElement]:
    """What an expression consists of, its subqueries left out, and its window functions unless they are wanted."""
    pending: list[Any] = [element]
    while pending:
        part = pending.pop()
        if not isinstance(part, SelectBase) and (windows or not isinstance(part, Over)):
            yield part
            pending.extend(() if isinstance(part, ColumnClause) else part.get_children())


def has_window(element: ClauseElement) -> bool:
    """Whether the expression looks at other rows by a window."""
    return any(isinstance(each, Over) for each in parts(element))


def _cut(statement: Select[Any]) -> str:
    """What makes a further condition change the rows themselves."""
    limits = (statement._limit_clause, statement._offset_clause, statement._fetch_clause)
    if any(clause is not None for clause in limits):
        return "LIMIT, OFFSET or FETCH"
    if _distinct_on(statement) or _extensions(statement):
        return "DISTINCT ON, or another extension of its syntax,"
    if any(map(has_window, statement.selected_columns)):
        return "a window function"
    return "an aggregate without GROUP BY" if _is_one_row(statement) else ""


def _is_one_row(statement: Select[Any]) -> bool:
    """Whether the SELECT makes one row of all."""
    selected = (part for column in statement.selected_columns for part in parts(column, windows=False))
    aggregated = any(isinstance(part, FunctionElement) and part.name in _AGGREGATES for part in selected)
    return aggregated and not statement._group_by_clauses


def _key(statement: SelectBase) -> Key | None:
    """What tells the rows of a query apart."""
    if isinstance(statement, CompoundSelect):
        return None if "ALL" in statement.keyword.value else tuple(statement.selected_columns)
    return _key_of_select(statement, _froms(statement)) if isinstance(statement, Select) else None


def _key_of_select(statement: Select[Any], froms: Sequence[FromClause]) -> Key | None:
    """What tells the rows of a SELECT apart: by its tables, its groups, or its being distinct."""
    if _distinct_on(statement):
        return _distinct_on(statement)
    key = _key_of_groups(statement) if statement._group_by_clauses else _key_of_all(froms)
    if _is_one_row(statement):
        key = ()
    if not statement._distinct:
        return key
    selected = _selected(statement)
    # Rows that were different before stay so, if what tells them apart is selected.
    return key if key is not None and all(among(each, selected) for each in key) else _reduced(selected)


def _distinct_on(statement: Select[Any]) -> Key:
    """The expressions of a DISTINCT ON, which is an extension since SQLAlchemy 2.1."""
    given = (each for extension in _extensions(statement) for each in getattr(extension, "_distinct_on", ()))
    return tuple(map(bare, statement._distinct_on or given))


def _extensions(statement: Select[Any]) -> list[ClauseElement]:
    """What a database's own syntax adds to the SELECT."""
    points = ("_post_select_clause", "_pre_columns_clause", "_post_criteria_clause", "_post_body_clause")
    added = (getattr(statement, point, None) for point in points)
    return [part for each in added if each is not None for part in parts(each)]


def _selected(statement: Select[Any]) -> Key:
    return tuple(bare(column) for column in statement.selected_columns)


def _reduced(selected: Key) -> Key:
    """The expressions without columns that follow from the primary key beside them."""

    def follows(element: ColumnElement[Any]) -> bool:
        keys = element.table.primary_key if isinstance(element, Column) and _is_stored(element.table) else ()
        return bool(keys) and not among(element, keys) and all(among(each, selected) for each in keys)

    return tuple(element for element in selected if not follows(element))


def _key_of_groups(statement: Select[Any]) -> Key | None:
    """Groups differ in what they are grouped by, unless there are several groupings."""
    groups = tuple(bare(group) for group in _flat(statement._group_by_clauses))
    unknown = any(is_name(group) or getattr(group, "name", None) in _SEVERAL_GROUPINGS for group in groups)
    return None if unknown else groups


def _flat(elements: Iterable[Any]) -> Iterator[Any]:
    """The expressions, those in lists and tuples, too."""
    for element in elements:
        if isinstance(element, ClauseList):
            yield from _flat(element.clauses)
        else:
            yield element


def _froms(statement: Select[Any]) -> Sequence[FromClause]:
    """What the SELECT reads from: its joins, without those that only load relationships along."""
    plain = statement.options(lazyload("*"))
    plain._with_options = plain._with_options[-1:]
    with warnings.catch_warnings():
        # The statement is compiled for no database, and what not every one has makes SQLAlchemy 2.0 complain.
        warnings.simplefilter("ignore", SADeprecationWarning)
        return plain.get_final_froms()


def _key_of_all(sources: Iterable[FromClause]) -> Key | None:
    """Rows of several tables differ in what tells the rows of at least one apart."""
    key: Key = ()
    for source in sources:
        one = _key_of(source)
        if one is None:
            return None
        key += one
    return key


def _key_of(source: FromClause) -> Key | None:
    """What tells the rows of a table, a join or a subquery apart."""
    if isinstance(source, FromGrouping):
        return _key_of(source.element)
    if isinstance(source, Join):
        return _key_of_join(source)
    if isinstance(source, Table):
        return _key_of_table(source)
    if isinstance(source, AliasedReturnsRows):
        inside = source.element
        if isinstance(inside, SelectBase):
            return _outside(_key(inside), tuple(inside.selected_columns), tuple(source.c))
        if isinstance(inside, FromClause):
            return _outside(_key_of(inside), tuple(inside.c), tuple(source.c))
    return None


def _outside(key: Key | None, inner: Key, outer: Key) -> Key | None:
    """The key as columns of the alias or subquery; None if it is not selected as a whole."""
    if key is None or len(inner) != len(outer):
        return None
    selected = [bare(column) for column in inner]
    if not all(among(each, selected) for each in key):
        return None
    return tuple(outer[[same(each, one) for one in selected].index(True)] for each in key)


def _key_of_table(table: Table) -> Key | None:
    """The primary key, or a unique constraint without NULLs."""
    unique = (tuple(each.columns) for each in table.constraints if isinstance(each, UniqueConstraint))
    whole = (columns for columns in unique if not any(column.nullable for column in columns))
    return tuple(table.primary_key) or min(whole, key=len, default=None)


def _key_of_join(join: Join) -> Key | None:
    """The keys of both sides; that of one side where each of its rows has at most one of the other."""
    left, right = _key_of(join.left), _key_of(join.right)
    if left is None or right is None:
        return None
    if not join.full:
        pairs = list(_equated(join.onclause))
        if _follows(right, join.left, pairs):
            return left
        if not join.isouter and _follows(left, join.right, pairs):
            return right
    return left + right


def _equated(condition: Any) -> Iterator[tuple[Any, Any]]:
    """Columns that a condition makes equal."""
    if isinstance(condition, Grouping):
        yield from _equated(condition.element)
    elif isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        for clause in condition.clauses:
            yield from _equated(clause)
    elif isinstance(condition, BinaryExpression) and condition.operator is operators.eq:
        yield condition.left, condition.right
        yield condition.right, condition.left


def _follows(key: Key, other: FromClause, pairs: Sequence[tuple[Any, Any]]) -> bool:
    """Whether each column of the key has its value from the other side."""
    return all(any(same(one, column) and _refers(one, two, other) for one, two in pairs) for column in key)


def _refers(one: Any, two: Any, other: FromClause) -> bool:
    """Whether the second column is the other side's, and is compared as the key itself is: a foreign key says so."""
    if not (isinstance(one, Column) and isinstance(two, Column) and two.table in _tables(other)):
        return False
    return one.references(two) or two.references(one) or one.shares_lineage(two)


def _tables(source: FromClause) -> Iterator[FromClause]:
    """The tables, aliases and subqueries of a join."""
    if isinstance(source, Join):
        yield from _tables(source.left)
        yield from _tables(source.right)
    elif isinstance(source, FromGrouping):
        yield from _tables(source.element)
    else:
        yield source


def _solid(source: FromClause) -> Iterator[FromClause]:
    """The tables, and aliases of tables, that no outer join fills up with NULLs."""
    if isinstance(source, FromGrouping):
        yield from _solid(source.element)
    elif isinstance(source, Join) and not source.full:
        yield from _solid(source.left)
        if not source.isouter:
            yield from _solid(source.right)
    elif _is_stored(source):
        yield source


def _is_stored(source: FromClause | None) -> bool:
    """Whether it is a table, or an alias of one: what it says of its columns is said of stored rows."""
    return isinstance(source, Table) or (isinstance(source, Alias) and isinstance(source.element, Table))
