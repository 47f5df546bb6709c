"""A specimen's rows in one scope, and what plain SQLAlchemy says of them."""

import copy
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, UnaryExpression, and_, delete, inspect, nulls_first, nulls_last, or_, select
from sqlalchemy.orm import Session, selectin_polymorphic, undefer
from sqlalchemy.orm.attributes import del_attribute
from sqlalchemy.sql import operators

from repo import Database, Scope, Transaction
from tests.models import opened
from tests.zoo.portraits import Key, everything, identity
from tests.zoo.specimen import Specimen

T = TypeVar("T")

Rows = dict[Key, dict[str, Any]]
"""All columns of rows, by key; the class is among them."""


class Pen:
    """Three rows of a specimen, those that they refer to, and a repository over a scope."""

    def __init__(self, specimen: Specimen, db: Database) -> None:
        self.specimen = specimen
        self.db = db
        self.scope: Scope = db
        self.repo = specimen.repository(db)
        self.keys: list[Key] = []
        self.load: Any = None

    @asynccontextmanager
    async def over(self, kind: str) -> AsyncIterator["Pen"]:
        """The same pen over a scope of a kind; what is done in a transaction does not stay."""
        async with opened(self.db, kind) as scope:
            assert isinstance(scope, Scope)
            other = copy.copy(self)
            other.scope, other.repo = scope, self.repo.using(scope)
            yield other
            if isinstance(scope, Transaction):
                await scope.rollback()

    def loading(self, load: Any) -> "Pen":
        """The same pen, for calls that load something."""
        other = copy.copy(self)
        other.load = load
        return other

    async def plainly(self, work: Callable[[Session], T]) -> T:
        """Work with a session of plain SQLAlchemy, which sees what the scope sees."""

        def inside(connection: Connection) -> T:
            with Session(connection, expire_on_commit=False, join_transaction_mode="rollback_only") as own:
                return work(own)

        if isinstance(self.scope, Transaction):
            return await self.scope.session.run_sync(lambda own: inside(own.connection()))
        async with self.db.engine.begin() as connection:
            return await connection.run_sync(inside)

    async def stock(self) -> None:
        """Store the rows anew."""
        await self.clear()
        self.keys = await self.plainly(self._stock)

    async def clear(self) -> None:
        """Leave the tables empty."""
        tables = self.specimen.tables
        for table in reversed(self.specimen.mapper.registry.metadata.sorted_tables):
            if table in tables:
                await self.db.execute(delete(table))

    def _stock(self, own: Session) -> list[Key]:
        own.add_all(self.specimen.before())
        own.flush()
        entities = [self.specimen.entity(n) for n in range(3)]
        own.add_all(entities)
        own.flush()
        keys = [identity(entity) for entity in entities]
        own.commit()
        own.expunge_all()
        return keys

    def key(self, n: int) -> Any:
        """The key of a row as verbs take it."""
        return self.keys[n][0] if len(self.keys[n]) == 1 else self.keys[n]

    def is_row(self, *numbers: int) -> Any:
        """The condition for some rows, or for all of them."""
        columns = self.specimen.mapper.primary_key
        return or_(*(and_(*map(_equal, columns, self.keys[n])) for n in numbers or range(3)))

    def new(self, n: int) -> Any:
        """A new entity."""
        return self.specimen.entity(n)

    def alone(self, n: int) -> Any:
        """A new entity without others that hang on it."""
        entity = self.specimen.entity(n)
        for relationship in inspect(entity).mapper.relationships:
            if inspect(entity).dict.get(relationship.key):
                del_attribute(entity, relationship.key)
        return entity

    def row(self, n: int) -> dict[str, Any]:
        """A new row as a mapping."""
        return self.specimen.row(n)

    @property
    def change(self) -> Mapping[str, Any]:
        """New values of columns."""
        return self.specimen.change

    @property
    def others(self) -> Mapping[str, Any]:
        """New values of attributes that are no columns."""
        return self.specimen.set

    @property
    def key_names(self) -> tuple[str, ...]:
        """The attributes of the key."""
        mapper = self.specimen.mapper
        return tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key)

    def changed_row(self, n: int) -> dict[str, Any]:
        """New values of columns with the key of a row."""
        return dict(zip(self.key_names, self.keys[n], strict=True)) | dict(self.specimen.change)

    def changed(self, n: int) -> Any:
        """A new entity with the key of a row, and new values of columns."""
        entity = self.alone(n)
        for name, value in self.changed_row(n).items():
            setattr(entity, name, value)
        return entity

    async def rows(self) -> Rows:
        """All rows of the model with all their columns, as plain SQLAlchemy reads them."""

        def read(own: Session) -> Rows:
            return {identity(each): everything(each) for each in self.read(own, undefer("*"))}

        return await self.plainly(read)

    def read(self, own: Session, *options: Any, where: Any = None) -> Sequence[Any]:
        """The entities as plain SQLAlchemy reads them, with the columns of subclasses."""
        mapper = self.specimen.mapper
        at_once = (mapper, *mapper.with_polymorphic_mappers)
        later = [each.class_ for each in mapper.self_and_descendants if each not in at_once]
        if mapper.polymorphic_on is not None and later:
            options = (*options, selectin_polymorphic(self.specimen.model, later))
        statement = select(self.specimen.model).options(*options)
        return own.scalars(statement if where is None else statement.where(where)).unique().all()

    def sort(self, by: UnaryExpression[Any], own: Session) -> list[Key]:
        """The keys in an order, NULL being the largest value, as the database sorts them all."""
        largest = nulls_first(by) if by.modifier is operators.desc_op else nulls_last(by)
        statement = select(self.specimen.model).where(self.is_row())
        ordered = statement.order_by(largest, *self.specimen.mapper.primary_key)
        return list(map(identity, own.scalars(ordered).unique()))


def _equal(column: Any, value: Any) -> Any:
    return column == value
