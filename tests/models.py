"""Models and repositories for the tests of the verbs, and what they open."""

import enum
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    ARRAY,
    JSON,
    Computed,
    Connection,
    FetchedValue,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    event,
    func,
    literal,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, deferred, mapped_column, relationship

from repo import Database, Repository, Scope
from repo.model import NAMING_CONVENTION
from repo.types import UTCDateTime

Integers = JSON().with_variant(ARRAY(Integer), "postgresql")


class Model(DeclarativeBase):
    """A base of the application's own, as many have."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Team(Model):
    """What a user refers to."""

    __tablename__ = "teams"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    users: Mapped[list["User"]] = relationship(back_populates="team")


class User(Model):
    """The usual kind of model: a generated key, a unique column, relationships to both sides."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    nickname: Mapped[str | None]
    age: Mapped[int | None]
    active: Mapped[bool] = mapped_column(default=True)
    team_id: Mapped[int | None] = mapped_column(ForeignKey("teams.id"))
    team: Mapped[Team | None] = relationship(back_populates="users")
    orders: Mapped[list["Order"]] = relationship(back_populates="user", order_by="Order.id")


class Order(Model):
    """What refers to a user, and goes with it."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    total: Mapped[int]
    user: Mapped[User] = relationship(back_populates="orders")
    lines: Mapped[list["Line"]] = relationship(order_by="Line.position")


class Line(Model):
    """A composite key, and attributes that are not called as their columns are."""

    __tablename__ = "lines"
    order: Mapped[int] = mapped_column("order_id", ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column("pos", primary_key=True)
    product: Mapped[str] = mapped_column("product_name")


class Note(Model):
    """Refers to a user that need be there only at the COMMIT."""

    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", deferrable=True, initially="DEFERRED"))


class Document(Model):
    """Counts its versions; its key is an identity column where there are such."""

    __tablename__ = "documents"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    title: Mapped[str] = mapped_column(unique=True)
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}


class Stamped(Model):
    """Columns whose values the database makes, at INSERT and at UPDATE."""

    __tablename__ = "stamped"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="new")
    created: Mapped[str] = mapped_column(default=func.lower("CREATED"))
    changed: Mapped[int] = mapped_column(Integer, default=0, onupdate=literal(1) + 1)
    seen: Mapped[int] = mapped_column(server_default="0", server_onupdate=FetchedValue())
    shout: Mapped[str] = mapped_column(String, Computed("upper(name)", persisted=True))
    text: Mapped[str | None] = deferred(mapped_column(String))


class Colour(enum.Enum):
    """Stored by name."""

    RED = "r"
    BLUE = "b"


def _from_context(context: Any) -> str:
    return f"{context.get_current_parameters()['name']} in context"


class Everything(Model):
    """A column of each kind of value, and of each kind of default."""

    __tablename__ = "everything"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str]
    colour: Mapped[Colour | None]
    data: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    integers: Mapped[list[int] | None] = mapped_column(Integers)
    at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    day: Mapped[date | None]
    price: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    blob: Mapped[bytes | None] = mapped_column(LargeBinary)
    other: Mapped[uuid.UUID | None]
    ratio: Mapped[float | None]
    scalar: Mapped[str | None] = mapped_column(default="scalar")
    made: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=dict)
    server: Mapped[str | None] = mapped_column(server_default="server")
    shout: Mapped[str] = mapped_column(String, Computed("upper(name)", persisted=True))


class Contextual(Model):
    """Defaults that need the statement that they are part of."""

    __tablename__ = "contextual"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    label: Mapped[str] = mapped_column(default=_from_context)
    lower: Mapped[str] = mapped_column(default=func.lower("EXPRESSION"))


class Animal(Model):
    """The base of models in tables of their own."""

    __tablename__ = "animals"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}


class Dog(Animal):
    """Its columns are in two tables."""

    __tablename__ = "dogs"
    id: Mapped[int] = mapped_column(ForeignKey("animals.id"), primary_key=True)
    breed: Mapped[str]
    __mapper_args__ = {"polymorphic_identity": "dog"}


class Vehicle(Model):
    """The base of models in one table."""

    __tablename__ = "vehicles"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "vehicle"}


class Ship(Vehicle):
    """Its rows are those of one kind."""

    masts: Mapped[int | None]
    __mapper_args__ = {"polymorphic_identity": "ship"}


class Teams(Repository[Team]):
    """Teams."""


class Users(Repository[User]):
    """Users."""

    async def named(self, name: str) -> list[User]:
        """Every user of that name."""
        return await self.all(User.name == name)


class Orders(Repository[Order]):
    """Orders."""


class Lines(Repository[Line]):
    """Lines of orders."""


class Notes(Repository[Note]):
    """Notes."""


class Documents(Repository[Document]):
    """Documents."""


class Stamps(Repository[Stamped]):
    """Stamped rows."""


class Everythings(Repository[Everything]):
    """Rows of everything."""


class Contextuals(Repository[Contextual]):
    """Rows whose defaults need their statement."""


class Animals(Repository[Animal]):
    """Animals of any kind."""


class Dogs(Repository[Dog]):
    """Dogs."""


class Vehicles(Repository[Vehicle]):
    """Vehicles of any kind."""


class Ships(Repository[Ship]):
    """Ships."""


async def stocked(db: Database) -> Database:
    """The tables, two teams, Ada with two orders of two lines, Grace and Alan; keys count from 1."""
    await db.create_all(Model.metadata)
    async with db.transaction() as tx:
        await Teams(tx).add_many([{"name": "Analysts"}, {"name": "Sailors"}])
        await Users(tx).add_many(
            [
                {"name": "Ada", "nickname": "A", "age": 36, "team_id": 1},
                {"name": "Grace", "nickname": None, "age": 85, "team_id": 2},
                {"name": "Alan", "nickname": "Z", "age": None, "team_id": None},
            ]
        )
        await Orders(tx).add_many([{"user_id": 1, "total": 5}, {"user_id": 1, "total": 50}])
        await Lines(tx).add_many([{"order": o, "position": p, "product": f"p{o}{p}"} for o in (1, 2) for p in (1, 2)])
    return db


SCOPES = ("database", "transaction", "session", "snapshot")
WRITING_SCOPES = ("database", "transaction", "session")


@asynccontextmanager
async def opened(db: Database, kind: str) -> AsyncIterator[Scope | AsyncSession]:
    """A scope of the kind over the database, which is left as it should be."""
    if kind == "database":
        yield db
    elif kind == "transaction":
        async with db.transaction() as tx:
            yield tx
    elif kind == "snapshot":
        async with db.snapshot() as snapshot:
            yield snapshot
    else:
        async with AsyncSession(db.engine, expire_on_commit=False) as session, session.begin():
            yield session


@contextmanager
def statements(db: Database) -> Iterator[list[str]]:
    """The statements that SQLAlchemy sends meanwhile, by sessions of the user's, too; all of them go its way then."""
    sent: list[str] = []

    def note(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.split(maxsplit=1)[0] in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            sent.append(statement)

    event.listen(db.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(db.engine.sync_engine, "before_cursor_execute", note)


def needs_row_locks(db: Database) -> None:
    """Skip the running test where a row cannot be locked against others."""
    if db.dialect.one_writer:
        pytest.skip("feature: several transactions write at a time, and lock rows against each other")
