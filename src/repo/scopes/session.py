"""SQLAlchemy's own session: as part of a transaction, and as a scope of its own."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NoReturn, Protocol, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy.ext.asyncio import AsyncSession

from repo.dialects.registry import find
from repo.engine.flushing import GuardedSession
from repo.errors import UsageError
from repo.scopes.adjacent import Adjacent
from repo.scopes.batching import Shareable
from repo.scopes.call import Call, Calling
from repo.scopes.queue import Queue
from repo.scopes.scope import Scope

T = TypeVar("T")


class Through(Protocol):
    """Lets an awaited method of a session have its turn in a queue."""

    async def __call__(self, verb: str, work: Callable[[], Awaitable[T]]) -> T: ...


class QueuedSession(AsyncSession):
    """The session of a transaction: tasks that share it are serial, in call order.

    The transaction begins and ends it, so methods that do are refused.
    """

    sync_session_class = GuardedSession

    def __init__(self, through: Through) -> None:
        super().__init__(expire_on_commit=False, join_transaction_mode="rollback_only")
        self._through = through


def _queued(name: str) -> Any:
    """The method of that name, after waiting for its turn."""
    method = getattr(AsyncSession, name)

    @functools.wraps(method)
    async def queued(self: Any, *args: Any, **options: Any) -> Any:
        return await self._through(f"session.{name}", lambda: method(self, *args, **options))

    return queued


def _refused(name: str, instead: str) -> Any:
    """In place of a method that would end the transaction behind its back."""

    @functools.wraps(getattr(AsyncSession, name))
    def refused(self: Any, *_: Any, **__: Any) -> NoReturn:
        raise UsageError(f"session.{name}() is the transaction's own business: {instead}")

    return refused


QUEUED = (
    "connection", "delete", "execute", "flush", "get", "get_one", "merge", "refresh", "run_sync",
    "scalar", "scalars", "stream", "stream_scalars",
)  # fmt: skip
REFUSED = {
    "begin": "it has begun",
    "begin_nested": "use `async with tx.savepoint()`",
    "close": "leave the block, or `await tx.rollback()`",
    "commit": "leave the block, which commits",
    "invalidate": "leave the block with an exception, or `await tx.rollback()`",
    "reset": "leave the block, or `await tx.rollback()`",
    "rollback": "`await tx.rollback()`, or `async with tx.savepoint()` for a part of it",
}

for _name in QUEUED:
    setattr(QueuedSession, _name, _queued(_name))
for _name, _instead in REFUSED.items():
    setattr(QueuedSession, _name, _refused(_name, _instead))


_lines: WeakKeyDictionary[AsyncSession, Adjacent] = WeakKeyDictionary()


class SessionScope(Scope):
    """A session that somebody else begins, commits and closes.

    Calls that go through repositories run in call order, also from several tasks at once. Nothing
    is left on the session; what it does by itself stays SQLAlchemy's.
    """

    kind = "Session"
    detaches = False
    keeps_locks = True

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.dialect = find(session.get_bind().dialect.name)
        # One for all repositories on the session; it must not keep the session alive.
        self._adjacent = _lines.get(session) or _lines.setdefault(session, Adjacent(Queue("session")))
        self._queue = self._adjacent.queue

    async def perform(self, call: Call[T]) -> T:
        with Calling((), self.kind, call) as trace:
            async with self._queue.turn(call.verb):
                trace.connected(0)
                return await self.session.run_sync(call.work)

    def share(self, shareable: Shareable[T]) -> Awaitable[T]:
        return self._adjacent.share(self, shareable, self.session.sync_session)

    def unit(self) -> AbstractAsyncContextManager[Scope]:
        return self._savepoint()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Scope]:
        yield self

    @asynccontextmanager
    async def _savepoint(self) -> AsyncIterator[Scope]:
        """A part that can fail alone, for verbs of several statements."""
        async with (
            self._queue.turn("savepoint") as parent,
            self._queue.nested(parent),
            self.session.begin_nested(),
        ):
            yield self
