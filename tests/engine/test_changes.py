"""Rows changed by their key or by a condition, their versions, and what a transaction knows of it."""

import pytest
from sqlalchemy import func, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from repo import (
    Database,
    ForeignKeyViolation,
    NotFound,
    Scope,
    StaleData,
    UsageError,
)
from tests.models import (
    Animal,
    Animals,
    Document,
    Documents,
    Dog,
    Dogs,
    Line,
    Lines,
    Orders,
    Ship,
    Ships,
    Stamped,
    Stamps,
    Team,
    Teams,
    User,
    Users,
    Vehicle,
    Vehicles,
)

AnyScope = Scope | AsyncSession


async def test_a_version_is_checked(shop: Database) -> None:
    """An entity that someone else has changed since is StaleData; its changes stay, to be made again."""
    documents = Documents(shop)
    mine, theirs = await documents.get_one(1), await documents.get_one(1)
    assert (await documents.update(theirs, title="theirs")).version == 2
    mine.title = "mine"
    expected = (
        r"^the Document with the key 1 was changed or deleted by someone else since it was read with version = 1; "
    )
    with pytest.raises(StaleData, match=expected):
        await documents.update(mine)
    assert (mine.title, mine.version) == ("mine", 1)
    with pytest.raises(StaleData, match=expected):
        await documents.delete(mine)
    assert (await documents.get_one(1)).title == "theirs"


async def test_a_version_is_checked_in_a_transaction(shop: Database) -> None:
    """Inside a transaction a stale entity fails its savepoint, and the rest can be committed."""
    stale = await Documents(shop).get_one(1)
    await Documents(shop).update(1, title="theirs")
    async with shop.transaction() as tx:
        await Users(tx).update(1, nickname="kept")
        with pytest.raises(StaleData, match="version = 1"):
            async with tx.savepoint():
                await Documents(tx).update(stale, title="mine")
        assert stale.title == "draft"
    assert (await Users(shop).get_one(1)).nickname == "kept"


async def test_every_write_makes_a_version(scope: AnyScope) -> None:
    """Each way to change a row counts its version up, so that whoever has read it before finds out."""
    documents = Documents(scope)
    assert (await documents.update(1, title="a")).version == 2
    assert await documents.update_where(Document.id == 1, values={"title": "b"}) == 1
    assert (await documents.get_one(1)).version == 3
    (row,) = await documents.update_where(true(), values={Document.title: "c"}, returning=True)
    assert (row.title, row.version) == ("c", 4)
    assert (await documents.update(row, title="d")).version == 5
    assert await documents.update_many([{"id": 1, "title": "e"}]) == 1
    assert (await documents.get_one(1)).version == 6
    assert await documents.delete(await documents.get_one(1))


async def test_update_where_gives_a_number_or_the_entities(scope: AnyScope) -> None:
    """`update_where` changes what meets all conditions: how many, or which."""
    users = Users(scope)
    assert await users.update_where(User.id > 1, User.id < 4, values={"nickname": "N"}) == 2
    assert await users.update_where(User.id > 99, values={"nickname": "N"}) == 0
    changed = await users.update_where(User.nickname == "N", values={User.age: User.id * 10}, returning=True)
    assert sorted((user.name, user.age, user.active) for user in changed) == [("Alan", 30, True), ("Grace", 20, True)]
    assert await users.update_where(true(), values={"nickname": func.lower(User.name)}) == 3
    assert [user.nickname for user in await users.all()] == ["ada", "grace", "alan"]


async def test_a_transaction_knows_what_a_condition_changed(shop: Database) -> None:
    """Entities of a transaction show what `update_where` and `update_many` did to their rows."""
    async with shop.transaction() as tx:
        users, stamps = Users(tx), Stamps(tx)
        ada, row = await users.get_one(1), await stamps.add(Stamped(name="x"))
        ada.age = 40
        await users.update_where(User.age == 40, values={"nickname": func.lower(User.name)})
        await stamps.update_where(true(), values={"name": "y"})
        assert (ada.nickname, ada.age, row.shout, row.changed) == ("ada", 40, "Y", 2)
        await users.update_many([{"id": 1, "nickname": "many"}])
        assert ada.nickname == "many"


async def test_a_condition_is_required(shop: Database) -> None:
    """`update_where` and `delete_where` refuse to reach every row unless `true()` says so."""
    users = Users(shop)
    with pytest.raises(UsageError, match=r"^update_where without a condition would reach every User; .*true\(\)$"):
        await users.update_where(values={"nickname": "x"})
    with pytest.raises(UsageError, match=r"^delete_where without a condition would reach every User"):
        await users.delete_where()
    assert await users.count(User.nickname == "x") == 0
    assert await Lines(shop).delete_where(true()) == 4


async def test_new_values_are_columns_of_the_model(shop: Database) -> None:
    """A relationship, another table and no value at all are refused."""
    users = Users(shop)
    with pytest.raises(UsageError, match=r"^User\.orders is no column, and only columns are written here"):
        await users.update_where(true(), values={"orders": []})
    with pytest.raises(UsageError, match=r"^the new value of User\.name names teams\.name, a table"):
        await users.update_where(true(), values={"name": Team.name})
    with pytest.raises(UsageError, match=r"^there are no new values for User: values= is empty$"):
        await users.update_where(true(), values={})
    longest = select(func.max(Team.name)).scalar_subquery()
    assert (await users.update_where(User.id == 1, values={"nickname": longest}, returning=True))[
        0
    ].nickname == "Sailors"


async def test_the_databases_cascades_apply(scope: AnyScope) -> None:
    """Foreign keys of the database decide what becomes of the rows that refer to a deleted one."""
    ada = await Users(scope).get_one(1, load=User.orders)
    assert await Users(scope).delete(ada)
    assert [await Orders(scope).count(), await Lines(scope).count()] == [0, 0]


async def test_a_row_that_is_referred_to_stays(shop: Database) -> None:
    """A foreign key without a cascade refuses the deletion."""
    with pytest.raises(ForeignKeyViolation):
        await Teams(shop).delete(1)
    with pytest.raises(ForeignKeyViolation):
        await Teams(shop).delete_where(true())
    assert await Teams(shop).count() == 2


async def test_a_transaction_forgets_what_was_deleted(shop: Database) -> None:
    """A deleted row is gone from the session too, however it was deleted; another one may take its key."""
    async with shop.transaction() as tx:
        users = Users(tx)
        kept = [await users.get_one(1), await users.get_one(2), await users.get_one(3)]
        await users.delete(kept[0])
        await users.delete_where(User.id == 2)
        (gone,) = await users.delete_where(User.id == 3, returning=True)
        assert (gone.name, gone in tx.session) == ("Alan", False)
        assert [await users.get(key) for key in (1, 2, 3)] == [None, None, None]
        assert await users.add(User(id=1, name="Another")) is await users.get(1)
    assert [user.name for user in await Users(shop).all()] == ["Another"]


async def test_delete_where_gives_a_number_or_the_entities(scope: AnyScope) -> None:
    """`delete_where` deletes what meets all conditions: how many, or what there was."""
    lines = Lines(scope)
    assert await lines.delete_where(Line.order == 1, Line.position == 1) == 1
    assert await lines.delete_where(Line.position > 9) == 0
    gone = await lines.delete_where(Line.order == 2, returning=True)
    assert sorted(line.product for line in gone) == ["p21", "p22"]
    assert await lines.count() == 1


async def test_a_changed_entity_can_be_deleted(scope: AnyScope) -> None:
    """Changes that were not written yet do not keep an entity with a version from being deleted."""
    document = await Documents(scope).get_one(1)
    document.title = "changed"
    assert await Documents(scope).delete(document)


async def test_a_deleted_version_is_not_there(shop: Database) -> None:
    """An entity with a version whose row is gone is not stale: `delete` says that it was not there."""
    document = await Documents(shop).get_one(1)
    assert await Documents(shop).delete(1)
    assert not await Documents(shop).delete(document)


async def test_models_in_several_tables_are_written_whole(scope: AnyScope) -> None:
    """A model in two tables is stored, changed, counted and deleted in both, by every verb."""
    dogs, animals = Dogs(scope), Animals(scope)
    rex = await dogs.add(Dog(name="Rex", breed="Poodle"))
    assert (await dogs.get_one(rex.id)).breed == "Poodle"
    changed = await dogs.update(rex.id, name="Max", breed="Pug")
    assert (changed.name, changed.breed) == ("Max", "Pug")
    assert await dogs.update_where(Dog.name == "Max", values={"name": "Bo", "breed": "Spitz"}) == 1
    assert (await dogs.update(await dogs.get_one(rex.id), name="Rex")).breed == "Spitz"
    assert await animals.update_many([{"id": rex.id, "name": "Ajax"}]) == 1
    found = await animals.get_one(rex.id)
    assert isinstance(found, Dog)
    assert (found.name, found.breed) == ("Ajax", "Spitz")
    assert await animals.delete(rex.id)
    assert [await animals.count(), await dogs.count()] == [0, 0]
    assert not await animals.delete(rex.id)


async def test_models_in_several_tables_are_deleted_by_condition(scope: AnyScope) -> None:
    """A condition that reaches rows of a subclass deletes them from all their tables."""
    animals = Animals(scope)
    await animals.add_many([Dog(name="Rex", breed="Poodle"), Animal(name="Tom"), Dog(name="Bo", breed="Pug")])
    gone = await animals.delete_where(Animal.name.in_(["Rex", "Tom"]), returning=True)
    assert sorted((type(each).__name__, each.name) for each in gone) == [("Animal", "Tom"), ("Dog", "Rex")]
    assert await Dogs(scope).delete_where(Dog.breed == "Pug") == 1
    assert await animals.count() == 0


async def test_models_in_one_table_are_written_by_their_kind(scope: AnyScope) -> None:
    """A model that shares its table changes and deletes only rows of its own kind."""
    vehicles, ships = Vehicles(scope), Ships(scope)
    bus = await vehicles.add(Vehicle(name="Bus"))
    ship = await ships.add(Ship(name="Victory", masts=3))
    assert await ships.update_where(true(), values={"name": "Mary Rose"}) == 1
    for call in (ships.update(bus.id, name="x"), ships.update_many([{"id": bus.id, "name": "x"}])):
        with pytest.raises(NotFound):
            await call
    assert not await ships.delete(bus.id)
    assert await ships.delete_where(true()) == 1
    assert [(each.name, each.id) for each in await vehicles.all()] == [("Bus", bus.id)]
    assert not await vehicles.exists(Vehicle.id == ship.id)
