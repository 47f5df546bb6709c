"""Relationships that are loaded with an entity, and later."""

import asyncio
from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, joinedload, make_transient_to_detached, selectinload, undefer
from sqlalchemy.util import await_only

from repo import Database, NotFound, Scope, UsageError, gather
from repo.engine.conditions import mapper_of
from repo.engine.loading import options
from repo.errors import NotLoaded
from tests.models import (
    SCOPES,
    Order,
    Orders,
    Stamped,
    Stamps,
    Team,
    Teams,
    User,
    Users,
    opened,
    statements,
    stocked,
)

AnyScope = Scope | AsyncSession


@pytest.fixture
async def shop(db: Database) -> Database:
    """Two teams, three users, two orders with two lines each."""
    return await stocked(db)


@pytest.fixture(params=SCOPES)
async def scope(request: pytest.FixtureRequest, shop: Database) -> AsyncIterator[AnyScope]:
    """Each kind of scope over the shop."""
    async with opened(shop, request.param) as scope:
        yield scope


@pytest.mark.parametrize(
    ("load", "message"),
    [
        ("orders", r"^load= of User takes a relationship such as .*; not str$"),
        ((User.orders, "lines"), r"; not str$"),
        ((), r"; not tuple$"),
        (User, r"; not \w+$"),
        (User.name == "x", r"; not BinaryExpression$"),
        (Order.lines, r"^load= of User takes attributes of User, not Order\.lines$"),
        ((User.team, Order.lines), r"^load= of User cannot follow the path: .*Order\.lines"),
        (aliased(Team).users, r"^load= of User takes attributes of User"),
    ],
)
def test_a_load_is_a_path_from_the_model(load: Any, message: str) -> None:
    """A name, another model's relationship and a path with a gap are refused, each with a reason."""
    with pytest.raises(UsageError, match=message):
        options(mapper_of(User), load)


LOADS: list[Any] = [
    User.orders,
    (User.orders, Order.lines),
    [(User.orders, Order.lines), User.team],
    selectinload(User.orders),
    joinedload(User.orders),
    [joinedload(User.orders).joinedload(Order.lines)],
]


async def test_load_brings_relationships(scope: AnyScope) -> None:
    """Every read brings the relationships of `load=`, by whichever way of SQLAlchemy."""
    users = Users(scope)
    for load in LOADS:
        found = [
            await users.get(1, load=load),
            await users.get_one(1, load=load),
            *await users.get_many([1], load=load),
            await users.one(User.id == 1, load=load),
            await users.one_or_none(User.id == 1, load=load),
            await users.first(load=load),
            *await users.all(User.id == 1, load=load),
        ]
        assert len(found) == 7
        assert all(user is not None and [order.id for order in user.orders] == [1, 2] for user in found)
    streamed = [user async for user in users.stream(User.id == 1, load=User.orders)]
    assert [order.id for order in streamed[0].orders] == [1, 2]


async def test_load_follows_a_path(scope: AnyScope) -> None:
    """A tuple is a path, each step of which is loaded."""
    user = await Users(scope).get_one(1, load=(User.orders, Order.lines))
    assert [line.product for order in user.orders for line in order.lines] == ["p11", "p12", "p21", "p22"]


async def test_load_brings_deferred_columns(shop: Database) -> None:
    """A deferred column is loaded like a relationship, by its attribute or SQLAlchemy's option."""
    await Stamps(shop).add(Stamped(id=1, name="x", text="long"))
    for load in (Stamped.text, undefer(Stamped.text)):
        assert (await Stamps(shop).get_one(1, load=load)).text == "long"
    stored = await Stamps(shop).get_one(1)
    assert (await Stamps(shop).load(stored, Stamped.text)).text == "long"


async def test_every_read_checks_its_load(shop: Database) -> None:
    """A name in place of a relationship is refused by every read."""
    users = Users(shop)
    for read in (users.all, users.one, users.one_or_none, users.first):
        with pytest.raises(UsageError, match=r"^load= of User takes a relationship .*; not str$"):
            await read(load="orders")
    for call in (users.get(1, load="orders"), users.get_one(1, load="orders"), users.get_many([1], load="orders")):
        with pytest.raises(UsageError, match=r"^load= of User"):
            await call
    with pytest.raises(UsageError, match=r"^load= of User"):
        users.stream(load="orders")


async def test_relationships_can_be_loaded_later(scope: AnyScope) -> None:
    """`load` brings relationships to entities that were read before, one or many, and gives them back."""
    users = Users(scope)
    ada = await users.get_one(1)
    assert await users.load(ada, User.orders, User.team) is ada
    assert ada.team is not None
    assert ([order.id for order in ada.orders], ada.team.name) == ([1, 2], "Analysts")
    everyone = await users.all()
    assert await users.load(everyone, (User.orders, Order.lines)) is everyone
    assert [len(user.orders) for user in everyone] == [2, 0, 0]
    assert await users.load([], User.orders) == []


async def test_a_path_goes_on_from_what_is_loaded(scope: AnyScope) -> None:
    """`load` follows a path whose first part was loaded before, and keeps the objects that are there."""
    ada = await Users(scope).get_one(1, load=User.orders)
    before = list(ada.orders)
    await Users(scope).load(ada, (User.orders, Order.lines))
    assert all(now is then for now, then in zip(ada.orders, before, strict=True))
    assert [line.product for order in ada.orders for line in order.lines] == ["p11", "p12", "p21", "p22"]


async def test_load_writes_nothing_and_keeps_changes(shop: Database) -> None:
    """`load` leaves what was changed on an entity as it is, unwritten."""
    ada = await Users(shop).get_one(1)
    ada.name = "Ada Lovelace"
    with statements(shop) as sent:
        await Users(shop).load(ada, User.orders)
    assert [statement for statement in sent if not statement.startswith("SELECT")] == []
    assert (ada.name, len(ada.orders)) == ("Ada Lovelace", 2)
    assert (await Users(shop).update(ada)).name == "Ada Lovelace"
    assert (await Users(shop).get_one(1)).name == "Ada Lovelace"


async def test_load_takes_several_objects_of_one_row(shop: Database) -> None:
    """Entities that were read apart may stand for the same row, themselves or what they refer to."""
    users, orders = Users(shop), Orders(shop)
    twins = [await users.get_one(1), await users.get_one(1)]
    await users.load(twins, User.orders)
    assert [[order.id for order in twin.orders] for twin in twins] == [[1, 2], [1, 2]]
    apart = [await orders.get_one(1, load=Order.user), await orders.get_one(2, load=Order.user)]
    await orders.load(apart, Order.lines)
    assert [len(order.lines) for order in apart] == [2, 2]


async def test_load_says_what_is_gone(shop: Database) -> None:
    """`load` of an entity whose row was deleted meanwhile is NotFound."""
    alan = await Users(shop).get_one(3)
    await Users(shop).delete(3)
    with pytest.raises(NotFound, match=r"^no User with the key 3$"):
        await Users(shop).load(alan, User.orders)


async def test_loads_of_one_turn_are_one_load(scope: AnyScope, shop: Database) -> None:
    """Gathered loads of the same relationships send the statements of one load, in every scope."""
    users = Users(scope)
    everyone = await users.all()
    with statements(shop) as sent:
        loaded = await gather(*(users.load(user, User.orders, (User.team,)) for user in everyone))
    assert all(now is then for now, then in zip(loaded, everyone, strict=True))
    assert [len(user.orders) for user in everyone] == [2, 0, 0]
    assert [user.team and user.team.name for user in everyone] == ["Analysts", "Sailors", None]
    assert len([statement for statement in sent if statement.startswith("SELECT") and "FROM" in statement]) == 3


async def test_loads_of_other_relationships_do_not_mix(scope: AnyScope) -> None:
    """Each caller has what it asked for, and no more."""
    users, orders = Users(scope), Orders(scope)
    ada, grace = await users.get_many([1, 2])
    one, two = await orders.get_many([1, 2])
    await gather(
        users.load(ada, User.orders),
        users.load([grace], User.team),
        orders.load([one], Order.lines),
        orders.load(two, Order.lines, Order.user),
    )
    assert (len(ada.orders), grace.team and grace.team.name) == (2, "Sailors")
    assert ([len(order.lines) for order in (one, two)], two.user.name) == ([2, 2], "Ada")
    with pytest.raises(NotLoaded):
        _ = grace.orders


async def test_who_loads_what_is_gone_is_alone_with_it(scope: AnyScope, shop: Database) -> None:
    """Of gathered loads, those of entities whose rows are gone raise a `NotFound` of their own."""
    users = Users(scope)
    everyone = await users.all()
    gone = [User(id=key) for key in (98, 99)]
    for user in gone:
        make_transient_to_detached(user)
    calls = (everyone[:1], gone, everyone[1:], [*everyone, gone[1]])
    results = await asyncio.gather(*(users.load(call, User.orders) for call in calls), return_exceptions=True)
    assert [str(each) for each in results if isinstance(each, Exception)] == [
        "no User with the keys 98, 99",
        "no User with the key 99",
    ]
    assert [len(user.orders) for user in everyone] == [2, 0, 0]
    assert await users.count() == 3


async def test_an_entity_may_be_given_twice_at_once(scope: AnyScope, shop: Database) -> None:
    """Callers may give the same entity, or each one of its own for the same row; changes on them stay."""
    users = Users(scope)
    ada, twin = await users.get_one(1), await Users(shop).get_one(1)
    ada.nickname = "Countess"
    await gather(users.load(ada, User.orders), users.load(ada, User.orders), users.load(twin, User.orders))
    assert [[order.id for order in user.orders] for user in (ada, twin)] == [[1, 2], [1, 2]]
    assert ada.nickname == "Countess"


async def test_callers_share_no_objects_of_the_same_row(shop: Database) -> None:
    """Outside of a transaction, who asked with an entity of its own has children of its own."""
    users = Users(shop)
    twins = [await users.get_one(1) for _ in range(3)]
    with statements(shop) as sent:
        await gather(*(users.load(twin, User.orders) for twin in twins))
    assert len({id(order) for twin in twins for order in twin.orders}) == 6
    assert len(sent) == 3 * 2


@pytest.mark.parametrize("cancelled", [[0], [1], [0, 1], [0, 2]])
async def test_a_cancelled_load_leaves_the_others_alone(shop: Database, cancelled: list[int]) -> None:
    """Whoever of three is cancelled, before the statements or while they run, the others have their children."""
    for kind, steps in product(("database", "transaction"), range(10)):
        async with opened(shop, kind) as scope:
            everyone = await Users(scope).all()
            tasks = [asyncio.create_task(Users(scope).load(user, User.orders)) for user in everyone]
            for _ in range(steps):
                await asyncio.sleep(0)
            for place in cancelled:
                tasks[place].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            left = [place for place in range(3) if place not in cancelled]
            assert [results[place] is everyone[place] for place in left] == [True] * len(left)
            assert [len(everyone[place].orders) for place in left] == [[2, 0, 0][place] for place in left]
            assert await Users(scope).count() == 3


async def test_many_loads_are_split(shop: Database) -> None:
    """Loads of more entities together than one statement takes are several, and each caller has its own."""
    await Users(shop).add_many({"name": f"user {n}"} for n in range(1_500))
    everyone = await Users(shop).all()
    parts = [everyone[:600], everyone[600:1_200], everyone[1_200:], everyone]
    with statements(shop) as sent:
        await gather(*(Users(shop).load(part, User.team) for part in parts))
    assert all(user.team is None or user.team.name for user in everyone)
    assert sum("FROM users" in statement for statement in sent) == 2 + 2


@pytest.mark.parametrize("kind", ["database", "snapshot"])
async def test_loads_of_other_relationships_run_at_once(shop: Database, kind: str) -> None:
    """Gathered loads of different relationships have a connection each: all can be asked before any is answered."""
    asked = asyncio.Barrier(2)

    def wait(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM orders" in statement or "FROM teams" in statement:
            await_only(asked.wait())

    everyone = await Users(shop).all()
    async with opened(shop, kind) as scope, asyncio.timeout(30):
        users = Users(scope)
        event.listen(shop.engine.sync_engine, "before_cursor_execute", wait)
        try:
            await gather(users.load(everyone, User.orders), users.load(everyone, User.team))
        finally:
            event.remove(shop.engine.sync_engine, "before_cursor_execute", wait)
    assert [(len(user.orders), user.team is None) for user in everyone] == [(2, False), (0, False), (0, True)]


async def test_load_refuses_what_it_cannot_load(shop: Database) -> None:
    """`load` takes stored entities of the model and at least one path."""
    other: Any = [await Teams(shop).get_one(1)]
    with pytest.raises(UsageError, match=r"^this User was never stored; use add\(\)$"):
        await Users(shop).load(User(name="x"), User.orders)
    with pytest.raises(UsageError, match=r"^Users takes User, not Team$"):
        await Users(shop).load(other, User.orders)
    with pytest.raises(UsageError, match=r"^load\(\) takes the relationships to load"):
        await Users(shop).load(await Users(shop).get_one(1))
