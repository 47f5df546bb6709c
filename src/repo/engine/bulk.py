"""Many rows, by the shortest way that the database has."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import Column, Connection, Table, bindparam, insert, inspect, select
from sqlalchemy import update as sql_update
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.sql.schema import CallableColumnDefault, ScalarElementColumnDefault

from repo.dialects.base import Dialect
from repo.engine import changes, versions
from repo.engine.conditions import (
    Key,
    by_identities,
    check_columns,
    identity,
    in_parts,
    key_names,
    not_found,
    stored,
)
from repo.engine.entities import complete_many, early
from repo.engine.reach import Reach
from repo.engine.rows import AS_THEY_ARE, Group, Row, plain_function
from repo.errors import InvalidValue, RepoError, UsageError


def add(own: Session, dialect: Dialect, groups: Sequence[Group]) -> None:
    """Insert rows; the database's own defaults are not read back."""
    versions.flush(own)
    for group in groups:
        model = group.shape.mapper
        if group.shape.needs_flush:
            for entity in _flushed(own, group):
                own.expunge(entity)
        elif not (dialect.copies and _copy(own.connection(), dialect, group)):
            own.execute(insert(model.class_), group.rows, execution_options=AS_THEY_ARE)


def add_returning(own: Session, mapper: Mapper[Any], groups: Sequence[Group]) -> list[Any]:
    """Insert rows; the stored entities in their order."""
    versions.flush(own)
    added: list[Any] = []
    for group in groups:
        model = group.shape.mapper
        if group.shape.needs_flush:
            added.extend(_flushed(own, group))
            continue
        statement = insert(model.class_).returning(model.class_, sort_by_parameter_order=True)
        added.extend(own.scalars(statement, group.rows, execution_options=AS_THEY_ARE).unique())
    complete_many(own, mapper, added, left=early(mapper))
    return added


def _flushed(own: Session, group: Group) -> list[Any]:
    """Insert rows as the session does, whose flush passes keys on from table to table."""
    mapper = group.shape.mapper
    made = [mapper.class_manager.new_instance() for _ in group.rows]
    kind = dict.fromkeys(group.shape.kinds, mapper.polymorphic_identity)
    for entity, row in zip(made, group.rows, strict=True):
        inspect(entity).dict.update(kind | dict(row))
    own.add_all(made)
    versions.flush(own)
    return made


def _copy(connection: Connection, dialect: Dialect, group: Group) -> bool:
    """Insert by the database's bulk way; False where that cannot do all of it."""
    shape = group.shape
    table = shape.mapper.local_table
    if not isinstance(table, Table) or shape.mapper.polymorphic_on is not None:
        return False
    attributes = {column: name for name, column in shape.names.items()}
    values: dict[str, Callable[[Row], Any]] = {}
    for column in table.columns:
        value = _value(shape.mapper, column, attributes.get(column), group.names)
        if value is NotImplemented:
            return False
        if value is not None:
            values[column.name] = _bound(connection, column, value)
    getters = tuple(values.values())
    records = [tuple([get(row) for get in getters]) for row in group.rows]
    return dialect.copy(connection, table, list(values), records)


def _value(mapper: Mapper[Any], column: Column[Any], name: str | None, names: Sequence[str]) -> Any:
    """How a column gets its value from a row: a function; None, the database does; or no way."""
    if name in names:
        return itemgetter(name)
    if column is mapper.version_id_col and callable(generate := mapper.version_id_generator):
        return lambda _: generate(None)
    default = column.default
    if default is None:
        return None
    if isinstance(default, ScalarElementColumnDefault):
        return lambda _: default.arg
    if isinstance(default, CallableColumnDefault) and (make := plain_function(default)):
        return lambda _: make()
    return NotImplemented


def _bound(connection: Connection, column: Column[Any], value: Callable[[Row], Any]) -> Callable[[Row], Any]:
    """The value as the driver wants it, by the column's type."""
    dialect = connection.dialect
    process = column.type.dialect_impl(dialect).bind_processor(dialect)
    if process is None and isinstance(value, itemgetter):
        return value

    def bound(row: Row) -> Any:
        try:
            return value(row) if process is None else process(value(row))
        except RepoError:
            raise
        except Exception as error:
            raise InvalidValue(
                f"a value for {column} does not fit its type, or its default cannot be made: "
                f"{type(error).__name__}; its cause says more"
            ) from error

    return bound


def update(own: Session, reach: Reach, rows: Iterable[Any]) -> int:
    """Change rows by the keys that they hold: how many.

    Raises:
        NotFound, StaleData: for some of them; nothing was changed.
    """
    versions.flush(own)
    mapper = reach.own.mapper
    by_key = _by_key(reach, rows)
    _lock(own, reach, by_key)
    if not changes.is_one_table(mapper) or versions.following(mapper) is None:
        for key, values in by_key.items():
            changes.update_key(own, reach, key, values)
        return len(by_key)
    alike: dict[frozenset[str], list[tuple[Key, Row]]] = {}
    for key, values in by_key.items():
        alike.setdefault(frozenset(values), []).append((key, values))
    for names, group in alike.items():
        if names:
            _update_alike(own, mapper, sorted(names), group)
    changes.refresh(own, mapper)
    return len(by_key)


def _by_key(reach: Reach, rows: Iterable[Any]) -> dict[Key, Row]:
    """The values to set by the key of their row."""
    mapper = reach.own.mapper
    keys, names = key_names(mapper), stored(mapper).keys()
    by_key: dict[Key, Row] = {}
    for number, row in enumerate(rows, 1):
        try:
            if not isinstance(row, Mapping):
                raise UsageError(f"a mapping with the key is wanted, not {type(row).__name__}")
            if not row.keys() <= names:
                check_columns(mapper, row)
            key = identity(mapper, tuple(row.get(name) for name in keys))
            values = {name: value for name, value in row.items() if name not in keys}
            reach.own.check(values)
        except UsageError as error:
            raise UsageError(f"row {number} of update_many: {error}") from None
        by_key[key] = {**by_key.get(key, {}), **values}
    return by_key


def _lock(own: Session, reach: Reach, by_key: dict[Key, Row]) -> None:
    """Lock the rows, so that none can go meanwhile; check that they are there, in the version that is expected.

    Not all drivers tell how many rows each of many UPDATEs has changed.
    """
    mapper = reach.own.mapper
    version = versions.attribute(mapper)
    columns = [getattr(mapper.class_, name) for name in (*key_names(mapper), *([version] if version else []))]
    found: dict[Key, Any] = {}
    for keys in in_parts(list(by_key)):
        statement = select(*columns).where(by_identities(mapper, keys), *reach.where).order_by(*mapper.primary_key)
        for row in own.execute(statement.with_for_update(of=mapper.base_mapper.local_table, key_share=True)):
            found[tuple(row[: len(mapper.primary_key)])] = row[-1]
    missing = [key for key in by_key if key not in found]
    if missing:
        raise not_found(mapper, missing)
    for key, values in by_key.items():
        by_key[key], expected = versions.expectation(mapper, values)
        if expected is not versions.ANY and expected != found[key]:
            raise versions.stale(mapper, key, expected)


def _update_alike(own: Session, mapper: Mapper[Any], names: list[str], rows: list[tuple[Key, Row]]) -> None:
    """Set the same columns of several rows."""
    columns = stored(mapper)
    values: dict[Any, Any] = {columns[name]: bindparam(f"repo_value_{name}") for name in names}
    matches = (column == bindparam(f"repo_key_{n}") for n, column in enumerate(mapper.primary_key))
    new_version = {columns[name]: value for name, value in (versions.following(mapper) or {}).items()}
    statement = sql_update(cast(Table, mapper.local_table)).where(*matches).values(values | new_version)
    own.execute(
        statement,
        [
            {f"repo_value_{name}": value for name, value in row.items()}
            | {f"repo_key_{n}": value for n, value in enumerate(key)}
            for key, row in rows
        ],
    )
