import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, select, text

from repo import (
    Database,
    NotFound,
    TransactionFailed,
    UniqueViolation,
    UsageError,
    gather,
)
from repo.errors import CommitOutcomeUnknown, ReadOnlyScope, ScopeClosed
from tests.scopes.models import Account, Accounts, Base, Entries, Entry


async def test_leaving_the_block_commits(db: Database, accounts: Accounts) -> None:
    """Everything in the block is stored when it is left normally."""
    async with db.transaction() as tx:
        await Accounts(tx).add(Account(owner="Ada"))
        assert not await accounts.exists()
    assert await accounts.exists(Account.owner == "Ada")


async def test_an_exception_rolls_back(db: Database, accounts: Accounts) -> None:
    """An exception that leaves the block undoes it, and is the one that the caller sees."""
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        async with db.transaction() as tx:
            await Accounts(tx).add(Account(owner="Ada"))
            raise error
    assert caught.value is error
    assert await accounts.count() == 0


async def test_rollback_ends_it_early(db: Database, accounts: Accounts) -> None:
    """``tx.rollback()`` undoes without an error, gives the connection back, and refuses what follows."""
    async with db.transaction() as tx:
        await Accounts(tx).add(Account(owner="Ada"))
        await tx.rollback()
        assert db.stats.checked_out == 0
        with pytest.raises(ScopeClosed, match="has ended"):
            await Accounts(tx).count()
    assert await accounts.count() == 0


async def test_it_connects_at_its_first_statement(db: Database, accounts: Accounts) -> None:
    """A transaction that does nothing takes no connection."""
    async with db.transaction() as tx:
        assert db.stats.checked_out == 0
        await Accounts(tx).count()
        assert db.stats.checked_out == 1
    assert db.stats.checked_out == 0


async def test_calls_run_in_call_order(db: Database, accounts: Accounts) -> None:
    """A hundred gathered calls of several tasks run one by one, in the order of their calls."""
    sent: list[str] = []
    event.listen(db.engine.sync_engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    async with db.transaction() as tx:
        mine = Accounts(tx)
        calls = [mine.add(Account(owner=f"a{number}")) if number % 2 else mine.count() for number in range(100)]
        results = await gather(*calls)
    kinds = ["INSERT" if "INSERT" in s else "SELECT" for s in sent if "scope_accounts" in s]
    assert kinds == ["SELECT", "INSERT"] * 50
    assert [r for r in results if isinstance(r, int)] == list(range(50))


async def test_one_failing_call_among_many(db: Database, accounts: Accounts) -> None:
    """A call that fails under gather gives the caller that very error, and all is rolled back."""
    await accounts.add(Account(owner="Ada"))
    with pytest.raises(UniqueViolation):
        async with db.transaction() as tx:
            mine = Accounts(tx)
            await gather(*(mine.add(Account(owner=name)) for name in ("Grace", "Ada", "Edsger")))
    assert await accounts.count() == 1
    async with db.transaction() as tx:
        await Accounts(tx).add(Account(owner="Grace"))
    assert await accounts.count() == 2


async def test_a_caught_failure_fails_the_transaction(db: Database, accounts: Accounts) -> None:
    """After a failed statement nothing more is done, even where its error was caught."""
    await accounts.add(Account(owner="Ada"))
    with pytest.raises(TransactionFailed) as caught:
        async with db.transaction() as tx:
            with pytest.raises(UniqueViolation) as first:
                await Accounts(tx).add(Account(owner="Ada"))
            await Accounts(tx).count()
    assert caught.value.__cause__ is first.value


async def test_leaving_after_a_caught_failure(db: Database, accounts: Accounts) -> None:
    """Leaving the block normally after a failed statement raises, and stores nothing."""
    await accounts.add(Account(owner="Ada"))
    with pytest.raises(TransactionFailed, match="savepoint"):
        async with db.transaction() as tx:
            await Accounts(tx).add(Account(owner="Grace"))
            with pytest.raises(UniqueViolation):
                await Accounts(tx).add(Account(owner="Ada"))
    assert await accounts.count() == 1


async def test_rollback_after_a_failure(db: Database, accounts: Accounts) -> None:
    """Who catches a failure may end the transaction early: what leaves the block then is no error."""
    await accounts.add(Account(owner="Ada"))
    async with db.transaction() as tx:
        with pytest.raises(UniqueViolation):
            await Accounts(tx).add(Account(owner="Ada"))
        await tx.rollback()
        assert db.stats.checked_out == 0
    assert await accounts.count() == 1


async def test_not_found_is_an_answer(db: Database, accounts: Accounts) -> None:
    """``NotFound`` and a refused call fail no transaction."""
    async with db.transaction() as tx:
        mine = Accounts(tx)
        with pytest.raises(NotFound):
            await mine.get_one(1)
        with pytest.raises(NotFound):
            await mine.one()
        with pytest.raises(UsageError):
            await mine.delete_where()
        await mine.add(Account(owner="Ada"))
    assert await accounts.count() == 1


async def test_leaving_with_calls_in_flight(db: Database, accounts: Accounts) -> None:
    """Calls that nobody awaited are cancelled, everything is rolled back, and the error names them."""
    tasks = []
    with pytest.raises(UsageError, match="count of forgotten"):
        async with db.transaction() as tx:
            await Accounts(tx).add(Account(owner="Ada"))
            tasks = [asyncio.create_task(Accounts(tx).count(), name="forgotten") for _ in range(3)]
            await asyncio.sleep(0)
    assert all(task.cancelled() for task in tasks)
    assert await accounts.count() == 0
    assert db.stats.checked_out == 0


async def test_a_task_that_begins_when_the_block_is_left(db: Database, accounts: Accounts) -> None:
    """A task that was started inside and makes its first call afterwards is told so, and disturbs nothing."""
    for error in (None, ValueError("mine")):
        with contextlib.suppress(ValueError):
            async with db.transaction() as tx:
                await Accounts(tx).add(Account(owner="Ada"))
                late = asyncio.create_task(Accounts(tx).count())
                if error is not None:
                    raise error
        with pytest.raises(ScopeClosed, match="not awaited"):
            await late
        assert (await accounts.delete_where(Account.owner == "Ada"), db.stats.checked_out) == (0 if error else 1, 0)


async def test_a_task_that_begins_when_a_savepoint_is_left(db: Database, accounts: Accounts) -> None:
    """A task that was started in a savepoint and makes its first call afterwards makes it in what is around."""
    async with db.transaction() as tx:
        async with tx.savepoint():
            await Accounts(tx).add(Account(owner="Ada"))
            late = asyncio.create_task(Accounts(tx).count())
        assert await late == 1
    assert await accounts.count() == 1


async def test_an_exception_wins_over_calls_in_flight(db: Database, accounts: Accounts) -> None:
    """With calls in flight, the exception that leaves the block stays the one that is seen."""
    with pytest.raises(ValueError, match="mine"):
        async with db.transaction() as tx:
            task = asyncio.create_task(Accounts(tx).count())
            await asyncio.sleep(0)
            raise ValueError("mine")
    assert task.cancelled()


async def test_use_after_the_end(db: Database, accounts: Accounts) -> None:
    """A transaction takes no calls once it has ended, and cannot be entered again."""
    async with db.transaction() as tx:
        await Accounts(tx).count()
    with pytest.raises(ScopeClosed, match="has ended"):
        await Accounts(tx).count()
    with pytest.raises(UsageError, match="once"):
        async with tx:
            pass


async def test_cancelling_a_queued_call_removes_it(db: Database, accounts: Accounts) -> None:
    """A call that is cancelled before its turn does nothing, and harms nothing."""
    async with db.transaction() as tx:
        mine = Accounts(tx)
        first = asyncio.create_task(mine.add(Account(owner="first")))
        queued = asyncio.create_task(mine.add(Account(owner="queued")))
        await asyncio.sleep(0)
        queued.cancel()
        await first
    assert queued.cancelled()
    assert [a.owner for a in await accounts.all()] == ["first"]


async def test_cancelling_a_running_call_fails_the_transaction(db: Database, accounts: Accounts) -> None:
    """Of a statement that was stopped half-way nobody knows what it did, so nothing is kept."""
    started = asyncio.Event()
    event.listen(db.engine.sync_engine, "before_cursor_execute", lambda *args: started.set())
    with pytest.raises(TransactionFailed):
        async with db.transaction() as tx:
            await Accounts(tx).add(Account(owner="Ada"))
            started.clear()
            task = asyncio.create_task(tx.execute(LONG))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert await accounts.count() == 0
    assert db.stats.checked_out == 0


LONG = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000000) SELECT max(i) FROM n")


async def test_cancelling_the_commit(db: Database, accounts: Accounts) -> None:
    """A COMMIT runs to its end; the cancel is passed on afterwards."""
    committing = asyncio.Event()
    event.listen(db.engine.sync_engine, "commit", lambda _: committing.set())

    async def work() -> None:
        async with db.transaction() as tx:
            await Accounts(tx).add(Account(owner="Ada"))

    task = asyncio.create_task(work())
    await committing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await accounts.count() == 1


async def test_a_read_only_transaction(db: Database, accounts: Accounts) -> None:
    """Writes are refused by us, and statements that we cannot know by the database."""
    async with db.transaction(read_only=True) as tx:
        assert await Accounts(tx).count() == 0
        with pytest.raises(ReadOnlyScope, match="read_only"):
            await Accounts(tx).add(Account(owner="Ada"))
        assert await Accounts(tx).count() == 0
    await accounts.add(Account(owner="Ada"))
    assert await accounts.count() == 1


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE", "serializable"])
async def test_isolation_levels(db: Database, accounts: Accounts, isolation: str) -> None:
    """Every database accepts the standard's isolation levels."""
    async with db.transaction(isolation=isolation) as tx:
        await Accounts(tx).add(Account(owner="Ada"))
    assert await accounts.count() == 1


async def test_the_session_goes_through_the_queue(db: Database, accounts: Accounts) -> None:
    """Tasks that share ``tx.session`` are serial, and repositories see what it has added."""
    async with db.transaction() as tx:
        tx.session.add(Account(owner="Ada"))
        owners = select(Account.owner)
        first, second, count = await gather(
            tx.session.scalars(owners), tx.session.scalars(owners), Accounts(tx).count()
        )
        assert (first.all(), second.all(), count) == (["Ada"], ["Ada"], 1)
    assert await accounts.count() == 1


async def test_what_the_session_holds_is_committed(db: Database, accounts: Accounts) -> None:
    """Pending entities of ``tx.session`` are stored when the block is left, also without any call."""
    async with db.transaction() as tx:
        tx.session.add(Account(owner="Ada"))
    assert await accounts.count() == 1


@pytest.mark.parametrize("method", ["commit", "rollback", "close", "begin", "begin_nested", "reset", "invalidate"])
async def test_the_session_cannot_end_the_transaction(db: Database, accounts: Accounts, method: str) -> None:
    """What would end the transaction behind its back is refused, with what to do in its place."""
    async with db.transaction() as tx:
        with pytest.raises(UsageError, match=f"session.{method}"):
            getattr(tx.session, method)()


async def test_add_many_fails_alone(db: Database, accounts: Accounts) -> None:
    """A source that fails half-way leaves nothing of it, and the transaction can go on."""

    def source() -> Iterator[dict[str, str]]:
        yield {"owner": "Ada"}
        raise RuntimeError("the file is damaged")

    async with db.transaction() as tx:
        await Accounts(tx).add(Account(owner="Grace"))
        with pytest.raises(RuntimeError, match="damaged"):
            await Accounts(tx).add_many(source())
    assert [a.owner for a in await accounts.all()] == ["Grace"]


async def test_a_stream_lets_its_body_call(db: Database, accounts: Accounts) -> None:
    """The body of a loop over a stream may call the transaction."""
    await accounts.add_many([{"owner": f"{n:02}"} for n in range(10)])
    async with db.transaction() as tx:
        async for account in Accounts(tx).stream(order_by=Account.owner, chunk=3):
            await Entries(tx).add(Entry(account_id=account.id, amount=1))
    assert await Entries(db).count() == 10


async def test_a_connection_lost_at_commit(db: Database, accounts: Accounts) -> None:
    """A connection that breaks at COMMIT leaves the outcome unknown, which is not to be retried blindly."""
    if db.dialect.one_writer:
        pytest.skip("feature: connections to a server")
    with pytest.raises(CommitOutcomeUnknown, match="during COMMIT") as caught:
        async with db.transaction() as tx:
            await Accounts(tx).add(Account(owner="Ada"))
            process = await tx.scalar(text("SELECT pg_backend_pid()"))
            await db.scalar(text("SELECT pg_terminate_backend(:process)"), {"process": process})
    assert not caught.value.retryable
    assert await accounts.count() == 0


async def test_another_database_is_none_of_its_business(db: Database, accounts: Accounts, tmp_path: Path) -> None:
    """Inside a transaction another database can be written to as ever."""
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'other.db'}") as other:
        await other.create_all(Base.metadata)
        async with db.transaction() as tx:
            await Accounts(tx).add(Account(owner="Ada"))
            await Accounts(other).add(Account(owner="Grace"))
            with pytest.raises(UsageError, match="inside of a transaction"):
                await accounts.add(Account(owner="Alan"))
        assert await Accounts(other).count() == 1
