"""What may be a filter, an order, a key and a name of a model; the nearly right is refused."""

import difflib
import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Enum,
    Integer,
    MetaData,
    SQLColumnExpression,
    String,
    Table,
    Uuid,
    and_,
    inspect,
    tuple_,
)
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.elements import ClauseElement, ColumnClause
from sqlalchemy.types import NullType

from repo.errors import InvalidValue, NotFound, UsageError
from repo.pagination import Term, term
from repo.uniqueness import is_name, parts

KEYS = 1000
"""How many keys one statement asks for."""

Condition = SQLColumnExpression[bool]
"""What a filter is to the type checker: an expression of SQLAlchemy that is true or false."""

Order = SQLColumnExpression[Any] | Sequence[SQLColumnExpression[Any]] | None
"""What an order is to the type checker."""

Key = tuple[Any, ...]
"""The values of a primary key."""

KeyLike = int | str | bytes | Decimal | date | time | UUID | enum.Enum | Key
"""What a primary key is to the type checker. One of a type of your own is a tuple of it: ``get((UserId(1),))``."""


def mapper_of(model: type[Any]) -> Mapper[Any]:
    """The mapper of a model.

    Raises:
        UsageError: the class is not mapped.
    """
    mapper = inspect(model, raiseerr=False)
    if not isinstance(mapper, Mapper):
        raise UsageError(f"{model!r} is not a mapped class of SQLAlchemy")
    return mapper


def metadata_of(mapper: Mapper[Any]) -> MetaData | None:
    """Where the model's tables are, for the names of constraints; a class need not have a ``metadata``."""
    return next((table.metadata for table in mapper.tables if isinstance(table, Table)), None)


def name_of(mapper: Mapper[Any]) -> str:
    """The model's name, as messages call it."""
    return mapper.class_.__name__


def conditions(mapper: Mapper[Any], where: Sequence[Any]) -> tuple[ColumnElement[bool], ...]:
    """The conditions as SQLAlchemy expressions, if they are such over the model's own tables.

    Raises:
        UsageError: a Python value, such as the result of ``is not None``; a foreign table; a
            column that is neither true nor false.
    """
    return tuple(_condition(mapper, expression) for expression in where)


def _condition(mapper: Mapper[Any], expression: Any) -> ColumnElement[bool]:
    """One condition, checked."""
    element = _clause(expression)
    if element is None:
        raise UsageError(
            f"a condition of {name_of(mapper)} must be an SQLAlchemy expression, not "
            f"{type(expression).__name__}: {_hint(mapper, expression)}"
        )
    if isinstance(element, ColumnClause) and not _may_be_true(element):
        raise UsageError(
            f"{element.table}.{element.name} alone is no condition of {name_of(mapper)}: compare "
            "it to something; .is_not(None) says that it has a value"
        )
    check_tables(mapper, element, f"a condition of {name_of(mapper)}")
    return element


def _hint(mapper: Mapper[Any], expression: Any) -> str:
    """What to write in place of something that is no condition."""
    if isinstance(expression, bool):
        return (
            "a Python comparison was evaluated before it could become SQL: write .is_(None), "
            ".is_not(None), == or .in_(); sqlalchemy.true() says all rows"
        )
    return f"write an expression such as {name_of(mapper)}.{key_names(mapper)[0]} == ..."


def _clause(expression: Any) -> ColumnElement[Any] | None:
    """The expression as part of a statement; None if it is not one."""
    if hasattr(expression, "__clause_element__"):
        expression = expression.__clause_element__()
    return expression if isinstance(expression, ColumnElement) else None


def _may_be_true(column: ColumnClause[Any]) -> bool:
    """Whether a column's type is that of truth values, or unknown."""
    kind = getattr(column.type, "impl", column.type)
    return isinstance(kind, Boolean | NullType)


def check_tables(mapper: Mapper[Any], element: ClauseElement, what: str) -> None:
    """Refuse an expression that names a table which a query of the model does not have."""
    mappers = (mapper, *mapper.with_polymorphic_mappers)
    tables = {mapper.selectable, mapper.persist_selectable, *(t for m in mappers for t in m.tables)}
    for column in _columns(element):
        if column.table is not None and column.table not in tables:
            raise UsageError(
                f"{what} names {_named(column)}, a table that is not the model's: every row of "
                "it would be paired with every row of the model. Reach other tables by a "
                "relationship's .has() or .any(), or by a subquery"
            )


def _named(column: ColumnClause[Any]) -> str:
    """A column with its table, also where that is an alias, whose name is made up later."""
    original = getattr(column.table, "element", None)
    return f"{column.table}.{column.name}" if original is None else f"{column.name} of an alias of {original}"


def _columns(element: ClauseElement) -> Iterable[ColumnClause[Any]]:
    """The columns that an expression names itself, those inside of its subqueries left out."""
    return (part for part in parts(element) if isinstance(part, ColumnClause))


def ordering(mapper: Mapper[Any], order_by: Any) -> list[ColumnElement[Any]]:
    """ORDER BY terms with NULL as the largest value; by primary key where no order is asked for.

    Raises:
        UsageError: something that is not an SQLAlchemy expression, such as a name; another table.
    """
    return [each.clause() for each in terms(mapper, order_by)] or list(mapper.primary_key)


def terms(mapper: Mapper[Any], order_by: Any) -> list[Term]:
    """The terms of an order of the model's rows, as ``ordering`` checks them."""
    what = f"order_by of {name_of(mapper)}"
    given = order_terms(order_by, what, f"{name_of(mapper)}.{key_names(mapper)[0]}")
    for element in given:
        check_tables(mapper, element, what)
    return [term(element, mapper.tables) for element in given]


def order_terms(order_by: Any, what: str, example: str) -> list[ColumnElement[Any]]:
    """What stands in an ``order_by=``, as parts of a statement.

    Raises:
        UsageError: something that is not an SQLAlchemy expression.
    """
    return [_order_term(each, what, example) for each in as_terms(order_by)]


def as_terms(order_by: Any) -> Sequence[Any]:
    """What stands in an ``order_by=``, which may be one thing or several; unchecked."""
    several = isinstance(order_by, tuple | list)
    return order_by if several else () if order_by is None else (order_by,)


def _order_term(given: Any, what: str, example: str) -> ColumnElement[Any]:
    """One term of an order, which is an expression and not the name of one."""
    element = _clause(given)
    named = element is not None and any(map(is_name, parts(element)))
    if element is None or named:
        kind = "a name" if named else type(given).__name__
        raise UsageError(f"{what} takes expressions such as {example} or {example}.desc(), not {kind}")
    return element


@lru_cache(maxsize=1024)
def key_names(mapper: Mapper[Any]) -> Sequence[str]:
    """The attributes of the primary key, in its order."""
    return [mapper.get_property_by_column(column).key for column in mapper.primary_key]


_SIMPLE_KEYS = frozenset((int, str, UUID))
"""The types of most keys, of which no value is a key of several columns."""


def identity(mapper: Mapper[Any], key: Any) -> Key:
    """A primary key as a tuple of as many values as the key has columns.

    Raises:
        UsageError: too few or too many values, None, or an entity.
        InvalidValue: a value of another type than its column; databases differ in what they make of it.
    """
    wanted = _key_types(mapper)
    if type(key) in _SIMPLE_KEYS and len(wanted) == 1 and isinstance(key, wanted[0]):
        return (key,)
    values = tuple(key) if isinstance(key, tuple | list) else (key,)
    if len(values) == len(wanted) and not any(map(_is_no_key, values)):
        if all(map(isinstance, values, wanted)):
            return values
        types, got = (" and ".join(kind.__name__ for kind in kinds) for kinds in (wanted, map(type, values)))
        raise InvalidValue(f"the key of {name_of(mapper)} ({_shape(mapper)}) is of type {types}; got {got}")
    raise UsageError(f"the key of {name_of(mapper)} is {_shape(mapper)}; got {_instead(values)}")


def _shape(mapper: Mapper[Any]) -> str:
    """What a key consists of."""
    names = key_names(mapper)
    return names[0] if len(names) == 1 else f"a tuple ({', '.join(names)})"


@lru_cache(maxsize=1024)
def _key_types(mapper: Mapper[Any]) -> Sequence[type[Any]]:
    """The Python types of a key's values; object for what takes several, or is a type of the user's own."""
    kinds = (column.type for column in mapper.primary_key)
    plain = ((kind, isinstance(kind, Integer | String | Uuid) and not isinstance(kind, Enum)) for kind in kinds)
    return [kind.python_type if is_plain else object for kind, is_plain in plain]


def _is_no_key(value: Any) -> bool:
    """Whether a value can be in no key: nothing, or an entity in place of its key."""
    return value is None or hasattr(value, "_sa_instance_state")


def _instead(values: Key) -> str:
    """What was given in place of a key."""
    for value in values:
        if value is None:
            return "None" if len(values) == 1 else "None in it"
        if _is_no_key(value):
            return f"an entity of {type(value).__name__}"
    return f"{len(values)} value{'' if len(values) == 1 else 's'}"


def by_identity(mapper: Mapper[Any], key: Key) -> ColumnElement[bool]:
    """The condition for one row by its primary key."""
    return and_(*(column == value for column, value in zip(mapper.primary_key, key, strict=True)))


def by_identities(mapper: Mapper[Any], keys: Sequence[Key]) -> ColumnElement[bool]:
    """The condition for several rows by their primary keys."""
    return among(mapper.primary_key, keys)


def among(columns: Sequence[ColumnElement[Any]], keys: Sequence[Key]) -> ColumnElement[bool]:
    """The condition for rows whose values in these columns are one of the keys."""
    if len(columns) == 1:
        return columns[0].in_([key[0] for key in keys])
    return tuple_(*columns).in_(keys)


def in_parts(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    """The keys, as many at a time as one statement asks for."""
    return (keys[start : start + KEYS] for start in range(0, len(keys), KEYS))


def not_found(mapper: Mapper[Any], keys: Sequence[Key]) -> NotFound:
    """The error for keys that no row has."""
    return NotFound(f"no {name_of(mapper)} with the key{'s' if len(keys) > 1 else ''} {listed(keys)}")


def listed(keys: Sequence[Key]) -> str:
    """The first ten keys, and how many more there are."""
    shown = ", ".join(repr(key[0] if len(key) == 1 else key) for key in keys[:10])
    return f"{shown} and {len(keys) - 10} more" if len(keys) > 10 else shown


@lru_cache(maxsize=1024)
def stored(mapper: Mapper[Any]) -> Mapping[str, Column[Any]]:
    """The attributes that are columns of a table, not expressions over some."""
    attributes = ((attribute.key, attribute.columns[0]) for attribute in mapper.column_attrs)
    return {key: column for key, column in attributes if isinstance(column, Column)}


def check_names(mapper: Mapper[Any], names: Iterable[str]) -> None:
    """Refuse a name that is no attribute of the model, with the one that was probably meant."""
    columns = stored(mapper)
    for name in names:
        if name not in columns and name not in (known := set(mapper.all_orm_descriptors.keys())):
            near = difflib.get_close_matches(str(name), known, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"{name_of(mapper)} has no attribute {name!r}{meant}")


def new_values(mapper: Mapper[Any], values: Mapping[Any, Any]) -> dict[str, Any]:
    """New values for rows, by attribute name.

    Args:
        mapper: the model's.
        values: values or expressions over the model's own table, by attribute or its name.

    Raises:
        UsageError: no values, a name that is no column, or an expression over another table.
    """
    named = {getattr(attribute, "key", attribute): value for attribute, value in values.items()}
    if not named:
        raise UsageError(f"there are no new values for {name_of(mapper)}: values= is empty")
    check_columns(mapper, named)
    for name, value in named.items():
        if (element := _clause(value)) is not None:
            check_tables(mapper, element, f"the new value of {name_of(mapper)}.{name}")
    return named


def check_columns(mapper: Mapper[Any], names: Iterable[str]) -> None:
    """Refuse a name that is no column of the model: rows are written without the unit of work."""
    names = list(names)
    check_names(mapper, names)
    others = set(names) - set(stored(mapper))
    if others:
        raise UsageError(
            f"{name_of(mapper)}.{min(others)} is no column, and only columns are written here: set "
            "the columns behind it, or use add() and update() of an entity"
        )
