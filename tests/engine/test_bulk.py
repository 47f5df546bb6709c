"""Many rows at once: stored as `add` stores them, all or none."""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncSession

from repo import Database, NotFound, Scope, StaleData, UniqueViolation, UsageError
from repo.engine.sources import CHUNK
from repo.errors import InvalidValue, ScopeClosed
from tests.models import (
    WRITING_SCOPES,
    Animal,
    Animals,
    Contextual,
    Contextuals,
    Document,
    Documents,
    Dog,
    Dogs,
    Everything,
    Everythings,
    Line,
    Lines,
    Order,
    Orders,
    Ship,
    Ships,
    Stamped,
    Stamps,
    Team,
    User,
    Users,
    Vehicles,
    opened,
    stocked,
)

AnyScope = Scope | AsyncSession


@pytest.fixture
async def shop(db: Database) -> Database:
    """Two teams, three users, two orders with two lines each."""
    return await stocked(db)


@pytest.fixture(params=WRITING_SCOPES)
async def scope(request: pytest.FixtureRequest, shop: Database) -> AsyncIterator[AnyScope]:
    """Each kind of scope that writes, over the shop."""
    async with opened(shop, request.param) as scope:
        yield scope


async def test_mappings_and_entities_are_stored(scope: AnyScope) -> None:
    """Mappings and entities may be mixed, whatever they have values for; the number of rows comes back."""
    users = Users(scope)
    source: list[User | dict[str, Any]] = [
        {"name": "B"},
        User(name="C", age=5),
        {"name": "D", "active": False},
        {"age": 7, "name": "E", "id": 90},
    ]
    assert await users.add_many(source) == 4
    stored = await users.all(User.name.in_(list("BCDE")), order_by=User.name)
    assert [(user.name, user.age, user.active) for user in stored] == [
        ("B", None, True),
        ("C", 5, True),
        ("D", None, False),
        ("E", 7, True),
    ]
    assert stored[-1].id == 90
    assert await users.add_many([]) == 0


async def test_returning_gives_the_stored_entities_in_order(scope: AnyScope) -> None:
    """With `returning`, new entities come back complete, in the order of the source."""
    source: list[User | dict[str, Any]] = [
        User(name="Z"),
        {"name": "Y", "age": 3},
        {"name": "X", "age": None},
        {"name": "W", "id": 91},
    ]
    stored = await Users(scope).add_many(source, returning=True)
    assert [(user.name, user.age, user.active) for user in stored] == [
        ("Z", None, True),
        ("Y", 3, True),
        ("X", None, True),
        ("W", None, True),
    ]
    assert [user.id for user in stored[:3]] == sorted(user.id for user in stored[:3])
    assert inspect(source[0]).transient
    assert await Users(scope).add_many([], returning=True) == []


async def test_any_source_will_do(scope: AnyScope) -> None:
    """Generators and asynchronous generators are read as they are stored, also from the scope itself."""
    users = Users(scope)

    async def copies() -> AsyncIterator[Mapping[str, Any]]:
        async for user in users.stream(User.id <= 3, chunk=1):
            yield {"name": f"copy of {user.name}"}

    assert await users.add_many({"name": f"n{n}"} for n in range(3)) == 3
    assert await users.add_many(copies()) == 3
    assert await users.count(User.name.like("copy of%")) == 3


async def test_a_source_that_fails_half_way_stores_nothing(shop: Database) -> None:
    """An error of the source, or of `progress`, undoes all of it; a transaction that catches it goes on."""

    def broken() -> Iterator[dict[str, Any]]:
        for n in range(CHUNK + 1):
            yield {"order": 1, "position": n + 10, "product": "x"}
        raise LookupError("broken")

    async def broken_later() -> AsyncIterator[dict[str, Any]]:
        for row in broken():
            yield row

    def stop(_: int) -> None:
        raise LookupError("stop")

    async def fail(lines: Lines) -> None:
        for source in (broken(), broken_later()):
            with pytest.raises(LookupError, match="broken"):
                await lines.add_many(source)
        with pytest.raises(LookupError, match="stop"):
            await lines.add_many([{"order": 1, "position": 9, "product": "x"}], progress=stop)

    await fail(Lines(shop))
    async with shop.transaction() as tx:
        await fail(Lines(tx))
        await Lines(tx).add(Line(order=1, position=3, product="kept"))
    assert await Lines(shop).count() == 5


async def test_a_refused_row_stores_nothing(shop: Database) -> None:
    """A row that the database refuses undoes all of them, and closes an asynchronous source."""
    closed: list[bool] = []

    async def source() -> AsyncIterator[dict[str, Any]]:
        try:
            for n in range(2 * CHUNK):
                yield {"order": 1, "position": n, "product": "x"}
        finally:
            closed.append(True)

    with pytest.raises(UniqueViolation):
        await Lines(shop).add_many(source())
    assert closed == [True]
    assert await Lines(shop).count() == 4


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"name": "x"}, 5], r"^item 2 of add_many: User or a mapping is wanted, not int$"),
        ([{"name": "x"}, Team(name="x")], r"^item 2 of add_many: User or a mapping is wanted, not Team$"),
        ([{"nmae": "x"}], r"^item 1 of add_many: User has no attribute 'nmae'; did you mean 'name'\?$"),
        ([{"name": "x", "orders": []}], r"^item 1 of add_many: User\.orders is no column"),
        ([User(name="x", orders=[Order(total=1)])], r"^item 1 of add_many: User\.orders is set, and only columns"),
        ({"name": "x"}, r"^add_many of User takes a list, .* not dict; add\(\) takes a single entity$"),
        (User(name="x"), r"^add_many of User takes a list, .* not User; add\(\)"),
        ("name", r"^add_many of User takes a list, .* not str"),
    ],
)
async def test_what_is_no_row_is_refused(shop: Database, items: Any, message: str) -> None:
    """An item that is no row of the model is refused with its number, and a single row in place of many."""
    for returning in (False, True):
        with pytest.raises(UsageError, match=message):
            await Users(shop).add_many(items, returning=returning)
    assert await Users(shop).count() == 3


async def test_a_stored_entity_is_refused(shop: Database) -> None:
    """An entity that is stored already cannot be stored again."""
    with pytest.raises(UsageError, match=r"^item 2 of add_many: this User is stored already; update\(\) is for that$"):
        await Users(shop).add_many([User(name="x"), await Users(shop).get_one(1)])


async def test_every_row_has_its_own_defaults(scope: AnyScope) -> None:
    """A default that is a function is called for each row; one that takes the statement's context sees its row."""
    await Everythings(scope).add_many([{"name": "a"}, {"name": "b"}])
    first, second = await Everythings(scope).all(Everything.name.in_(["a", "b"]), order_by=Everything.name)
    assert first.id != second.id
    assert (first.scalar, first.made, first.server, first.shout) == ("scalar", {}, "server", "A")
    await Contextuals(scope).add_many([{"name": "a"}, {"name": "b"}])
    rows = await Contextuals(scope).all(order_by=Contextual.name)
    assert [(row.label, row.lower) for row in rows] == [("a in context", "expression"), ("b in context", "expression")]
    await Stamps(scope).add_many([{"name": "x"}, Stamped(name="y", text="long")])
    stamps = await Stamps(scope).all(load=Stamped.text)
    assert [(s.status, s.created, s.changed, s.seen, s.shout, s.text) for s in stamps] == [
        ("new", "created", 0, 0, "X", None),
        ("new", "created", 0, 0, "Y", "long"),
    ]
    await Documents(scope).add_many([{"title": "a"}, Document(title="b")])
    assert [document.version for document in await Documents(scope).all()] == [1, 1]


async def test_attributes_need_not_be_called_as_their_columns(scope: AnyScope) -> None:
    """Rows go by the names of attributes, in every way of storing and changing many."""
    lines = Lines(scope)
    await lines.add_many([{"order": 1, "position": 8, "product": "a"}, Line(order=1, position=9, product="b")])
    (returned,) = await lines.add_many([{"order": 1, "position": 7, "product": "c"}], returning=True)
    assert (returned.order, returned.position, returned.product) == (1, 7, "c")
    assert await lines.update_many([{"order": 1, "position": n, "product": f"new {n}"} for n in (7, 8, 9)]) == 3
    stored = await lines.all(Line.position > 6)
    assert [(line.position, line.product) for line in stored] == [(7, "new 7"), (8, "new 8"), (9, "new 9")]


async def test_a_value_of_the_wrong_kind_is_refused(shop: Database) -> None:
    """A value that its column's type cannot take is InvalidValue, as `add` says it, and is not shown."""
    naive = datetime(2024, 5, 1, 12, 34, 56)
    for wrong in ({"at": naive}, {"other": 5}, {"day": "5 May"}):
        row: dict[str, Any] = {"name": "secret"} | wrong
        for store in (Everythings(shop).add_many([row]), Everythings(shop).add(Everything(**row))):
            with pytest.raises(InvalidValue) as caught:
                await store
            assert not any(private in str(caught.value) for private in ("secret", "34", "May"))
    assert await Everythings(shop).count() == 0


async def test_models_in_several_tables_are_stored_whole(scope: AnyScope) -> None:
    """Entities of subclasses, and rows of a model in two tables, are stored in all their tables."""
    assert await Animals(scope).add_many(
        [Dog(name="Rex", breed="Poodle"), Animal(name="Tom"), Dog(name="Bo", breed="Pug")]
    )
    assert await Dogs(scope).add_many([{"name": "Ajax", "breed": "Spitz"}]) == 1
    found = await Dogs(scope).add_many([{"name": "Max", "breed": "Boxer"}], returning=True)
    assert (found[0].kind, found[0].breed) == ("dog", "Boxer")
    dogs = await Dogs(scope).all(order_by=Dog.name)
    assert [(dog.name, dog.breed, dog.kind) for dog in dogs] == [
        ("Ajax", "Spitz", "dog"),
        ("Bo", "Pug", "dog"),
        ("Max", "Boxer", "dog"),
        ("Rex", "Poodle", "dog"),
    ]
    assert await Animals(scope).count() == 5


async def test_models_that_share_a_table_are_stored_by_their_kind(scope: AnyScope) -> None:
    """A row of a model that shares its table gets the model's kind."""
    await Ships(scope).add_many([{"name": "Victory", "masts": 3}, Ship(name="Mary Rose", masts=4)])
    await Vehicles(scope).add_many([{"name": "Bus"}, Ship(name="Vasa", masts=3)])
    kinds = [(each.kind, each.name) for each in await Vehicles(scope).all(order_by=Ship.name)]
    assert kinds == [("vehicle", "Bus"), ("ship", "Mary Rose"), ("ship", "Vasa"), ("ship", "Victory")]
    assert await Ships(scope).count(Ship.masts == 3) == 2


async def test_what_waits_in_the_session_goes_first(shop: Database) -> None:
    """Rows may refer to what was only added to the transaction's session so far."""
    async with shop.transaction() as tx:
        tx.session.add(User(id=50, name="Barbara"))
        assert await Orders(tx).add_many([{"user_id": 50, "total": 1}]) == 1
        tx.session.add(User(id=51, name="Margaret"))
        assert len(await Orders(tx).add_many([{"user_id": 51, "total": 1}], returning=True)) == 1


async def test_nothing_is_stored_after_the_end(shop: Database) -> None:
    """A transaction that has ended takes no rows."""
    async with shop.transaction() as tx:
        await Users(tx).count()
    with pytest.raises(ScopeClosed):
        await Users(tx).add_many([{"name": "late"}])


async def test_update_many_changes_rows_by_their_keys(scope: AnyScope) -> None:
    """`update_many` changes each row by the key in it, whichever columns it has; the number of rows comes back."""
    users = Users(scope)
    rows: list[dict[str, Any]] = [
        {"id": 1, "age": 1},
        {"id": 2, "age": 2},
        {"id": 3, "nickname": "n", "age": None},
        {"id": 1, "nickname": "m"},
    ]
    assert await users.update_many(rows) == 3
    assert [(user.age, user.nickname) for user in await users.all()] == [(1, "m"), (2, None), (None, "n")]
    assert [await users.update_many([]), await users.update_many([{"id": 1}])] == [0, 1]
    await Stamps(scope).add(Stamped(id=1, name="x"))
    assert await Stamps(scope).update_many([{"id": 1, "name": "y"}]) == 1
    assert (await Stamps(scope).get_one(1)).changed == 2


async def test_update_many_takes_many_rows(shop: Database) -> None:
    """Thousands of rows are changed in one call, from any iterable."""
    await Lines(shop).add_many({"order": 1, "position": n, "product": "x"} for n in range(10, 2510))
    assert (
        await Lines(shop).update_many({"order": 1, "position": n, "product": f"p{n}"} for n in range(10, 2510)) == 2500
    )
    assert (await Lines(shop).get_one((1, 2509))).product == "p2509"


async def test_update_many_changes_all_or_none(shop: Database) -> None:
    """A row that does not exist is NotFound, a refused one its own error; then nothing is changed."""
    users = Users(shop)
    with pytest.raises(NotFound, match=r"^no User with the keys 98, 99$"):
        await users.update_many([{"id": 1, "age": 1}, {"id": 98, "age": 1}, {"id": 99, "age": 1}])
    with pytest.raises(UniqueViolation):
        await users.update_many([{"id": 1, "age": 1}, {"id": 2, "name": "Ada"}])
    async with shop.transaction() as tx:
        await Users(tx).update(3, nickname="kept")
        with pytest.raises(NotFound):
            await Users(tx).update_many([{"id": 1, "age": 1}, {"id": 99, "age": 1}])
    assert [(user.age, user.nickname) for user in await users.all()] == [(36, "A"), (85, None), (None, "kept")]


async def test_update_many_checks_a_version_that_is_given(shop: Database) -> None:
    """A version in a row is the one that is expected; each changed row gets a new one."""
    documents = Documents(shop)
    await documents.add_many([{"id": 1, "title": "a"}, {"id": 2, "title": "b"}])
    assert await documents.update_many([{"id": 1, "title": "c", "version": 1}, {"id": 2, "title": "d"}]) == 2
    with pytest.raises(StaleData, match=r"^the Document with the key 1 .* with version = 1"):
        await documents.update_many([{"id": 2, "title": "f"}, {"id": 1, "title": "e", "version": 1}])
    assert [(each.title, each.version) for each in await documents.all()] == [("c", 2), ("d", 2)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": 1}, {"name": "x"}], r"^row 2 of update_many: the key of User is id; got None$"),
        ([{"id": 1, "nmae": "x"}], r"^row 1 of update_many: User has no attribute 'nmae'; did you mean 'name'\?$"),
        ([{"id": 1, "orders": []}], r"^row 1 of update_many: User\.orders is no column"),
        ([User(name="x")], r"^row 1 of update_many: a mapping with the key is wanted, not User$"),
    ],
)
async def test_update_many_takes_mappings_with_their_keys(shop: Database, rows: Any, message: str) -> None:
    """A row without its key, with an unknown name, or that is no mapping is refused with its number."""
    with pytest.raises(UsageError, match=message):
        await Users(shop).update_many(rows)
