"""Calls that are made in the same turn of the event loop become one."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy.orm import Session

from repo.engine.admission import inside
from repo.engine.conditions import KEYS
from repo.engine.connections import Counts
from repo.engine.loop import has_more_to_run
from repo.gather import finish
from repo.scopes.call import Call, Performer

T = TypeVar("T")

Perform = Callable[[Call[Any]], Awaitable[Any]]
"""Has a scope do a call."""


class Shareable(ABC, Generic[T]):
    """A call that may be done alone or together with others."""

    __slots__ = ()

    verb: str
    """What messages call it."""
    like: Hashable
    """What calls must have in common to be done together."""
    wanted: Any
    """What this one is about."""
    size: int = 1
    """How many keys it is about."""
    writes: Hashable = None
    """The row that it writes, of which there must not be two; None if it only reads."""

    @abstractmethod
    def alone(self) -> Call[T]:
        """The call for this one."""

    @abstractmethod
    def together(self, wanted: Sequence[Any]) -> Call[list[T]]:
        """The call for several: what each wants, in their order; it gives a result for each, or its error."""

    def is_known(self, own: Session) -> bool:
        """Whether a session has all of it, so that nothing is asked for."""
        return False


class Batches:
    """The calls of one scope that may be shared, as many of them together as are made in the same turn of the loop."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._open: dict[Hashable, Batch[Any]] = {}

    def share(self, scope: Performer, shareable: Shareable[T]) -> Coroutine[Any, Any, T]:
        """What the call gives, to be awaited at once.

        Raises:
            RepoError: the database failed; all who asked together get the same error.
        """
        # Callers that are inside of different scopes hold different connections while they wait.
        like = (shareable.like, *inside())
        others: Batch[T] | None = self._open.get(like)
        if others is not None and others.takes(shareable):
            return others.join(shareable)
        return self._begin(scope, shareable, like)

    async def _begin(self, scope: Performer, shareable: Shareable[T], like: Hashable) -> T:
        """The same, where there is none to join."""
        if not has_more_to_run(asyncio.get_running_loop()):
            return await scope.perform(shareable.alone())
        batch: Batch[T] = Batch(shareable, scope.perform, self._counts)
        self._open[like] = batch
        try:
            await batch.fill()
        finally:
            if self._open.get(like) is batch:
                del self._open[like]
        return await batch.lead()


class Batch(Generic[T]):
    """Calls that are done together.

    The first of them waits for one turn, in which everyone who is ready to run may join it. Alone,
    it is then done as if nothing had been; otherwise a task does the work for all of them, so that
    none depends on another: who is cancelled is left out, and only when all are, the work stops.

    Args:
        first: the first of them.
        perform: has the scope do a call.
        counts: where it is counted.
        reached: is awaited before.
        lost: called if somebody is cancelled for whom something is, or was, written.
    """

    def __init__(
        self,
        first: Shareable[T],
        perform: Perform,
        counts: Counts,
        *,
        reached: Callable[[], Awaitable[None]] | None = None,
        lost: Callable[[BaseException], object] = lambda _: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._first = first
        self._perform = perform
        self._counts = counts
        self._reached = reached
        self._lost = lost
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._is_sent = False
        self._wanted: dict[asyncio.Future[T], Any] = {}
        self._written: set[Hashable] = set()
        self._own = self._add(first)

    def takes(self, shareable: Shareable[Any]) -> bool:
        """Whether another may join."""
        return (
            shareable.like == self._first.like
            and self._size + shareable.size <= KEYS
            and (shareable.writes is None or shareable.writes not in self._written)
        )

    def join(self, shareable: Shareable[T]) -> Coroutine[Any, Any, T]:
        """What one more gets; who does not want to know any more leaves the others alone."""
        return self._wait(self._add(shareable))

    async def fill(self) -> None:
        """Wait for those who join the first; then those who are left have their work begun."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._own.cancel()
            raise
        finally:
            if len(self._wanted) > 1 and any(not answer.done() for answer in self._wanted if answer is not self._own):
                self._counts.batches += 1
                self._task = asyncio.create_task(self._work(), name=_name())

    async def lead(self) -> T:
        """What the first gets."""
        if self._task is not None:
            return await self._wait(self._own)
        alone: T = await self._do(self._first.alone)
        return alone

    def when_done(self, function: Callable[[], object]) -> None:
        """Have a function called when the work is done, or has stopped; now, if it is not a task that does it."""
        if self._task is None:
            function()
        else:
            self._task.add_done_callback(lambda _: function())

    def _add(self, shareable: Shareable[T]) -> asyncio.Future[T]:
        """The place of what one more will get."""
        answer: asyncio.Future[T] = self._loop.create_future()
        self._wanted[answer] = shareable.wanted
        self._size += shareable.size
        if shareable.writes is not None:
            self._written.add(shareable.writes)
        return answer

    async def _wait(self, answer: asyncio.Future[T]) -> T:
        """What one of them gets; with the last who waits, the work stops."""
        try:
            return await answer
        except asyncio.CancelledError as error:
            # Asked for in any case; asyncio would complain of an error that nobody has asked for.
            has_failed = answer.done() and not answer.cancelled() and answer.exception() is not None
            if self._is_sent and self._written and not has_failed:
                self._lost(error)
            if self._task is not None and all(other.done() for other in self._wanted):
                self._task.cancel()
                await finish(_ended(self._task))
            raise

    async def _work(self) -> None:
        """Do the calls of those who are left when it can be done, and tell everyone."""
        try:
            found = await self._do(self._together)
        except BaseException as error:
            for answer in self._wanted:
                _fail(answer, error)
            if not isinstance(error, Exception):
                raise
        else:
            for answer, one in zip(self._wanted, found, strict=True):
                if isinstance(one, Exception):
                    _fail(answer, one)
                elif not answer.done():
                    answer.set_result(one)

    async def _do(self, make: Callable[[], Call[Any]]) -> Any:
        """Do a call, which is made when it can be done."""
        if self._reached is not None:
            await self._reached()
        return await self._perform(make())

    def _together(self) -> Call[list[T]]:
        """The call for those who are left."""
        self._wanted = {answer: wanted for answer, wanted in self._wanted.items() if not answer.done()}
        if not self._wanted:
            raise asyncio.CancelledError
        self._is_sent = True
        return self._first.together(list(self._wanted.values()))


def _fail(answer: asyncio.Future[Any], error: BaseException) -> None:
    """Tell one who waits that there will be nothing."""
    if isinstance(error, asyncio.CancelledError):
        answer.cancel()
    elif not answer.done():
        answer.set_exception(error)


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])


def _name() -> str | None:
    """The running task's name, for what works in its place."""
    task = asyncio.current_task()
    return task.get_name() if task else None
