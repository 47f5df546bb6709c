"""Gets that are made in the same turn of the loop."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import MetaData, String, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, NotFound, Repository, Scope, gather
from repo.errors import RepoError
from repo.events import CallEnded, Event
from repo.testing import queries
from tests.models import opened
from tests.scopes.models import Account, Accounts, Base, Entries, Entry


class Own(DeclarativeBase):
    """Keys of other kinds."""

    metadata = MetaData()


class Seat(Own):
    __tablename__ = "batching_seats"
    row: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    letter: Mapped[str] = mapped_column(primary_key=True)
    taken_by: Mapped[str | None]


class Token(Own):
    __tablename__ = "batching_tokens"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)


class Code(Own):
    """Its column compares in a way of its own, which only the database knows of."""

    __tablename__ = "batching_codes"
    code: Mapped[str] = mapped_column(String, primary_key=True)


class Seats(Repository[Seat]): ...


class Tokens(Repository[Token]): ...


class Codes(Repository[Code]): ...


@pytest.fixture(params=["Database", "Snapshot"])
async def scope(request: pytest.FixtureRequest, bank: Database) -> AsyncIterator[Scope]:
    """The scopes that have no session of their own."""
    if request.param == "Database":
        yield bank
        return
    async with bank.snapshot() as snapshot:
        await Accounts(snapshot).count()
        yield snapshot


@pytest.fixture(params=["database", "snapshot", "transaction", "session"])
async def every(request: pytest.FixtureRequest, bank: Database) -> AsyncIterator[Scope | AsyncSession]:
    """All scopes, those that have a line of calls as well; a snapshot has begun."""
    async with opened(bank, request.param) as scope:
        if request.param == "snapshot":
            await Accounts(scope).count()
        yield scope


async def test_gets_of_one_turn_are_one_statement(every: Scope | AsyncSession, bank: Database) -> None:
    """A hundred gathered gets are one SELECT, and each caller has the row of its own key, or None."""
    with queries(bank) as sent:
        found = await gather(*(Accounts(every).get(n) for n in range(51, 151)))
    assert [account and account.owner for account in found] == [
        *(f"owner {n}" for n in range(51, 101)),
        *[None] * 50,
    ]
    assert len(sent) == 1


async def test_plain_gather_and_task_groups_count_as_well(scope: Scope, bank: Database) -> None:
    """It does not matter who starts the tasks."""
    accounts = Accounts(scope)
    with queries(bank) as sent:
        await asyncio.gather(*(accounts.get(n) for n in range(1, 11)))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(accounts.get_one(n)) for n in range(1, 11)]
    assert [task.result().id for task in tasks] == list(range(1, 11))
    assert len(sent) == 2


async def test_a_lone_get_is_what_it_was(scope: Scope, bank: Database) -> None:
    """Gets that are awaited one after the other are one statement each, for one key."""
    with queries(bank) as sent:
        for n in (1, 2):
            await Accounts(scope).get(n)
    assert len(sent) == 2
    assert not any(" IN " in statement for statement in sent)


async def test_who_finds_nothing_is_alone_with_it(scope: Scope) -> None:
    """`get_one` of a key that is not there raises its own `NotFound`; the others have their entities."""
    one, gone, other = await asyncio.gather(*map(Accounts(scope).get_one, (1, 999, 2)), return_exceptions=True)
    assert isinstance(gone, NotFound)
    assert "999" in str(gone)
    assert isinstance(one, Account)
    assert isinstance(other, Account)
    assert (one.id, other.id) == (1, 2)


@pytest.mark.parametrize("hopeless", [2**70, -(2**63) - 1, "a\0b", "\ud800", "word"])
async def test_a_key_that_makes_no_sense_fails_alone(scope: Scope, hopeless: Any) -> None:
    """A key that the driver or the database refuses leaves the others alone."""

    async def attempt() -> Account | None:
        try:
            return await Accounts(scope).get(hopeless)
        except RepoError:
            return None

    found = await gather(Accounts(scope).get(1), attempt(), Accounts(scope).get(2))
    assert [account and account.id for account in found] == [1, None, 2]


async def test_each_caller_has_its_own_entity(scope: Scope, bank: Database) -> None:
    """The same key asked for three times is three objects of one statement."""
    with queries(bank) as sent:
        found = await gather(*(Accounts(scope).get_one(n) for n in (1, 2, 1, 1)))
    assert [account.id for account in found] == [1, 2, 1, 1]
    assert len(set(map(id, found))) == 4
    assert len(sent) == 1
    found[0].balance = 77
    assert found[2].balance == 1


async def test_other_models_and_other_relationships_do_not_mix(every: Scope | AsyncSession, bank: Database) -> None:
    """What is one statement has one model and one `load=`; each caller gets what it asked for."""
    accounts, entries = Accounts(every), Entries(every)
    with queries(bank) as sent:
        plain, full, entry = await gather(
            gather(*(accounts.get_one(n) for n in (1, 2))),
            gather(*(accounts.get_one(n, load=Account.entries) for n in (3, 4))),
            gather(*(entries.get_one(n, load=[(Entry.account,)]) for n in (5, 6))),
        )
    assert [account.id for account in plain] == [1, 2]
    assert [[item.amount for item in account.entries] for account in full] == [[3], [4]]
    assert [item.account.owner for item in entry] == ["owner 5", "owner 6"]
    assert len(sent) == 1 + 2 + 2


async def test_composite_and_other_keys(bank: Database) -> None:
    """Keys of several columns and UUIDs are asked for together, too; a pair is not mixed up with another."""
    await bank.create_all(Own.metadata)
    await Seats(bank).add_many({"row": row, "letter": letter} for row in (1, 2) for letter in "AB")
    tokens = await Tokens(bank).add_many([{} for _ in range(5)], returning=True)
    with queries(bank) as sent:
        seats, found = await gather(
            gather(*(Seats(bank).get(key) for key in ((1, "B"), (2, "A"), (3, "A"), (1, "C")))),
            gather(*(Tokens(bank).get_one(token.id) for token in tokens)),
        )
    assert [seat and (seat.row, seat.letter) for seat in seats] == [(1, "B"), (2, "A"), None, None]
    assert [token.id for token in found] == [token.id for token in tokens]
    assert len(sent) <= 2 + 2  # texts that were not found are asked for once more


async def test_texts_that_the_database_finds_equal(bank: Database) -> None:
    """A column that compares texts in its own way finds the same together as alone."""
    kind = "TEXT COLLATE NOCASE" if bank.dialect.one_writer else "CHAR(5)"
    await bank.execute(text(f"CREATE TABLE batching_codes (code {kind} PRIMARY KEY)"))
    await bank.execute(text("INSERT INTO batching_codes VALUES ('ab   '), ('cd')"))
    keys = ("AB   ", "ab   ", "CD", "cd", "ef")
    alone = [await Codes(bank).get(key) for key in keys]
    together = await gather(*(Codes(bank).get(key) for key in keys))
    assert [found and found.code for found in together] == [found and found.code for found in alone]
    assert sum(found is not None for found in together) >= 2


async def test_many_are_split(every: Scope | AsyncSession, bank: Database) -> None:
    """2,500 gets are three statements, and their answers are in order."""
    with queries(bank) as sent:
        found = await gather(*(Accounts(every).get(n) for n in range(1, 2_501)))
    assert [account.id for account in found if account] == list(range(1, 101))
    assert len(sent) == 3


@pytest.mark.parametrize("cancelled", [[0], [1], [0, 1], [0, 2]])
async def test_a_cancelled_caller_leaves_the_others_alone(scope: Scope, cancelled: list[int]) -> None:
    """Whoever of three is cancelled, before the statement or while it runs, the others have their rows."""
    for steps in range(8):
        tasks = [asyncio.create_task(Accounts(scope).get_one(n)) for n in (1, 2, 3)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for place in cancelled:
            tasks[place].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for place, result in enumerate(results):
            if place in cancelled:
                assert isinstance(result, asyncio.CancelledError | Account)
            else:
                assert isinstance(result, Account)
                assert result.id == place + 1


async def test_when_all_are_cancelled_nothing_is_left(bank: Database) -> None:
    """At whatever step all callers of a batch are cancelled, the connection is back when they have ended."""
    for steps in range(30):
        tasks = [asyncio.create_task(Accounts(bank).get_one(n)) for n in (1, 2, 3)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert (bank.stats.checked_out, bank.stats.waiting) == (0, 0)
    assert await Accounts(bank).count() == 100


async def test_a_failure_of_the_database_reaches_all(db: Database) -> None:
    """Where there is no such table, every caller is told, and nobody waits for ever."""
    results = await asyncio.gather(*(Accounts(db).get(n) for n in (1, 2, 3)), return_exceptions=True)
    assert [isinstance(result, RepoError) for result in results] == [True] * 3


async def test_a_batch_is_one_call_to_a_hook(url: str) -> None:
    """Hooks are told of the one call that was made for all."""
    told: list[Event] = []
    async with Database(url, hooks=[told.append]) as db:
        await db.create_all(Base.metadata)
        told.clear()
        await gather(*(Accounts(db).get(n) for n in range(10)))
    assert [event.verb for event in told if isinstance(event, CallEnded)] == ["get"]


async def test_stats_count_calls_and_batches(db: Database, accounts: Accounts) -> None:
    """Every call that had a connection counts once, of whichever scope; so does a batch, which counts as such, too."""
    before = db.stats
    await gather(*(accounts.get(n) for n in range(10)))
    await accounts.count()
    async with db.transaction() as tx:
        await Accounts(tx).count()
    async with db.snapshot() as snapshot:
        await gather(*(Accounts(snapshot).get(n) for n in range(10)))
    assert db.stats.queries - before.queries == 4
    assert db.stats.batches - before.batches == 2
