"""Rows one after another, in constant memory."""

import asyncio
import warnings
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Result, ScalarResult
from sqlalchemy.orm import Session

from repo.engine import execution
from repo.engine.connections import in_time
from repo.errors import RepoError
from repo.scopes.call import Call, Performer

T = TypeVar("T")


class Source(Protocol):
    """What streams are read from: a scope."""

    def reader(self) -> AbstractAsyncContextManager[Performer]:
        """A scope whose calls all run on one connection in one transaction."""
        raise NotImplementedError

    def opened(self, stream: "Stream[Any]") -> None:
        """A stream has begun to read."""


class Stream(Generic[T]):
    """Rows or entities, read from the database in chunks; an async iterator.

    A loop that reaches its end, or fails in the database, gives the connection back by itself.
    To leave a loop early, use the stream as a context manager as well::

        async with users.stream(User.active) as stream:
            async for user in stream:
                if enough(user):
                    break
    """

    def __init__(
        self,
        source: Source,
        start: Callable[[Session], Result[Any] | ScalarResult[Any]],
        *,
        chunk: int,
        detach: bool,
    ) -> None:
        self._source = source
        self._start = start
        self._chunk = chunk
        self._detach = detach
        self._rows: deque[T] = deque()
        self._open = AsyncExitStack()
        self._scope: Performer | None = None
        self._result: Result[Any] | ScalarResult[Any] | None = None
        self._closed = False
        self._task: asyncio.Task[Any] | None = None

    def __del__(self) -> None:
        task = self._task
        if self._closed or task is None or task.get_loop().is_closed():
            return
        # Its transaction must be left in good order: by a task, because that takes awaiting.
        task.get_loop().call_soon_threadsafe(_let_go, self)
        message = f"a stream of {task.get_name()} was left early: that needs `async with` around the loop"
        warnings.warn(message, ResourceWarning, stacklevel=1)

    def abandoned(self) -> bool:
        """Whether nobody can be reading it: the task that began it has ended, or is the one that asks."""
        return self._task is not None and (self._task.done() or self._task is asyncio.current_task())

    def __aiter__(self) -> "Stream[T]":
        return self

    async def __anext__(self) -> T:
        if not self._rows and not self._closed:
            await self._fill()
        if not self._rows:
            raise StopAsyncIteration
        return self._rows.popleft()

    async def __aenter__(self) -> "Stream[T]":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._leave(error or GeneratorExit())

    async def aclose(self) -> None:
        """Give the connection back; rows that were not read yet are dropped."""
        await self._leave(GeneratorExit())

    async def _leave(self, error: BaseException | None) -> None:
        """Leave the reader's block as if the loop stood inside of it; without an error, at its end."""
        self._rows.clear()
        if self._closed:
            return
        self._closed = True
        try:
            # A result that cannot be closed now goes with its transaction.
            with suppress(RepoError):
                async with in_time():
                    await self._close_result()
        finally:
            await self._open.__aexit__(None if error is None else type(error), error, None)

    async def _close_result(self) -> None:
        """Let the database forget the rows that were not read."""
        result = self._result
        if result is not None and self._scope is not None:
            await self._scope.perform(Call("stream", lambda _: result.close()))

    async def _fill(self) -> None:
        """Read the next chunk; close the stream at its end and after an error."""
        try:
            if self._scope is None:
                self._task = asyncio.current_task()
                self._source.opened(self)
                self._scope = await self._open.enter_async_context(self._source.reader())
            self._rows.extend(await self._scope.perform(Call("stream", self._read)))
        except BaseException as error:
            self._closed = True
            await self._open.__aexit__(type(error), error, error.__traceback__)
            raise
        if not self._rows:
            await self._leave(None)

    def _read(self, own: Session) -> list[T]:
        """The next chunk, inside the greenlet."""
        if self._result is None:
            self._result = self._start(own)
        rows = execution.chunk(self._result, self._chunk)
        if self._detach:
            # Not expunge_all(): the open result goes on filling the session's identity map.
            for entity in list(own):
                if entity in own:  # it may have gone with another, by a cascade
                    own.expunge(entity)
        return rows


_leaving: set[asyncio.Future[None]] = set()


def _let_go(stream: Stream[Any]) -> None:
    """Close a stream that nobody refers to any more."""
    leaving = asyncio.ensure_future(stream.aclose())
    _leaving.add(leaving)
    leaving.add_done_callback(_leaving.discard)
