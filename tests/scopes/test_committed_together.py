"""Writes through a `Database` that are gathered: each a transaction of its own, also where they share one COMMIT."""

import asyncio
import sqlite3
from contextlib import closing
from contextvars import ContextVar
from typing import Any

import pytest
from sqlalchemy import ForeignKey, MetaData, String, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from repo import (
    Database,
    ForeignKeyViolation,
    NotFound,
    Repository,
    Scope,
    UniqueViolation,
    UsageError,
    gather,
)
from repo.errors import DatabaseLocked, SelfDeadlock
from repo.events import CallEnded, Event
from repo.testing import queries
from tests.scopes.models import Account, Accounts, Base, Entries
from tests.versioned import Counted, Versioned

user: ContextVar[str] = ContextVar("user", default="nobody")


class Own(DeclarativeBase):
    """A base of this module's own."""

    metadata = MetaData()


class Fussy(TypeDecorator[str]):
    """A text that cannot be read again where it says so."""

    impl = String
    cache_ok = True

    def process_result_value(self, value: str | None, _: Any) -> str | None:
        if value == "unreadable":
            raise ArithmeticError(value)
        return value


class Leaf(Own):
    """It refers to another, of which it is only asked at COMMIT whether that is there."""

    __tablename__ = "committed_leaves"
    id: Mapped[int] = mapped_column(primary_key=True)
    on_id: Mapped[int | None] = mapped_column(ForeignKey("committed_leaves.id", deferrable=True, initially="DEFERRED"))
    text: Mapped[str | None] = mapped_column(Fussy)
    by: Mapped[str | None] = mapped_column(default=user.get)


class Leaves(Repository[Leaf]): ...


class Countings(Repository[Counted]): ...


def account(n: int, **values: Any) -> Account:
    return Account(**{"owner": f"new {n}", **values})


@pytest.fixture
async def on_sqlite(bank: Database) -> Database:
    """The bank where only one transaction can write."""
    if not bank.dialect.one_writer:
        pytest.skip("feature: writers that share a COMMIT")
    return bank


async def new(db: Database) -> list[str]:
    """The owners of accounts that were added."""
    return await db.scalars(select(Account.owner).where(Account.id > 100).order_by(Account.owner))


async def test_each_has_its_own_result(bank: Database) -> None:
    """Gathered writes give each caller its entity, or its word, and all of it is stored."""
    accounts = Accounts(bank)
    stored = await accounts.all(order_by=Account.id, limit=20)
    added = await gather(*(accounts.add(account(n)) for n in range(20)))
    changed = await gather(*(accounts.update(each, balance=each.id + 1) for each in stored))
    by_key = await gather(*(accounts.update(key, owner=f"key {key}") for key in range(21, 41)))
    gone = await gather(*(Entries(bank).delete(key) for key in (1, 2, 999)))
    assert [each.owner for each in added] == [f"new {n}" for n in range(20)]
    assert len({each.id for each in added}) == 20
    assert all(one is other for one, other in zip(stored, changed, strict=True))
    assert [each.owner for each in by_key] == [f"key {key}" for key in range(21, 41)]
    assert gone == (True, True, False)
    assert [each.balance for each in await accounts.get_many(range(1, 21))] == list(range(2, 22))
    assert len(await new(bank)) == 20


async def test_they_share_a_commit(on_sqlite: Database) -> None:
    """Where only one transaction can write, a hundred gathered writes are committed together, by one call."""
    told: list[CallEnded] = []

    def tell(event: Event) -> None:
        if isinstance(event, CallEnded):
            told.append(event)

    async with Database(on_sqlite.engine.url.render_as_string(), hooks=[tell]) as db:
        await Accounts(db).get(1)
        told.clear()
        await gather(*(Accounts(db).add(account(n)) for n in range(100)))
        assert (len(told), db.stats.batches) == (1, 1)
    assert len(await new(on_sqlite)) == 100


async def test_who_fails_is_alone_with_it(bank: Database) -> None:
    """A row that is refused, or not there, is the error of its caller; the others are stored."""
    accounts = Accounts(bank)
    taken, first, second = account(1, owner="owner 7"), account(2), account(3)
    added = await asyncio.gather(*map(accounts.add, (first, taken, second)), return_exceptions=True)
    changed = await asyncio.gather(
        *(accounts.update(key, balance=80) for key in (3, 999, 4)),
        *(accounts.update(key, owner="owner 7") for key in (5, 7)),
        return_exceptions=True,
    )
    assert [type(each) for each in added] == [Account, UniqueViolation, Account]
    assert [type(each) for each in changed] == [Account, NotFound, Account, UniqueViolation, Account]
    assert inspect(taken).transient
    assert await new(bank) == ["new 2", "new 3"]
    assert [each.balance for each in await accounts.get_many([3, 4])] == [80, 80]


async def test_a_violation_that_comes_with_commit(db: Database) -> None:
    """What only COMMIT refuses is the error of the one whose row it is."""
    await db.create_all(Own.metadata)
    leaves = [Leaf(id=1), Leaf(id=2, on_id=2), Leaf(id=3, on_id=99), Leaf(id=4)]
    added = await asyncio.gather(*map(Leaves(db).add, leaves), return_exceptions=True)
    assert [type(each) for each in added] == [Leaf, Leaf, ForeignKeyViolation, Leaf]
    assert await db.scalars(select(Leaf.id).order_by(Leaf.id)) == [1, 2, 4]


async def test_a_result_that_cannot_be_read(db: Database) -> None:
    """An error of a type's own, in a row that came back, is that of its caller."""
    await db.create_all(Own.metadata)
    await Leaves(db).add_many({"id": n, "text": "unreadable" if n == 2 else "fine"} for n in (1, 2, 3))
    changed = await asyncio.gather(*(Leaves(db).update(n, on_id=1) for n in (1, 2, 3)), return_exceptions=True)
    assert [type(each) for each in changed] == [Leaf, ArithmeticError, Leaf]


async def test_a_conflict_that_rolls_back_everything(on_sqlite: Database) -> None:
    """A trigger that rolls the transaction back does so to its own row only."""
    await on_sqlite.execute(
        text(
            "CREATE TRIGGER refuse BEFORE INSERT ON scope_accounts WHEN NEW.owner = 'new 5' "
            "BEGIN SELECT RAISE(ROLLBACK, 'not him'); END"
        )
    )
    added = await asyncio.gather(*(Accounts(on_sqlite).add(account(n)) for n in range(9)), return_exceptions=True)
    assert [n for n, each in enumerate(added) if isinstance(each, Exception)] == [5]
    assert await new(on_sqlite) == [f"new {n}" for n in range(9) if n != 5]


async def test_an_overtaken_version_is_stale(db: Database) -> None:
    """Of several entities, only the one that somebody else has changed is refused."""
    await db.create_all(Versioned.metadata)
    counts = [await Countings(db).add(Counted(title="new")) for _ in range(3)]
    other = await Countings(db).get_one(counts[1].id)
    await Countings(db).update(other, title="other")
    changed = await asyncio.gather(
        *(Countings(db).update(each, title="mine") for each in counts), return_exceptions=True
    )
    assert [type(each).__name__ for each in changed] == ["Counted", "StaleData", "Counted"]
    assert [each.title for each in await Countings(db).all(order_by=Counted.id)] == ["mine", "other", "mine"]


async def test_the_same_row_is_written_in_call_order(on_sqlite: Database) -> None:
    """Two writes of a row, or of an entity, are made one after the other; added twice, an entity is one row."""
    accounts, one = Accounts(on_sqlite), account(1)
    await gather(*(accounts.update(2, balance=n) for n in (7, 8, 9)))
    added = await asyncio.gather(accounts.add(one), accounts.add(one), accounts.add(account(2)), return_exceptions=True)
    assert [type(each) for each in added] == [Account, UsageError, Account]
    assert ((await accounts.get_one(2)).balance, await new(on_sqlite)) == (9, ["new 1", "new 2"])


@pytest.mark.parametrize("cancelled", [[0], [1], [0, 1], [0, 1, 2]])
async def test_who_is_cancelled_in_line_writes_nothing(bank: Database, cancelled: list[int]) -> None:
    """What is cancelled before its turn comes is not stored later; the others are."""
    accounts = Accounts(bank.independent())
    entities = [account(n) for n in range(3)]
    async with bank.transaction() as tx:
        await Accounts(tx).update(1, balance=0)
        if not bank.dialect.one_writer:
            await tx.execute(text("LOCK TABLE scope_accounts IN EXCLUSIVE MODE"))
        tasks = [asyncio.create_task(accounts.add(each)) for each in entities]
        for _ in range(5):
            await asyncio.sleep(0)
        for n in cancelled:
            tasks[n].cancel()
        await asyncio.wait([tasks[n] for n in cancelled])
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [n for n, each in enumerate(results) if isinstance(each, BaseException)] == cancelled
    assert await new(bank) == [f"new {n}" for n in range(3) if n not in cancelled]
    assert [inspect(each).transient for each in entities] == [n in cancelled for n in range(3)]


async def test_a_lock_of_another_process_is_told_to_all(on_sqlite: Database) -> None:
    """Where the file is locked for too long, all who wait are told, and nothing of theirs is stored later."""
    url = make_url(on_sqlite.engine.url.render_as_string()).update_query_dict({"timeout": "0.05"})
    entities = [account(n) for n in range(3)]
    async with Database(url.render_as_string()) as db:
        await Accounts(db).get(1)
        with closing(sqlite3.connect(url.database or "", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            added = await asyncio.gather(*map(Accounts(db).add, entities), return_exceptions=True)
            other.execute("ROLLBACK")
        assert [type(each) for each in added] == [DatabaseLocked] * 3
        assert "within 0.05 s" in str(added[0])
        assert (await new(db), [inspect(each).transient for each in entities]) == ([], [True] * 3)
        assert len(await gather(*map(Accounts(db).add, entities))) == 3


async def test_tables_that_are_not_there(db: Database) -> None:
    """An error that is everybody's is told to everybody."""
    await db.scalar(select(1))
    added = await asyncio.gather(*(Accounts(db).add(account(n)) for n in range(3)), return_exceptions=True)
    assert len({type(each) for each in added}) == 1
    assert "scope_accounts" in str(added[0])
    await db.create_all(Base.metadata)
    await gather(*(Accounts(db).add(account(n)) for n in range(3)))


async def test_each_is_made_where_it_was_asked_for(db: Database) -> None:
    """Defaults, and types, see the context variables of the task that writes, in a transaction as well."""
    await db.create_all(Own.metadata)

    async def add(scope: Scope, name: str) -> Leaf:
        user.set(name)
        return await Leaves(scope).add(Leaf())

    added = await gather(*(add(db, name) for name in ("Ada", "Grace", "Alan")))
    async with db.transaction() as tx:
        added += await gather(*(add(tx, name) for name in ("Ada", "Grace", "Alan")))
    assert [leaf.by for leaf in added] == ["Ada", "Grace", "Alan"] * 2


async def test_who_writes_beside_his_own_transaction_is_told_at_once(on_sqlite: Database) -> None:
    """A write that would wait for its caller's own transaction is refused, also where others would share its COMMIT."""
    accounts = Accounts(on_sqlite.independent())
    async with on_sqlite.transaction() as tx:
        await Accounts(tx).update(1, balance=0)
        other = asyncio.create_task(accounts.add(account(1)))
        with pytest.raises(SelfDeadlock):
            await accounts.add(account(2))
    await other
    assert await new(on_sqlite) == ["new 1"]


@pytest.mark.parametrize("when", ["INSERT", "UPDATE"])
async def test_a_statement_that_fails_half_way_happens_once(on_sqlite: Database, when: str) -> None:
    """What a failed statement leaves behind, by a trigger that only fails, is not there twice."""
    await on_sqlite.execute(text("CREATE TABLE log (id INTEGER)"))
    await on_sqlite.execute(
        text(
            f"CREATE TRIGGER fail AFTER {when} ON scope_accounts WHEN NEW.balance = 77 "
            "BEGIN INSERT INTO log VALUES (NEW.id); SELECT RAISE(FAIL, 'not that'); END"
        )
    )
    accounts = Accounts(on_sqlite)
    if when == "INSERT":
        writes = [accounts.add(account(n, balance=77 if n == 1 else 0)) for n in range(3)]
    else:
        writes = [accounts.update(n, balance=77 if n == 1 else 0) for n in range(1, 4)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [isinstance(each, Exception) for each in results].count(True) == 1
    assert await on_sqlite.scalar(text("SELECT count(*) FROM log")) <= 1


async def slowed(db: Database, steps: int) -> None:
    """Let each new account take a while."""
    count = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {steps}) SELECT count(*) FROM n"
    await db.execute(text(f"CREATE TRIGGER slow BEFORE INSERT ON scope_accounts BEGIN {count}; END"))


async def begun(db: Database, count: int) -> list[asyncio.Task[Account]]:
    """So many accounts, of which the first is being stored."""
    with queries(db) as sent:
        tasks = [asyncio.create_task(Accounts(db).add(account(n))) for n in range(count)]
        while not any(statement.startswith("INSERT") for statement in sent):
            await db.ping()
    return tasks


async def test_who_is_cancelled_meanwhile_leaves_the_others_alone(on_sqlite: Database) -> None:
    """Whoever is cancelled while his row is stored does not wait for it; the others have theirs."""
    await slowed(on_sqlite, 100_000)
    tasks = await begun(on_sqlite, 3)
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    assert not tasks[1].done()
    assert [each.owner for each in await asyncio.gather(*tasks[1:])] == ["new 1", "new 2"]
    assert set(await new(on_sqlite)) >= {"new 1", "new 2"}


async def test_when_all_are_cancelled_it_stops(on_sqlite: Database) -> None:
    """When nobody waits any more nothing is stored, and the next may write at once."""
    await slowed(on_sqlite, 10**9)
    tasks = await begun(on_sqlite, 3)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await on_sqlite.execute(text("DROP TRIGGER slow"))
    assert (await new(on_sqlite), on_sqlite.stats.checked_out) == ([], 0)
