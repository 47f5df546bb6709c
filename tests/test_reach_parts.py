"""What a repository says of its rows: of which kind a condition may be, and where it holds in what a caller asks."""

from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any

import pytest
from sqlalchemy import ColumnElement, func, literal_column, select, text, true, union_all
from sqlalchemy.orm import aliased, immediateload, joinedload, selectinload, subqueryload

from repo import Database, Repository, Scope, UsageError, gather
from repo.testing import queries
from tests.tenants import (
    AllMembers,
    AllOrders,
    AnyScope,
    Companies,
    Company,
    Line,
    Member,
    Members,
    Order,
    Orders,
    Parties,
    Party,
    rented,
)


@pytest.fixture
async def house(db: Database) -> Database:
    """Two tenants with members and orders."""
    return await rented(db)


async def test_every_kind_of_subquery(house: Database) -> None:
    """A subquery sees no rows of other tenants, however it is written."""
    members = Members(house, 1)
    theirs = select(Order.member_id).where(Order.tenant == 2)
    ours = select(Order.member_id).where(Order.id == 1)
    deep = select(Line.order_id).join(Order, Line.order_id == Order.id).where(Order.tenant == 2)
    other = aliased(Order, theirs.add_columns(Order.id, Order.total, Order.tenant).subquery())
    for among in (
        theirs.cte("theirs").select(),
        union_all(theirs, theirs),
        select(theirs.cte("again").c.member_id),
        select(other.member_id),
        select(Order.member_id).join(Order.lines).where(Line.text == "line 4"),
        select(Order.member_id).join_from(Order, Member, Order.member).where(Member.name == "Grace"),
        select(Order.member_id).where(select(Member.id).where(Member.id == 3).exists()),
        select(Order.member_id).where(
            Order.id == select(func.max(Order.id)).where(Order.tenant == 2).scalar_subquery()
        ),
        select(Order.member_id).where(Order.id.in_(deep)),
        select(func.coalesce(Order.member_id, 1)).where(Order.tenant == 2).limit(1),
    ):
        assert not await members.exists(Member.id.in_(among)), among
        assert await members.update_where(Member.id.in_(among), values={"name": "x"}, returning=True) == [], among
    assert await members.count(Member.id.in_(union_all(theirs, ours))) == 1
    company, party = aliased(Company), aliased(Party, flat=True)
    registers = Company.__table__
    for found in (
        select(company.id).where(company.register == "2"),
        select(party.id).where(party.tenant == 2),
        select(registers.c.id).where(registers.c.register == "2"),
        select(Company.id).where(Company.register == "2"),
    ):
        assert not await Parties(house, 1).exists(found.exists()), found
        assert await Parties(house, 2).count(Party.id.in_(found)) == 1, found


async def test_orders_and_values_ask_no_other_rows(house: Database) -> None:
    """Nor do the subqueries of an order, of new values, and of the values of new entities."""
    members, orders = Members(house, 1), Orders(house, 1)
    stolen = select(Member.name).where(Member.id == 3).scalar_subquery()
    await members.update(1, name=stolen)
    await members.update_where(Member.id == 2, values={"name": stolen})
    alan = await members.get_one(2)
    alan.email = func.coalesce(stolen, "nobody")
    await members.update(alan)
    added = await members.add(Member(email="x", name=stolen))
    assert [member.name for member in await members.all()] == [None, None, None]
    assert [alan.email, added.name] == ["nobody", None]
    total = select(func.count()).where(Order.member_id == Member.id).correlate(Member).scalar_subquery()
    assert [member.id for member in await members.all(order_by=[total.desc(), Member.id])] == [1, 2, added.id]
    page = await orders.page(order_by=select(func.max(Order.tenant)).scalar_subquery() + Order.id)
    assert [order.id for order in page.items] == [1, 2, 5]


async def test_own_statements_keep_to_the_tenant_everywhere(house: Database) -> None:
    """In a statement of `self.select`, other models, aliases and subqueries keep to the tenant, too."""
    members = Members(house, 1)
    nested = select(Member.id, Order.id.label("order_id")).join(Member.orders).subquery()
    assert sorted(await house.scalars(members.select(nested.c.order_id).join(nested, nested.c.id == Member.id))) == [
        1,
        2,
    ]
    assert sorted(await house.scalars(select(members.select(Member.id).subquery().c.id))) == [1, 2]
    boss, order = aliased(Member), aliased(Order)
    for on in (boss.id == Member.boss_id, boss.id == 3):
        assert await house.scalars(members.select(boss.name).join(boss, on).where(Member.id == 1)) == []
    assert set(await house.scalars(members.select(order.id).join(order, true()))) == {1, 2, 5}
    among = members.select(Member.id).where(Member.id.in_(select(Order.member_id).where(Order.tenant == 2)))
    assert await house.scalars(among) == []
    counted = members.select(Member.id, select(func.count(Order.id)).scalar_subquery()).order_by(Member.id)
    assert [tuple(row) for row in await house.rows(counted)] == [(1, 3), (2, 3)]
    outer = members.select(Member.id, Order.id).join(Member.orders, isouter=True).order_by(Member.id, Order.id)
    assert [tuple(row) for row in await house.rows(outer)] == [(1, 1), (1, 2), (2, None)]
    every = Companies(house, 1).select(Company.name, Party.tenant)
    assert [tuple(row) for row in await house.rows(every)] == [("company 1", 1)]


class OfOrders(Repository[Line]):
    """Lines, which have no tenant of their own."""

    def __init__(self, scope: AnyScope, tenant: int) -> None:
        super().__init__(scope)
        self.tenant = tenant

    def condition(self) -> ColumnElement[bool]:
        return select(Order.id).where(Order.id == Line.order_id, Order.tenant == self.tenant).exists()

    def related_condition(self, model: type[Any]) -> ColumnElement[bool] | None:
        return model.tenant == self.tenant if hasattr(model, "tenant") else None


async def test_a_condition_on_another_table(house: Database) -> None:
    """A condition may be about what a row belongs to; other models get theirs by `related_condition`."""
    lines = OfOrders(house, 1)
    assert [line.text for line in await lines.all()] == ["line 1", "line 2", "line 5"]
    assert await lines.get(3) is None
    assert await lines.update_where(true(), values={"text": "new"}) == 3
    assert [await lines.delete(4), await lines.delete(1)] == [False, True]
    other = aliased(Line)
    assert await lines.count(select(other.id).where(other.id == 3).exists()) == 0
    assert await lines.count(Line.id.in_(select(Line.id).where(Line.id.in_([2, 3])))) == 1
    assert sorted(await house.scalars(lines.select(Line.id))) == [2, 5]
    assert await house.scalars(lines.select(other.id).join(other, other.id == 3)) == []
    joined = lines.select(Order.id).join(Order, true())
    assert set(await house.scalars(joined)) == {1, 2, 5}

    class Written(Repository[Order]):
        def condition(self) -> ColumnElement[bool]:
            return Order.lines.any(Line.text.is_distinct_from("line 3"))

    for loader in (joinedload, selectinload, subqueryload, immediateload):
        path = loader(Order.member).options(loader(Member.orders))
        member = (await Written(house).get_one(2, load=path)).member
        assert [order.id for order in member.orders] == [2, 4], loader


async def test_related_conditions_part_gets(house: Database) -> None:
    """Gets become one statement only where they reach the same rows, what is loaded along included."""

    class Differently(Repository[Member]):
        def __init__(self, scope: Scope, least: int) -> None:
            super().__init__(scope)
            self.least = least

        def related_condition(self, model: type[Any]) -> ColumnElement[bool] | None:
            return Order.id >= self.least if model is Order else None

    with queries(house) as sent:
        pairs = [(1, 1), (2, 1), (2, 3), (9, 1)]
        found = await gather(*(Differently(house, least).get(key, load=Member.orders) for least, key in pairs))
    assert [[order.id for order in member.orders] for member in found if member] == [[1, 2, 4], [2, 4], [3, 5], []]
    assert len(sent) == 6
    with queries(house) as sent:
        await gather(*(Members(house, tenant).get(key) for tenant in (1, 2) for key in (1, 2, 3)))
    assert len(sent) == 2


async def test_a_condition_that_only_the_database_knows(house: Database) -> None:
    """A column that is compared to an SQL expression cannot get another value either; new rows may have none."""

    class Current(Repository[Member]):
        def condition(self) -> ColumnElement[bool]:
            return Member.tenant == func.abs(literal_column("-1"))

    members = Current(house)
    assert await members.count() == 2
    calls: list[Awaitable[Any]] = [
        members.update(1, tenant=2),
        members.update(1, tenant=1),
        members.add(Member(email="x", tenant=2)),
    ]
    for call in calls:
        with pytest.raises(UsageError, match=r"tenant cannot get another value"):
            await call

    class Filled(Current):
        def defaults(self) -> dict[str, Any]:
            return {"tenant": 1}

    assert (await Filled(house).add(Member(email="x"))).tenant == 1
    assert (await Filled(house).update(1, tenant=1, name="A")).name == "A"


async def test_defaults_without_a_condition(house: Database) -> None:
    """`defaults` are filled into what is new, where it has no value, whichever verb stores it, and nowhere else."""

    class Filled(Repository[Member]):
        def defaults(self) -> dict[str, Any]:
            return {"tenant": 7, "name": "nobody"}

    members = Filled(house)
    added = await members.add(Member(email="a", name="A"))
    await members.add_many([{"email": "b"}, {"email": "c", "name": None, "tenant": 8}])
    await members.upsert(Member(email="d"), on="email")
    await members.upsert(Member(email="ada", tenant=1), on="email")
    assert [(m.email, m.tenant, m.name) for m in await members.all(Member.id > 3)] == [
        ("a", 7, "A"),
        ("b", 7, "nobody"),
        ("c", 8, "nobody"),
        ("d", 7, "nobody"),
    ]
    assert (await members.get_one(1)).name == "Ada"
    assert [(await members.update(added, email="z")).name, await members.count()] == ["A", 7]


async def test_a_condition_is_asked_for_once_in_each_call(house: Database) -> None:
    """A call reaches what its repository said when it was made, also if it is done later, and by another task."""
    asked: list[int] = []
    current: ContextVar[int] = ContextVar("current", default=1)

    class Current(Repository[Member]):
        def condition(self) -> ColumnElement[bool]:
            asked.append(current.get())
            return Member.tenant == current.get()

    members = Current(house)
    await gather(*(members.get(key, load=Member.orders) for key in (1, 2)))
    await members.page(Member.boss.has(), order_by=Member.name, total=True)
    await members.update_where(Member.id == 1, values={"name": "x"})
    await members.upsert(Member(email="ada", tenant=1), on="email")
    assert len(asked) == 5
    gets = [members.get(key) for key in (1, 3)]
    current.set(2)
    found = await gather(*gets)
    assert [member and member.id for member in found] == [None, 3]


async def test_soft_delete(house: Database) -> None:
    """A row that is marked as deleted is gone for every verb, along with others too; marking it is an update."""
    await house.execute(text("UPDATE members SET name = 'gone' WHERE id = 2"))

    class Living(Repository[Member]):
        def condition(self) -> ColumnElement[bool]:
            return Member.name.is_distinct_from("gone")

        async def bury(self, key: int) -> None:
            await self.update(key, name="gone")

    members = Living(house)
    assert [member.id for member in await members.all()] == [1, 3]
    grace = await members.get_one(3)
    await members.bury(3)
    assert [await members.get(3), (await members.load(await members.get_one(1), Member.boss)).boss] == [None, None]
    assert [member.name for member in await AllMembers(house).all()] == ["Ada", "gone", "gone"]
    for call in (members.update(grace, email="x"), members.bury(3)):
        with pytest.raises(Exception, match=r"no Member with the key 3"):
            await call
    async with house.transaction() as tx:
        ada = await members.using(tx).get_one(1)
        ada.name = "gone"
        assert (await members.using(tx).update(ada)).name == "gone"
        assert await members.using(tx).count() == 0
    assert await AllOrders(house).count() == 5
