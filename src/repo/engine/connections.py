"""The connections of one engine, lent to scopes."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, PoolProxiedConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from repo.dialects.base import Dialect, TransactionOptions
from repo.engine.admission import Holder, Permits, inside
from repo.engine.border import About, committing, connecting
from repo.engine.lanes import Lane
from repo.engine.lending import Lender, is_watched
from repo.engine.plans import Plan, Plans
from repo.engine.turns import Turn
from repo.errors import ConnectionLost, ScopeClosed, SelfDeadlock, UsageError, translate
from repo.events import Hook
from repo.gather import finish

T = TypeVar("T")

_NUMBER = "repo.number"

OPENING = 1.0
"""Seconds that opening a connection may go on after it was cancelled."""

CLEAN_UP = 5.0
"""Seconds that a server has to answer a clean-up before its connection is thrown away."""


class Counts:
    """How many calls there were."""

    def __init__(self) -> None:
        self.queries = 0
        """Calls that have had a connection."""
        self.batches = 0
        """How many of them were made for several callers."""


class Connections:
    """The connections of one engine, and what every scope over them needs to know."""

    def __init__(
        self, engine: AsyncEngine, dialect: Dialect, permits: Permits, hooks: Sequence[Hook], *, plain: bool
    ) -> None:
        self.engine = engine
        self._plain = plain
        self.dialect = dialect
        self.counts = Counts()
        self.hooks = tuple(hooks)
        self.permits = permits
        self.closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.turn = Turn(permits.timeout)
        self._numbers = itertools.count(1)
        self._idle: asyncio.Future[None] | None = None
        self._leases = 0
        self._lender = Lender(engine)
        self._lane = Lane(needed=not dialect.remote)
        self._plans: Plans | None = None
        self._lent_whole: set[AsyncConnection] = set()

    @asynccontextmanager
    async def lease(self, holder: Holder) -> AsyncIterator[AsyncConnection]:
        """A connection for the length of the block, after waiting in line for it.

        Raises:
            ScopeClosed: the ``Database`` is closed.
            UsageError: the ``Database`` belongs to another event loop.
            ConnectFailed: no connection could be made.
            PoolDeadlock, PoolTimeout, SelfDeadlock: waiting makes no sense, or took too long.
        """
        self._refuse_misuse()
        start = time.monotonic()
        # The turn to write comes before the permit: writers that wait for each other keep no
        # connections from the readers, and who has the turn waits for nothing but a permit.
        async with self.writing(holder):
            holder.find_parent()
            await self.permits.acquire(holder, waited=time.monotonic() - start)
            async with self.permitted(holder) as connection:
                yield connection

    @asynccontextmanager
    async def permitted(self, holder: Holder) -> AsyncIterator[AsyncConnection]:
        """A connection for a permit that was taken already, which is given back in the end."""
        self._leases += 1
        try:
            self._refuse_misuse()
            async with self._connected() as connection:
                yield connection
        finally:
            self._returned(holder)

    @property
    def plans(self) -> Plans | None:
        """What can go the short way; None where nothing can."""
        if self._plans is None:
            self._plans = self._first_plans()
        return self._plans

    def unwatched(self, direct: T | None) -> T | None:
        """The short way; None as long as somebody wants SQLAlchemy to tell what it does, which goes the long one."""
        return None if direct is None or is_watched(self.engine) else direct

    def _first_plans(self) -> Plans | None:
        """Plans for an engine as we make them, of which SQLAlchemy knows by now what its database can do."""
        dialect = self.engine.dialect
        return Plans(dialect, self.hooks) if self._plain and dialect.server_version_info is not None else None

    async def directly(
        self,
        holder: Holder,
        work: Callable[[Any], Awaitable[T]],
        connected: Callable[[int], None],
        *,
        plan: Plan | None,
        again: bool = False,
    ) -> T:
        """Do work with a connection of the driver's, as ``lease`` has one of SQLAlchemy's.

        Args:
            holder: who asks.
            work: gets the driver's connection, and leaves it as it is.
            connected: is told the connection's number when the wait is over.
            plan: that of the statement, if it reads.
            again: whether it met a dead connection before: others may be dead, too.
        """
        self._refuse_misuse()
        start = time.monotonic()
        async with self.writing(holder):
            holder.find_parent()
            await self.permits.acquire(holder, waited=time.monotonic() - start)
            self._leases += 1
            try:
                if again:
                    self._lender.doubt()
                trying = self.turn.beginning(_PLAIN) if holder.writes and self.dialect.one_writer else nullcontext()
                with trying:
                    async with self._lane.of(plan):
                        return await self._lent(work, connected)
            finally:
                self._returned(holder)

    async def _lent(self, work: Callable[[Any], Awaitable[T]], connected: Callable[[int], None]) -> T:
        """Work with a connection for which there is a permit."""
        if self.closing:
            self._refuse_misuse()
        connection = self._lender.at_hand() or await self._fetched()
        connected(self._numbered(connection.info))
        try:
            result = await work(connection.driver_connection)
        except Exception as error:
            if isinstance(translate(error), ConnectionLost):
                await finish(self._lender.throw_away(connection))
            else:
                self._lender.give_back(connection)
            raise
        except BaseException:
            # A statement that was stopped half-way takes its connection with it.
            await finish(self._lender.throw_away(connection))
            raise
        self._lender.give_back(connection)
        return result

    async def _fetched(self) -> PoolProxiedConnection:
        """A connection that the pool has, or opens."""
        with connecting(self.where):
            return await _opened(self._lender.connect(), self._lender.hand_in)

    def _returned(self, holder: Holder) -> None:
        """A connection and its permit are given back."""
        self._leases -= 1
        self.permits.release(holder)
        if self._idle is not None and not self._leases and not self._idle.done():
            self._idle.set_result(None)

    @asynccontextmanager
    async def instead_of(self, broken: AsyncConnection) -> AsyncIterator[AsyncConnection]:
        """A connection in place of a broken one, by the same permit."""
        await finish(_throw_away(broken))
        async with self._connected() as connection:
            yield connection

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """A connection of the pool, which gets it back."""
        self._lender.spare()
        with connecting(self.where):
            connection = await _opened(self.engine.connect(), AsyncConnection.close)
        self._lent_whole.add(connection)
        try:
            yield connection
        finally:
            self._lent_whole.discard(connection)
            await finish(self._close(connection))

    async def commit(self, sending: Coroutine[Any, Any, None], options: TransactionOptions, about: About) -> None:
        """COMMIT, to its end even when cancelled; a server that falls silent then has bounded time.

        Args:
            sending: sends it. When its time is over it is cancelled, which breaks the connection.
            options: those of the transaction.
            about: what its error is about.

        Raises:
            CommitOutcomeUnknown: the connection broke, or the time was over.
        """
        with committing(about, read_only=options.read_only):
            await finish(sending, grace=CLEAN_UP if self.dialect.remote else None)

    async def clean(self, connection: AsyncConnection, options: TransactionOptions) -> None:
        """Roll back, in bounded time; a connection on which that fails is thrown away.

        The error of a clean-up never hides the one that made it necessary.
        """
        try:
            async with in_time():
                await connection.rollback()
                await connection.run_sync(self.dialect.end, options)
        except Exception:
            await _throw_away(connection)

    async def _close(self, connection: AsyncConnection) -> None:
        """Give a connection back to the pool, in bounded time, clean or not at all."""
        try:
            async with in_time():
                await connection.close()
        except Exception:
            await _throw_away(connection)

    def writing(self, holder: Holder) -> AbstractAsyncContextManager[None]:
        """The turn to write, where the database lets only one connection write at a time."""
        if not holder.writes or not self.dialect.one_writer:
            return _NO_TURN
        self._refuse_self_deadlock(holder)
        return self.turn.of(holder)

    async def begin(self, connection: AsyncConnection, options: TransactionOptions) -> None:
        """Begin a transaction; to write, by whoever has the turn to."""
        if options.read_only or not self.dialect.one_writer:
            await connection.run_sync(self.dialect.begin, options)
            return
        with self.turn.beginning(options) as limited:
            await connection.run_sync(self.dialect.begin, limited)
        if limited is not options:
            # Having begun, it may wait as long as any other.
            await connection.run_sync(self.dialect.end, options)

    async def driver(self, connection: AsyncConnection) -> Any:
        """The driver's connection of a transaction that has begun; None where it cannot be used beside SQLAlchemy's."""
        inner = _usable(connection)
        return inner.connection.driver_connection if inner and await self.dialect.has_begun(inner) else None

    def number(self, connection: AsyncConnection) -> int:
        """A small number that stays with the connection for as long as the pool keeps it."""
        # Not get_raw_connection(), which is awaited in a greenlet for the same answer.
        return self._numbered(connection.sync_connection.info if connection.sync_connection is not None else {})

    def _numbered(self, info: dict[Any, Any]) -> int:
        """The number of the connection of which this is the pool's information."""
        if _NUMBER not in info:
            info[_NUMBER] = next(self._numbers)
        return int(info[_NUMBER])

    @property
    def out(self) -> Iterator[PoolProxiedConnection]:
        """The connections that are out of the pool now."""
        yield from self._lender.out
        for inner in filter(None, map(_usable, self._lent_whole)):
            yield inner.connection

    @property
    def waiting(self) -> int:
        """How many wait for a connection, or for their turn."""
        return self.permits.waiting + self.turn.waiting + self._lane.waiting

    @property
    def longest_wait(self) -> float:
        """How long one of them has waited at most, in seconds."""
        return max(self.permits.longest_wait, self.turn.longest_wait, self._lane.longest_wait)

    @property
    def where(self) -> str:
        """The engine's URL, without its password and its arguments, which may hold another."""
        return self.engine.url.set(query={}).render_as_string(hide_password=True)

    async def close(self) -> None:
        """Refuse what comes after, and wait for what runs."""
        self.closing = True
        if self._leases:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        self._lender.hand_over()

    def _refuse_misuse(self) -> None:
        """Refuse a call after the end, or on another event loop than the first."""
        if self.closing:
            raise ScopeClosed(f"the Database of {self.where} is closed: it was used after `async with` or close()")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise UsageError(
                f"the Database of {self.where} was first used on another event loop, to which its "
                "connections belong: make one Database for each asyncio.run()"
            )

    def has_turn(self) -> bool:
        """Whether the running task itself has the turn to write."""
        writer = self.turn.holder
        return writer is not None and writer.task is asyncio.current_task()

    def _refuse_self_deadlock(self, holder: Holder) -> None:
        """Refuse to wait for a turn to write that the asking code itself has."""
        writer = self.turn.holder
        if writer is None:
            return
        if self.has_turn() or (writer in inside() and not holder.alone):
            raise SelfDeadlock(
                f"{holder.what} would wait for the end of {writer}, which it is inside of: only one "
                "transaction at a time can write here. Use that transaction, or one of its "
                "savepoints; or open this one with read_only=True"
            )


def _usable(connection: AsyncConnection) -> Connection | None:
    """What SQLAlchemy has for a connection that is open and was not thrown away."""
    inner = connection.sync_connection
    return None if inner is None or inner.closed or inner.invalidated else inner


_PLAIN = TransactionOptions()
_NO_TURN: AbstractAsyncContextManager[None] = nullcontext()


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """A clean-up to which the server must answer in bounded time; only where nothing better can be done.

    Raises:
        ConnectionLost: it did not. What was cancelled in the middle has broken the connection.
    """
    try:
        # Told once, SQLAlchemy asks the driver for a good-bye, for which drivers may wait as well.
        async with asyncio.timeout(2 * CLEAN_UP), asyncio.timeout(CLEAN_UP):
            yield
    except TimeoutError as error:
        raise ConnectionLost(
            f"the server did not answer within {CLEAN_UP:g} s when something was to be undone, so the "
            "connection was thrown away, which undoes what was not committed. Is the server, or the network, down?"
        ) from error


async def _throw_away(connection: AsyncConnection) -> None:
    """Take a connection out of the pool that cannot be used any more, whatever it still says."""
    with suppress(Exception):
        async with in_time():
            await connection.invalidate()


async def _opened(opening: Awaitable[T], close: Callable[[T], Awaitable[None]]) -> T:
    """A connection of the pool.

    Drivers and SQLAlchemy leave things behind when they are cancelled while they open and set up a
    new one: sockets, threads, futures whose error nobody retrieves. So an opening that was cancelled
    is let go on for a moment, and its connection is given back in good order; one that takes longer
    is cancelled after all.
    """
    task = asyncio.ensure_future(opening)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await finish(_abandon(task, close))
        raise


async def _abandon(opening: asyncio.Future[T], close: Callable[[T], Awaitable[None]]) -> None:
    await asyncio.wait([opening], timeout=OPENING)
    opening.cancel()
    await asyncio.wait([opening])
    if not opening.cancelled() and opening.exception() is None:
        await close(opening.result())
