"""What a repository writes one by one, on both databases and through every scope that writes."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import true
from sqlalchemy.ext.asyncio import AsyncSession

from repo import (
    Database,
    NotFound,
    Scope,
    UsageError,
)
from repo.errors import ReadOnlyScope
from repo.testing import queries
from tests.models import (
    Documents,
    Lines,
    Order,
    Orders,
    Stamped,
    Stamps,
    Team,
    Teams,
    User,
    Users,
)

AnyScope = Scope | AsyncSession


async def test_add_gives_the_same_entity_with_its_key_and_defaults(scope: AnyScope) -> None:
    """`add` gives the object it took, with the key and the defaults that the model makes."""
    user = User(name="Barbara")
    assert await Users(scope).add(user) is user
    assert user.id > 3
    assert (user.active, user.nickname, user.age, user.team_id) == (True, None, None, None)
    assert (await Users(scope).get_one(user.id)).name == "Barbara"


async def test_what_the_database_makes_comes_back(scope: AnyScope) -> None:
    """Server defaults, computed columns and what UPDATE makes are on the entity after each write."""
    stamps = Stamps(scope)
    row = await stamps.add(Stamped(name="x", text="long"))
    assert (row.status, row.created, row.changed, row.seen, row.shout, row.text) == (
        "new",
        "created",
        0,
        0,
        "X",
        "long",
    )
    row.name = "y"
    await stamps.update(row)
    assert (row.changed, row.shout, row.seen, row.text) == (2, "Y", 0, "long")
    changed = await stamps.update(row.id, name="z")
    assert (changed.changed, changed.shout, changed.status, changed.created) == (2, "Z", "new", "created")
    (many,) = await stamps.update_where(Stamped.name == "z", values={"name": "w"}, returning=True)
    assert (many.changed, many.shout, many.seen) == (2, "W", 0)


async def test_add_stores_what_hangs_on_the_entity(scope: AnyScope) -> None:
    """New entities on relationships are stored too, complete; stored ones are only referred to."""
    team = await Teams(scope).get_one(1)
    user = await Users(scope).add(User(name="Barbara", team=team, orders=[Order(total=1), Order(total=2)]))
    assert user.team_id == 1
    assert [(order.user_id, order.total, order.id > 2) for order in user.orders] == [
        (user.id, 1, True),
        (user.id, 2, True),
    ]
    assert await Orders(scope).count(Order.user_id == user.id) == 2


async def test_add_refuses_what_is_stored(scope: AnyScope) -> None:
    """An entity that is stored already, and an object of another class, are refused."""
    ada = await Users(scope).get_one(1)
    with pytest.raises(UsageError, match=r"^this User is stored already; use update\(\)$"):
        await Users(scope).add(ada)
    other: Any = Team(name="x")
    with pytest.raises(UsageError, match=r"^Users takes User, not Team$"):
        await Users(scope).add(other)


async def test_update_writes_what_was_changed(scope: AnyScope) -> None:
    """`update` of an entity writes its changes and the values that are given, and gives it back."""
    users = Users(scope)
    ada = await users.get_one(1)
    ada.nickname = "Countess"
    assert await users.update(ada, age=37) is ada
    assert (ada.nickname, ada.age) == ("Countess", 37)
    again = await users.one(User.nickname == "Countess", User.age == 37)
    assert again.name == "Ada"
    assert await users.update(ada, age=User.age + 1) is ada
    assert ada.age == 38


async def test_update_of_an_unchanged_entity_sends_nothing(shop: Database) -> None:
    """An entity on which nothing was changed is not written."""
    ada = await Users(shop).get_one(1)
    with queries(shop) as sent:
        await Users(shop).update(ada, name="Ada")
    assert sent == []


async def test_update_writes_relationships(scope: AnyScope) -> None:
    """A relationship that was changed on an entity, or is given for a key, is written."""
    users = Users(scope)
    ada = await users.get_one(1, load=User.orders)
    ada.orders.append(Order(total=7))
    await users.update(ada)
    assert await Orders(scope).count(Order.user_id == 1) == 3
    assert (await users.update(2, team=await Teams(scope).get_one(1))).team_id == 1


async def test_update_by_key_gives_the_whole_entity(scope: AnyScope) -> None:
    """`update` of a key gives the entity, complete; without values it is only read."""
    users = Users(scope)
    grace = await users.update(2, nickname="Amazing", age=User.age + 1)
    assert (grace.id, grace.name, grace.nickname, grace.age, grace.active) == (2, "Grace", "Amazing", 86, True)
    assert (await users.update(2)).nickname == "Amazing"
    line = await Lines(scope).update((2, 1), product="new")
    assert (line.order, line.position, line.product) == (2, 1, "new")


async def test_update_of_what_is_not_there(shop: Database) -> None:
    """A row that does not exist, or no longer, is NotFound; the entity keeps its changes."""
    users, alan = Users(shop), await Users(shop).get_one(3)
    with pytest.raises(NotFound, match=r"^no User with the key 99$"):
        await users.update(99, name="x")
    with pytest.raises(NotFound, match=r"^no Line with the key \(9, 9\)$"):
        await Lines(shop).update((9, 9), product="x")
    await users.delete(3)
    alan.name = "Turing"
    with pytest.raises(NotFound, match=r"^no User with the key 3$"):
        await users.update(alan)
    assert alan.name == "Turing"


async def test_an_unknown_name_is_refused(shop: Database) -> None:
    """A value for what the model does not have is refused, with the name that was probably meant."""
    ada = await Users(shop).get_one(1)
    for key in (1, ada):
        with pytest.raises(UsageError, match=r"^User has no attribute 'nickmane'; did you mean 'nickname'\?$"):
            await Users(shop).update(key, nickmane="x")
    with pytest.raises(UsageError, match=r"did you mean 'nickname'\?$"):
        await Users(shop).update_where(User.id == 1, values={"nickmane": "x"})


async def test_what_is_no_entity_of_the_model_is_refused(shop: Database) -> None:
    """`update` and `delete` refuse an entity of another model and one that was never stored."""
    team: Any = await Teams(shop).get_one(1)
    for call in (Users(shop).update, Users(shop).delete):
        with pytest.raises(UsageError, match=r"^the key of User is id; got an entity of Team$"):
            await call(team)
        with pytest.raises(UsageError, match=r"^this User was never stored; use add\(\)$"):
            await call(User(name="x"))


async def test_delete_says_whether_the_row_was_there(scope: AnyScope) -> None:
    """`delete` takes a key or an entity, and tells whether there was such a row."""
    users = Users(scope)
    alan = await users.get_one(3)
    assert [await users.delete(alan), await users.delete(alan), await users.delete(3), await users.delete(99)] == [
        True,
        False,
        False,
        False,
    ]
    assert [await Lines(scope).delete((1, 1)), await Lines(scope).delete((1, 1))] == [True, False]
    assert await users.get(3) is None


async def test_a_snapshot_refuses_every_write(shop: Database) -> None:
    """Whatever writes is refused in a snapshot, before anything is sent."""
    ada = await Users(shop).get_one(1)
    async with shop.snapshot() as snapshot:
        users = Users(snapshot)
        for call in (
            users.add(User(name="x")),
            users.add_many([{"name": "x"}]),
            users.update(1, name="x"),
            users.update(ada, name="x"),
            users.update_where(true(), values={"nickname": "x"}),
            users.update_many([{"id": 1, "name": "x"}]),
            users.delete(1),
            users.delete_where(true()),
        ):
            with pytest.raises(ReadOnlyScope):
                await call
    assert ada.name == "Ada"


async def test_each_write_is_one_statement(shop: Database) -> None:
    """A write of one row, and by a condition, is one statement."""
    users = Users(shop)
    ada = await users.get_one(1)
    counts = {}
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "add": lambda: users.add(User(name="Barbara")),
        "update by key": lambda: users.update(2, nickname="x"),
        "update of an entity": lambda: users.update(ada, nickname="x"),
        "update of a version": lambda: Documents(shop).update(1, title="x"),
        "update_where": lambda: users.update_where(User.id == 1, values={"age": 1}),
        "delete by key": lambda: users.delete(3),
        "delete_where": lambda: users.delete_where(User.id == 2),
        "delete of an entity": lambda: users.delete(ada),
    }
    for verb, call in calls.items():
        with queries(shop) as sent:
            await call()
        counts[verb] = len(sent)
    assert set(counts.values()) == {1}, counts
