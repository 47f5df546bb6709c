"""Reads that are asked for in the same turn of the event loop become one statement."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy.orm import Session

from repo.engine.admission import inside
from repo.engine.conditions import KEYS
from repo.engine.connections import Counts
from repo.gather import finish
from repo.scopes.call import Call, Performer

T = TypeVar("T")

Perform = Callable[[Callable[[], Call[Any]]], Awaitable[Any]]
"""Has a scope do a call, which is asked for when it can be done."""


@dataclass(frozen=True, slots=True)
class Lookup(Generic[T]):
    """A read that may be done alone or together with others."""

    like: Hashable
    """What lookups must have in common to be done together."""
    wanted: Any
    """What this one is about."""
    alone: Call[T]
    together: Callable[[Sequence[Any]], Call[list[T]]]
    """The call that does it for what several want, and gives what it found for each, in their order."""
    size: int = 1
    """How many keys it is about."""
    is_known: Callable[[Session], bool] = lambda _: False
    """Whether a session has all of it, so that nothing is asked for."""


class Batches:
    """The lookups of one scope, as many of them together as are made in the same turn of the loop."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._open: dict[Hashable, Batch[Any]] = {}

    async def look_up(self, scope: Performer, lookup: Lookup[T]) -> T:
        """What the lookup finds.

        Raises:
            RepoError: the database failed; all who asked together get the same error.
        """
        # Callers that are inside of different scopes hold different connections while they wait.
        like = (lookup.like, *inside())
        others: Batch[T] | None = self._open.get(like)
        if others is not None and others.takes(lookup):
            return await others.join(lookup)

        async def perform(make: Callable[[], Call[Any]]) -> Any:
            return await scope.perform(make())

        batch: Batch[T] = Batch(lookup, perform, self._counts)
        self._open[like] = batch
        try:
            await batch.fill()
        finally:
            if self._open.get(like) is batch:
                del self._open[like]
        return await batch.lead()


class Batch(Generic[T]):
    """Lookups that are done together.

    The first of them waits for one turn, in which everyone who is ready to run may join it. Alone,
    it is then done as if nothing had been; otherwise a task does the work for all of them, so that
    none depends on another: who is cancelled is left out, and only when all are, the work stops.
    """

    def __init__(self, first: Lookup[T], perform: Perform, counts: Counts) -> None:
        self._first = first
        self._perform = perform
        self._counts = counts
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._wanted: dict[asyncio.Future[T], Any] = {}
        self._own = self._add(first)

    def takes(self, lookup: Lookup[Any]) -> bool:
        """Whether another may join."""
        return lookup.like == self._first.like and self._size + lookup.size <= KEYS

    async def join(self, lookup: Lookup[T]) -> T:
        """What is found for one more; who does not want to know any more leaves the others alone."""
        return await self._wait(self._add(lookup))

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
        """What is found for the first."""
        if self._task is not None:
            return await self._wait(self._own)
        alone: T = await self._perform(lambda: self._first.alone)
        return alone

    def when_done(self, function: Callable[[], object]) -> None:
        """Have a function called when the work is done, or has stopped; now, if it is not a task that does it."""
        if self._task is None:
            function()
        else:
            self._task.add_done_callback(lambda _: function())

    def _add(self, lookup: Lookup[T]) -> asyncio.Future[T]:
        """The place of what will be found for one more."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._wanted[answer] = lookup.wanted
        self._size += lookup.size
        return answer

    async def _wait(self, answer: asyncio.Future[T]) -> T:
        """What was found for one of them; with the last who waits, the work stops."""
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled():
                answer.exception()  # it is known; asyncio would complain that nobody asked for it
            if self._task is not None and all(other.done() for other in self._wanted):
                self._task.cancel()
                await finish(_ended(self._task))
            raise

    async def _work(self) -> None:
        """Do the lookups of those who are left when it can be done, and tell everyone."""
        try:
            found = await self._perform(self._together)
        except BaseException as error:
            for answer in self._wanted:
                _fail(answer, error)
            if not isinstance(error, Exception):
                raise
        else:
            for answer, one in zip(self._wanted, found, strict=True):
                if not answer.done():
                    answer.set_result(one)

    def _together(self) -> Call[list[T]]:
        """The call for those who are left."""
        self._wanted = {answer: wanted for answer, wanted in self._wanted.items() if not answer.done()}
        if not self._wanted:
            raise asyncio.CancelledError
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
