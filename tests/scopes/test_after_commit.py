"""What runs after a COMMIT, and only then."""

import asyncio
import gc
from typing import Any

import pytest
from sqlalchemy import event, text

from repo import Database, TransactionFailed, UniqueViolation, UsageError
from repo.errors import AfterCommitFailed, CommitOutcomeUnknown, ScopeClosed
from repo.scopes import after_commit
from tests.scopes.models import Account, Accounts


class Box:
    """Collects what was done after a COMMIT."""

    def __init__(self) -> None:
        self.found: list[str] = []

    async def put(self, item: str) -> None:
        """Do something that takes a moment."""
        await asyncio.sleep(0)
        self.found.append(item)

    async def fail(self, item: str) -> None:
        """Fail."""
        await self.put(item)
        raise ValueError(item)


@pytest.fixture
def box() -> Box:
    """An empty box."""
    return Box()


async def test_it_runs_after_the_commit_in_order(db: Database, accounts: Accounts, box: Box) -> None:
    """What was registered runs once the block is left, in order, and finds what was committed."""

    async def look() -> None:
        await box.put(f"{await accounts.count()} stored, {db.stats.checked_out} connections in use")

    async with db.transaction() as tx:
        await Accounts(tx).add(Account(owner="Ada"))
        tx.after_commit(look)
        tx.after_commit(box.put, "second")
        await asyncio.sleep(0)
        assert box.found == []
    assert box.found == ["1 stored, 0 connections in use", "second"]


async def test_it_is_outside_of_the_transaction(db: Database, accounts: Accounts) -> None:
    """It may write through the `Database`, and in transactions of its own; the transaction takes no more calls."""
    refused: list[ScopeClosed] = []

    async def write() -> None:
        await accounts.add(Account(owner="by the Database"))
        async with db.transaction() as other:
            await Accounts(other).add(Account(owner="by another transaction"))
        with pytest.raises(ScopeClosed) as caught:
            await Accounts(tx).count()
        refused.append(caught.value)

    async with db.transaction() as tx:
        await Accounts(tx).count()
        tx.after_commit(write)
    assert await accounts.count() == 2
    assert len(refused) == 1


async def test_without_a_commit_it_is_dropped(db: Database, accounts: Accounts, box: Box) -> None:
    """After an exception, ``rollback()`` or a COMMIT that fails, nothing of it runs."""
    await accounts.add(Account(owner="Ada"))
    with pytest.raises(ValueError, match="mine"):
        async with db.transaction() as tx:
            tx.after_commit(box.put, "exception")
            raise ValueError("mine")
    async with db.transaction() as tx:
        tx.after_commit(box.put, "rollback")
        await tx.rollback()
        with pytest.raises(ScopeClosed):
            tx.after_commit(box.put, "after the end")
    with pytest.raises(UniqueViolation):
        async with db.transaction() as tx:
            tx.after_commit(box.put, "commit")
            tx.session.add(Account(owner="Ada"))
    with pytest.raises(TransactionFailed):
        async with db.transaction() as tx:
            tx.after_commit(box.put, "caught")
            with pytest.raises(UniqueViolation):
                await Accounts(tx).add(Account(owner="Ada"))
            tx.after_commit(box.put, "after a failure")
    assert box.found == []


async def test_a_lost_commit_runs_nothing(db: Database, accounts: Accounts, box: Box) -> None:
    """Where nobody knows whether the COMMIT happened, nothing runs."""
    if db.dialect.one_writer:
        pytest.skip("feature: connections to a server")
    with pytest.raises(CommitOutcomeUnknown):
        async with db.transaction() as tx:
            tx.after_commit(box.put, "unknown")
            await Accounts(tx).add(Account(owner="Ada"))
            process = await tx.scalar(text("SELECT pg_backend_pid()"))
            await db.scalar(text("SELECT pg_terminate_backend(:process)"), {"process": process})
    assert box.found == []


async def test_a_savepoint_that_is_rolled_back_drops_its_own(db: Database, accounts: Accounts, box: Box) -> None:
    """What was registered in a savepoint goes with it; what a released one has registered stays."""
    async with db.transaction() as tx:
        tx.after_commit(box.put, "root")
        with pytest.raises(ZeroDivisionError):
            async with tx.savepoint():
                tx.after_commit(box.put, "undone")
                async with tx.savepoint():
                    tx.after_commit(box.put, "undone with the one around it")
                raise ZeroDivisionError
        async with tx.savepoint():
            tx.after_commit(box.put, "released")
            with pytest.raises(ZeroDivisionError):
                async with tx.savepoint():
                    tx.after_commit(box.put, "undone, too")
                    raise ZeroDivisionError
    assert box.found == ["root", "released"]


async def test_all_run_even_if_one_fails(db: Database, accounts: Accounts, box: Box) -> None:
    """Failures are raised together when all have run, and say that the commit stands."""
    with pytest.raises(AfterCommitFailed, match="is committed") as caught:
        async with db.transaction() as tx:
            await Accounts(tx).add(Account(owner="Ada"))
            tx.after_commit(box.fail, "first")
            tx.after_commit(box.put, "second")
            tx.after_commit(box.fail, "third")
    error = caught.value
    assert box.found == ["first", "second", "third"]
    assert [str(each) for each in error.errors] == ["first", "third"]
    assert isinstance(error.__cause__, ExceptionGroup)
    assert error.__cause__.exceptions == error.errors
    assert "Box.fail" in str(error)
    assert not error.retryable
    assert await accounts.count() == 1


async def test_one_failure_is_the_cause_itself(db: Database, accounts: Accounts, box: Box) -> None:
    """A single failure is the cause, without a group around it."""
    with pytest.raises(AfterCommitFailed) as caught:
        async with db.transaction() as tx:
            tx.after_commit(box.fail, "only")
    assert caught.value.errors == (caught.value.__cause__,)


async def test_what_is_no_async_function_is_refused(db: Database, box: Box) -> None:
    """A coroutine in place of its function is refused at once; a function that gives nothing to await, when it runs."""
    wrong: Any = box.put("at once")
    async with db.transaction() as tx:
        with pytest.raises(UsageError, match="the function and its arguments"):
            tx.after_commit(wrong)
        nothing: Any = None
        with pytest.raises(UsageError, match="the function and its arguments"):
            tx.after_commit(nothing)
    with pytest.raises(AfterCommitFailed) as caught:
        async with db.transaction() as tx:
            plain: Any = box.found.append
            tx.after_commit(plain, "done")
    assert isinstance(caught.value.errors[0], UsageError)
    gc.collect()


async def test_a_cancel_during_the_commit(db: Database, accounts: Accounts, box: Box) -> None:
    """A cancel that arrives during COMMIT is passed on when all have run."""
    committing = asyncio.Event()
    event.listen(db.engine.sync_engine, "commit", lambda _: committing.set())

    async def work() -> None:
        async with db.transaction() as tx:
            await Accounts(tx).add(Account(owner="Ada"))
            tx.after_commit(box.put, "first")
            tx.after_commit(box.put, "second")

    task = asyncio.create_task(work())
    await committing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (box.found, await accounts.count()) == (["first", "second"], 1)


async def test_a_cancel_while_they_run(db: Database, accounts: Accounts, box: Box) -> None:
    """A cancel that arrives while they run is passed on when all have run."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        await go_on.wait()

    async def work() -> None:
        async with db.transaction() as tx:
            tx.after_commit(wait)
            tx.after_commit(box.put, "second")

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert box.found == ["second"]


async def test_a_cancel_does_not_wait_for_ever(
    db: Database, accounts: Accounts, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What still runs some time after a cancel is cancelled itself; the cancellation says what was left undone."""
    monkeypatch.setattr(after_commit, "GRACE", 0.05)
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def work() -> None:
        async with db.transaction() as tx:
            await Accounts(tx).add(Account(owner="Ada"))
            tx.after_commit(box.put, "first")
            tx.after_commit(hang)
            tx.after_commit(box.put, "never")

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert (box.found, await accounts.count()) == (["first"], 1)
    (note,) = caught.value.__notes__
    assert "is committed" in note
    assert "hang" in note
    assert "Box.put" in note


async def test_one_that_is_cancelled_itself(db: Database, accounts: Accounts, box: Box) -> None:
    """A function that raises a cancellation of its own is not passed over in silence."""

    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError) as caught:
        async with db.transaction() as tx:
            tx.after_commit(give_up)
            tx.after_commit(box.put, "never")
    assert "Box.put" in caught.value.__notes__[0]


async def test_a_time_out_around_a_transaction_reaches_them(
    db: Database, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``asyncio.timeout`` around the block ends one that hangs."""
    monkeypatch.setattr(after_commit, "GRACE", 0.05)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            async with db.transaction() as tx:
                tx.after_commit(asyncio.Event().wait)
