"""A server that stops answering: clean-up is bounded in time, and what is left of a connection is thrown away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest
from sqlalchemy import event, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from repo import Database, gather
from repo.dialects.postgresql import driver
from repo.engine import connections
from repo.errors import CommitOutcomeUnknown, ConnectionLost, TransactionFailed
from tests.proxy import Proxy
from tests.scopes.models import Account, Accounts

PATIENCE = 0.2
"""Seconds that each step of a clean-up waits for the server here, in place of some seconds."""

BOUND = 20.0
"""Seconds within which all must be over, on a slow machine, too; without a bound it takes for ever."""


@pytest.fixture
async def remote(
    url: str, accounts: Accounts, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    """A `Database` behind the proxy with one account in it, and with open connections; it waits for little."""
    await accounts.add(Account(owner="Ada"))
    async with Database(make_url(url).set(host="127.0.0.1", port=proxy.port), pool_size=3) as db:
        await gather(*(Accounts(db).count() for _ in range(6)))
        for module, name in ((connections, "CLEAN_UP"), (connections, "OPENING"), (driver, "FAREWELL")):
            monkeypatch.setattr(module, name, PATIENCE)
        yield db


async def never() -> None:
    """Think for ever."""
    await asyncio.Event().wait()


async def read(db: Database, proxy: Proxy) -> None:
    """A read."""
    proxy.silent.set()
    await Accounts(db).count()


async def write(db: Database, proxy: Proxy) -> None:
    """A write."""
    proxy.silent.set()
    await Accounts(db).update(1, balance=1)


async def ask(db: Database, proxy: Proxy) -> None:
    """A transaction in the middle of a statement."""
    async with db.transaction() as tx:
        await Accounts(tx).update(1, balance=1)
        proxy.silent.set()
        await Accounts(tx).count()


async def think(db: Database, proxy: Proxy) -> None:
    """A transaction between two statements, so that only its ROLLBACK meets the silence."""
    async with db.transaction() as tx:
        await Accounts(tx).update(1, balance=1)
        proxy.silent.set()
        await never()


async def look(db: Database, proxy: Proxy) -> None:
    """A snapshot with several statements."""
    async with db.snapshot() as snapshot:
        await gather(*(Accounts(snapshot).count() for _ in range(3)))
        proxy.silent.set()
        await gather(*(Accounts(snapshot).count() for _ in range(3)))


async def close_an_eye(db: Database, proxy: Proxy) -> None:
    """A snapshot between two statements."""
    async with db.snapshot() as snapshot:
        await gather(*(Accounts(snapshot).count() for _ in range(3)))
        proxy.silent.set()
        await never()


async def save(db: Database, proxy: Proxy) -> None:
    """A savepoint between two statements."""
    async with db.transaction() as tx, tx.savepoint():
        await Accounts(tx).update(1, balance=1)
        proxy.silent.set()
        await never()


async def stream(db: Database, proxy: Proxy) -> None:
    """The body of a loop over a stream."""
    async with Accounts(db).stream() as accounts:
        async for _ in accounts:
            proxy.silent.set()
            await never()


async def stream_inside(db: Database, proxy: Proxy) -> None:
    """The body of a loop over a stream of a transaction."""
    async with db.transaction() as tx, Accounts(tx).stream(chunk=1) as accounts:
        async for _ in accounts:
            proxy.silent.set()
            await never()


async def stream_to_close(db: Database, proxy: Proxy) -> None:
    """A stream that is closed without word of what happened."""
    async with aclosing(Accounts(db).stream()) as accounts:
        async for _ in accounts:
            proxy.silent.set()
            await never()


WORKS = (
    *(read, write, ask, think, look, close_an_eye, save),
    *(stream, stream_inside, stream_to_close),
)


async def cancelled(work: Awaitable[None], proxy: Proxy) -> asyncio.Task[None]:
    """The task of a work that was cancelled as soon as it waited for the silent server, and has ended."""
    task = asyncio.ensure_future(work)
    await proxy.silent.wait()
    await asyncio.wait([task], timeout=0.1)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task], timeout=BOUND)
    ended = task.done()
    # What still waits for an answer gets an error for one, so that a failure of this test is not a hang.
    if not ended:
        await proxy.close()
        await asyncio.wait([task], timeout=BOUND)
    assert ended
    return task


async def assert_whole(db: Database, proxy: Proxy) -> None:
    """Nothing is in use, and with the `Database` the last connection goes, its socket included."""
    assert (db.stats.checked_out, db.stats.waiting) == (0, 0)
    async with asyncio.timeout(BOUND):
        await db.close()
        await proxy.deserted()


@pytest.mark.parametrize("work", WORKS)
async def test_clean_up_is_bounded(
    remote: Database, proxy: Proxy, work: Callable[[Database, Proxy], Awaitable[None]]
) -> None:
    """When the server does not answer any more, what is cancelled ends all the same, and gives its place back."""
    task = await cancelled(work(remote, proxy), proxy)
    assert task.cancelled()
    await assert_whole(remote, proxy)


async def write_or_not(db: Database, proxy: Proxy) -> None:
    """A write of several statements whose COMMIT meets the silence."""
    event.listen(db.engine.sync_engine, "commit", lambda _: proxy.silent.set())
    await Accounts(db).update_where(Account.id == 1, values={"balance": 1})


async def commit(db: Database, proxy: Proxy) -> None:
    """A transaction whose COMMIT meets the silence."""
    async with db.transaction() as tx:
        await Accounts(tx).update(1, balance=1)
        proxy.silent.set()


async def commit_reads(db: Database, proxy: Proxy) -> None:
    """A transaction that only reads, whose COMMIT meets the silence."""
    async with db.transaction(read_only=True) as tx:
        await Accounts(tx).count()
        proxy.silent.set()


@pytest.mark.parametrize("work", [write_or_not, commit, commit_reads])
async def test_commit(remote: Database, proxy: Proxy, work: Callable[[Database, Proxy], Awaitable[None]]) -> None:
    """What a COMMIT has done that gets no answer, nobody knows: that says more than that it was cancelled."""
    task = await cancelled(work(remote, proxy), proxy)
    error = task.exception()
    assert type(error) is (ConnectionLost if work is commit_reads else CommitOutcomeUnknown)
    assert "did not answer COMMIT in time" in str(error)
    assert error.retryable is (work is commit_reads)
    await assert_whole(remote, proxy)


async def test_an_error_leaves_a_transaction(remote: Database, proxy: Proxy) -> None:
    """An error that leaves the block is not held up for long by a ROLLBACK that is not answered."""
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(BOUND), remote.transaction() as tx:
            await Accounts(tx).update(1, balance=1)
            proxy.silent.set()
            raise ZeroDivisionError
    await assert_whole(remote, proxy)


async def test_an_error_leaves_a_savepoint(remote: Database, proxy: Proxy) -> None:
    """A savepoint that cannot be rolled back fails its transaction, which says why."""
    with pytest.raises(TransactionFailed, match=r"did not answer within 0.2 s"):
        async with asyncio.timeout(BOUND), remote.transaction() as tx:
            await Accounts(tx).update(1, balance=1)
            with pytest.raises(ZeroDivisionError):
                async with tx.savepoint():
                    await Accounts(tx).update(1, balance=2)
                    proxy.silent.set()
                    raise ZeroDivisionError
            await Accounts(tx).count()
    await assert_whole(remote, proxy)


async def test_close(remote: Database, proxy: Proxy) -> None:
    """``close()`` ends although no connection says good-bye."""
    proxy.silent.set()
    await assert_whole(remote, proxy)


async def test_an_engine_of_the_users_own(
    url: str, accounts: Accounts, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `repo` does by itself is bounded on an engine that was given, too."""
    monkeypatch.setattr(connections, "CLEAN_UP", PATIENCE)
    await accounts.add(Account(owner="Ada"))
    engine = create_async_engine(make_url(url).set(host="127.0.0.1", port=proxy.port))
    async with Database(engine) as db:
        task = await cancelled(think(db, proxy), proxy)
        assert task.cancelled()
        assert (db.stats.checked_out, db.stats.waiting) == (0, 0)
    await engine.dispose()
