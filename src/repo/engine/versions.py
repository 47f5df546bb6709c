"""Versions of rows, by SQLAlchemy's ``version_id_col``: what is expected, what comes next, and which row was stale.

Functions here that take a ``Session`` run inside SQLAlchemy's greenlet.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, inspect
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.types import TypeEngine

from repo.engine.conditions import Key, listed, name_of, not_found
from repo.errors import RepoError, StaleData, UsageError

Values = Mapping[str, Any]

ANY: Any = object()
"""In place of the version that is expected, where none is."""

_TABLE = re.compile(r"on table '(?P<name>.+?)' expected")


@lru_cache(maxsize=1024)
def attribute(mapper: Mapper[Any]) -> str | None:
    """The attribute that has the version, if the model has one."""
    column = mapper.version_id_col
    return None if column is None else mapper.get_property_by_column(column).key


def expectation(mapper: Mapper[Any], values: Values) -> tuple[Values, Any]:
    """New values without the version, and the version in which the row is expected."""
    name = attribute(mapper)
    if name is None or name not in values or not _is_made(mapper):
        return values, ANY
    return {key: value for key, value in values.items() if key != name}, values[name]


def condition(mapper: Mapper[Any], expected: Any) -> list[ColumnElement[bool]]:
    """The condition for rows in that version."""
    column = mapper.version_id_col
    return [] if expected is ANY or column is None else [column == expected]


def check(entity: Any, expected: Any) -> None:
    """Refuse an entity that was read in another version than the one that is expected."""
    if expected is not ANY and held(entity) != expected:
        raise stale(inspect(entity).mapper, inspect(entity).identity, expected)


def held(entity: Any) -> Any:
    """The version in which an entity was read."""
    state = inspect(entity)
    name = attribute(state.mapper)
    if name is None:
        return None
    return state.committed_state[name] if name in state.committed_state else getattr(entity, name)


def refuse_new(mapper: Mapper[Any], values: Values) -> None:
    """Refuse a version among the new values of rows that are found by a condition."""
    name = attribute(mapper)
    if name in values and _is_made(mapper):
        raise UsageError(
            f"{name_of(mapper)}.{name} gets its next value by itself; if that is the version in which the rows are "
            f"expected, put it among the conditions: {name_of(mapper)}.{name} == ..."
        )


def following(mapper: Mapper[Any]) -> dict[str, Any] | None:
    """What an UPDATE sets so that those who have read the rows before find out.

    Empty where the writer has nothing to set; None where each row's next version is made of its last
    one by a function, so that rows have to be read to be written.
    """
    column, name = mapper.version_id_col, attribute(mapper)
    if column is None or name is None or not callable(mapper.version_id_generator):
        return {}
    if _counts(mapper):
        return {name: column + 1}
    drawn = mapper.version_id_generator(None)
    return {name: drawn} if drawn != mapper.version_id_generator(None) else None


def after(mapper: Mapper[Any], last: Any) -> dict[str, Any]:
    """The version that follows one, by the attribute that has it; empty where nobody here makes it."""
    generate, name = mapper.version_id_generator, attribute(mapper)
    return {name: generate(last)} if name is not None and callable(generate) else {}


def is_generated(mapper: Mapper[Any]) -> bool:
    """Whether the model has a function that makes its versions."""
    return mapper.version_id_col is not None and callable(mapper.version_id_generator)


def _is_made(mapper: Mapper[Any]) -> bool:
    """Whether versions are made by the model or by the database, not by whoever writes."""
    column: Any = mapper.version_id_col
    made_there = column.server_onupdate is not None or column.system
    return is_generated(mapper) or made_there


@lru_cache(maxsize=1024)
def _counts(mapper: Mapper[Any]) -> bool:
    """Whether versions are counted up by one, which the database can do for all rows at once."""
    column, generate = mapper.version_id_col, mapper.version_id_generator
    if column is None or not callable(generate) or not issubclass(_python_type(column.type), int):
        return False
    return [generate(last) for last in (None, 1, 41)] == [1, 2, 42]


def _python_type(of: TypeEngine[Any]) -> type[Any]:
    """The Python type of a column type's values; object where it does not tell."""
    try:
        return of.python_type
    except NotImplementedError:
        return object


def stale(mapper: Mapper[Any], key: Key, expected: Any) -> StaleData:
    """The error for a row that is not in the version that was expected."""
    return StaleData(f"the {name_of(mapper)} with the key {listed([key])} {_overtaken(mapper, expected)}")


def flush(own: Session) -> None:
    """Write what is pending.

    Raises:
        StaleData: a row is not there in the version in which it was read; it is named.
        NotFound: a row of a model without versions is not there.
    """
    with naming(own):
        own.flush()


@contextmanager
def naming(own: Session) -> Iterator[None]:
    """Name the entities whose rows a flush in the block does not find."""
    pending = list(_pending(own))
    try:
        yield
    except StaleDataError as error:
        raise _named(pending, str(error)) from error
    for row in pending:
        column = row.mapper.version_id_col
        if column is not None and column.server_onupdate is not None and row.entity in own:
            # On some databases SQLAlchemy takes what was there before the trigger for the new version.
            own.refresh(row.entity, [attribute(row.mapper) or ""])


class _Pending(NamedTuple):
    """A row that a flush expects to find."""

    entity: Any
    mapper: Mapper[Any]
    key: Key
    expected: Any


def _pending(own: Session) -> Iterator[_Pending]:
    """The rows that a flush would expect to find, in the version that each entity has."""
    for entity in (*own.dirty, *own.deleted):
        state = inspect(entity)
        name = attribute(state.mapper)
        version = state.committed_state.get(name, state.dict.get(name)) if name is not None else ANY
        yield _Pending(entity, state.mapper, state.identity, version)


def _named(pending: list[_Pending], said: str) -> RepoError:
    """The error for those of these rows that it can be; SQLAlchemy says their table in words."""
    found = _TABLE.search(said)
    table = found and found["name"]
    near = [row for row in pending if table in {None, *(each.description for each in row.mapper.tables)}]
    if not near:
        # Such as the row of an association, which is no entity's.
        where = f" of {table}" if table else ""
        return StaleData(f"a row{where} was deleted by someone else; read its entity again and repeat the change")
    _, mapper, key, expected = near[0]
    keys = sorted((row.key for row in near), key=str)
    if expected is ANY:
        return not_found(mapper, keys)
    if len(near) == 1:
        return stale(mapper, key, expected)
    return StaleData(f"a {name_of(mapper)} with one of the keys {listed(keys)} {_overtaken(mapper, ANY)}")


def _overtaken(mapper: Mapper[Any], expected: Any) -> str:
    """What has happened to a row, and what to do."""
    version = "" if expected is ANY or expected is None else f" with {attribute(mapper)} = {expected!r}"
    return f"was changed or deleted by someone else since it was read{version}; read it again and repeat the change"
