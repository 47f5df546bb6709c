"""Many reads at once on several connections that all see one moment."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from types import TracebackType
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Session

from repo.dialects.base import NotPinned, TransactionOptions
from repo.engine import execution
from repo.engine.admission import Holder, enter, leave
from repo.engine.border import border
from repo.engine.connections import Connections, in_time
from repo.engine.directly import NotDirectly, Way
from repo.engine.lanes import Lane
from repo.engine.plans import Plan, Plans
from repo.errors import ConnectionLost, ReadOnlyScope, ScopeClosed, UsageError
from repo.gather import finish
from repo.scopes.batching import Batches, Shareable
from repo.scopes.call import Call, Calling
from repo.scopes.queue import InFlight, refuse_abandoned
from repo.scopes.scope import Scope

T = TypeVar("T")

_LOST = (
    "the snapshot's moment is lost, because its connection broke, or a call that was running on it was cancelled: "
    "open another snapshot, and ask all of it again"
)

Place = asyncio.Future["Pinned"]
"""A call's place in a line for a connection."""


class Pinned:
    """One of the snapshot's connections, in a transaction that sees the snapshot's moment."""

    def __init__(self, connection: AsyncConnection, number: int, stack: AsyncExitStack) -> None:
        self.connection = connection
        self.number = number
        self.stack = stack
        """Gives the connection and its permit back."""
        self.line: deque[Place] = deque()
        """Calls that must run on this very connection, because they read from a stream."""


class Snapshot(Scope):
    """Reads in parallel on several connections, as if the database stood still.

    Made by ``Database.snapshot``. The first call opens a connection, which one call after another
    uses. Others are opened for calls that would wait, but only if they are free at once: a snapshot
    never waits for a second connection, and with one it gives the same answers one by one.
    """

    kind = "Snapshot"
    detaches = True

    def __init__(self, connections: Connections, options: TransactionOptions, limit: int) -> None:
        self.dialect = connections.dialect
        self._connections = connections
        self._options = options
        self._limit = limit
        self._all: set[Pinned] = set()
        self._idle: list[Pinned] = []
        self._line: deque[Place] = deque()
        self._token: str | None = None
        self._leader: Pinned | None = None
        """The connection whose moment the others share; they can join while it is there."""
        self._opening: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        """Why it could not open."""
        self._joining = 0
        self._lane = Lane(needed=not self.dialect.remote)
        self._calls = InFlight()
        self._batches = Batches(connections.counts)
        self._closed = False
        self._holder = Holder("a snapshot", connections.permits, nests=True)
        self._holder.give_back = self._give_back
        self._leaving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Snapshot":
        if self._opening is not None or self._closed:
            raise UsageError("a snapshot can be entered once; call db.snapshot() again")
        self._holder.task = asyncio.current_task()
        enter(self._holder)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        leave(self._holder)
        try:
            abandoned = await self._calls.cancel()
        finally:
            await finish(self._close())
        if error is None:
            refuse_abandoned(abandoned, "They were cancelled")

    async def perform(self, call: Call[T]) -> T:
        def work(connection: Connection) -> T:
            return execution.alone(connection, call.work)

        return await self._perform(call, work)

    def share(self, shareable: Shareable[T]) -> Awaitable[T]:
        return self._batches.share(self, shareable)

    @property
    def plans(self) -> Plans | None:
        """What goes the short way here, for repositories; None where nothing can."""
        return self._connections.plans

    @property
    def _seconds(self) -> float | None:
        """What a statement may take; None where the transaction itself was told."""
        return None if self.dialect.remote else self._options.statement_timeout

    def unit(self) -> AbstractAsyncContextManager[Scope]:
        raise ReadOnlyScope("a snapshot only reads; write through the Database or a transaction")

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Scope]:
        reader = _Reader(self)
        try:
            yield reader
        finally:
            reader.close()

    async def _perform(self, call: Call[T], work: Callable[[Connection], T], only: Pinned | None = None) -> T:
        """Do the work of a call on one of the connections, or on just this one."""
        with Calling(self._connections.hooks, self.kind, call, self._connections.counts) as trace:
            if call.writes:
                raise ReadOnlyScope(f"{call.verb}: a snapshot only reads; write through the Database or a transaction")
            direct = self._connections.unwatched(call.direct)
            reading = None if direct is None else direct.reads_by
            async with self._borrow(call.verb, reading, only) as pinned:
                trace.connected(pinned.number)
                driver = await self._connections.driver(pinned.connection) if direct is not None else None
                if direct is not None and driver is not None:
                    with suppress(NotDirectly):
                        return await direct.run(Way(self.dialect, driver, self._seconds))
                return await pinned.connection.run_sync(self._limited, work)

    def _limited(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        """Work in which no statement takes longer than this snapshot allows."""
        with self.dialect.limited(connection, self._options.statement_timeout, begun=True):
            return work(connection)

    @asynccontextmanager
    async def _borrow(self, verb: str, reading: Plan | None, only: Pinned | None) -> AsyncIterator[Pinned]:
        """A connection for the length of the block, after waiting in line for it, and in the lane for reads."""
        if self._closed:
            raise ScopeClosed(
                "the snapshot has ended, so it takes no more calls; was a task started inside of it and not awaited?"
            )
        with self._calls.call(verb):
            async with self._lane.of(reading):
                pinned = await self._wait_for(only)
                try:
                    yield pinned
                except asyncio.CancelledError:
                    # A statement that was stopped half-way takes its connection with it.
                    await finish(self._drop(pinned))
                    raise
                except Exception:
                    await finish(self._recover(pinned))
                    raise
                self._hand_over(pinned)

    async def _wait_for(self, only: Pinned | None) -> Pinned:
        """An idle connection, a new one if it is free now, or the next that becomes idle."""
        if only is None and self._opening is None:
            self._opening = asyncio.create_task(self._open())
        for idle in self._idle:
            if only in (None, idle):
                self._idle.remove(idle)
                return idle
        token = self._token
        if only is None and token is not None and self._may_join():
            return await self._join(token)
        if self._failure is not None:
            raise self._failure
        is_over = self._opening is not None and self._opening.done() and not self._all
        if is_over or (only is not None and only not in self._all):
            raise ConnectionLost(_LOST)
        line = self._line if only is None else only.line
        place: Place = asyncio.get_running_loop().create_future()
        line.append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._hand_over(place.result())
            elif place in line:
                line.remove(place)
            raise

    def _hand_over(self, pinned: Pinned) -> None:
        """Let the next call in line have the connection; a stream's own calls go first."""
        for line in (pinned.line, self._line):
            while line:
                place = line.popleft()
                if not place.done():
                    place.set_result(pinned)
                    return
        self._idle.append(pinned)
        if self._connections.permits.waiting:
            self._give_back()

    def _give_back(self) -> None:
        """Let those who wait for the pool have a connection that is idle, but not the leader."""
        pinned = next((idle for idle in self._idle if idle is not self._leader), None)
        if pinned is not None:
            self._idle.remove(pinned)
            self._all.discard(pinned)
            leaving = asyncio.create_task(self._drop(pinned))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _open(self) -> None:
        """Open the first connection, and as many as the calls of the first tick can use now."""
        try:
            with border():
                self._holder.find_parent()
                await self._connections.permits.acquire(self._holder)
                opened = [await self._connect()]
                # By now all calls that were made in one go stand in line.
                while len(opened) < min(self._limit, len(self._line)):
                    if not self._connections.permits.try_acquire(self._holder):
                        break
                    opened.append(await self._connect())
                await self._pin(opened)
        except Exception as error:
            self._failure = error
            self._fail(self._line, error)
            await finish(self._close_connections())

    async def _connect(self) -> Pinned:
        """A connection for a permit that was taken."""
        stack = AsyncExitStack()
        connection = await stack.enter_async_context(self._connections.permitted(self._holder))
        pinned = Pinned(connection, self._connections.number(connection), stack)
        self._all.add(pinned)
        return pinned

    async def _pin(self, opened: list[Pinned]) -> None:
        """Begin on all of them in one moment, stopping writers for it if there is no other way."""
        connections = [pinned.connection for pinned in opened]
        joinable = self._limit > len(opened)

        def pin(leader: Connection, *, guarded: bool) -> str | None:
            syncs = [c.sync_connection for c in connections if c.sync_connection is not None]
            guard = syncs.pop() if guarded else None
            return self.dialect.pin(syncs, self._options, joinable=joinable, guard=guard)

        try:
            self._token = await connections[0].run_sync(pin, guarded=False)
        except NotPinned:
            stopping = Holder("a snapshot that stops writers", self._connections.permits, writes=True)
            async with self._connections.writing(stopping):
                self._token = await connections[0].run_sync(pin, guarded=True)
            await self._drop(opened.pop())
        self._leader = opened[0]
        for pinned in opened:
            self._hand_over(pinned)

    def _may_join(self) -> bool:
        """Whether a further connection can be had now; takes its permit."""
        count = len(self._all) + self._joining
        return count < self._limit and self._connections.permits.try_acquire(self._holder)

    async def _join(self, token: str) -> Pinned:
        """A further connection that sees the same moment."""
        self._joining += 1
        try:
            pinned = await self._connect()
        finally:
            self._joining -= 1
        try:
            await pinned.connection.run_sync(self.dialect.join, self._options, token)
        except BaseException:
            await finish(self._drop(pinned))
            raise
        return pinned

    async def _recover(self, pinned: Pinned) -> None:
        """Make a connection usable again after a failed statement, or drop it."""
        try:
            async with in_time():
                await pinned.connection.run_sync(self.dialect.recover)
        except Exception:
            await self._drop(pinned)
        else:
            self._hand_over(pinned)

    async def _drop(self, pinned: Pinned) -> None:
        """Give a connection back, clean or not at all; who waits for the last one is told."""
        self._all.discard(pinned)
        if pinned is self._leader:
            self._leader = self._token = None
        try:
            await self._connections.clean(pinned.connection, self._options)
        finally:
            await pinned.stack.aclose()
        lost = ConnectionLost(_LOST)
        self._fail(pinned.line, lost)
        if not self._all:
            self._fail(self._line, lost)

    def _fail(self, line: deque[Place], error: Exception) -> None:
        """Tell the calls in a line that they will not get a connection."""
        while line:
            place = line.popleft()
            if not place.done():
                place.set_exception(error)

    async def _close(self) -> None:
        """Give every connection back."""
        if self._leaving:
            await asyncio.wait(self._leaving)
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
            await asyncio.wait([self._opening])
        await self._close_connections()

    async def _close_connections(self) -> None:
        await asyncio.gather(*(self._drop(pinned) for pinned in self._all))


class _Reader(Scope):
    """A snapshot's calls that all run in one session on one connection, for a stream.

    Other calls may use the connection between two of them, so the body of a loop over the stream
    can call the snapshot even where that has one connection only.
    """

    kind = "Snapshot"
    detaches = True

    def __init__(self, snapshot: Snapshot) -> None:
        self.dialect = snapshot.dialect
        self._snapshot = snapshot
        self._pinned: Pinned | None = None
        self._session: Session | None = None

    async def perform(self, call: Call[T]) -> T:
        if self._pinned is None:
            async with self._snapshot._borrow(call.verb, None, None) as pinned:
                self._pinned = pinned

        def work(connection: Connection) -> T:
            if self._session is None:
                self._session = execution.session(connection)
            return call.work(self._session)

        return await self._snapshot._perform(call, work, self._pinned)

    def unit(self) -> AbstractAsyncContextManager[Scope]:
        return self._snapshot.unit()

    def reader(self) -> AbstractAsyncContextManager[Scope]:
        return self._snapshot.reader()

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
