"""What a type checker knows of the verbs; checked by mypy and pyright, never run."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, assert_type
from uuid import uuid4

from sqlalchemy import true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from repo import Database, Page, Repository, Scope, Stream, gather


class Model(DeclarativeBase):
    """The application's base."""


class User(Model):
    """An entity."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    nickname: Mapped[str | None]
    active: Mapped[bool]
    orders: Mapped[list["Order"]] = relationship(back_populates="user")


class Order(Model):
    """Another one."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    user: Mapped[User] = relationship(back_populates="orders")


class Users(Repository[User]):
    """The repository under test."""

    async def named(self, name: str) -> list[User]:
        """A query of the application's own."""
        return await self.all(User.name == name, order_by=[User.name.desc(), User.id], load=(User.orders, Order.user))


class Orders(Repository[Order]):
    """Of another model."""


async def reads(users: Users) -> None:
    """Reads give entities of the model."""
    assert_type(await users.get(1), User | None)
    assert_type(await users.get_one((1, 2)), User)
    assert_type(await users.get_one(uuid4()), User)
    assert_type(await users.get_many([1, 2]), list[User])
    assert_type(await users.one(User.name == "Ada"), User)
    assert_type(await users.one_or_none(User.nickname.is_(None)), User | None)
    assert_type(await users.first(order_by=User.name), User | None)
    assert_type(await users.all(User.active, User.orders.any(), true(), limit=1), list[User])
    assert_type(await users.page(User.active, order_by=User.name, limit=5, after="x", total=True), Page[User])
    assert_type((await users.page(order_by=[User.name.desc()], before=None, load=User.orders)).items, list[User])
    assert_type((await users.page()).next, str | None)
    assert_type((await users.page()).total, int | None)
    assert_type(await users.exists(~User.active), bool)
    assert_type(await users.count(User.name.in_(["Ada"])), int)
    assert_type(await users.named("Ada"), list[User])
    assert_type(users.model, type[Any])
    assert_type(users.scope, Scope)


async def streams(users: Users) -> None:
    """A stream is an iterator of entities."""
    assert_type(users.stream(User.active), Stream[User])
    async with users.stream(order_by=User.id) as stream:
        async for user in stream:
            assert_type(user, User)


async def loads(users: Users, user: User, several: list[User]) -> None:
    """What was given to `load` comes back."""
    assert_type(await users.load(user, User.orders), User)
    assert_type(await users.load(several, (User.orders, Order.user)), Sequence[User])


async def writes(users: Users, user: User, source: AsyncIterator[User]) -> None:
    """Writes give the entity, or a number; with `returning`, the entities."""
    rows: list[Mapping[str, Any]] = [{"id": 1, "name": "Ada"}]
    assert_type(await users.add(user), User)
    assert_type(await users.add_many([user]), int)
    assert_type(await users.add_many(rows, returning=True), list[User])
    assert_type(await users.add_many(source, progress=print), int)
    assert_type(await users.update(user, name="Ada"), User)
    assert_type(await users.update(1, name="Ada"), User)
    assert_type(await users.update_where(User.active, values={User.name: "Ada"}), int)
    assert_type(await users.update_where(User.active, values={"name": "Ada"}, returning=True), list[User])
    assert_type(await users.update_many(rows), int)
    assert_type(await users.delete(user), bool)
    assert_type(await users.delete(1), bool)
    assert_type(await users.delete_where(User.id == 1), int)
    assert_type(await users.delete_where(User.id == 1, returning=True), list[User])
    assert_type(await users.upsert(user, on=User.name, update="active"), User)
    assert_type(await users.upsert_many([user], on=(User.name, User.active)), int)
    assert_type(await users.get_or_add(user, on="name"), User)


async def scopes(db: Database, session: AsyncSession) -> None:
    """A repository is of its own class over every scope."""
    assert_type(Users(db).using(session), Users)
    async with db.transaction() as tx, tx.savepoint():
        assert_type(await Users(tx).get(1), User | None)
    async with db.snapshot() as snapshot:
        assert_type(await Users(snapshot).count(), int)


async def gathers(users: Users, user: User) -> None:
    """`gather` keeps the type of each."""
    assert_type(await gather(users.get(1), users.count()), tuple[User | None, int])
    assert_type(await gather(users.named("Ada"), users.exists(), users.one()), tuple[list[User], bool, User])
    assert_type(await gather(*(users.get(key) for key in range(3))), tuple[User | None, ...])
    found = await gather(
        users.get(1), users.count(), users.all(), users.page(), users.exists(), users.load([user], User.orders)
    )
    assert_type(found, tuple[User | None, int, list[User], Page[User], bool, Sequence[User]])
