"""A repository with a condition: no verb reaches a row that does not meet it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest
from sqlalchemy import ColumnElement, func, select, text, true
from sqlalchemy.orm import aliased

from repo import Database, NotFound, Repository, Scope, UniqueViolation, UsageError, gather
from repo.testing import queries
from tests.models import SCOPES, WRITING_SCOPES, opened
from tests.tenants import (
    AllCompanies,
    AllMembers,
    AllOrders,
    AllShelves,
    AnyScope,
    Companies,
    Company,
    Line,
    Member,
    Members,
    Order,
    Orders,
    Parties,
    Shelf,
    Shelves,
    rented,
)

THEIRS = 3
"""The key of the other tenant's member, and of its order."""


@pytest.fixture
async def house(db: Database) -> Database:
    """Two tenants with members and orders."""
    return await rented(db)


@pytest.fixture(params=SCOPES)
async def scope(request: pytest.FixtureRequest, house: Database) -> AsyncIterator[AnyScope]:
    """Each kind of scope."""
    async with opened(house, request.param) as scope:
        yield scope


@pytest.fixture(params=WRITING_SCOPES)
async def writing(request: pytest.FixtureRequest, house: Database) -> AsyncIterator[AnyScope]:
    """Each kind of scope that writes."""
    async with opened(house, request.param) as scope:
        yield scope


async def everything(db: Database) -> list[Any]:
    """All rows of all tenants."""
    return [
        [(m.id, m.tenant, m.email, m.name, m.boss_id) for m in await AllMembers(db).all()],
        [(o.id, o.tenant, o.member_id, o.total) for o in await AllOrders(db).all()],
        [(s.tenant, s.number, s.text) for s in await AllShelves(db).all()],
        [(c.id, c.tenant, c.name, c.register) for c in await AllCompanies(db).all()],
    ]


async def test_no_read_reaches_another_tenants_rows(scope: AnyScope) -> None:
    """What is not the tenant's own is not there, for every verb that reads."""
    members = Members(scope, 1)
    assert [await members.get(THEIRS), await members.get(THEIRS, load=Member.orders)] == [None, None]
    for call in (members.get_one(THEIRS), members.get_many([1, THEIRS]), members.one(Member.email == "grace")):
        with pytest.raises(NotFound):
            await call
    assert await members.one_or_none(Member.email == "grace") is None
    assert await members.first(Member.email == "grace") is None
    assert [member.name for member in await members.all()] == ["Ada", "Alan"]
    async with members.stream(chunk=1) as stream:
        assert [member.name async for member in stream] == ["Ada", "Alan"]
    assert [await members.exists(Member.email == "grace"), await members.exists()] == [False, True]
    assert [await members.count(), await members.count(Member.email == "grace")] == [2, 0]
    page = await members.page(limit=1, total=True)
    assert ([member.name for member in page.items], page.total) == (["Ada"], 2)
    assert [member.name for member in (await members.page(after=page.next)).items] == ["Alan"]
    assert await Shelves(scope, 1).get((2, 1)) is None
    assert [company.name for company in await Companies(scope, 1).all()] == ["company 1"]
    assert [party.name for party in await Parties(scope, 2).all()] == ["company 2"]


async def test_gets_of_several_tenants_at_once(house: Database) -> None:
    """Gets that are awaited together see each their own tenant's rows, also where one repository serves all."""
    calls = [Members(house, tenant).get(key) for key in (1, 2, 3) for tenant in (1, 2, 1)]
    found = [member and (member.id, member.tenant) for member in await gather(*calls)]
    assert found == [(1, 1), None, (1, 1), (2, 1), None, (2, 1), None, (3, 2), None]

    current: ContextVar[int] = ContextVar("current")

    class Current(Repository[Member]):
        def condition(self) -> ColumnElement[bool]:
            return Member.tenant == current.get()

    members = Current(house)

    async def get(tenant: int, key: int) -> int | None:
        current.set(tenant)
        member = await members.get(key)
        return member.id if member else None

    assert await gather(*(get(tenant, key) for tenant in (1, 2) for key in (1, 3))) == (1, None, None, 3)


async def test_what_is_loaded_along_is_the_tenants(scope: AnyScope) -> None:
    """Children, parents and what is beyond them are those of the tenant, whether loaded at once or later."""
    members = Members(scope, 1)
    ada = await members.get_one(1, load=[Member.orders, Member.boss, (Member.orders, Order.lines)])
    assert [(order.id, [line.text for line in order.lines]) for order in ada.orders] == [
        (1, ["line 1"]),
        (2, ["line 2"]),
    ]
    assert (ada.boss, ada.boss_id) == (None, 3)
    order = await Orders(scope, 1).get_one(5, load=(Order.member, Member.orders))
    assert [order.member, order.member_id] == [None, THEIRS]


async def test_what_is_loaded_later_is_the_tenants(scope: AnyScope) -> None:
    """`load` gives the same, and finds no entity of another tenant."""
    ada, grace = await AllMembers(scope).get_many([1, THEIRS])
    await Members(scope, 1).load(ada, Member.orders, Member.boss)
    assert ([order.id for order in ada.orders], ada.boss) == ([1, 2], None)
    with pytest.raises(NotFound):
        await Members(scope, 1).load(grace, Member.orders)


async def test_conditions_see_the_tenants_rows(scope: AnyScope) -> None:
    """A condition on other tables sees no rows of other tenants in them."""
    members = Members(scope, 1)
    assert [member.id for member in await members.all(Member.orders.any())] == [1]
    assert await members.all(Member.orders.any(Order.id == 4)) == []
    boss = aliased(Member)
    for has in (Member.boss.has(), Member.boss.of_type(boss).has(), Member.boss_id.in_(select(boss.id))):
        assert [member.id for member in await members.all(has)] == [2]
    tables = [Member.__table__, Order.__table__]
    theirs = select(tables[1].c.member_id).join(tables[0]).where(tables[0].c.email == "grace")
    nested = select(Order.member_id).where(Order.id.in_(select(Line.order_id).where(Line.text == "line 4")))
    for among in (theirs, nested, select(Order.member_id).where(Order.tenant == 2)):
        assert await members.all(Member.id.in_(among)) == []
        assert await members.all(Member.id.in_(select(among.subquery().c.member_id))) == []
    assert not await members.exists(Member.orders.any(Order.tenant == 2))


async def test_statements_of_its_own_carry_the_condition(scope: AnyScope) -> None:
    """`self.select` makes statements that keep to the tenant: columns, sums, joins, aliases, subqueries."""
    members, orders = Members(scope, 1), Orders(scope, 1)
    run = orders.scope
    assert sorted(await run.scalars(orders.select(Order.id))) == [1, 2, 5]
    assert [order.id for order in await run.scalars(orders.select().order_by(Order.id))] == [1, 2, 5]
    assert await run.scalar(orders.select(func.sum(Order.total))) == 10 + 10 + 30
    joined = orders.select(Order.id, Member.name).join(Order.member).order_by(Order.id)
    assert [tuple(row) for row in await run.rows(joined)] == [(1, "Ada"), (2, "Ada")]
    boss = aliased(Member)
    above = members.select(Member.name, boss.name).join(Member.boss.of_type(boss))
    assert [tuple(row) for row in await run.rows(above)] == [("Alan", "Ada")]
    inner = orders.select(Order.total).subquery()
    assert await run.scalar(select(func.count()).select_from(inner)) == 3
    either = orders.select(Order.id).where((Order.id == 1) | true())
    assert sorted(await run.scalars(either)) == [1, 2, 5]
    page = await run.page(orders.select(Order.id), order_by=Order.id, limit=2)
    assert [row.id for row in page.items] == [1, 2]


async def test_new_rows_are_the_tenants(writing: AnyScope) -> None:
    """What has no tenant gets it, with all that hangs on it, whichever verb stores it."""
    members = Members(writing, 1)
    one = await members.add(Member(email="a", orders=[Order(total=1, lines=[Line(text="x")])]))
    assert (one.tenant, one.orders[0].tenant) == (1, 1)
    await members.add_many([{"email": "b"}, Member(email="c"), {"email": "d", "tenant": 1}])
    await members.add_many([{"email": "e"}], returning=True)
    await members.upsert(Member(email="f"), on="email")
    await members.upsert_many([{"email": "g"}, {"email": "h"}], on="email")
    await members.get_or_add(Member(email="i"), on="email")
    await Shelves(writing, 1).upsert(Shelf(number=1, text="new"), on=("tenant", "number"))
    await Companies(writing, 1).add(Company(name="x"))
    assert sorted(member.email for member in await members.all(Member.id > 3)) == list("abcdefghi")
    assert (await Shelves(writing, 1).get_one((1, 1))).text == "new"
    assert await Companies(writing, 1).count() == 2


async def test_a_given_entity_stays_as_it_was(house: Database) -> None:
    """What is refused, and what is stored as a copy, gets no values of the repository."""
    refused, copied = Member(email="ada"), Member(email="z")
    with pytest.raises(UniqueViolation):
        await Members(house, 1).add(refused)
    await Members(house, 1).add_many([copied])
    assert [refused.tenant, copied.tenant] == [None, None]


async def test_no_write_reaches_another_tenants_rows(house: Database) -> None:
    """Every verb that changes or deletes finds nothing, or refuses, and changes nothing."""
    before = await everything(house)
    ada, grace = await AllMembers(house).get_many([1, THEIRS])
    company = await AllCompanies(house).get_one(2)
    order = await AllOrders(house).get_one(THEIRS)
    members, companies = Members(house, 1), Companies(house, 1)
    grace.name = company.name = "stolen"
    order.total = 0
    gone: list[Awaitable[Any]] = [
        members.update(THEIRS, name="stolen"),
        members.update(THEIRS),
        members.update(grace),
        members.update(grace, email="stolen"),
        members.update_many([{"id": 1, "name": "x"}, {"id": THEIRS, "name": "stolen"}]),
        companies.update(2, name="stolen"),
        companies.update(company),
        companies.update_many([{"id": 2, "register": "stolen"}]),
        Shelves(house, 1).update((2, 1), text="stolen"),
        members.add(Member(email="x", orders=[order])),
        members.add(Member(email="x", boss=grace)),
        members.update(1, boss=grace),
        members.update(1, orders=[order]),
    ]
    for call in gone:
        with pytest.raises(NotFound):
            await call
    assert [await members.delete(THEIRS), await members.delete(grace), await companies.delete(2)] == [False] * 3
    assert await members.update_where(Member.email == "grace", values={"name": "stolen"}) == 0
    assert await members.update_where(Member.email == "grace", values={"name": "stolen"}, returning=True) == []
    assert await members.delete_where(Member.email == "grace") == 0
    assert await members.update_where(Member.boss.has(Member.email == "grace"), values={"name": "has"}) == 0
    assert await members.delete_where(Member.id.in_(select(Order.member_id).where(Order.id == 4))) == 0
    assert await companies.update_where(Company.name == "company 2", values={"register": "stolen"}) == 0
    assert await companies.delete_where(Company.name == "company 2", returning=True) == []
    assert await everything(house) == before
    assert await Orders(house, 1).update_where(true(), values={"total": 0}) == 3
    assert [order.total for order in await AllOrders(house).all()] == [0, 0, 30, 10, 0]
    assert ada.name == "Ada"


async def test_a_conflict_with_another_tenants_row(house: Database) -> None:
    """A row of another tenant with the same unique key is a UniqueViolation that neither changes nor shows it."""
    before = await everything(house)
    members = Members(house, 1)
    for call in (
        members.upsert(Member(email="grace", name="stolen"), on="email"),
        members.upsert(Member(id=THEIRS, email="x"), on="id"),
        members.upsert_many([{"email": "x"}, {"email": "grace", "name": "stolen"}], on="email"),
        members.upsert_many([{"email": "grace"}], on="email"),
        members.get_or_add(Member(email="grace"), on="email"),
    ):
        with pytest.raises(UniqueViolation, match=r"does not reach") as caught:
            await call
        assert "Grace" not in str(caught.value)
    assert await everything(house) == before


async def test_no_row_changes_its_tenant(house: Database) -> None:
    """A value that would give a row to another tenant is refused by every verb, and nothing is written."""
    before = await everything(house)
    ada = await Members(house, 1).get_one(1)
    moved = await Members(house, 1).get_one(2)
    moved.tenant = 2
    members, orders = Members(house, 1), Orders(house, 1)
    calls: list[Awaitable[Any]] = [
        members.add(Member(email="x", tenant=2)),
        members.add(Member(email="x", orders=[Order(total=1, tenant=2)])),
        members.add_many([{"email": "x", "tenant": 2}]),
        members.add_many([Member(email="x", tenant=2)], returning=True),
        members.upsert(Member(email="x", tenant=2), on="email"),
        members.upsert_many([{"email": "ada", "tenant": 2}], on="email"),
        members.get_or_add(Member(email="x", tenant=2), on="email"),
        members.update(1, tenant=2),
        members.update(1, tenant=None),
        members.update(1, tenant=Member.tenant + 1),
        members.update(ada, tenant=2),
        members.update(moved),
        members.update(ada, orders=[Order(total=1, tenant=2)]),
        members.update_where(true(), values={"tenant": 2}),
        members.update_where(true(), values={Member.tenant: Member.id}),
        members.update_many([{"id": 1, "tenant": 2}]),
        orders.add(Order(total=1, member=Member(email="x", tenant=2))),
        Companies(house, 1).update(1, tenant=2),
        Companies(house, 1).update_where(true(), values={"tenant": 2}),
    ]
    for call in calls:
        with pytest.raises(UsageError, match=r"tenant cannot get another value"):
            await call
    assert await everything(house) == before
    assert ada.tenant == (await members.update(1, tenant=1, name="A")).tenant == 1


async def test_a_refusal_leaves_nothing_in_a_transaction(house: Database) -> None:
    """What was refused in a transaction is not written when that commits."""
    before = await everything(house)
    async with house.transaction() as tx:
        members = Members(tx, 1)
        ada = await members.get_one(1, load=Member.orders)
        grace, order = await AllMembers(tx).get_one(THEIRS), await AllOrders(tx).get_one(THEIRS)
        refusals: list[Callable[[], Awaitable[Any]]] = [
            lambda: members.update(ada, tenant=2),
            lambda: members.update(ada, orders=[*ada.orders, Order(total=1, tenant=2)]),
            lambda: members.update(1, orders=[order]),
            lambda: members.add(Member(email="x", boss=grace)),
            lambda: members.add(Member(email="x", tenant=2)),
            lambda: Companies(tx, 1).update(1, tenant=2),
        ]
        for refusal in refusals:
            with pytest.raises((UsageError, NotFound)):
                await refusal()
    assert await everything(house) == before


async def test_a_condition_of_any_kind(house: Database) -> None:
    """A condition may name several values, other tables, or none; only values that it names are fixed."""

    class Some(Repository[Member]):
        def condition(self) -> ColumnElement[bool]:
            return Member.tenant.in_([1, 7]) & Member.name.is_not(None)

    class Ordering(Repository[Member]):
        def condition(self) -> ColumnElement[bool]:
            return Member.orders.any(Order.total < 30)

    some, ordering = Some(house), Ordering(house)
    assert await some.upsert_many([{"email": "ada", "tenant": 7}, {"email": "x", "tenant": 1, "name": "x"}], on="email")
    assert [(member.email, member.tenant) for member in await some.all()] == [("ada", 7), ("alan", 1), ("x", 1)]
    with pytest.raises(UsageError, match=r"^Member\.tenant has no value, and the condition\(\)"):
        await some.add(Member(email="y"))
    assert (await some.update(1, tenant=1, name=None)).name is None
    assert await some.get(1) is None
    assert [member.email for member in await ordering.all()] == ["ada"]
    assert (await ordering.upsert(Member(email="ada", name="A", tenant=1), on="email")).name == "A"
    assert await ordering.upsert_many([{"email": "ada", "name": "B", "tenant": 1}], on="email") == 1
    for email in ("alan", "grace"):
        with pytest.raises(UniqueViolation):
            await ordering.upsert(Member(email=email, name="A", tenant=1), on="email")
    assert await ordering.update_where(true(), values={"name": "C"}) == 1
    assert await ordering.delete_where(Member.email == "alan") == 0


async def test_a_mistaken_condition_is_refused(house: Database) -> None:
    """What is no condition over the model's own table is refused, and so are defaults that it does not have."""

    class Wrong(Repository[Member]):
        def __init__(self, scope: Scope, condition: Any = None, defaults: Any = None) -> None:
            super().__init__(scope)
            self.it, self.values = condition, defaults or {}

        def condition(self) -> Any:
            return self.it

        def defaults(self) -> Any:
            return self.values

    for repository, message in (
        (Wrong(house, Member.name is not None), r"^a condition of Member must be an SQLAlchemy expression, not bool"),
        (Wrong(house, Order.total > 1), r"names orders\.total, a table that is not the model's"),
        (Wrong(house, text("true")), r"must be an SQLAlchemy expression"),
        (Wrong(house, None, {"nmae": 1}), r"^Member has no attribute 'nmae'; did you mean 'name'\?$"),
    ):
        for call in (repository.all(), repository.count(), repository.add_many([])):
            with pytest.raises(UsageError, match=message):
                await call


async def test_the_same_over_another_scope(house: Database) -> None:
    """`using` keeps what a repository was made with; its condition is asked for at each call."""
    members = Members(house, 1)
    async with house.transaction() as tx:
        assert await members.using(tx).count() == 2
        assert await members.using(tx).get(THEIRS) is None
    members.tenant = 2
    assert [member.email for member in await members.all()] == ["grace"]
    assert await members.get(1) is None


async def test_what_a_condition_costs(house: Database) -> None:
    """A condition adds no statement, but for the writes of entities, which look first whether they are in reach."""
    members = Members(house, 1)
    ada = await members.get_one(1)
    counts = {}
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "get": lambda: members.get(1),
        "update by key": lambda: members.update(1, name="x"),
        "update of an entity": lambda: members.update(ada, name="y"),
        "upsert": lambda: members.upsert(Member(email="ada", name="z"), on="email"),
        "add": lambda: members.add(Member(email="new")),
        "delete": lambda: members.delete(2),
        "count": members.count,
    }
    for name, call in calls.items():
        with queries(house) as sent:
            await call()
        counts[name] = len(sent)
    assert counts == dict.fromkeys(counts, 1)
