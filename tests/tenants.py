"""Rows of two tenants, related to each other as they should and as they should not."""

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, ForeignKey, MetaData, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from repo import Database, Repository, Scope
from repo.model import NAMING_CONVENTION


class Base(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Member(Base):
    """Belongs to a tenant; so does what it orders."""

    __tablename__ = "members"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[int]
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str | None]
    boss_id: Mapped[int | None] = mapped_column(ForeignKey("members.id"))
    boss: Mapped["Member | None"] = relationship(remote_side="Member.id")
    orders: Mapped[list["Order"]] = relationship(back_populates="member", order_by="Order.id")


class Order(Base):
    """Belongs to a tenant, too."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[int]
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    total: Mapped[int]
    member: Mapped[Member] = relationship(back_populates="orders")
    lines: Mapped[list["Line"]] = relationship(order_by="Line.id")


class Line(Base):
    """Belongs to an order, and to no tenant by itself."""

    __tablename__ = "lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    text: Mapped[str]


class Shelf(Base):
    """The tenant is a part of its key."""

    __tablename__ = "shelves"
    tenant: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None]


class Party(Base):
    """The base of models in tables of their own."""

    __tablename__ = "parties"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    tenant: Mapped[int]
    name: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "party"}


class Company(Party):
    """Its columns are in two tables."""

    __tablename__ = "companies"
    id: Mapped[int] = mapped_column(ForeignKey("parties.id"), primary_key=True)
    register: Mapped[str | None]
    __mapper_args__ = {"polymorphic_identity": "company"}


AnyScope = Scope | AsyncSession
M = TypeVar("M")


class OfTenant(Repository[M]):
    """The rows of one tenant."""

    def __init__(self, scope: AnyScope, tenant: int) -> None:
        super().__init__(scope)
        self.tenant = tenant

    def condition(self) -> ColumnElement[bool]:
        return self.model.tenant == self.tenant  # type: ignore[no-any-return]  # the model is of any class

    def defaults(self) -> dict[str, Any]:
        return {"tenant": self.tenant}


class Members(OfTenant[Member]):
    """Members of a tenant."""


class Orders(OfTenant[Order]):
    """Orders of a tenant."""


class Shelves(OfTenant[Shelf]):
    """Shelves of a tenant."""


class Parties(OfTenant[Party]):
    """Parties of a tenant."""


class Companies(OfTenant[Company]):
    """Companies of a tenant."""


class AllMembers(Repository[Member]):
    """Members of all tenants."""


class AllOrders(Repository[Order]):
    """Orders of all tenants."""


class AllShelves(Repository[Shelf]):
    """Shelves of all tenants."""


class AllCompanies(Repository[Company]):
    """Companies of all tenants."""


async def rented(db: Database) -> Database:
    """Two tenants: 1 has Ada (1) and Alan (2), 2 has Grace (3), who is the boss of Ada and has an order of hers.

    Orders: 1 and 2 of Ada, 3 of Grace, 4 of Ada for tenant 2, 5 of Grace for tenant 1. Each has a line.
    """
    await db.create_all(Base.metadata)
    async with db.transaction() as tx:
        await AllMembers(tx).add_many(
            [
                {"tenant": 1, "email": "ada", "name": "Ada", "boss_id": None},
                {"tenant": 1, "email": "alan", "name": "Alan", "boss_id": 1},
                {"tenant": 2, "email": "grace", "name": "Grace", "boss_id": None},
            ]
        )
        await AllMembers(tx).update(1, boss_id=3)
        orders = [(1, 1), (1, 1), (2, 3), (2, 1), (1, 3)]
        await AllOrders(tx).add_many({"tenant": t, "member_id": m, "total": 10 * m} for t, m in orders)
        await tx.execute(insert(Line), [{"order_id": n, "text": f"line {n}"} for n in range(1, 6)])
        await AllShelves(tx).add_many({"tenant": t, "number": n, "text": f"{t} {n}"} for t in (1, 2) for n in (1, 2))
        await AllCompanies(tx).add_many({"tenant": t, "name": f"company {t}", "register": f"{t}"} for t in (1, 2))
    return db
