"""What a repository reads, on both databases and through every scope."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import func, true
from sqlalchemy.ext.asyncio import AsyncSession

from repo import Database, MultipleFound, NotFound, Scope, UsageError
from repo.testing import queries
from tests.interleaved import before
from tests.models import (
    SCOPES,
    Everything,
    Everythings,
    Lines,
    Order,
    Ship,
    Ships,
    Team,
    Teams,
    User,
    Users,
    Vehicle,
    Vehicles,
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


def names(users: list[User]) -> list[str]:
    return [user.name for user in users]


async def test_get_gives_the_entity_or_none(scope: AnyScope) -> None:
    """`get` gives the entity with the key, None where there is none."""
    user = await Users(scope).get(1)
    assert user is not None
    assert (user.name, user.team_id) == ("Ada", 1)
    assert await Users(scope).get(99) is None


async def test_get_one_raises_for_what_is_not_there(scope: AnyScope) -> None:
    """`get_one` names the model and the key that was not found."""
    assert (await Users(scope).get_one(2)).name == "Grace"
    with pytest.raises(NotFound, match=r"^no User with the key 99$"):
        await Users(scope).get_one(99)


async def test_composite_keys_are_tuples_in_the_order_of_the_key(scope: AnyScope) -> None:
    """A composite key is a tuple, in the order of the primary key's columns."""
    line = await Lines(scope).get((2, 1))
    assert line is not None
    assert (line.order, line.position, line.product) == (2, 1, "p21")
    assert await Lines(scope).get((9, 1)) is None
    assert [each.product for each in await Lines(scope).get_many([(2, 2), (1, 1), (2, 2)])] == ["p22", "p11", "p22"]


async def test_a_key_of_the_wrong_shape_is_refused(shop: Database) -> None:
    """A key that is None, too short or too long is refused by every verb, with the shape that is wanted."""
    for call in (Lines(shop).get, Lines(shop).get_one, Lines(shop).update, Lines(shop).delete):
        with pytest.raises(UsageError, match=r"^the key of Line is a tuple \(order, position\); got 1 value$"):
            await call(1)
    keys: list[Any] = [1, None]
    with pytest.raises(UsageError, match=r"^the key of User is id; got None$"):
        await Users(shop).get_many(keys)


async def test_get_many_keeps_the_order_of_the_keys(scope: AnyScope) -> None:
    """`get_many` gives one entity for each key, in the order of the keys, twice for a key that comes twice."""
    users = await Users(scope).get_many([3, 1, 2, 1])
    assert names(users) == ["Alan", "Ada", "Grace", "Ada"]
    assert users[1] is users[3]
    assert await Users(scope).get_many([]) == []


async def test_get_many_lists_what_is_missing(scope: AnyScope) -> None:
    """`get_many` names the keys that were not found, the first ten of many."""
    with pytest.raises(NotFound, match=r"^no User with the keys 8, 9$"):
        await Users(scope).get_many([1, 8, 9, 8])
    with pytest.raises(NotFound, match=r"^no Line with the key \(1, 7\)$"):
        await Lines(scope).get_many([(1, 7), (1, 1)])
    with pytest.raises(NotFound, match=r"^no User with the keys 10, .*, 19 and 5 more$"):
        await Users(scope).get_many(range(10, 25))


async def test_get_many_takes_more_keys_than_a_statement_does(shop: Database) -> None:
    """Thousands of keys, plain or composite, are no limit; any iterable of them will do."""
    await Users(shop).add_many({"id": n, "name": f"user {n}"} for n in range(100, 2600))
    await Lines(shop).add_many({"order": 1, "position": n, "product": str(n)} for n in range(100, 2600))
    keys = list(range(2599, 99, -1))
    assert [user.id for user in await Users(shop).get_many(keys)] == keys
    lines = await Lines(shop).get_many((1, n) for n in keys)
    assert [line.position for line in lines] == keys


@pytest.mark.parametrize("verb", ["get_many", "load"])
async def test_many_keys_are_read_at_one_moment(shop: Database, url: str, verb: str) -> None:
    """Where the keys of one call need several statements, what others commit in between is seen by none of them."""
    await Teams(shop).add_many({"id": n, "name": "old"} for n in range(10, 1510))
    await Users(shop).add_many({"id": n, "name": f"user {n}", "team_id": n} for n in range(10, 1510))
    teams, users = Teams(shop), await Users(shop).all(User.id >= 10)
    async with Database(url) as other:
        rename = Teams(other).update_where(Team.id >= 10, values={"name": "new"})
        with before(shop, ("FROM teams", nothing), ("FROM teams", lambda: rename)):
            if verb == "get_many":
                read = {team.name for team in await teams.get_many(range(10, 1510))}
            else:
                read = {user.team.name for user in await Users(shop).load(users, User.team) if user.team}
    assert read == {"old"}
    assert {team.name for team in await teams.get_many(range(10, 1510))} == {"new"}


async def nothing() -> None:
    """A step that does nothing."""


async def test_keys_may_be_of_any_type(shop: Database) -> None:
    """A UUID is a key like any other."""
    key = uuid.uuid4()
    await Everythings(shop).add(Everything(id=key, name="x"))
    assert (await Everythings(shop).get_one(key)).id == key
    assert [each.id for each in await Everythings(shop).get_many([key, key])] == [key, key]
    with pytest.raises(NotFound):
        await Everythings(shop).get_one(uuid.uuid4())


async def test_one_is_exactly_one(scope: AnyScope) -> None:
    """`one` gives the only match; none is NotFound, several are MultipleFound."""
    users = Users(scope)
    assert (await users.one(User.name == "Ada")).id == 1
    with pytest.raises(NotFound, match=r"^no User meets the condition$"):
        await users.one(User.name == "Nobody")
    with pytest.raises(MultipleFound, match=r"^more than one User meets the condition"):
        await users.one(User.id < 3)


async def test_one_or_none_is_at_most_one(scope: AnyScope) -> None:
    """`one_or_none` gives the only match or None; several are MultipleFound."""
    users = Users(scope)
    assert (await users.one_or_none(User.name == "Nobody")) is None
    found = await users.one_or_none(User.name == "Ada")
    assert found is not None
    with pytest.raises(MultipleFound):
        await users.one_or_none()


async def test_first_follows_the_order(scope: AnyScope) -> None:
    """`first` takes the first in the order, by primary key without one, and None of nothing."""
    users = Users(scope)
    oldest = await users.first(User.age.is_not(None), order_by=User.age.desc())
    lowest = await users.first()
    assert oldest is not None
    assert lowest is not None
    assert (oldest.name, lowest.name) == ("Grace", "Ada")
    assert await users.first(User.id > 99) is None


async def test_all_meets_every_condition(scope: AnyScope) -> None:
    """`all` gives what meets all conditions, by primary key where no order is asked for."""
    users = Users(scope)
    assert names(await users.all()) == ["Ada", "Grace", "Alan"]
    assert names(await users.all(User.id > 1, User.name.like("A%"))) == ["Alan"]
    assert names(await users.all(true())) == ["Ada", "Grace", "Alan"]
    assert await users.all(User.id > 99) == []
    assert names(await users.named("Grace")) == ["Grace"]


async def test_all_takes_a_part(scope: AnyScope) -> None:
    """`limit` and `offset` cut a part out, each alone or both."""
    users = Users(scope)
    assert names(await users.all(limit=2)) == ["Ada", "Grace"]
    assert names(await users.all(offset=2)) == ["Alan"]
    assert names(await users.all(limit=1, offset=1)) == ["Grace"]
    assert await users.all(limit=0) == []


async def test_a_negative_part_is_refused(shop: Database) -> None:
    """A negative limit means everything to one database and an error to the other: it is refused."""
    with pytest.raises(UsageError, match=r"^limit must not be negative, not -1$"):
        await Users(shop).all(limit=-1)
    with pytest.raises(UsageError, match=r"^offset must not be negative, not -2$"):
        await Users(shop).all(offset=-2)


ORDERS: list[tuple[Any, list[str]]] = [
    (User.age, ["Ada", "Grace", "Alan"]),
    (User.age.asc(), ["Ada", "Grace", "Alan"]),
    (User.age.desc(), ["Alan", "Grace", "Ada"]),
    (User.age.desc().nulls_last(), ["Grace", "Ada", "Alan"]),
    (User.age.nulls_first(), ["Alan", "Ada", "Grace"]),
    (-User.age, ["Grace", "Ada", "Alan"]),
    (func.lower(User.nickname).desc(), ["Grace", "Alan", "Ada"]),
    ([User.team_id.is_(None), User.name.desc()], ["Grace", "Ada", "Alan"]),
    ((User.nickname.desc(), User.id), ["Grace", "Alan", "Ada"]),
    ([], ["Ada", "Grace", "Alan"]),
]


async def test_null_sorts_as_the_largest_value(shop: Database) -> None:
    """NULL is the largest value, last upwards and first downwards, unless the order says otherwise."""
    for order, expected in ORDERS:
        assert names(await Users(shop).all(order_by=order)) == expected
        assert [user.name async for user in Users(shop).stream(order_by=order)] == expected
        first = await Users(shop).first(order_by=order)
        assert first is not None
        assert first.name == expected[0]


async def test_an_order_is_an_expression_over_the_model(shop: Database) -> None:
    """Every ordered verb refuses what is no order of the model's."""
    order: Any = "name"
    for read in (Users(shop).all, Users(shop).first):
        with pytest.raises(UsageError, match=r"^order_by of User takes expressions"):
            await read(order_by=order)
    with pytest.raises(UsageError, match=r"^order_by of User names teams\.name"):
        Users(shop).stream(order_by=Team.name)


async def test_stream_gives_all_in_order(scope: AnyScope) -> None:
    """`stream` gives one after the other what `all` gives at once, whatever the chunk."""
    for chunk in (1, 2, 1000):
        stream = Users(scope).stream(User.id != 2, order_by=User.name, chunk=chunk)
        assert [user.name async for user in stream] == ["Ada", "Alan"]


async def test_a_stream_in_chunks_of_nothing_is_refused(shop: Database) -> None:
    """A chunk has at least one row."""
    with pytest.raises(UsageError, match=r"^chunk must be at least 1, not 0$"):
        Users(shop).stream(chunk=0)


async def test_a_stream_can_be_left_early(scope: AnyScope) -> None:
    """A stream that is left as a context manager gives everything back; the scope goes on."""
    async with Users(scope).stream(chunk=1) as stream:
        async for user in stream:
            assert user.name == "Ada"
            break
    assert await Users(scope).count() == 3


async def test_exists_and_count(scope: AnyScope) -> None:
    """`exists` and `count` look at what meets the conditions."""
    users = Users(scope)
    assert await users.exists()
    assert await users.exists(User.name == "Ada", User.id == 1)
    assert not await users.exists(User.name == "Ada", User.id == 2)
    assert [await users.count(), await users.count(User.id > 1), await users.count(User.id > 9)] == [3, 2, 0]


async def test_other_tables_are_reached_by_relationships(scope: AnyScope) -> None:
    """`.has()`, `.any()` and a relationship compared to an entity are conditions over the model's own table."""
    users, team = Users(scope), await Teams(scope).get_one(1)
    assert names(await users.all(User.orders.any(Order.total > 40))) == ["Ada"]
    assert names(await users.all(User.team.has(Team.name == "Sailors"))) == ["Grace"]
    assert names(await users.all(User.team == team)) == ["Ada"]
    assert await users.count(~User.orders.any()) == 2
    assert await users.exists(User.team.has(User.name == Team.name)) is False


async def test_every_verb_checks_its_conditions(shop: Database) -> None:
    """A Python value in place of a condition is refused by every verb that takes conditions."""
    users = Users(shop)
    wrong: Any = User.name is not None
    verbs = (users.all, users.one, users.one_or_none, users.first, users.exists, users.count, users.delete_where)
    for verb in verbs:
        with pytest.raises(UsageError, match=r"^a condition of User must be an SQLAlchemy expression, not bool"):
            await verb(wrong)
    with pytest.raises(UsageError, match="not bool"):
        users.stream(wrong)
    with pytest.raises(UsageError, match="not bool"):
        await users.update_where(wrong, values={"name": "x"})


async def test_a_boolean_column_is_a_condition(scope: AnyScope) -> None:
    """A column of truth values needs no comparison."""
    assert await Users(scope).count(User.active) == 3
    assert await Users(scope).count(~User.active) == 0


async def test_a_transaction_reads_what_it_wrote(shop: Database) -> None:
    """Inside a transaction each key is one object, and reads see what was added to the session."""
    async with shop.transaction() as tx:
        users = Users(tx)
        tx.session.add(User(id=9, name="Barbara"))
        assert await users.count() == 4
        ada = await users.get_one(1)
        assert (await users.all(User.name == "Ada"))[0] is ada
        assert (await users.get_many([1]))[0] is ada


async def test_single_table_models_read_their_own_rows(shop: Database) -> None:
    """A model that shares its table reads only its own kind, by every verb."""
    await Ships(shop).add(Ship(name="Victory", masts=3))
    await Vehicles(shop).add(Vehicle(name="Bus"))
    ships, vehicles = Ships(shop), Vehicles(shop)
    assert [each.name for each in await ships.all()] == ["Victory"]
    assert [await ships.count(), await vehicles.count()] == [1, 2]
    assert not await ships.exists(Ship.name == "Bus")
    bus = await vehicles.one(Vehicle.name == "Bus")
    assert await ships.get(bus.id) is None
    assert type(await vehicles.one(Vehicle.name == "Victory")) is Ship


async def test_each_read_is_one_statement(shop: Database) -> None:
    """A read without `load=` is one statement, also of many keys."""
    users = Users(shop)
    reads: dict[str, Callable[[], Awaitable[Any]]] = {
        "get": lambda: users.get(1),
        "get_one": lambda: users.get_one(1),
        "get_many": lambda: users.get_many([1, 2, 3]),
        "one": lambda: users.one(User.id == 1),
        "one_or_none": lambda: users.one_or_none(User.id == 1),
        "first": users.first,
        "all": users.all,
        "exists": users.exists,
        "count": users.count,
    }
    counts = {}
    for verb, read in reads.items():
        with queries(shop) as sent:
            await read()
        counts[verb] = len(sent)
    assert counts == dict.fromkeys(reads, 1)
