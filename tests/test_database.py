import asyncio
from typing import Any

import pytest
from sqlalchemy import event, func, insert, literal, select, text, update
from sqlalchemy.ext.asyncio import create_async_engine

from repo import ConfigurationError, Database, UniqueViolation, UsageError, gather
from repo.errors import ScopeClosed
from repo.events import CallEnded, CallStarted, Event
from tests.scopes.models import Account, Accounts, Base


@pytest.fixture
async def accounts(db: Database) -> Accounts:
    """The accounts over the `Database`; there are none yet."""
    await db.create_all(Base.metadata)
    return Accounts(db)


async def test_each_call_commits_by_itself(db: Database, accounts: Accounts) -> None:
    """A write through the `Database` is stored when the call returns, whatever others do."""
    await accounts.add(Account(owner="Ada"))
    with pytest.raises(UniqueViolation):
        await gather(accounts.add(Account(owner="Grace")), accounts.add(Account(owner="Ada")))
    assert await accounts.exists(Account.owner == "Ada")


async def test_gathered_calls_share_the_pool(url: str, accounts: Accounts) -> None:
    """Any number of gathered calls run, never on more connections than the pool has."""
    async with Database(url, pool_size=3) as db:
        mine = Accounts(db)
        pool: Any = db.engine.pool
        peak = 0

        def checked_out(*_: object) -> None:
            nonlocal peak
            peak = max(peak, pool.checkedout())

        event.listen(db.engine.sync_engine, "checkout", checked_out)
        calls = [mine.add(Account(owner=f"{n}")) if n % 10 == 0 else mine.count() for n in range(200)]
        await gather(*calls)
        assert await mine.count() == 20
        assert peak == 3
        assert (db.stats.checked_out, db.stats.waiting) == (0, 0)


async def test_stats_say_who_waits(url: str) -> None:
    """``stats`` counts the connections in use and the calls in line."""
    async with Database(url, pool_size=1) as db, db.transaction() as tx:
        await tx.scalar(select(literal(1)))
        waiting = asyncio.create_task(db.independent().scalar(select(literal(2))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (db.stats.checked_out, db.stats.waiting) == (1, 1)
        await tx.rollback()
        assert await waiting == 2
        assert (db.stats.checked_out, db.stats.waiting) == (0, 0)


async def test_reads_send_no_begin(db: Database, accounts: Accounts) -> None:
    """A read outside a transaction is one statement, without BEGIN and COMMIT around it."""
    sent: list[str] = []
    event.listen(db.engine.sync_engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    event.listen(db.engine.sync_engine, "commit", lambda _: sent.append("COMMIT"))
    await accounts.count()
    assert len(sent) == 1
    assert sent[0].startswith("SELECT count(*)")


async def test_plain_statements(db: Database, accounts: Accounts) -> None:
    """A scope takes any statement of SQLAlchemy, and ``text`` with parameters."""
    await accounts.add_many([{"owner": "Ada", "balance": 1}, {"owner": "Grace", "balance": 2}])
    owners = select(Account.owner).order_by(Account.owner)
    assert await db.scalars(owners) == ["Ada", "Grace"]
    assert [tuple(row) for row in await db.rows(select(Account.owner, Account.balance).order_by(Account.id))] == [
        ("Ada", 1),
        ("Grace", 2),
    ]
    assert await db.scalar(select(func.sum(Account.balance))) == 3
    assert await db.scalar(text("SELECT balance FROM scope_accounts WHERE owner = :o"), {"o": "Grace"}) == 2
    assert await db.scalar(owners.where(Account.owner == "nobody")) is None
    assert await db.rows(owners.limit(1), into=dict) == [{"owner": "Ada"}]


async def test_execute_is_buffered(db: Database, accounts: Accounts) -> None:
    """``execute`` gives a result that can be read after the call: rows, or how many were changed."""
    await accounts.add_many([{"owner": "Ada"}, {"owner": "Grace"}])
    result = await db.execute(select(Account.owner).order_by(Account.owner))
    assert result.scalars().all() == ["Ada", "Grace"]
    changed: Any = await db.execute(update(Account).values(balance=7))
    assert changed.rowcount == 2
    assert await accounts.count(Account.balance == 7) == 2
    await db.execute(insert(Account), [{"owner": "Edsger"}, {"owner": "Barbara"}])
    assert await accounts.count() == 4


async def test_not_a_statement(db: Database) -> None:
    """A string is refused: only ``text`` makes SQL of one."""
    statement: Any = "SELECT 1"
    with pytest.raises(UsageError, match="not str"):
        await db.scalar(statement)


async def test_streams_leave_nothing_open(db: Database, accounts: Accounts) -> None:
    """A stream gives its connection back at its end, when it is left early, and after an error."""
    await accounts.add_many([{"owner": f"{n:02}"} for n in range(10)])
    assert [a.owner async for a in accounts.stream(order_by=Account.owner, chunk=3)] == [f"{n:02}" for n in range(10)]
    assert db.stats.checked_out == 0
    async with accounts.stream(chunk=3) as stream:
        async for _ in stream:
            assert db.stats.checked_out == 1
            break
    assert db.stats.checked_out == 0
    with pytest.raises(ZeroDivisionError):
        async with db.stream(select(Account.owner), chunk=3) as rows:
            async for _ in rows:
                raise ZeroDivisionError
    assert db.stats.checked_out == 0


async def test_streamed_entities_are_detached(db: Database, accounts: Accounts) -> None:
    """An entity of a stream is complete and can be kept."""
    await accounts.add_many([{"owner": f"{n:02}"} for n in range(4)])
    kept = [account async for account in accounts.stream(order_by=Account.owner, chunk=2)]
    assert [(a.owner, a.balance) for a in kept] == [("00", 0), ("01", 0), ("02", 0), ("03", 0)]


async def test_close_waits_and_refuses(url: str) -> None:
    """``close`` waits for what runs, and whatever comes after it is refused by name."""
    db = Database(url)
    tx = db.transaction()
    async with tx:
        await tx.scalar(select(literal(1)))
        closing = asyncio.create_task(db.close())
        await asyncio.sleep(0)
        assert not closing.done()
        assert await tx.scalar(select(literal(2))) == 2
    await closing
    with pytest.raises(ScopeClosed, match="is closed"):
        await db.scalar(select(literal(1)))


async def test_an_engine_of_the_users(url: str) -> None:
    """An engine that was given is used as it is, and left open and without listeners."""
    engine = create_async_engine(url)
    async with Database(engine, pool_size=2) as db:
        await db.create_all(Base.metadata)
        async with db.transaction() as tx:
            await Accounts(tx).add(Account(owner="Ada"))
            async with tx.savepoint():
                await Accounts(tx).add(Account(owner="Grace"))
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as tx:
                async with tx.savepoint():
                    await Accounts(tx).add(Account(owner="Edsger"))
                raise ZeroDivisionError
        assert await Accounts(db).count() == 2
    async with engine.connect() as connection:
        assert (await connection.execute(select(func.count()).select_from(Account))).scalar() == 2
    await engine.dispose()


async def test_the_engine_is_in_reach(db: Database, accounts: Accounts) -> None:
    """SQLAlchemy's engine is there for everything else; its transactions are real ones."""
    async with db.engine.begin() as connection:
        await connection.execute(insert(Account).values(owner="Ada", balance=1))
        await connection.rollback()
    assert await accounts.count() == 0


async def test_memory_is_private() -> None:
    """``:memory:`` is a database of its own, shared by all connections of one `Database`."""
    async with Database("sqlite+aiosqlite:///:memory:") as one, Database("sqlite+aiosqlite://") as other:
        await one.create_all(Base.metadata)
        await gather(*(Accounts(one).add(Account(owner=f"{n}")) for n in range(20)))
        assert await Accounts(one).count() == 20
        await other.create_all(Base.metadata)
        assert await Accounts(other).count() == 0


@pytest.mark.parametrize("options", [{"pool_size": 0}, {"engine_options": {"no_such_option": 1}}])
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    """An option that makes no sense is refused when the `Database` is made."""
    with pytest.raises(ConfigurationError):
        Database("sqlite+aiosqlite:///:memory:", **options)


async def test_hooks(url: str) -> None:
    """A hook is told when a call starts and when it ends, with its error."""
    events: list[Event] = []
    async with Database(url, hooks=[events.append]) as db:
        await db.ping()
        with pytest.raises(Exception, match="nowhere"):
            await db.scalar(text("SELECT 1 FROM nowhere"))
    kinds = [(type(e), e.scope, e.verb) for e in events if isinstance(e, CallStarted | CallEnded)]
    assert kinds == [(CallStarted, "Database", "scalar"), (CallEnded, "Database", "scalar")] * 2
    assert isinstance(events[1], CallEnded)
    assert events[1].error is None
    assert isinstance(events[3], CallEnded)
    assert events[3].error is not None
    assert events[1].connection == 1
