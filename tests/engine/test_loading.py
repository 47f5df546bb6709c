"""Relationships that are loaded with an entity, and later."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, joinedload, selectinload, undefer

from repo import Database, NotFound, Scope, UsageError
from repo.engine.conditions import mapper_of
from repo.engine.loading import options
from repo.testing import queries
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
    with queries(shop) as sent:
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


async def test_load_refuses_what_it_cannot_load(shop: Database) -> None:
    """`load` takes stored entities of the model and at least one path."""
    other: Any = [await Teams(shop).get_one(1)]
    with pytest.raises(UsageError, match=r"^this User was never stored; use add\(\)$"):
        await Users(shop).load(User(name="x"), User.orders)
    with pytest.raises(UsageError, match=r"^Users takes User, not Team$"):
        await Users(shop).load(other, User.orders)
    with pytest.raises(UsageError, match=r"^load\(\) takes the relationships to load"):
        await Users(shop).load(await Users(shop).get_one(1))
