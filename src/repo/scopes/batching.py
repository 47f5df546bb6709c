"""Reads by key that are made in the same turn of the event loop become one statement."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from repo.engine.admission import inside
from repo.engine.conditions import KEYS, Key
from repo.engine.connections import Counts
from repo.gather import finish
from repo.scopes.call import Call, Performer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lookup(Generic[T]):
    """A read by key that may be done alone or together with others."""

    like: Hashable
    """What lookups must have in common to be done together."""
    key: Key
    alone: Call[T]
    together: Callable[[Sequence[Key]], Call[list[T]]]
    """The call that does it for several keys, and gives what it found in their order."""


class Batches:
    """The lookups of one scope, as many of them together as are made in the same turn of the loop.

    The first of them waits for one turn, in which everyone who is ready to run may join it. Alone,
    it is then done as if nothing had been; otherwise a task does the work for all of them, so that
    none depends on another: who is cancelled is left out, and only when all are, the work stops.
    """

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._open: dict[Hashable, _Batch[Any]] = {}

    async def look_up(self, scope: Performer, lookup: Lookup[T]) -> T:
        """What the lookup finds.

        Raises:
            RepoError: the database failed; all who asked together get the same error.
        """
        # Callers that are inside of different scopes hold different connections while they wait.
        like = (lookup.like, *inside())
        if like in self._open:
            joined: _Batch[T] = self._open[like]
            if joined.size == KEYS - 1:
                del self._open[like]
            return await joined.wait(joined.join(lookup.key))
        batch: _Batch[T] = _Batch()
        self._open[like] = batch
        place = batch.join(lookup.key)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            place.cancel()
            raise
        finally:
            if self._open.get(like) is batch:
                del self._open[like]
            self._counts.batches += batch.start(scope, lookup, place)
        return await (scope.perform(lookup.alone) if batch.task is None else batch.wait(place))


class _Batch(Generic[T]):
    """Lookups that are done together."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        """Does the work."""
        self._places: dict[asyncio.Future[T], Key] = {}

    @property
    def size(self) -> int:
        """How many have joined."""
        return len(self._places)

    def join(self, key: Key) -> asyncio.Future[T]:
        """The place of what will be found for one more key."""
        place: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._places[place] = key
        return place

    def start(self, scope: Performer, lookup: Lookup[T], first: asyncio.Future[T]) -> bool:
        """Begin the work in a task, unless only the first is left to be served: whether it was begun."""
        self._places = {place: key for place, key in self._places.items() if not place.done()}
        if self._places.keys() - {first}:
            self.task = asyncio.create_task(self._work(scope, lookup))
        return self.task is not None

    async def wait(self, place: asyncio.Future[T]) -> T:
        """What was found; who does not want to know any more leaves the others alone."""
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                place.exception()  # it is known; asyncio would complain that nobody asked for it
            if self.task is not None and all(other.done() for other in self._places):
                self.task.cancel()
                await finish(_ended(self.task))
            raise

    async def _work(self, scope: Performer, lookup: Lookup[T]) -> None:
        """Do the lookups, and tell everyone."""
        places = self._places
        try:
            found = await scope.perform(lookup.together(list(places.values())))
        except BaseException as error:
            for place in places:
                _fail(place, error)
            if not isinstance(error, Exception):
                raise
        else:
            for place, one in zip(places, found, strict=True):
                if not place.done():
                    place.set_result(one)


def _fail(place: asyncio.Future[Any], error: BaseException) -> None:
    """Tell one who waits that there will be nothing."""
    if isinstance(error, asyncio.CancelledError):
        place.cancel()
    elif not place.done():
        place.set_exception(error)


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])
