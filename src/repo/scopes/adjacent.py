"""Calls of several tasks that stand side by side in a line of calls become one."""

import asyncio
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from repo.engine.connections import Counts
from repo.engine.loop import has_more_to_run
from repo.scopes.batching import Batch, Shareable
from repo.scopes.call import Performer
from repo.scopes.queue import Place, Queue

T = TypeVar("T")


class Adjacent:
    """The calls of one line that may be shared: together, as long as no other call was made between them.

    The first takes a place in the line at once, so that what is asked for after it comes after it.
    """

    def __init__(self, queue: Queue, counts: Counts | None = None) -> None:
        self.queue = queue
        self._counts = counts or Counts()
        self._open: dict[Place, Batch[Any]] = {}

    async def share(self, scope: Performer, shareable: Shareable[T], own: Session) -> T:
        """What the call gives, in its turn.

        Raises:
            RepoError: the database failed, or the scope has; all who asked together get the same error.
        """
        level = self.queue.level()
        batch: Batch[T] | None = self._open.get(level.line[-1]) if level.line else None
        if batch is None and (not has_more_to_run(asyncio.get_running_loop()) or shareable.is_known(own)):
            return await scope.perform(shareable.alone())
        with level.calls.call(shareable.verb):
            if batch is not None and batch.takes(shareable):
                return await batch.join(shareable)
            return await self._begin(scope, shareable, Place(level))

    async def _begin(self, scope: Performer, shareable: Shareable[T], place: Place) -> T:
        """A batch of its own, at the end of the line."""
        batch = Batch(shareable, scope.perform, self._counts, reached=place.keep, lost=self._lose)
        self._open[place] = batch
        try:
            try:
                await batch.fill()
            finally:
                del self._open[place]
            return await batch.lead()
        finally:
            batch.when_done(place.leave)

    def _lose(self, error: BaseException) -> None:
        """A write has lost its caller while it ran: what it does must not stay."""
        root = self.queue.root
        root.failure = root.failure or error
