"""Reads of several tasks that stand side by side in a line of calls become one statement."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from repo.engine.connections import Counts
from repo.scopes.batching import Batch, Lookup
from repo.scopes.call import Call, Performer
from repo.scopes.queue import Place, Queue

T = TypeVar("T")


class Adjacent:
    """The lookups of one line of calls: together, as long as no other call was made between them.

    The first takes a place in the line at once, so that what is asked for after it comes after it.
    """

    def __init__(self, queue: Queue, counts: Counts | None = None) -> None:
        self.queue = queue
        self._counts = counts or Counts()
        self._open: dict[Place, Batch[Any]] = {}

    async def look_up(self, scope: Performer, lookup: Lookup[T], own: Session) -> T:
        """What the lookup finds, in its turn.

        Raises:
            RepoError: the database failed, or the scope has; all who asked together get the same error.
        """
        level = self.queue.level()
        batch: Batch[T] | None = self._open.get(level.line[-1]) if level.line else None
        if batch is None and lookup.is_known(own):
            return await scope.perform(lookup.alone)
        with level.calls.call(lookup.alone.verb):
            if batch is not None and batch.takes(lookup):
                return await batch.join(lookup)
            return await self._begin(scope, lookup, Place(level))

    async def _begin(self, scope: Performer, lookup: Lookup[T], place: Place) -> T:
        """A batch of its own, at the end of the line."""

        async def perform(make: Callable[[], Call[Any]]) -> Any:
            await place.keep()
            return await scope.perform(make())

        batch = Batch(lookup, perform, self._counts)
        self._open[place] = batch
        try:
            try:
                await batch.fill()
            finally:
                del self._open[place]
            return await batch.lead()
        finally:
            batch.when_done(place.leave)
