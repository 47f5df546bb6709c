"""Many rows, by the shortest way that the database has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Table, bindparam, insert, inspect, select
from sqlalchemy import update as sql_update
from sqlalchemy.orm import Mapper, Session

from repo.dialects.base import Dialect
from repo.engine import changes, versions
from repo.engine.binding import binding
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
from repo.engine.directly import Direct, NotDirectly, Way
from repo.engine.entities import complete_many, early
from repo.engine.plans import Plans
from repo.engine.reach import Reach
from repo.engine.rows import AS_THEY_ARE, Group, Row
from repo.engine.sources import Chunk
from repo.errors import UsageError


def add(own: Session, dialect: Dialect, chunk: Chunk) -> None:
    """Insert rows; the database's own defaults are not read back."""
    waiting = chunk.groups
    while waiting:
        versions.flush(own)
        if waiting[0].shape.needs_flush:
            for entity in _flushed(own, waiting.popleft()):
                own.expunge(entity)
        elif not _copy(own, dialect, chunk):
            group = waiting.popleft()
            own.execute(insert(group.shape.mapper.class_), group.rows, execution_options=AS_THEY_ARE)


class Load(Direct[None]):
    """Rows that are alike, by one call of the driver's that stores them all, or none."""

    __slots__ = ("_chunk", "_plans")

    def __init__(self, plans: Plans, chunk: Chunk) -> None:
        self._plans = plans
        self._chunk = chunk

    async def run(self, way: Way) -> None:
        group, *others = self._chunk.groups
        mapper, this = group.shape.mapper, ("load", group.shape.mapper)
        if others or group.shape.needs_flush or self._plans.has_refused(this):
            raise NotDirectly
        bound = binding(group.shape, group.names, self._plans.dialect)
        if bound is None:
            raise NotDirectly
        try:
            taken = await way.dialect.load(way.driver, bound.columns, bound.values(group))
        except way.dialect.unexplained as error:
            raise NotDirectly from error
        if not taken:
            self._plans.refuse(this, mapper.class_, "its table does not take many rows at once")
            raise NotDirectly


def add_returning(own: Session, dialect: Dialect, mapper: Mapper[Any], groups: Sequence[Group]) -> list[Any]:
    """Insert rows; the stored entities in their order."""
    versions.flush(own)
    added: list[Any] = []
    for group in groups:
        added.extend(_flushed(own, group) if group.shape.needs_flush else _returned(own, dialect, group))
    complete_many(own, mapper, added, left=early(mapper))
    return added


def _returned(own: Session, dialect: Dialect, group: Group) -> list[Any]:
    """Insert rows of one table; the stored entities in their order."""
    model, key = group.shape.mapper.class_, group.shape.counted
    inserting = insert(model)

    def execute(statement: Any) -> list[Any]:
        return list(own.scalars(statement, group.rows, execution_options=AS_THEY_ARE).unique())

    if dialect.returns_in_order and key is not None and group.count > 1:
        with own.begin_nested() as point:
            added = execute(inserting.returning(model))
            keys = [getattr(entity, key) for entity in added]
            if keys == (group.column(group.names.index(key)) if key in group.names else sorted(keys)):
                return added
            point.rollback()
    return execute(inserting.returning(model, sort_by_parameter_order=True))


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


def _copy(own: Session, dialect: Dialect, chunk: Chunk) -> bool:
    """Insert by the database's bulk way, those together that look alike; False where that cannot do all of it."""
    waiting = chunk.groups
    shape, names = waiting[0].shape, waiting[0].names
    connection = own.connection(bind_arguments={"mapper": shape.mapper})
    bound = binding(shape, names, connection.dialect)
    if bound is None or connection.get_execution_options().get("schema_translate_map"):
        return False

    def parts() -> Iterator[list[Any]]:
        while waiting and (waiting[0].shape, waiting[0].names) == (shape, names):
            values = bound.values(waiting.popleft())
            yield values
            values.clear()  # done with, and maybe large
            if dialect.streams_in and not waiting:
                chunk.more()
                if own.new or own.dirty or own.deleted:
                    # The source has put something into the session, to which the rows may refer.
                    return

    return dialect.copy(connection, bound.columns, parts())


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
