"""Gets that stand side by side in the line of calls of a transaction, or of a session of the user's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase

from repo import Database, NotFound, Repository, Scope, Transaction, TransactionFailed, UsageError, gather
from repo.errors import RepoError
from repo.events import CallEnded, Event
from repo.testing import queries
from tests.interleaved import before
from tests.models import opened
from tests.scopes.models import Account, Accounts, Base, Entries, Entry

WIDTH = 32
"""The most columns that a key can have on Postgres."""


class Own(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData()


class Wide(Own):
    """A key of many columns."""

    __table__ = Table(
        "adjacent_wide",
        Own.metadata,
        *(Column(f"part{number}", Integer, primary_key=True, autoincrement=False) for number in range(WIDTH)),
    )


class Wides(Repository[Wide]): ...


@pytest.fixture(params=["transaction", "session"])
async def scope(request: pytest.FixtureRequest, bank: Database) -> AsyncIterator[Scope | AsyncSession]:
    """The scopes that have a session and a line of calls."""
    async with opened(bank, request.param) as scope:
        yield scope


@pytest.fixture
async def tx(bank: Database) -> AsyncIterator[Transaction]:
    """A transaction, which commits."""
    async with bank.transaction() as tx:
        yield tx


def verbs(sent: list[str]) -> list[str]:
    """Statements by their first word; those that ask for several keys are marked."""
    words = (statement.split(maxsplit=1)[0] for statement in sent)
    return [f"{word} IN" if " IN " in statement else word for word, statement in zip(words, sent, strict=True)]


async def turns(number: int) -> None:
    """Let others run."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_a_lone_get_is_what_it_was(scope: Scope | AsyncSession, bank: Database) -> None:
    """Gets that are awaited one after the other are one statement each, for one key."""
    with queries(bank) as sent:
        for n in (1, 2):
            await Accounts(scope).get(n)
    assert verbs(sent) == ["SELECT", "SELECT"]


async def test_only_neighbours_are_one_statement(scope: Scope | AsyncSession, bank: Database) -> None:
    """Any other call parts those before it from those after it, so that all happens in call order."""
    accounts, entries = Accounts(scope), Entries(scope)
    with queries(bank) as sent:
        results = await gather(
            *(accounts.get_one(n) for n in (1, 2)),
            accounts.count(),
            *(accounts.get_one(n) for n in (3, 4)),
            entries.update_where(Entry.id == 5, values={"amount": 55}),
            *(entries.get_one(n) for n in (5, 6)),
            accounts.get_one(7),
        )
    assert verbs(sent) == ["SELECT IN", "SELECT", "SELECT IN", "UPDATE", "SELECT IN", "SELECT"]
    assert [each.id for each in results if isinstance(each, Account)] == [1, 2, 3, 4, 7]
    assert [each.amount for each in results if isinstance(each, Entry)] == [55, 6]


async def test_what_is_pending_is_written_first(tx: Transaction, bank: Database) -> None:
    """What was added and changed in the session is there for the gets after it."""
    accounts = Accounts(tx)
    one = await accounts.get_one(1)
    one.balance = 7
    tx.session.add(Account(id=200, owner="pending"))
    with queries(bank) as sent:
        pending, other = await gather(accounts.get_one(200), accounts.get_one(2))
    assert sorted(verbs(sent)) == ["INSERT", "SELECT IN", "UPDATE"]
    assert verbs(sent)[-1] == "SELECT IN"
    assert (pending.owner, other.id) == ("pending", 2)


async def test_a_row_is_one_entity(scope: Scope | AsyncSession, bank: Database) -> None:
    """The same key gives the same entity, and one that is there is given without a statement."""
    accounts = Accounts(scope)
    one = await accounts.get_one(1)
    one.balance = 77
    with queries(bank) as sent:
        again, two, same = await gather(*(accounts.get_one(n) for n in (1, 2, 2)))
    assert (again is one, two is same, one.balance) == (True, True, 77)
    assert "SELECT IN" not in verbs(sent)[:-1]
    with queries(bank) as sent:
        await gather(*(accounts.get_one(n) for n in (2, 1, 2)))
    assert sent == []


async def test_what_has_expired_is_read_again(tx: Transaction, bank: Database) -> None:
    """An entity that has forgotten its values gets them by the statement of all; one that is gone is None."""
    entries = Entries(tx)
    kept = [await entries.get_one(n) for n in (1, 2, 3)]
    await tx.execute(text("UPDATE scope_entries SET amount = 11 WHERE id = 1"))
    await tx.execute(text("DELETE FROM scope_entries WHERE id = 2"))
    tx.session.expire_all()
    with queries(bank) as sent:
        found = await gather(*(entries.get(n) for n in (1, 2, 3, 4)))
    assert [entry and entry.amount for entry in found] == [11, None, 3, 4]
    assert (found[0] is kept[0], found[2] is kept[2], kept[1] in tx.session) == (True, True, False)
    assert (verbs(sent)[0], verbs(sent).count("SELECT IN")) == ("SELECT IN", 1)


async def test_who_finds_nothing_is_alone_with_it(scope: Scope | AsyncSession) -> None:
    """`get_one` of a key that is not there raises its own `NotFound`; the others go on, and so does the scope."""
    found = await asyncio.gather(*map(Accounts(scope).get_one, (1, 999, 2, 888)), return_exceptions=True)
    assert [each.id for each in found if isinstance(each, Account)] == [1, 2]
    assert [str(each) for each in found if isinstance(each, NotFound)] == [
        f"no Account with the key {key}" for key in (999, 888)
    ]
    assert await Accounts(scope).count() == 100


@pytest.mark.parametrize("hopeless", [2**70, "word", (1, 2), None])
async def test_a_key_that_makes_no_sense_fails_as_it_does_alone(bank: Database, hopeless: Any) -> None:
    """Gets with such a key among them end as they do one after the other."""

    async def attempt(accounts: Accounts, key: Any) -> Any:
        try:
            return (await accounts.get_one(key)).id
        except RepoError as error:
            return type(error)

    keys = (1, 2, hopeless, 3, 4)
    async with bank.transaction() as tx:
        one_by_one = [await attempt(Accounts(tx), key) for key in keys]
        await tx.rollback()
    async with bank.transaction() as tx:
        at_once = await gather(*(attempt(Accounts(tx), key) for key in keys))
        await tx.rollback()
    assert list(at_once) == one_by_one
    assert at_once[:2] == (1, 2)


async def test_different_unique_columns_do_not_mix(scope: Scope | AsyncSession) -> None:
    """Rows that are asked for by their key, by another unique column and by the key of another model stay apart."""
    accounts, entries = Accounts(scope), Entries(scope)
    results = await gather(
        accounts.get(1),
        accounts.one_or_none(Account.owner == "owner 2"),
        accounts.get(3),
        entries.get(3),
        accounts.one_or_none(Account.owner == "nobody"),
        entries.get(1),
        accounts.get(999),
        accounts.one_or_none(Account.owner == "owner 1"),
    )
    assert [each and (type(each), each.id) for each in results] == [
        *((Account, 1), (Account, 2), (Account, 3), (Entry, 3), None, (Entry, 1), None, (Account, 1))
    ]


@pytest.mark.parametrize("kind", ["database", "transaction", "snapshot"])
async def test_no_statement_gets_too_wide(db: Database, kind: str) -> None:
    """As many keys as a batch takes, of as many columns as a key can have, are not too many parameters."""
    await db.create_all(Own.metadata)
    keys = [(n, *range(1, WIDTH)) for n in range(1_100)]
    await Wides(db).add_many({f"part{at}": value for at, value in enumerate(key)} for key in keys[::100])
    async with opened(db, kind) as scope:
        with queries(db) as sent:
            found = await gather(*(Wides(scope).get(key) for key in keys))
    assert [at for at, each in enumerate(found) if each] == list(range(0, 1_100, 100))
    assert sum("adjacent_wide" in statement for statement in sent) == 2


@pytest.mark.parametrize("cancelled", [[0], [1], [0, 1], [0, 2]])
async def test_a_cancelled_caller_leaves_the_others_alone(bank: Database, cancelled: list[int]) -> None:
    """Whoever of three is cancelled, before the statement or while it runs, the others have their rows."""
    for steps in range(12):
        async with bank.transaction() as tx:
            tasks = [asyncio.create_task(Accounts(tx).get_one(n)) for n in (1, 2, 3)]
            await turns(steps)
            for place in cancelled:
                tasks[place].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await Accounts(tx).update(1, balance=steps)
        for place, result in enumerate(results):
            if place in cancelled:
                assert isinstance(result, asyncio.CancelledError | Account)
            else:
                assert isinstance(result, Account)
                assert result.id == place + 1
        assert (await Accounts(bank).get_one(1)).balance == steps


async def test_who_is_cancelled_while_the_statement_runs_leaves_the_others_alone(bank: Database) -> None:
    """The statement goes on for those who are left; with the last of them it stops, and the transaction fails."""
    tasks: list[asyncio.Task[Account]] = []

    async def cancel(number: int) -> None:
        for task in tasks[:number]:
            task.cancel()
        await turns(3)

    async with bank.transaction() as tx:
        await Accounts(tx).count()
        tasks[:] = [asyncio.create_task(Accounts(tx).get_one(n)) for n in (1, 2, 3)]
        with before(bank, (" IN ", lambda: cancel(2))):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError, asyncio.CancelledError, Account]
        await Accounts(tx).update(1, balance=5)
    assert (await Accounts(bank).get_one(1)).balance == 5
    with pytest.raises(TransactionFailed, match="cancelled while it ran"):
        async with bank.transaction() as tx:
            await Accounts(tx).count()
            tasks[:] = [asyncio.create_task(Accounts(tx).get_one(n)) for n in (1, 2, 3)]
            with before(bank, (" IN ", lambda: cancel(3))):
                await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert (bank.stats.checked_out, bank.stats.waiting) == (0, 0)


@pytest.mark.parametrize("cancelled", [[0], [1], [0, 1], [0, 1, 2]])
async def test_a_get_that_is_cancelled_in_line_is_not_asked_for(bank: Database, cancelled: list[int]) -> None:
    """Whoever is cancelled before its turn leaves the line; when all are, nothing runs, and the line goes on."""
    async with bank.transaction() as tx:
        await Accounts(tx).count()
        free, begun = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with tx.savepoint():
                begun.set()
                await free.wait()

        holding = asyncio.create_task(hold())
        await begun.wait()
        tasks = [asyncio.create_task(Accounts(tx).get_one(n)) for n in (1, 2, 3)]
        behind = asyncio.create_task(Accounts(tx).count())
        await turns(3)
        for place in cancelled:
            tasks[place].cancel()
        with queries(bank) as sent:
            free.set()
            results = await asyncio.gather(*tasks, holding, return_exceptions=True)
            assert await behind == 100
        left = [n for n in (1, 2, 3) if n - 1 not in cancelled]
        assert [each.id for each in results if isinstance(each, Account)] == left
        assert len(sent) == 1 + bool(left)
        assert len(list(tx.session)) == len(left)


async def test_savepoints_stay_apart(bank: Database) -> None:
    """Gets inside of a savepoint are one statement, and none with those of the transaction around it."""
    async with bank.transaction() as tx:
        accounts = Accounts(tx)

        async def inside(*keys: int) -> list[int]:
            async with tx.savepoint():
                return [each.id for each in await gather(*(accounts.get_one(key) for key in keys))]

        with queries(bank) as sent:
            first, *others = await gather(inside(1, 2), *(accounts.get_one(n) for n in (3, 4)), inside(5, 6))
    assert (first, [each.id for each in others[:2] if isinstance(each, Account)], others[2]) == ([1, 2], [3, 4], [5, 6])
    assert verbs(sent) == ["SELECT IN"] * 3


async def test_a_failure_reaches_all_of_its_level(bank: Database) -> None:
    """A batch that fails inside of a savepoint fails for all its callers, and leaves the transaction alone."""
    async with bank.transaction() as tx:
        with suppress(RepoError):
            async with tx.savepoint():
                calls = (Wides(tx).get((n,) * WIDTH) for n in (1, 2, 3))
                results = await asyncio.gather(*calls, return_exceptions=True)
                assert [isinstance(result, RepoError) for result in results] == [True] * 3
        assert await Accounts(tx).count() == 100
        await asyncio.gather(*(Wides(tx).get((n,) * WIDTH) for n in (1, 2)), return_exceptions=True)
        with pytest.raises(TransactionFailed):
            await Accounts(tx).get(1)
        await tx.rollback()


@pytest.mark.parametrize("steps", range(6))
async def test_a_block_that_ends_too_early_names_the_callers(bank: Database, steps: int) -> None:
    """Gets that nobody awaited are cancelled at the end of the block, and each caller is named once."""
    tasks: list[asyncio.Task[Account | None]] = []
    with pytest.raises(UsageError) as refused:
        async with bank.transaction() as tx:
            await Accounts(tx).count()
            tasks += [asyncio.create_task(Accounts(tx).get(n), name=f"caller {n}") for n in (1, 2, 3)]
            await turns(1 + (steps if bank.dialect.remote else 0))
    assert "get of caller 1, get of caller 2, get of caller 3. " in str(refused.value)
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert (bank.stats.checked_out, bank.stats.waiting) == (0, 0)


async def test_a_batch_is_one_call(url: str) -> None:
    """Hooks are told of the one call that was made for all, and it counts as one and as a batch."""
    told: list[Event] = []
    async with Database(url, hooks=[told.append]) as db:
        await db.create_all(Base.metadata)
        async with db.transaction() as tx:
            await Accounts(tx).count()
            earlier = db.stats
            told.clear()
            await gather(*(Accounts(tx).get(n) for n in range(10)))
        stats = db.stats
    assert [event.verb for event in told if isinstance(event, CallEnded)] == ["get"]
    assert (stats.queries - earlier.queries, stats.batches - earlier.batches) == (1, 1)
