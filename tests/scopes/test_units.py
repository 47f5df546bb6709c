"""`Database.transact`: a whole transaction, again until it is done."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

import pytest
from sqlalchemy import text

from repo import Database, NotFound, Retry, Transaction, UniqueViolation, UsageError, gather
from repo.errors import AfterCommitFailed, CommitOutcomeUnknown, Deadlock, SerializationFailure, TransactionFailed
from repo.events import AttemptFailed, Event, UnitEnded, UnitStarted
from repo.testing import instant_retries
from tests.scopes.models import Account, Accounts, Entry

QUICK = Retry(wait=0.001, longest_wait=0.01)


class Flaky:
    """Fails so many times, then succeeds."""

    def __init__(self, times: int, error: Callable[[str], Exception] = SerializationFailure) -> None:
        self.left = times
        self.error = error
        self.seen: list[int] = []

    def stumble(self, tx: Transaction) -> None:
        """Fail, if it is time to."""
        self.seen.append(tx.attempt)
        if self.left:
            self.left -= 1
            raise self.error(f"attempt {tx.attempt}")

    async def __call__(self, tx: Transaction, owner: str) -> int:
        added = await Accounts(tx).add(Account(owner=owner))
        self.stumble(tx)
        return added.id


async def test_the_whole_is_done_again(db: Database, accounts: Accounts) -> None:
    """After a retryable error the function is called again in a new transaction, and its result is returned."""
    work = Flaky(3)
    key = await db.transact(work, "Ada", retry=QUICK)
    assert (await accounts.get_one(key)).owner == "Ada"
    assert work.seen == [1, 2, 3, 4]
    assert await accounts.count() == 1


@pytest.mark.parametrize("error", [ValueError, NotFound, UniqueViolation, KeyError])
async def test_other_errors_are_not_tried_again(db: Database, accounts: Accounts, error: type[Exception]) -> None:
    """An error that would come again is raised as it is, after one attempt."""
    work = Flaky(1, error)
    with pytest.raises(error, match="attempt 1") as caught:
        await db.transact(work, "Ada", retry=QUICK)
    assert (work.seen, getattr(caught.value, "__notes__", [])) == ([1], [])
    assert await accounts.count() == 0


async def test_when_the_attempts_are_used_up(db: Database, accounts: Accounts) -> None:
    """The last error is raised, and its notes tell of all the attempts."""
    work = Flaky(10, Deadlock)
    with pytest.raises(Deadlock, match="attempt 3") as caught:
        await db.transact(work, "Ada", retry=Retry(attempts=3, wait=0.001))
    first, second, last = caught.value.__notes__
    assert first.startswith("attempt 1 of Flaky: Deadlock: attempt 1; it waited for 0.00")
    assert second.startswith("attempt 2 of Flaky: Deadlock: attempt 2; it waited for 0.00")
    assert last.startswith("attempt 3 of Flaky was the last")
    assert work.seen == [1, 2, 3]
    assert await accounts.count() == 0


async def test_another_error_in_the_end_tells_the_history_too(db: Database, accounts: Accounts) -> None:
    """An error that is not tried again tells of those before it that were."""
    errors = [SerializationFailure("first"), ValueError("second")]

    async def work(_: Transaction) -> None:
        raise errors.pop(0)

    with pytest.raises(ValueError, match="second") as caught:
        await db.transact(work, retry=QUICK)
    assert "SerializationFailure: first" in caught.value.__notes__[0]


async def test_when_the_time_is_over(db: Database, accounts: Accounts) -> None:
    """No attempt begins after the time that is given for all."""
    work = Flaky(10)
    with pytest.raises(SerializationFailure, match="attempt 1"):
        await db.transact(work, "Ada", retry=Retry(within=0.0))
    assert work.seen == [1]


async def test_waits_are_left_out_in_tests(db: Database, accounts: Accounts) -> None:
    """With ``repo.testing.instant_retries()`` nothing waits between attempts."""
    slow = Retry(attempts=6, wait=1000.0, longest_wait=1000.0, within=1e9)
    with instant_retries():
        async with asyncio.timeout(30):
            await db.transact(Flaky(5), "Ada", retry=slow)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await db.transact(Flaky(1), "Grace", retry=slow)
    assert await accounts.count() == 1


async def test_what_was_to_follow_the_commit_of_a_failed_attempt(db: Database, accounts: Accounts) -> None:
    """What a failed attempt has registered for after the commit is dropped; that of the last runs."""
    done: list[int] = []
    flaky = Flaky(2)

    async def note(attempt: int) -> None:
        done.append(attempt)

    async def work(tx: Transaction) -> None:
        tx.after_commit(note, tx.attempt)
        flaky.stumble(tx)

    await db.transact(work, retry=QUICK)
    assert done == [3]


async def test_a_failure_after_the_commit(db: Database, accounts: Accounts) -> None:
    """What fails after the COMMIT is not tried again, whatever it is, and the error has the result."""

    async def fail() -> None:
        raise Deadlock("of something else")

    async def work(tx: Transaction) -> int:
        tx.after_commit(fail)
        return (await Accounts(tx).add(Account(owner="Ada"))).id

    with pytest.raises(AfterCommitFailed) as caught:
        await db.transact(work, retry=QUICK)
    assert caught.value.result == (await accounts.one()).id


async def test_entities_from_outside(db: Database, accounts: Accounts) -> None:
    """Entities that were made outside are stored once, however many attempts it takes."""
    ada = Account(owner="Ada", entries=[Entry(amount=1)])
    grace = await accounts.add(Account(owner="Grace"))
    flaky = Flaky(3)

    async def work(tx: Transaction) -> None:
        await Accounts(tx).add(ada)
        await Accounts(tx).update(grace, balance=grace.balance + 10)
        flaky.stumble(tx)

    await db.transact(work, retry=QUICK)
    assert [(a.owner, a.balance) for a in await accounts.all(order_by=Account.owner)] == [("Ada", 0), ("Grace", 10)]
    assert (await accounts.get_one(ada.id, load=Account.entries)).entries[0].amount == 1
    assert grace.balance == 10


@pytest.mark.parametrize("how", ["caught", "group"])
async def test_a_retryable_error_that_arrives_in_disguise(db: Database, accounts: Accounts, how: str) -> None:
    """A retryable error that was caught, or comes out of a task group, leads to another attempt as well."""
    if db.dialect.one_writer:
        pytest.skip("feature: concurrent writing transactions")
    await accounts.add(Account(owner="Ada"))
    attempts = 0

    async def work(tx: Transaction) -> None:
        nonlocal attempts
        attempts += 1
        ada = await Accounts(tx).get_one(1)
        if attempts == 1:
            await Accounts(db.independent()).update(1, balance=5)
        if how == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(Accounts(tx).update(ada, balance=ada.balance + 1))
        else:
            with pytest.raises(SerializationFailure) if attempts == 1 else nullcontext():
                await Accounts(tx).update(ada, balance=ada.balance + 1)

    await db.transact(work, isolation="REPEATABLE READ", retry=QUICK)
    assert (attempts, (await accounts.get_one(1)).balance) == (2, 6)


async def test_a_caught_error_that_is_not_retryable(db: Database, accounts: Accounts) -> None:
    """`TransactionFailed` is as retryable as the error that was caught."""
    attempts: list[int] = []

    async def work(tx: Transaction) -> None:
        attempts.append(tx.attempt)
        await Accounts(tx).add(Account(owner="Ada"))
        with pytest.raises(UniqueViolation):
            await Accounts(tx).add(Account(owner="Ada"))

    with pytest.raises(TransactionFailed):
        await db.transact(work, retry=QUICK)
    assert attempts == [1]


async def test_inside_of_a_transaction_it_is_refused(db: Database, accounts: Accounts) -> None:
    """Inside of a transaction it could not do the whole again, so it says why not, and what to do."""
    async with db.transaction() as tx:
        with pytest.raises(UsageError, match="cannot do the whole again"):
            await db.transact(Flaky(0), "Ada")
        await Flaky(0)(tx, "Ada")

    async def outer(_: Transaction) -> None:
        await db.transact(Flaky(0), "Grace")

    with pytest.raises(UsageError, match="cannot do the whole again"):
        await db.transact(outer)
    assert await accounts.count() == 1


async def test_in_a_snapshot_and_after_a_commit_it_is_not(db: Database, accounts: Accounts) -> None:
    """A snapshot is no transaction that could be undone; and what follows a COMMIT is outside of it."""
    async with db.snapshot() as snapshot:
        assert await Accounts(snapshot).count() == 0
        await db.transact(Flaky(1), "Ada", retry=QUICK)
        assert await Accounts(snapshot).count() == 0
    async with db.transaction() as tx:
        tx.after_commit(db.transact, Flaky(1), "Grace")
    assert await accounts.count() == 2


async def forgets_to_await(tx: Transaction) -> Awaitable[int]:
    """Returns a coroutine that nobody has awaited."""
    return Accounts(tx).count()


async def gives_a_task(tx: Transaction) -> Awaitable[int]:
    """Returns a task that nobody has awaited."""
    return asyncio.ensure_future(Accounts(tx).count())


async def yields(tx: Transaction) -> Any:
    """An asynchronous generator."""
    yield await Accounts(tx).count()


def is_not_async(tx: Transaction) -> int:
    """No async function."""
    return tx.attempt


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (forgets_to_await, "return await"),
        (gives_a_task, "return await"),
        (yields, "async function; yields returned async_generator"),
        (is_not_async, "async function; is_not_async returned int"),
        (None, "takes the function and its arguments"),
    ],
)
async def test_what_is_no_unit_of_work(db: Database, accounts: Accounts, wrong: Any, said: str) -> None:
    """What nobody would await, or what cannot be called again, is refused."""
    with pytest.raises(UsageError, match=said):
        await db.transact(wrong)
    with pytest.raises(UsageError, match="takes the function and its arguments"):
        coroutine: Any = forgets_to_await(db.transaction())
        await db.transact(coroutine)


async def test_options_are_those_of_a_transaction(db: Database, accounts: Accounts) -> None:
    """Every option of ``transaction`` is one of ``transact``, and holds for each attempt."""
    levels: list[str] = []
    flaky = Flaky(1)

    async def work(tx: Transaction) -> None:
        levels.append(str(tx.options.isolation))
        if not db.dialect.one_writer:
            levels.append(await tx.scalar(text("SHOW transaction_isolation")))
            levels.append(await tx.scalar(text("SHOW lock_timeout")))
        flaky.stumble(tx)

    options: dict[str, Any] = {"isolation": "SERIALIZABLE", "lock_timeout": 7, "statement_timeout": 9, "settings": {}}
    await db.transact(work, retry=QUICK, **options)
    told = ["SERIALIZABLE"] if db.dialect.one_writer else ["SERIALIZABLE", "serializable", "7s"]
    assert levels == told * 2
    wrong: dict[str, Any] = {"isolaton": "SERIALIZABLE"}
    with pytest.raises(TypeError, match="isolaton"):
        await db.transact(work, **wrong)


async def test_hooks_are_told(url: str, accounts: Accounts) -> None:
    """A unit is two events, and each attempt that fails is one, with its error and the wait after it."""
    events: list[Event] = []
    async with Database(url, hooks=[events.append]) as db:
        await db.transact(Flaky(2), "Ada", retry=QUICK)
        with pytest.raises(ValueError, match="attempt 1"):
            await db.transact(Flaky(1, ValueError), "Grace")
    first, second = (e for e in events if isinstance(e, UnitStarted))
    failures = [e for e in events if isinstance(e, AttemptFailed)]
    done, failed = (e for e in events if isinstance(e, UnitEnded))
    assert [(e.unit, e.attempt, str(e.error)) for e in failures] == [
        (first.unit, 1, "attempt 1"),
        (first.unit, 2, "attempt 2"),
        (second.unit, 1, "attempt 1"),
    ]
    assert [e.wait is None for e in failures] == [False, False, True]
    assert (done.unit, done.name, done.attempts, done.replayed, done.error) == (first.unit, "Flaky", 3, False, None)
    assert (failed.unit, failed.attempts, failed.error) == (second.unit, 1, failures[2].error)
    assert done.started == first.at <= failures[0].at <= done.at


async def test_a_cancel_ends_it(db: Database, accounts: Accounts) -> None:
    """A cancellation ends the attempt, and there is no other."""
    begun = asyncio.Event()
    attempts: list[int] = []

    async def work(tx: Transaction) -> None:
        attempts.append(tx.attempt)
        await Accounts(tx).add(Account(owner="Ada"))
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(db.transact(work))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (attempts, await accounts.count(), db.stats.checked_out) == ([1], 0, 0)


async def test_a_lost_connection(db: Database, accounts: Accounts) -> None:
    """A connection that is lost before COMMIT leads to another attempt; one that is lost during COMMIT does not."""
    if db.dialect.one_writer:
        pytest.skip("feature: connections to a server")
    attempts: list[int] = []

    async def work(tx: Transaction, last: bool) -> None:
        attempts.append(tx.attempt)
        await Accounts(tx).add(Account(owner="Ada"))
        if tx.attempt == 1:
            process = await tx.scalar(text("SELECT pg_backend_pid()"))
            await db.scalar(text("SELECT pg_terminate_backend(:process)"), {"process": process})
        if not last:
            await Accounts(tx).count()

    await db.transact(work, False, retry=QUICK)
    assert (attempts, await accounts.count()) == ([1, 2], 1)
    await accounts.delete(1)
    await accounts.delete(2)
    with pytest.raises(CommitOutcomeUnknown):
        await db.transact(work, True, retry=QUICK)
    assert attempts == [1, 2, 1]


async def test_two_that_deadlock(db: Database, accounts: Accounts) -> None:
    """Two transactions that wait for each other's rows both finish."""
    await accounts.add_many([{"owner": "Ada"}, {"owner": "Grace"}])
    met = asyncio.Barrier(1 if db.dialect.one_writer else 2)

    async def move(tx: Transaction, giver: int, taker: int) -> int:
        await Accounts(tx).update_where(Account.id == giver, values={Account.balance: Account.balance - 1})
        if tx.attempt == 1:
            await met.wait()
        await Accounts(tx).update_where(Account.id == taker, values={Account.balance: Account.balance + 1})
        return tx.attempt

    attempts = await gather(db.transact(move, 1, 2), db.transact(move, 2, 1))
    assert sorted(attempts) == ([1, 1] if db.dialect.one_writer else [1, 2])
    assert [account.balance for account in await accounts.all()] == [0, 0]
