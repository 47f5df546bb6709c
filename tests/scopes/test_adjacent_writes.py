"""Writes that stand side by side in the line of calls of a transaction."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import func, select, text

from repo import (
    Database,
    NotFound,
    Repository,
    StaleData,
    Transaction,
    TransactionFailed,
    UniqueViolation,
    UsageError,
    gather,
)
from repo.errors import InvalidValue
from repo.events import CallEnded, Event
from repo.testing import queries
from tests.scopes.models import Account, Accounts, Base, Entries, Entry
from tests.versioned import Counted, Versioned


class Countings(Repository[Counted]): ...


class Rich(Repository[Account]):
    """Accounts that have something."""

    def condition(self) -> Any:
        return Account.balance.in_([10, 20])

    def defaults(self) -> Mapping[str, Any]:
        return {"balance": 10}


@pytest.fixture
async def tx(bank: Database) -> AsyncIterator[Transaction]:
    """A transaction, which commits."""
    async with bank.transaction() as tx:
        yield tx


def words(sent: list[str], db: Database) -> list[str]:
    """What was sent by its first words; each once where the database itself does it as often as it is asked to."""
    found = [statement.split(maxsplit=1)[0] for statement in sent]
    found = [word for word in found if word not in ("SAVEPOINT", "RELEASE", "BEGIN", "BEGIN;")]
    return found if db.dialect.remote else [word for at, word in enumerate(found) if found[at - 1 : at] != [word]]


def account(n: int, **values: Any) -> Account:
    return Account(**{"owner": f"new {n}", **values})


async def test_writes_of_one_turn_are_one_trip(tx: Transaction, bank: Database) -> None:
    """A hundred gathered writes of a kind are one statement with a hundred sets of values; each has its own result."""
    accounts = Accounts(tx)
    with queries(bank) as sent:
        added = await gather(*(accounts.add(account(n)) for n in range(100)))
        changed = await gather(*(accounts.update(each, balance=each.id) for each in added))
        by_key = await gather(*(accounts.update(each.id, owner=f"key {each.id}") for each in reversed(added)))
        gone = await gather(*(accounts.delete(each) for each in added[:50]), accounts.delete(added[50].id))
    assert [each.owner for each in added[:2]] == ["key 101", "key 102"]
    assert [each.id for each in added] == list(range(101, 201))
    assert all(one is other for one, other in zip(added, changed, strict=True))
    assert [each.id for each in by_key] == list(range(200, 100, -1))
    assert gone == (True,) * 51
    assert await accounts.all(Account.id > 150) == list(added[51:])
    assert await tx.scalar(select(func.sum(Account.balance)).where(Account.id > 100)) == sum(range(152, 201))
    assert words(sent, bank)[:2] == ["INSERT", "UPDATE"]
    assert words(sent, bank)[-1] == "DELETE"


async def test_what_is_sent_at_once(tx: Transaction, bank: Database) -> None:
    """Each kind of gathered write is one statement, and one call to stats."""
    accounts = Accounts(tx)
    stored = await accounts.get_many(range(1, 11))
    before = bank.stats
    with queries(bank) as sent:
        await gather(*(accounts.add(account(n)) for n in range(10)))
        await gather(*(accounts.update(each, balance=7) for each in stored))
        await gather(*(Entries(tx).delete(key) for key in range(91, 101)))
    assert words(sent, bank) == ["INSERT", "UPDATE", "DELETE"]
    assert (bank.stats.queries - before.queries, bank.stats.batches - before.batches) == (3, 3)


async def test_only_neighbours_are_sent_together(tx: Transaction, bank: Database) -> None:
    """All happens in call order: another call parts the writes before it from those after it."""
    accounts, entries = Accounts(tx), Entries(tx)
    with queries(bank) as sent:
        results = await gather(
            *(accounts.add(account(n)) for n in (1, 2)),
            accounts.count(),
            *(accounts.add(account(n)) for n in (3, 4)),
            entries.update(1, amount=11),
            entries.delete(2),
            accounts.count(),
        )
    assert words(sent, bank) == ["INSERT", "SELECT", "INSERT", "UPDATE", "DELETE", "SELECT"]
    assert (results[2], results[-1]) == (102, 104)


async def test_a_row_is_written_in_call_order(tx: Transaction) -> None:
    """Two writes of the same entity, or row, happen one after the other."""
    accounts = Accounts(tx)
    one = await accounts.get_one(1)
    await gather(*(accounts.update(one, balance=n) for n in (5, 6)), *(accounts.update(2, balance=n) for n in (7, 8)))
    deleted = await gather(*(Entries(tx).delete(key) for key in (90, 91, 90)))
    assert [await tx.scalar(select(Account.balance).where(Account.id == key)) for key in (1, 2)] == [6, 8]
    assert deleted == (True, True, False)


async def test_the_same_new_entity_is_stored_once(tx: Transaction) -> None:
    """Added twice at once, an entity is one row, and the second is told."""
    new = account(1)
    results = await asyncio.gather(
        *(Accounts(tx).add(new) for _ in range(2)), Accounts(tx).add(account(2)), return_exceptions=True
    )
    assert [type(each) for each in results] == [Account, UsageError, Account]
    assert await Accounts(tx).count(Account.id > 100) == 2


async def test_who_finds_no_row_is_alone_with_it(bank: Database) -> None:
    """A row that is gone is its caller's `NotFound`; the others are written, and the transaction commits."""
    async with bank.transaction() as tx:
        changed = await asyncio.gather(
            *(Accounts(tx).update(key, balance=80) for key in (3, 999, 4)), return_exceptions=True
        )
        deleted = await gather(*(Entries(tx).delete(key) for key in (1, 999, 2)))
    assert [type(each) for each in changed] == [Account, NotFound, Account]
    assert str(changed[1]) == "no Account with the key 999"
    assert deleted == (True, False, True)
    assert [each.balance for each in await Accounts(bank).get_many([3, 4])] == [80, 80]


async def test_a_version_that_was_overtaken_fails_the_transaction(db: Database) -> None:
    """Of several entities, the one that somebody else has changed is `StaleData`; nothing of the others stays."""
    await db.create_all(Versioned.metadata)
    rows = await Countings(db).add_many([{"title": str(n)} for n in range(3)], returning=True)
    await Countings(db).update(rows[1].id, title="theirs")
    with pytest.raises(StaleData, match=rf"the Counted with the key {rows[1].id} .* version = 1"):
        async with db.transaction() as tx:
            await gather(*(Countings(tx).update(each, title="ours") for each in rows))
    assert [each.title for each in await Countings(db).all()] == ["0", "theirs", "2"]
    assert [(each.title, each.version) for each in rows] == [("0", 1), ("1", 1), ("2", 1)]
    async with db.transaction() as tx:
        await gather(*(Countings(tx).update(each, title="ours") for each in (rows[0], rows[2])))
    assert [(each.title, each.version) for each in rows] == [("ours", 2), ("1", 1), ("ours", 2)]


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_refused_row_fails_all(bank: Database, place: int) -> None:
    """A row that the database refuses is the error of all who were written with it; entities are as before."""
    new = [account(n) for n in range(3)]
    new[place].owner = "owner 1"
    results: list[Any] = []
    with pytest.raises(TransactionFailed, match=r"UniqueViolation"):
        async with bank.transaction() as tx:
            results += await asyncio.gather(*map(Accounts(tx).add, new), return_exceptions=True)
            with pytest.raises(TransactionFailed):
                await Accounts(tx).count()
    assert {type(each) for each in results} <= {UniqueViolation, TransactionFailed, Account}
    assert any(isinstance(each, UniqueViolation) and each.columns == ("owner",) for each in results)
    assert await Accounts(bank).count() == 100
    assert [each.id for each in new] == [None] * 3
    new[place].owner = "free"
    await gather(*map(Accounts(bank).add, new))


async def test_a_savepoint_fails_alone(tx: Transaction) -> None:
    """Gathered writes in a savepoint are undone with it, and the transaction goes on."""
    one = await Accounts(tx).get_one(1)
    with pytest.raises(UniqueViolation):
        async with tx.savepoint():
            await gather(*(Accounts(tx).update(each, balance=9) for each in (one, 2, 3)))
            await gather(*(Accounts(tx).add(account(1)) for _ in range(2)))
    assert await Accounts(tx).count(Account.balance == 9) == 1
    assert (await Accounts(tx).get_one(1)).balance == 1
    await gather(*(Accounts(tx).add(account(n)) for n in range(2)))


async def test_what_is_pending_is_written_first(tx: Transaction) -> None:
    """What was added to the session before is there for the writes after it, which go one by one then."""
    tx.session.add(Account(id=200, owner="pending"))
    changed = await gather(*(Accounts(tx).update(key, balance=3) for key in (200, 1)), Accounts(tx).add(account(1)))
    assert (changed[0].owner, changed[0].balance, changed[2].owner) == ("pending", 3, "new 1")


async def test_each_reaches_its_own_rows(tx: Transaction) -> None:
    """Of a repository that reaches some rows, each gathered write reaches those, and is refused by itself."""
    rich = Rich(tx)
    await Entries(tx).delete_where(Entry.id < 31)
    results: list[Any] = await asyncio.gather(
        rich.add(account(1)),
        rich.add(account(2, balance=7)),
        rich.add(account(3, balance=20)),
        *(rich.update(key, owner=f"rich {key}") for key in (10, 11, 20)),
        rich.delete(20),
        rich.delete(30),
        return_exceptions=True,
    )
    assert [type(each) for each in results[:6]] == [Account, UsageError, Account, Account, NotFound, Account]
    assert results[6:] == [True, False]
    assert [each.balance for each in (results[0], results[2])] == [10, 20]
    assert await rich.count() == 3


@pytest.mark.parametrize("cancelled", [[0], [1], [0, 1], [0, 1, 2]])
async def test_a_cancelled_write_is_not_committed(bank: Database, cancelled: list[int]) -> None:
    """Whoever is cancelled: what it would have written is there only if it was told so, or nothing is."""
    accounts = Accounts(bank)
    for steps in range(25):
        results: list[Any] = []
        try:
            async with bank.transaction() as tx:
                tasks = [asyncio.create_task(Accounts(tx).add(account(n))) for n in range(3)]
                for _ in range(steps):
                    await asyncio.sleep(0)
                for place in cancelled:
                    tasks[place].cancel()
                results += await asyncio.gather(*tasks, return_exceptions=True)
            committed = True
        except TransactionFailed:
            committed = False
        there = await accounts.scope.scalars(select(Account.owner).where(Account.id > 100))
        told = [f"new {n}" for n in range(3) if isinstance(results[n], Account)]
        assert sorted(there) == (told if committed else [])
        assert all(isinstance(results[n], asyncio.CancelledError | TransactionFailed | Account) for n in cancelled)
        await accounts.delete_where(Account.id > 100)
    assert bank.stats.checked_out == 0


async def test_a_caller_that_is_lost_fails_the_transaction(bank: Database) -> None:
    """Cancelled when its row is written already, a caller takes the transaction with it, but not the others."""
    with pytest.raises(TransactionFailed, match="cancelled"):
        async with bank.transaction() as tx:
            tasks: list[asyncio.Task[Account]] = []

            async def first() -> Account:
                changed = await Accounts(tx).update(1, balance=6)
                tasks[1].cancel()
                return changed

            tasks += [asyncio.create_task(first()), asyncio.create_task(Accounts(tx).update(2, balance=6))]
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(each) for each in results] == [Account, asyncio.CancelledError]
            with pytest.raises(TransactionFailed, match="cancelled"):
                await Accounts(tx).count()
    assert [each.balance for each in await Accounts(bank).get_many([1, 2])] == [1, 2]


async def test_what_has_not_changed_is_not_written(tx: Transaction, bank: Database) -> None:
    """An entity on which nothing was changed is given back as it is, alone or among others that are written."""
    accounts = Accounts(tx)
    one, two, other = *await accounts.get_many([1, 2]), await Accounts(bank.independent()).get_one(3)
    with queries(bank) as sent:
        assert await accounts.update(one) is one
        changed = await gather(*(accounts.update(each, balance=2) for each in (one, two)), accounts.update(other))
    assert words(sent, bank) == ["UPDATE"]
    assert (changed, [each in tx.session for each in changed]) == ((one, two, other), [True] * 3)
    assert not tx.session.dirty


async def test_hooks_are_told_of_one_call(url: str) -> None:
    """Hooks are told of the one call that writes for all."""
    told: list[CallEnded] = []

    def hook(given: Event) -> None:
        if isinstance(given, CallEnded):
            told.append(given)

    async with Database(url, hooks=[hook]) as db:
        await db.create_all(Base.metadata)
        told.clear()
        async with db.transaction() as tx:
            await gather(*(Accounts(tx).add(account(n)) for n in range(5)))
    assert [event.verb for event in told] == ["add"]


async def test_many_are_split(tx: Transaction, bank: Database) -> None:
    """2,500 writes are three calls, and their results are in order."""
    before = bank.stats.queries
    added = await gather(*(Accounts(tx).add(account(n)) for n in range(2_500)))
    assert [each.owner for each in added] == [f"new {n}" for n in range(2_500)]
    assert [each.id for each in added] == list(range(101, 2_601))
    assert bank.stats.queries - before == 3


async def test_who_is_out_of_reach_is_alone_with_it(bank: Database) -> None:
    """An entity that a repository does not reach is its caller's `NotFound`; the others are written."""
    for pending in (False, True):
        async with bank.transaction() as tx:
            some = await Accounts(tx).get_many([10, 15, 20])
            if pending:
                tx.session.add(Account(owner="pending"))
            results = await asyncio.gather(
                *(Rich(tx).update(each, owner=f"{pending} {each.id}") for each in some), return_exceptions=True
            )
        assert [type(each) for each in results] == [Account, NotFound, Account]
        found = await Accounts(bank).get_many([10, 15, 20])
        assert [each.owner for each in found] == [f"{pending} 10", "owner 15", f"{pending} 20"]


async def test_a_row_takes_the_place_of_one_that_is_gone(tx: Transaction) -> None:
    """A new entity with the key of one that the session still has is stored, and takes its place."""
    old = await Entries(tx).get_one(1)
    await tx.execute(text("DELETE FROM scope_entries WHERE id < 3"))
    new = [Entry(id=n, account_id=n, amount=n) for n in (1, 2)]
    assert list(await gather(*map(Entries(tx).add, new))) == new
    assert await Entries(tx).get_one(1) is new[0]
    assert old not in tx.session


@pytest.mark.parametrize("verb", ["add", "update"])
async def test_a_value_that_cannot_be_sent(bank: Database, verb: str) -> None:
    """It is `InvalidValue` for all, and fails the transaction, as it is and does alone."""

    async def write(accounts: Accounts, value: int) -> Account:
        new = account(1, balance=value)
        return await (accounts.add(new) if verb == "add" else accounts.update(1, balance=value))

    for values in ([1 << 70], [1, 1 << 70]):
        with pytest.raises(TransactionFailed):
            async with bank.transaction() as tx:
                results = await asyncio.gather(
                    *(write(Accounts(tx), value) for value in values), return_exceptions=True
                )
                assert isinstance(results[-1], InvalidValue)
    assert await Accounts(bank).count(Account.balance == 1) == 1


async def test_a_large_batch_can_be_cancelled(bank: Database) -> None:
    """However much is on its way: a time-out ends it, and nothing is left behind."""
    for number in range(12):
        with suppress(TimeoutError):
            async with asyncio.timeout(0.004 * number), bank.transaction() as tx:
                await gather(*(Accounts(tx).add(account(n, owner=f"{n}{'x' * 4000}")) for n in range(1000)))
                await tx.rollback()
        assert bank.stats.checked_out == 0
    assert await Accounts(bank).count() == 100
