"""One connection, one transaction, any number of tasks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from enum import Enum
from functools import partial
from types import TracebackType
from typing import TypeVar, TypeVarTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from repo.dialects.base import TransactionOptions
from repo.engine.admission import Holder, enter, leave
from repo.engine.border import About, border
from repo.engine.connections import Connections, in_time
from repo.engine.directly import Direct, NotDirectly, Way
from repo.engine.entities import complete
from repo.engine.flushing import FlushGuard
from repo.engine.originals import Originals, is_listened_to
from repo.engine.plans import Plans
from repo.engine.together import Together, Write, is_failure
from repo.errors import (
    CommitOutcomeUnknown,
    ConnectionLost,
    ReadOnlyScope,
    UsageError,
)
from repo.gather import finish
from repo.scopes.adjacent import Adjacent
from repo.scopes.after_commit import AfterCommit
from repo.scopes.batching import Shareable
from repo.scopes.call import Call, Calling
from repo.scopes.queue import Level, Queue, complain
from repo.scopes.scope import Scope
from repo.scopes.session import QueuedSession

T = TypeVar("T")
Args = TypeVarTuple("Args")


class State(Enum):
    """Where a transaction is in its life."""

    NEW = "new"
    ACTIVE = "active"
    ENDED = "ended"


class Transaction(Scope):
    """Calls from any number of tasks, in call order on one connection: all of it, or nothing.

    Made by ``Database.transaction``. It connects at its first statement. Leaving the block
    commits; an exception rolls back. There is no ``commit()``: what follows it would be outside.
    """

    kind = "Transaction"
    detaches = False
    keeps_locks = True

    def __init__(
        self,
        connections: Connections,
        options: TransactionOptions,
        *,
        alone: bool = False,
        what: str = "a transaction",
    ) -> None:
        self.options = options
        self.session: AsyncSession = QueuedSession(self.through)
        """SQLAlchemy's session of this transaction; its awaited methods go through the queue."""
        self.attempt = 1
        """Which attempt of ``Database.transact`` this is, from 1."""
        self.dialect = connections.dialect
        self._connections = connections
        self._queue = Queue("transaction")
        self._adjacent = Adjacent(self._queue, connections.counts)
        self._state = State.NEW
        self._committed = False
        self._unknown = False  # whether it is committed
        self._after = AfterCommit()
        self._stack = AsyncExitStack()
        self._connection: AsyncConnection | None = None
        self._number = 0
        self._metadata: About = None  # of the last write: what a COMMIT's error is about
        self._flushes = FlushGuard(self.session.sync_session, self._fail)
        self._originals = Originals(self.session.sync_session, self._queue.level)
        self._holder = Holder(what, connections.permits, nests=True, writes=not options.read_only, alone=alone)
        self._holder.patience = options.lock_timeout

    async def __aenter__(self) -> "Transaction":
        if self._state is not State.NEW:
            raise UsageError("a transaction can be entered once; call db.transaction() again")
        self._holder.task = asyncio.current_task()
        enter(self._holder)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        cancelled: asyncio.CancelledError | None = None
        try:
            await self._leave(error)
        except asyncio.CancelledError as arrived:
            if not self._committed:
                raise
            cancelled = arrived
        if self._committed:
            await self._after.run(cancelled)

    async def _leave(self, error: BaseException | None) -> None:
        """Commit, if nothing speaks against it, and end."""
        root = self._queue.root
        root.open = False  # for a task that was started inside and makes its first call now
        try:
            abandoned = await root.calls.cancel()
            if error is None and not abandoned and root.failure is None:
                await self._commit()
        finally:
            await finish(self._end())
        if error is None:
            complain(abandoned, root)

    async def perform(self, call: Call[T]) -> T:
        with Calling(self._connections.hooks, self.kind, call, self._connections.counts) as trace:
            if call.writes and self.options.read_only:
                raise ReadOnlyScope(
                    f"{call.verb}: this transaction only reads (read_only=True); write in another, or without that"
                )
            if call.metadata is not None and (call.writes or self._metadata is None):
                self._metadata = call.metadata
            async with self._queue.turn(call.verb) as level, self._failing(level, call.metadata):
                await self._connect()
                trace.connected(self._number)
                direct = self._connections.unwatched(call.direct)
                if direct is not None and self._nothing_pending(direct.entities):
                    with suppress(NotDirectly):
                        return await self._directly(direct)
                return await self._run(call.work)

    def share(self, shareable: Shareable[T]) -> Awaitable[T]:
        return self._adjacent.share(self, shareable, self.session.sync_session)

    def writes_together(self, write: Write[T]) -> type[Together]:
        """Writes of a transaction all happen, or none."""
        return Together

    @property
    def plans(self) -> Plans | None:
        """What goes the short way here, for repositories; None where nothing can."""
        return self._connections.plans

    async def _directly(self, direct: Direct[T]) -> T:
        """A call by the driver itself."""
        own, connection = self.session.sync_session, self._connection
        driver = None if connection is None else await self._connections.driver(connection)
        if driver is None:
            raise NotDirectly
        seconds = None if self.dialect.remote else self.options.statement_timeout
        return await direct.run(Way(self.dialect, driver, seconds, own))

    def _nothing_pending(self, entities: Sequence[object]) -> bool:
        """Whether the session has nothing to write first, but perhaps these entities, and nobody to tell."""
        own = self.session.sync_session
        if own.new or own.deleted or is_listened_to(own):
            return False
        if not own.identity_map.check_modified():
            return True
        known = {id(entity) for entity in entities}  # which need not be hashable
        return all(id(changed) in known for changed in own.dirty)

    def unit(self) -> AbstractAsyncContextManager[Scope]:
        return self.savepoint()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Scope]:
        yield self

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator["Transaction"]:
        """A part of the transaction that can fail alone; to any depth.

        An exception that leaves the block undoes what was done in it, and the transaction goes on.
        Calls of the task that opened it, and of tasks that it starts meanwhile, belong to it; the
        calls of other tasks wait until it ends.

        Raises:
            TransactionFailed: a statement inside failed, and its error was caught inside.
            UsageError: the block ended while calls in it were in flight.
        """
        async with self._queue.turn("savepoint") as parent:
            async with self._failing(parent):
                await self._connect()
                nested = await self._run(_begin_nested)
            async with self._queue.nested(parent) as level:
                try:
                    yield self
                    level.open = False
                    complain(await level.calls.cancel(), level)
                    with border(self._metadata):
                        await self._run(lambda _: nested.commit())
                except BaseException:
                    level.open = False
                    self._after.undo(level)
                    await level.calls.cancel()
                    await finish(self._undo(nested, level))
                    raise
                self._after.release(level)
                self._originals.release(level, parent)

    def after_commit(self, function: Callable[[*Args], Awaitable[object]], *args: *Args) -> None:
        """Have an async function called once this transaction is known to be committed.

        Such functions run one after the other, in the order of these calls, when the connection is
        given back; each may write through the ``Database``. They do not run after a rollback, or
        where a savepoint in which this was called is rolled back, or if the COMMIT's outcome is
        unknown. They are not stored: a process that ends before they have run leaves them undone.

        A cancellation that arrives during COMMIT or while they run waits for their end, for five
        seconds at most.

        Raises:
            AfterCommitFailed: when the block is left: some have failed, after all have run. The
                commit stands.
            UsageError: it is no function.
        """
        level = self._queue.level()
        self._queue.check(level)
        self._after.add(level, function, args)

    @property
    def is_open(self) -> bool:
        """Whether it takes calls: its block was not left, and it was not ended by ``rollback()``."""
        return self._queue.root.open

    async def rollback(self) -> None:
        """End the transaction now and undo it, without an error; later calls are refused."""
        async with self._queue.turn("rollback", after_failure=True):
            await finish(self._end())
            self._queue.root.failure = None

    async def through(self, verb: str, work: Callable[[], Awaitable[T]]) -> T:
        """Let a method of the session have its turn; one that it calls itself is part of it."""
        if self._queue.has_turn():
            return await work()
        with Calling(self._connections.hooks, self.kind, Call(verb, _nothing), self._connections.counts) as trace:
            async with self._queue.turn(verb) as level, self._failing(level):
                await self._connect()
                trace.connected(self._number)
                with self._limited():
                    return await work()

    @asynccontextmanager
    async def _failing(self, level: Level, about: About = None) -> AsyncIterator[None]:
        """A statement that fails inside fails the level; a cancelled one, the whole transaction."""
        try:
            with border(about or self._metadata):
                yield
        except asyncio.CancelledError as error:
            # The connection of a statement that was stopped half-way is thrown away, and with it
            # everything so far. A wait for the connection itself leaves nothing behind.
            if self._state is State.ACTIVE:
                self._queue.root.failure = error
            raise
        except Exception as error:
            if self._state is State.ACTIVE and is_failure(self.session.sync_session, error):
                level.failure = error
            raise

    async def _connect(self) -> None:
        """Begin, if nothing has begun yet."""
        if self._state is not State.NEW:
            return
        connection = await self._stack.enter_async_context(self._connections.lease(self._holder))
        try:
            await self._connections.begin(connection, self.options)
            self._number = self._connections.number(connection)
        except BaseException:
            await finish(self._connections.clean(connection, self.options))
            await self._stack.aclose()
            raise
        self._connection = connection
        self.session.sync_session.bind = connection.sync_connection
        self._state = State.ACTIVE

    async def _commit(self) -> None:
        """Write what is pending, and COMMIT to its end even when the task is cancelled."""
        with border(self._metadata):
            if self._state is State.NEW and self.session.new:
                await self._connect()
            if self._state is State.ACTIVE:
                await self._run(lambda own: own.flush())
                try:
                    await self._connections.commit(self._send_commit(), self.options, self._metadata)
                except CommitOutcomeUnknown:
                    self._unknown = True
                    raise
            self._committed = self._state is not State.ENDED

    async def _send_commit(self) -> None:
        if self._connection is not None:
            await self._connection.commit()
            self._committed = True

    async def _end(self) -> None:
        """Undo what was not committed, and give the connection back clean or not at all."""
        self._queue.root.open = False
        leave(self._holder)
        state, self._state = self._state, State.ENDED
        try:
            with suppress(ConnectionLost):
                async with in_time():
                    await AsyncSession.close(self.session)
            if self._committed:
                self._originals.forget()
            elif not self._unknown:
                self._originals.restore()
            if state is State.ACTIVE and self._connection is not None:
                await self._connections.clean(self._connection, self.options)
        finally:
            await self._stack.aclose()

    async def _resolve(self) -> None:
        """Do what follows a COMMIT, after it was found out that the one whose answer was lost has happened."""
        self._originals.forget()
        await self._after.run()

    def _give_up(self) -> None:
        """Do what follows a rollback, after it was found out that a COMMIT has not happened."""
        self._originals.restore()

    async def _undo(self, nested: SessionTransaction, level: Level) -> None:
        """Roll back to a savepoint; where that is not possible, the whole transaction has failed."""
        if self._queue.root.failure is None and self._state is State.ACTIVE:
            try:
                async with in_time():
                    await self._run(lambda _: self._roll_back(nested, level))
                # SQLAlchemy would read what the session has forgotten because of it when it is used,
                # which is not possible outside of its greenlet.
                for entity in list(self.session.sync_session):
                    async with in_time():
                        await self._run(partial(complete, entity=entity))
            except Exception as error:
                self._queue.root.failure = error

    def _roll_back(self, nested: SessionTransaction, level: Level) -> None:
        """Roll back to a savepoint, and entities to what they were before it."""
        nested.rollback()
        self._originals.undo(level)

    async def _run(self, work: Callable[[Session], T]) -> T:
        try:
            with self._limited():
                return await AsyncSession.run_sync(self.session, work)
        finally:
            self._flushes.end()

    def _limited(self) -> AbstractContextManager[None]:
        """A block in which a statement takes no longer than this transaction allows."""
        connection = self._connection.sync_connection if self._connection else None
        if connection is None:
            return nullcontext()
        return self.dialect.limited(connection, self.options.statement_timeout, begun=True)

    def _fail(self, error: Exception) -> None:
        """Nothing can be committed any more."""
        self._queue.root.failure = self._queue.root.failure or error


def _begin_nested(own: Session) -> SessionTransaction:
    """Begin a savepoint now, which a session would do at its next statement: not all statements are its own."""
    nested = own.begin_nested()
    own.connection()
    return nested


def _nothing(_: Session) -> None:
    """The work of a call that brings its own."""
