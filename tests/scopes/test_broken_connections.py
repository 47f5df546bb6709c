"""What a read costs on a connection that is there, and what happens when it is not there any more."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import Executable, event, func, insert, make_url, select, text

from repo import Database, gather
from repo.dialects.postgresql import driver
from repo.errors import ConnectionLost
from tests.interleaved import settle
from tests.proxy import Proxy
from tests.scopes.models import Account, Accounts

KILL = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query <> ''")
COUNT = select(func.count()).select_from(Account)
BOUND = 30.0
"""Seconds that are plenty, on a slow machine, too."""

READS: dict[str, Callable[[Database], Awaitable[object]]] = {
    "get": lambda db: Accounts(db).get(1),
    "all": lambda db: Accounts(db).all(Account.balance == 0),
    "exists": lambda db: Accounts(db).exists(),
    "scalar": lambda db: db.scalar(COUNT),
    "text": lambda db: db.scalar(text("SELECT count(*) FROM scope_accounts")),
}


@pytest.fixture
async def remote(url: str, accounts: Accounts, proxy: Proxy) -> AsyncIterator[Database]:
    """A `Database` behind the proxy with one account in it, and with three open connections."""
    await accounts.add(Account(owner="Ada"))
    async with Database(make_url(url).set(host="127.0.0.1", port=proxy.port), pool_size=3) as db:
        await warm(db)
        yield db


async def warm(db: Database) -> None:
    """Use every connection of the pool, and have each statement prepared there."""
    for read in READS.values():
        for _ in range(2):  # by SQLAlchemy, which looks what the columns are called, and by the driver itself
            await gather(*(read(db.independent()) for _ in range(3)))


@pytest.mark.parametrize("read", READS)
async def test_a_read_sends_nothing_else(remote: Database, proxy: Proxy, read: str) -> None:
    """A read through the `Database` is one round trip: no BEGIN, no ROLLBACK, no question whether anybody is there."""
    proxy.heard.clear()
    await READS[read](remote)
    await READS[read](remote)
    # Values are bound, the statement is executed, and that is all: it had been prepared before.
    assert proxy.heard == ["B", "E", "S"] * 2


async def test_a_read_of_a_file_sends_nothing_else(url: str, accounts: Accounts) -> None:
    """Where there is no server, too, a read is its statement alone."""
    if accounts.scope.dialect.remote:
        pytest.skip("feature: a driver that tells what it executes")
    sent: list[str] = []
    async with Database(url, pool_size=1) as db:
        event.listen(
            db.engine.sync_engine,
            "connect",
            lambda made, _: made.run_async(lambda connection: connection.set_trace_callback(sent.append)),
        )
        await db.ping()
        sent.clear()
        await Accounts(db).exists()
        await db.scalar(COUNT)
    assert [statement.split()[0] for statement in sent] == ["SELECT", "SELECT"]


@pytest.mark.parametrize("write", [False, True])
async def test_a_server_that_was_started_anew(remote: Database, proxy: Proxy, *, write: bool) -> None:
    """Connections that were closed while nobody used them are no error, but replaced, for a write, too."""
    proxy.break_off()
    async with asyncio.timeout(BOUND):
        await proxy.deserted()
        if write:
            assert (await Accounts(remote).update(1, balance=1)).balance == 1
            async with remote.transaction() as tx:
                assert (await Accounts(tx).update(1, balance=2)).balance == 2
        assert await gather(*(Accounts(remote).count() for _ in range(9))) == (1,) * 9
    assert (remote.stats.checked_out, remote.stats.waiting) == (0, 0)


async def test_killed_a_moment_ago(db: Database, remote: Database) -> None:
    """Reads that meet connections which are killed at that very moment are done again on new ones."""
    async with asyncio.timeout(BOUND):
        for _ in range(10):
            killing = asyncio.create_task(db.scalars(KILL))
            for _ in range(3):
                assert await gather(*(Accounts(remote).count() for _ in range(9))) == (1,) * 9
            with pytest.raises(ConnectionLost):  # it kills itself as well
                await killing
    assert (remote.stats.checked_out, remote.stats.waiting) == (0, 0)


@pytest.mark.parametrize(
    ("statement", "times"),
    [
        (COUNT, 2),
        (select(COUNT.subquery()), 2),
        (text("SELECT count(*) FROM scope_accounts"), 1),
        (select(insert(Account).values(owner="Grace", balance=0).returning(Account.id).cte()), 1),
        (select(text("INSERT INTO scope_accounts VALUES (2, 'G', 0) RETURNING id").columns(Account.id).cte()), 1),
    ],
)
async def test_what_is_done_again(remote: Database, proxy: Proxy, statement: Executable, times: int) -> None:
    """A read of which the connection broke is done once more, if it is sure that it only reads; at most once."""
    sent: list[str] = []

    def break_off(*args: object) -> None:
        sent.append(str(args[2]))
        proxy.break_off()

    event.listen(remote.engine.sync_engine, "before_cursor_execute", break_off)
    with pytest.raises(ConnectionLost):
        await remote.scalars(statement)
    assert len(sent) == times


async def test_a_connection_that_does_not_answer_after_a_pause(
    remote: Database, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that nobody used for a while, and that does not answer, is replaced before it is used."""
    monkeypatch.setattr(driver, "IDLE", 0.0)
    await settle()
    proxy.heard.clear()
    assert await Accounts(remote).count() == 1
    assert proxy.heard == ["Q SELECT 1", "B", "E", "S"]
    for name in ("PING", "FAREWELL"):
        monkeypatch.setattr(driver, name, 0.2)
    proxy.lose()
    await settle()
    async with asyncio.timeout(BOUND):
        assert (await Accounts(remote).update(1, balance=1)).balance == 1
        assert await gather(*(Accounts(remote).count() for _ in range(9))) == (1,) * 9


async def test_a_cancel_while_a_connection_is_asked(
    remote: Database, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel of a call that waits for such an answer leaves nothing behind."""
    monkeypatch.setattr(driver, "IDLE", 0.0)
    await settle()
    proxy.lose()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await Accounts(remote).count()
    assert (remote.stats.checked_out, remote.stats.waiting) == (0, 0)
