"""Entities in and out of sessions: complete after a write, as they were after a failed one."""

import asyncio

import pytest
from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncSession

from repo import (
    Database,
    ForeignKeyViolation,
    NotFound,
    NotNullViolation,
    Scope,
    TransactionFailed,
    UniqueViolation,
    UsageError,
)
from repo.engine.entities import Before
from tests.models import (
    Note,
    Notes,
    Order,
    Orders,
    User,
    Users,
)

AnyScope = Scope | AsyncSession


async def name_of(db: Database, key: int) -> str:
    """The name that the database has for a user."""
    return (await Users(db).get_one(key)).name


async def test_a_failed_add_leaves_the_entity_new(shop: Database) -> None:
    """After an error the object is as it was: readable, without a key, and can be added again."""
    user = User(name="Ada", orders=[Order(total=1)])
    with pytest.raises(UniqueViolation):
        await Users(shop).add(user)
    assert (user.name, user.orders[0].total, inspect(user).transient) == ("Ada", 1, True)
    assert "id" not in inspect(user).dict
    user.name = "Ada II"
    user.orders.append(Order(total=2))
    assert await Users(shop).add(user) is user
    assert [order.total for order in await Orders(shop).all(Order.user_id == user.id)] == [1, 2]


async def test_a_failed_add_leaves_what_it_refers_to(shop: Database) -> None:
    """A stored entity to which a refused one refers can be read and used as before."""
    ada = await Users(shop).get_one(1, load=User.orders)
    ada.nickname = "changed"
    with pytest.raises(NotNullViolation):
        await Orders(shop).add(Order(user=ada, total=None))
    assert (ada.name, ada.nickname, len(ada.orders)) == ("Ada", "changed", 3)
    ada.orders.pop()
    await Users(shop).update(ada)
    assert (await Users(shop).get_one(1)).nickname == "changed"


async def test_a_failed_savepoint_leaves_the_entity_new(shop: Database) -> None:
    """Inside a transaction, too, a refused entity is as it was, and the next savepoint can take it."""
    user = User(name="Ada")
    async with shop.transaction() as tx:
        with pytest.raises(UniqueViolation):
            async with tx.savepoint():
                await Users(tx).add(user)
        user.name = "Ada II"
        await Users(tx).add(user)
    assert await Users(shop).exists(User.name == "Ada II")


async def test_a_failed_update_leaves_the_entity_as_it_was(shop: Database) -> None:
    """After an error the object has what its user set before, not what the call set; it can be written again."""
    ada = await Users(shop).get_one(1, load=User.orders)
    ada.nickname = "Countess"
    with pytest.raises(UniqueViolation):
        await Users(shop).update(ada, name="Grace")
    assert (ada.name, ada.nickname, [order.id for order in ada.orders]) == ("Ada", "Countess", [1, 2])
    ada.name = "Grace"
    with pytest.raises(UniqueViolation):
        await Users(shop).update(ada)
    assert ada.name == "Grace"
    ada.orders.append(Order(total=9))
    await Users(shop).update(ada, name="Lovelace")
    stored = await Users(shop).get_one(1, load=User.orders)
    assert (stored.name, stored.nickname, len(stored.orders)) == ("Lovelace", "Countess", 3)


async def test_a_failed_commit_leaves_the_entity_as_it_was(shop: Database) -> None:
    """An error that only the COMMIT finds leaves a new entity new, and a changed one changed."""
    note = Note(id=1, user_id=99)
    with pytest.raises(ForeignKeyViolation):
        await Notes(shop).add(note)
    assert (inspect(note).transient, note.user_id) == (True, 99)
    note.user_id = 1
    await Notes(shop).add(note)
    note.user_id = 98
    with pytest.raises(ForeignKeyViolation):
        await Notes(shop).update(note, id=1)
    assert (inspect(note).modified, note.user_id) == (True, 98)
    note.user_id = 2
    await Notes(shop).update(note)
    assert (await Notes(shop).get_one(1)).user_id == 2


async def test_a_cancelled_write_leaves_the_entity_as_it_was(shop: Database) -> None:
    """A write that is cancelled while it waits leaves a readable object, which can be written again."""
    ada, new = await Users(shop).get_one(1), User(name="Barbara")
    ada.nickname = "Countess"
    started = asyncio.Event()

    async def hold() -> None:
        async with shop.transaction() as tx:
            await Users(tx).update(1, age=40)
            started.set()
            await asyncio.Event().wait()

    holder = asyncio.create_task(hold())
    await started.wait()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(Users(shop).update(ada), 0.2)
    holder.cancel()
    await asyncio.wait([holder])
    assert (ada.name, ada.nickname, inspect(ada).modified) == ("Ada", "Countess", True)
    await Users(shop).update(ada)
    assert (await Users(shop).get_one(1)).nickname == "Countess"
    assert (await Users(shop).add(new)).id


async def test_an_entity_can_be_written_in_a_transaction(shop: Database) -> None:
    """An entity that was read outside of a transaction becomes part of it with its update."""
    ada = await Users(shop).get_one(1)
    async with shop.transaction() as tx:
        ada.name = "Lovelace"
        assert await Users(tx).update(ada) is ada
        assert ada in tx.session
        assert await Users(tx).get(1) is ada
    assert await name_of(shop, 1) == "Lovelace"


async def test_a_row_has_one_object_in_a_transaction(shop: Database) -> None:
    """An entity whose row has another object in the transaction is refused, and stays as it is."""
    ada, same = await Users(shop).get_one(1), await Users(shop).get_one(1)
    ada.nickname = "outside"
    async with shop.transaction() as tx:
        mine = await Users(tx).get_one(1)
        mine.age = 37
        with pytest.raises(UsageError, match=r"^there are two objects for the User with the key \(1,\)"):
            await Users(tx).update(ada)
        with pytest.raises(UsageError, match=r"^there are two objects for the User"):
            await Orders(tx).add(Order(user=same, total=1))
        assert (ada.nickname, mine.nickname, mine.age) == ("outside", "A", 37)
    stored = await Users(shop).get_one(1)
    assert (stored.nickname, stored.age) == ("A", 37)
    await Users(shop).update(ada)
    assert (await Users(shop).get_one(1)).nickname == "outside"


async def test_an_entity_of_an_open_transaction_stays_there(shop: Database) -> None:
    """An entity that belongs to a transaction cannot be written through another scope."""
    async with shop.transaction(read_only=True) as tx:
        ada = await Users(tx).get_one(1)
        with pytest.raises(UsageError, match=r"^this User belongs to another transaction or session"):
            async with AsyncSession(shop.engine) as session:
                await Users(session).update(ada, name="x")
        assert ada.name == "Ada"


async def test_a_gone_row_fails_the_transaction_that_wrote_it(shop: Database) -> None:
    """A flush that finds no row has failed, so nothing of the transaction is committed in silence."""
    alan = await Users(shop).get_one(3)
    await Users(shop).delete(3)
    with pytest.raises(TransactionFailed):
        async with shop.transaction() as tx:
            await Users(tx).update(1, nickname="lost?")
            with pytest.raises(NotFound):
                await Users(tx).update(alan, nickname="x")
    assert (await Users(shop).get_one(1)).nickname == "A"


async def test_what_an_entity_was_is_put_back_any_number_of_times(shop: Database) -> None:
    """Attributes that expired meanwhile, and changes, are as they were, also the second time."""
    user = await Users(shop).get_one(1)
    user.name = "Ada King"
    state = inspect(user)
    before = Before(state)
    for _ in range(2):
        state._expire_attributes(state.dict, ["age"])
        user.nickname = "Countess"
        before.restore(state)
        assert (state.expired_attributes, {*state.committed_state}) == (set(), {"name"})
        assert (user.name, user.nickname, user.age) == ("Ada King", "A", 36)
