"""The engine, its pool, and their life."""

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, TypeVarTuple, Unpack
from weakref import WeakSet

from sqlalchemy import URL, Connection, MetaData, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import greenlet_spawn

from repo.dialects.base import TransactionArguments, TransactionOptions, check_seconds
from repo.engine import execution
from repo.engine.admission import Holder, Permits, Stats, inside
from repo.engine.border import cross_commit
from repo.engine.connections import Connections
from repo.engine.directly import Direct, NotDirectly, Way
from repo.engine.making import create, given
from repo.engine.plans import Plans
from repo.engine.together import Committed, Several, Write
from repo.engine.tokens import TOKENS
from repo.errors import ConfigurationError, ConnectionLost, UsageError, translate
from repo.events import Hook
from repo.gather import finish
from repo.retry import Once, Retry
from repo.scopes.batching import Batches, Shareable
from repo.scopes.call import Call, Calling
from repo.scopes.once import OnceUnit, Sweeper
from repo.scopes.scope import Scope
from repo.scopes.snapshot import Snapshot
from repo.scopes.stream import Stream
from repo.scopes.transaction import Transaction
from repo.scopes.units import Unit, Work

T = TypeVar("T")
Args = TypeVarTuple("Args")

_PING = text("SELECT 1")
_RETRY = Retry()

_BY_ITSELF = (
    "would commit by itself, whatever becomes of the transaction. Make the repository over the transaction "
    "(Users(tx), or users.using(tx)); if it is meant, say db.independent()"
)
_ONLY_WHOLE = (
    "cannot do the whole again: what the transaction around it has read and written would stay. Await the function "
    "itself, with the transaction that is there, and let transact be around all of it; if it has nothing to do with "
    "that transaction, say db.independent()"
)

DEAD = 2.0
"""Seconds within which it shows that a connection was dead before it was used."""


class Database(Scope):
    """One database and its pool of connections: where everything begins.

    As a scope of its own, every call takes a connection for its own duration: calls that are
    gathered run in parallel, bounded by the pool, and each write commits by itself.

        async with Database("sqlite+aiosqlite:///app.db") as db:
            users = Users(db)
            print(await gather(users.count(), users.get(1)))

    Args:
        url: ``sqlite+aiosqlite:///file.db``, ``postgresql+asyncpg://user:password@host/name``;
            without a driver, the asynchronous one is meant. ``sqlite+aiosqlite:///:memory:`` is a
            private temporary file. Or an ``AsyncEngine``, which is used as it is.
        pool_size: the most connections that are open at a time; there is no overflow.
        pool_timeout: how many seconds a call waits in line, for its turn to write and for a connection,
            before it raises ``PoolTimeout``; None means for as long as it takes.
        statement_timeout: how many seconds a statement may take before it is stopped with
            ``StatementTimeout``; None means what the database itself allows.
        hooks: told of every call; see ``repo.events``.
        engine_options: further arguments of ``sqlalchemy.ext.asyncio.create_async_engine``.

    Raises:
        ConfigurationError: the URL or an option makes no sense. Nothing is connected yet.
    """

    kind = "Database"
    detaches = True

    def __init__(
        self,
        url: str | URL | AsyncEngine,
        *,
        pool_size: int = 10,
        pool_timeout: float | None = None,
        statement_timeout: float | None = None,
        hooks: Sequence[Hook] = (),
        engine_options: Mapping[str, Any] | None = None,
    ) -> None:
        if pool_size < 1:
            raise ConfigurationError(f"pool_size must be at least 1, not {pool_size}")
        check_seconds("statement_timeout", statement_timeout)
        self._statement_timeout = statement_timeout
        made = given(url) if isinstance(url, AsyncEngine) else create(url, pool_size, engine_options or {})
        self._made = made
        self.engine, self.dialect = made.engine, made.dialect
        permits = Permits(pool_size, pool_timeout)
        self._connections = Connections(self.engine, self.dialect, permits, hooks, plain=made.is_plain)
        self._alone = False
        self._sweeper = Sweeper()
        self._batches = Batches(self._connections.counts)
        self._streams: WeakSet[Stream[Any]] = WeakSet()

    async def __aenter__(self) -> "Database":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Refuse what comes after, wait for what runs, and close every connection.

        An engine that was given is left open.
        """
        for stream in list(self._streams):
            if stream.abandoned():
                await stream.aclose()
        await self._connections.close()
        if self._made.is_ours:
            await finish(self._disconnect())
            self._made.dispose()

    async def _disconnect(self) -> None:
        """Close every connection, all at once: a server that has fallen silent is waited for only once."""
        pool = self.engine.pool
        if isinstance(pool, QueuePool):
            await asyncio.gather(*(greenlet_spawn(pool.dispose) for _ in range(pool.checkedin())))
        await self.engine.dispose()

    def transaction(
        self,
        *,
        isolation: str | None = None,
        read_only: bool = False,
        statement_timeout: float | None = None,
        lock_timeout: float | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Transaction:
        """Calls that belong together: ``async with db.transaction() as tx``.

        Args:
            isolation: ``"READ COMMITTED"``, ``"REPEATABLE READ"`` or ``"SERIALIZABLE"``; None
                means the database's default. SQLite is always serializable.
            read_only: writes are refused, and on SQLite other writers are not kept waiting.
            statement_timeout: how many seconds a statement may take before it is stopped with
                ``StatementTimeout``; infinity means no limit, None the limit of the ``Database``.
            lock_timeout: how many seconds to wait for a lock that another transaction has, before
                ``LockTimeout``, or ``DatabaseLocked`` on SQLite; None means what the database does.
            settings: run-time settings of Postgres for this transaction (``SET LOCAL``), such as
                what row-level security reads; without effect on SQLite.
        """
        options = TransactionOptions(
            isolation=isolation,
            read_only=read_only,
            statement_timeout=self._statement_timeout if statement_timeout is None else statement_timeout,
            lock_timeout=lock_timeout,
            settings=dict(settings or {}),
        )
        return Transaction(self._connections, options, alone=self._alone)

    async def transact(
        self,
        function: Callable[[Transaction, *Args], Awaitable[T]],
        *args: *Args,
        retry: Retry = _RETRY,
        once: str | Once | None = None,
        **options: Unpack[TransactionArguments],
    ) -> T:
        """Call ``function(tx, *args)`` in a transaction, and the **whole** again where that may help.

            async def transfer(tx: Transaction, giver: int, taker: int) -> None: ...

            await db.transact(transfer, 1, 2, isolation="SERIALIZABLE")

        What a failed attempt has written is rolled back, what it has registered with
        ``tx.after_commit`` is dropped, and entities are as they were before it. What it has done
        elsewhere is not undone.

        Args:
            function: an async function that reads and writes through ``tx``.
            args: what it gets besides.
            retry: how often, for how long, and after which errors.
            once: names the work, which then happens exactly once, however often it is asked for
                under that name: another call gives the same result, which must be JSON, and does
                nothing. A COMMIT of which the answer was lost is found out about.
            options: those of ``transaction``.

        Raises:
            UsageError: inside of a transaction, which alone could be done again as a whole; or the
                function is none, or its result is not JSON.
            KeyReused: the key of ``once`` was used with another fingerprint.
            RepoError: the error of the last attempt; notes tell of those before it.
        """
        self._refuse_inside_transaction("transact", _ONLY_WHOLE)
        if once is not None and options.get("read_only"):
            raise UsageError("once= writes its key, which a transaction with read_only=True cannot")
        begin = partial(self._begin, options)
        work: Work[T] = Work(function, args)
        if once is None:
            return await Unit(begin, work, retry, self._connections.hooks).run()
        await self._sweeper.sweep(begin)
        named = Once(once) if isinstance(once, str) else once
        return await OnceUnit(named, begin, work, retry, self._connections.hooks).run()

    def _begin(self, options: TransactionArguments, patience: float | None) -> Transaction:
        """The transaction of an attempt; ``patience`` is for locks, if the user has none."""
        arguments: TransactionArguments = {"lock_timeout": patience, **options}
        return self.transaction(**arguments)

    def snapshot(self, *, connections: int | None = None, settings: Mapping[str, str] | None = None) -> Snapshot:
        """Reads in parallel that all see one moment: ``async with db.snapshot() as snap``.

        Args:
            connections: the most connections to use; None means the whole pool. None is opened
                before a call needs it.
            settings: as for ``transaction``.
        """
        size = self._connections.permits.size
        if connections is not None and connections < 1:
            raise ConfigurationError(f"connections must be at least 1, not {connections}")
        options = TransactionOptions(
            read_only=True, statement_timeout=self._statement_timeout, settings=dict(settings or {})
        )
        return Snapshot(self._connections, options, min(connections or size, size))

    def independent(self) -> "Database":
        """The same database for work that has nothing to do with the caller's transaction.

        For a write that must stay when the transaction around it rolls back, such as a line of an
        audit log, and for background tasks that are started inside a transaction.
        """
        other = copy.copy(self)
        other._alone = True
        other._batches = Batches(self._connections.counts)
        return other

    async def create_all(self, metadata: MetaData) -> None:
        """Create the tables that are not there yet, and that of ``transact(once=)``, in one transaction."""

        def work(own: Session) -> None:
            metadata.create_all(own.connection())
            TOKENS.create(own.connection(), checkfirst=True)

        await self.perform(Call("create_all", work, writes=True))

    async def drop_all(self, metadata: MetaData) -> None:
        """Drop the tables that are there, and that of ``transact(once=)``, in one transaction."""

        def work(own: Session) -> None:
            metadata.drop_all(own.connection())
            TOKENS.drop(own.connection(), checkfirst=True)

        await self.perform(Call("drop_all", work, writes=True))

    async def ping(self) -> None:
        """Ask the database for an answer.

        Raises:
            ConnectFailed: there is no connection to be had.
        """
        await self.scalar(_PING)

    @property
    def stats(self) -> Stats:
        """How busy the pool is now, and how much was asked so far."""
        ours = self._connections
        return Stats(
            checked_out=ours.permits.held,
            waiting=ours.waiting,
            longest_wait=ours.longest_wait,
            queries=ours.counts.queries,
            batches=ours.counts.batches,
        )

    async def perform(self, call: Call[T]) -> T:
        with Calling(self._connections.hooks, self.kind, call, self._connections.counts) as trace:
            writes = call.writes is not False
            if writes:
                self._refuse_inside_transaction(call.verb)
            holder = Holder(call.verb, self._connections.permits, writes=writes, alone=self._alone)
            direct = self._connections.unwatched(call.direct)
            # A write that runs into a time-out must be rolled back, which takes a transaction.
            if direct is not None and (not writes or self._statement_timeout is None):
                try:
                    return await self._directly(holder, call, direct, trace)
                except NotDirectly:
                    pass
            async with self._connections.lease(holder) as connection:
                trace.connected(self._connections.number(connection))
                if writes:
                    return await self._write(connection, call)
                return await self._read(connection, call, trace)

    def writes_together(self, write: Write[T]) -> type[Several] | None:
        """Those who would write one after the other, or need not wait for anybody, do it with one COMMIT."""
        shares = self.dialect.one_writer or write.may_go_along
        if not shares or self._statement_timeout is not None or self._connections.has_turn():
            return None
        return self._connections.unwatched(Committed)

    @property
    def plans(self) -> Plans | None:
        """What goes the short way here, for repositories; None where nothing can."""
        return self._connections.plans

    async def _directly(self, holder: Holder, call: Call[T], direct: Direct[T], trace: Calling) -> T:
        """One statement by the driver itself; a read once more, if its connection proves to have been dead."""

        async def work(driver: Any) -> T:
            return await direct.run(Way(self.dialect, driver, self._statement_timeout))

        sent = time.monotonic()
        try:
            return await self._connections.directly(holder, work, trace.connected, plan=direct.reads_by)
        except Exception as error:
            if holder.writes:
                cross_commit(error, call.metadata)
                raise
            lost = isinstance(translate(error), ConnectionLost)
            if not lost or time.monotonic() - sent > DEAD or not call.repeatable():
                raise
        return await self._connections.directly(holder, work, trace.connected, plan=direct.reads_by, again=True)

    def share(self, shareable: Shareable[T]) -> Awaitable[T]:
        return self._batches.share(self, shareable)

    def unit(self) -> AbstractAsyncContextManager[Scope]:
        self._refuse_inside_transaction("a write of several statements")
        return self.transaction()

    def reader(self) -> AbstractAsyncContextManager[Scope]:
        options = TransactionOptions(
            isolation="REPEATABLE READ", read_only=True, statement_timeout=self._statement_timeout
        )
        return Transaction(self._connections, options, alone=self._alone, what="a stream")

    def opened(self, stream: Stream[Any]) -> None:
        self._streams.add(stream)

    def _refuse_inside_transaction(self, verb: str, why: str = _BY_ITSELF) -> None:
        """Refuse a write that its caller takes for a part of a transaction."""
        pool = self._connections.permits
        around = () if self._alone else inside()
        if around and any(holder.pool is pool and holder.writes and holder.nests for holder in around):
            raise UsageError(f"{verb} through the Database inside of a transaction {why}")

    async def _read(self, connection: AsyncConnection, call: Call[T], trace: Calling) -> T:
        """One call without BEGIN and COMMIT; once more, if its connection proves to have been dead."""
        sent = time.monotonic()
        try:
            return await connection.run_sync(self._read_alone, call)
        except Exception as error:
            lost = isinstance(translate(error), ConnectionLost)
            # Later, it may be what was asked that somebody has stopped, or that broke the server.
            if not lost or time.monotonic() - sent > DEAD or not call.repeatable():
                raise
        async with self._connections.instead_of(connection) as other:
            trace.connected(self._connections.number(other))
            return await other.run_sync(self._read_alone, call)

    def _read_alone(self, connection: Connection, call: Call[T]) -> T:
        self.dialect.autocommit(connection)
        return self._limited(connection, call)

    def _limited(self, connection: Connection, call: Call[T]) -> T:
        """The work of a call, in which no statement takes longer than this database allows."""
        with self.dialect.limited(connection, self._statement_timeout, begun=False):
            return execution.alone(connection, call.work)

    async def _write(self, connection: AsyncConnection, call: Call[T]) -> T:
        """One call in a transaction of its own; the COMMIT runs to its end even when cancelled."""
        options = TransactionOptions()
        try:
            await self._connections.begin(connection, options)
            result = await connection.run_sync(self._limited, call)
            await self._connections.commit(connection.commit(), options, call.metadata)
        except BaseException:
            # A COMMIT that fails can leave the transaction open, and a pool that is not ours may
            # take the connection back as it is.
            await finish(self._connections.clean(connection, options))
            raise
        return result
