"""Rows stored by a unique key, by the database's own ON CONFLICT: no other caller comes in between.

Functions here that take a ``Session`` run inside SQLAlchemy's greenlet.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

from sqlalchemy import BindParameter, Column, ColumnElement, and_, literal, or_, select, true
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.attributes import QueryableAttribute
from sqlalchemy.sql import visitors
from sqlalchemy.sql.schema import CallableColumnDefault, ScalarElementColumnDefault

from repo.dialects.base import Dialect
from repo.engine import changes, generated, hydration, versions
from repo.engine.conditions import among, by_identity, check_columns, in_parts, key_names, name_of, stored
from repo.engine.directly import Direct, NotDirectly, Parameter, Statement, Way, prepared
from repo.engine.entities import early
from repo.engine.execution import whole
from repo.engine.plans import Plans
from repo.engine.reach import Reach
from repo.engine.rows import AS_THEY_ARE, Group, Intake, Shape, plain_function
from repo.engine.rules import among_keys, has_subquery
from repo.engine.storing import plans_for
from repo.engine.uniques import Unique, unique
from repo.engine.writing import generated_values, is_clause
from repo.errors import UsageError

_FRESH = {"populate_existing": True}


@dataclass(frozen=True, slots=True)
class Upsert:
    """How rows of a model are stored by a unique key.

    Raises:
        UsageError: rows of the model are in several tables; or there is no such key, or column.
    """

    reach: Reach
    dialect: Dialect
    key: Unique
    update: Sequence[str] | None
    """What changes of a row that is there; None means what the caller gave."""

    @property
    def mapper(self) -> Mapper[Any]:
        """The model's."""
        return self.reach.own.mapper

    def intake(self) -> Intake:
        """Makes rows that can be stored by the key."""
        return Intake(self.reach, "upsert_many", check=self._check)

    def _check(self, shape: Shape, row: dict[str, Any]) -> None:
        """Refuse a row without a value in a column of the key; one with a constant default gets it."""
        names = {column: name for name, column in shape.names.items()}
        for column in self.key.columns:
            name = names[column]
            if row.get(name) is None and isinstance(column.default, ScalarElementColumnDefault):
                row[name] = column.default.arg
            if row.get(name) is None and column in self.key.elements:
                raise UsageError(
                    f"{name_of(self.mapper)}.{name} has no value, so no row can be the same in it: NULL equals "
                    "nothing, and a value that is made for each row is always new; add() stores a row without one"
                )

    def values(self, row: Mapping[str, Any]) -> dict[Column[Any], Any]:
        """A row's values in the columns of the key."""
        names = {column: name for name, column in stored(self.mapper).items()}
        return {column: row.get(names[column]) for column in self.key.columns}

    def reached(self, shape: Shape) -> ColumnElement[bool] | None:
        """The condition for rows that may be changed for one of this shape; None for all."""
        where = (*_kinds(shape.mapper), *self.reach.where)
        if has_subquery(*where):
            # By a subquery of its own: in ON CONFLICT there is no row that another could be about.
            return among_keys(self.mapper.primary_key, self.mapper, where)
        return and_(true(), *where) if where else None


def _kinds(mapper: Mapper[Any]) -> list[ColumnElement[bool]]:
    """The condition for the rows of a model that shares its table."""
    if not mapper.single or mapper.polymorphic_on is None:
        return []
    kinds = [each.polymorphic_identity for each in mapper.self_and_descendants if not each.polymorphic_abstract]
    # Not IN: SQLAlchemy cannot execute one for many rows.
    return [or_(*(mapper.polymorphic_on == kind for kind in kinds))]


def plan(reach: Reach, dialect: Dialect, on: Any, update: Any = None) -> Upsert:
    """How rows are stored by the key that ``on=`` means.

    Raises:
        UsageError: there is no such key, or ``update=`` is no choice of columns.
    """
    mapper = reach.own.mapper
    if not changes.is_one_table(mapper):
        raise UsageError(
            f"a row of {name_of(mapper)} is in several tables, of which one INSERT reaches only one: in a transaction, "
            "look with one_or_none(), then add() or update()"
        )
    return Upsert(reach, dialect, unique(mapper, dialect, on), _update(mapper, update))


def _update(mapper: Mapper[Any], update: Any) -> list[str] | None:
    """The attributes that ``update=`` means."""
    if update is None:
        return None
    chosen = list(update) if isinstance(update, tuple | list | set | frozenset) else [update]
    for each in chosen:
        if not isinstance(each, str | QueryableAttribute):
            raise UsageError(f"update= of {name_of(mapper)} takes attributes or their names, not {type(each).__name__}")
    names = [each if isinstance(each, str) else each.key for each in chosen]
    if not names:
        raise UsageError(f"update= of {name_of(mapper)} is empty; get_or_add() leaves a row that is there as it is")
    check_columns(mapper, names)
    if keys := [name for name in names if name in key_names(mapper)]:
        raise UsageError(f"update= of {name_of(mapper)} must leave the primary key alone; it names {', '.join(keys)}")
    return names


def statement(how: Upsert, group: Group, *, finds: bool) -> Any:
    """INSERT ... ON CONFLICT for the rows of a group.

    With ``finds``, a row that is there comes back also if nothing of it changes: RETURNING gives only
    what was written, so it is written as it is.
    """
    insert = how.dialect.insert(group.shape.mapper.class_)
    return _or_else(how, insert, _changes(how, group, insert), how.reached(group.shape), finds=finds)


def _or_else(
    how: Upsert, insert: Any, new: Mapping[Column[Any], Any], reached: ColumnElement[bool] | None, *, finds: bool
) -> Any:
    """The INSERT, with what becomes of a row that is there."""
    conflict = {"index_elements": how.key.elements, "index_where": how.key.where}
    if not new and not finds:
        return insert.on_conflict_do_nothing(**conflict)
    same = {column: column for column in how.key.columns[:1]}
    return insert.on_conflict_do_update(**conflict, set_=new or same, where=reached)


def _changes(how: Upsert, group: Group, insert: Any) -> dict[Column[Any], Any]:
    """What changes of a row that is there; empty if nothing does."""
    mapper, columns = group.shape.mapper, group.shape.names
    fixed = {*mapper.primary_key, *how.key.columns, mapper.version_id_col, mapper.polymorphic_on}
    chosen = how.update
    if chosen is None:
        chosen = [name for name, column in columns.items() if name in group.given and column not in fixed]
    new: dict[Column[Any], Any] = {columns[name]: insert.excluded[columns[name].key] for name in chosen}
    if not new:
        return {}
    for name, column in columns.items():
        if column.onupdate is not None and column not in new:
            new[column] = _made(mapper, column, name)
    version = versions.following(mapper)
    if version is None:
        raise UsageError(
            f"the next version of {name_of(mapper)} is made of the last one, which an upsert does not read: "
            "use add() and update()"
        )
    return {**new, **{columns[name]: value for name, value in version.items()}}


def _made(mapper: Mapper[Any], column: Column[Any], name: str) -> Any:
    """What an UPDATE sets a column to that is given no value, which ON CONFLICT does not do by itself."""
    default: Any = column.onupdate
    if isinstance(default, CallableColumnDefault):
        make = plain_function(default)
        if make is None:
            raise UsageError(
                f"{name_of(mapper)}.{name} gets its value at each change from a function of the statement "
                "(onupdate=), which an upsert does not call: give it a value, or use add() and update_many()"
            )
        return literal(make(), column.type)
    return literal(default.arg, column.type) if isinstance(default, ScalarElementColumnDefault) else default.arg


def store(own: Session, how: Upsert, group: Group, upsert: Any) -> Any:
    """Store one row by the statement for it: its entity, as the database has it now.

    Raises:
        UniqueViolation: the row that is in the way is not to be reached.
    """
    versions.flush(own)
    entity = _returned(own, how, group, upsert)
    if entity is None:
        raise how.key.violated(_OUT_OF_REACH)
    return entity


def short(plans: Plans | None, how: Upsert, group: Group) -> Direct[Any] | None:
    """The same outside of a transaction, as one statement of the driver's; None where that is not all."""
    mapper, plans = how.mapper, plans_for(how.mapper, plans)
    row = dict(zip(group.names, group.values, strict=True))
    if plans is None or group.shape.mapper is not mapper or any(map(is_clause, row.values())):
        return None
    try:
        row |= generated_values(generated.defaults(mapper), row)
        row |= versions.after(mapper, None)
    except Exception:
        return None  # a function of the model's has failed, which the long way will tell
    insert = how.dialect.insert(mapper.local_table)
    new, reached = _changes(how, group, insert), how.reached(group.shape)

    def build(parameter: Parameter) -> Any:
        columns = [group.shape.names[name] for name in row]
        storing = _or_else(how, insert, new, reached, finds=True)
        return storing.values({each: parameter(each.type) for each in columns}).returning(*hydration.columns(mapper))

    # SQLAlchemy 2.0 knows no shape of ON CONFLICT, so that of its parts has to do.
    is_given = [getattr(each, "table", None) is not insert.excluded for each in new.values()]
    given = compress(new.values(), is_given)
    where = [each for each in (how.key.where, reached) if each is not None]
    shape = ("upsert", tuple(row), tuple(new), tuple(is_given), len(where), how.key.where is None)
    parts = [*given, *where, *how.key.elements]
    statement = prepared(plans, mapper, shape, build, parts=parts, values=[*row.values()])
    return None if statement is None else _Store(statement, how)


class _Store(Direct[Any]):
    """The upsert of one row."""

    __slots__ = ("_how", "_statement")

    def __init__(self, statement: Statement, how: Upsert) -> None:
        self._statement = statement
        self._how = how

    async def run(self, way: Way) -> Any:
        if way.own is not None:
            raise NotDirectly  # it may have the entity of the row that is there
        rows = await way.fetch(self._statement)
        if not rows:
            raise self._how.key.violated(_OUT_OF_REACH)
        return hydration.hydrator(self._how.mapper)(rows)[0]


def store_many(own: Session, how: Upsert, groups: Sequence[Group]) -> None:
    """Store many rows one after another.

    Raises:
        UniqueViolation: a row that is in the way is not to be reached.
    """
    versions.flush(own)
    for group in groups:
        storing, reached = statement(how, group, finds=False), how.reached(group.shape)
        for rows in [group.rows] if _takes_many(reached) else [[row] for row in group.rows]:
            own.execute(storing, rows, execution_options=AS_THEY_ARE)
        if reached is not None:
            _check_reached(own, how, group, reached)
    changes.refresh(own, how.mapper)


def _takes_many(reached: ColumnElement[bool] | None) -> bool:
    """Whether a statement with this condition can be executed for many rows: with an IN, SQLAlchemy cannot."""
    parts = () if reached is None else visitors.iterate(reached)
    return not any(isinstance(part, BindParameter) and part.expanding for part in parts)


def get_or_add(own: Session, how: Upsert, group: Group) -> Any:
    """The entity of the row that is there, or else of this one, which is stored.

    Raises:
        UniqueViolation: the row that is in the way is not to be reached.
    """
    versions.flush(own)
    matching = how.key.matching(how.values(group.rows[0]))
    looking = whole(how.mapper).where(*matching, *how.reach.where)
    found = own.scalars(looking).unique().one_or_none()
    if found is not None:
        return found
    unchanged = replace(group, given=frozenset())
    added = _returned(own, how, group, statement(how, unchanged, finds=False))
    if added is not None:
        return added
    # Another transaction has added it since. To update nothing waits for that one, and gives its
    # row even where a SELECT would not see it yet; and adds ours where that row is gone again.
    return store(own, how, group, statement(how, unchanged, finds=True))


_OUT_OF_REACH = "this repository does not reach: it is of another kind, or outside of its condition()"


def _returned(own: Session, how: Upsert, group: Group, storing: Any) -> Any:
    """The entity that a statement for one row has stored or found; None if it did neither."""
    mapper = how.mapper
    options = {**AS_THEY_ARE, **_FRESH}
    if changes.returns_whole(mapper) and not early(mapper):
        entities = own.scalars(storing.returning(mapper.class_), group.rows, execution_options=options)
        return entities.unique().one_or_none()
    key = own.execute(storing.returning(*mapper.primary_key), group.rows, execution_options=options).one_or_none()
    if key is None:
        return None
    reading = whole(mapper).where(by_identity(mapper, tuple(key)))
    return own.scalars(reading, execution_options=_FRESH).unique().one()


def _check_reached(own: Session, how: Upsert, group: Group, reached: ColumnElement[bool]) -> None:
    """Refuse rows of which one was in the way of another that is not to be reached, and so was left as it was."""
    table = how.mapper.local_table
    for same in _same(how.key, [how.values(row) for row in group.rows]):
        other = select(literal(1)).select_from(table).where(same, reached.is_not(true())).limit(1)
        if own.scalar(other) is not None:
            raise how.key.violated(_OUT_OF_REACH)


def _same(key: Unique, rows: Sequence[Mapping[Column[Any], Any]]) -> Iterator[ColumnElement[bool]]:
    """Conditions for the rows that are the same as one of these, for some of them at a time."""
    if set(key.elements) == set(key.columns):
        for values in in_parts([tuple(row[column] for column in key.columns) for row in rows]):
            yield and_(among(key.columns, values), true() if key.where is None else key.where)
        return
    for start in range(0, len(rows), 100):  # an expression each, and databases bound the depth of one
        yield or_(*(and_(*key.matching(row)) for row in rows[start : start + 100]))
