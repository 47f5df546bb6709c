"""Quick reads one at a time, where the database runs in threads of this process.

Python lets one thread at a time run, and SQLite's gives way to another after each row that it reads. Of
ten that read lists at once each waits for nine others, row after row, and so does the event loop, which
makes results of the rows: all ten take twice as long as one after the other. So that is how they
are read. A statement that keeps SQLite busy for long without a row leaves Python to others meanwhile, so
it waits for nobody; nor does one that was never seen.
"""

import asyncio
import time
from collections import deque
from contextlib import AbstractAsyncContextManager, nullcontext

from repo.engine.plans import Plan

PATIENCE = 0.02
"""Seconds after which all in line begin, if none has ended meanwhile: with other values a quick one may take long."""

QUICK = 0.005
"""Seconds that a statement takes at most to be known as a quick one, ..."""

PER_ROW = 0.0001
"""... or else seconds for each of its rows: Python needs a tenth of it."""

_FREE: AbstractAsyncContextManager[None] = nullcontext()


class Lane:
    """Where one quick read at a time runs.

    Args:
        needed: whether they are in each other's way.
    """

    def __init__(self, *, needed: bool) -> None:
        self._needed = needed
        self._running = 0
        self._line: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = 0.0
        """When one was over the last time."""

    def of(self, plan: Plan | None) -> AbstractAsyncContextManager[None]:
        """A block in which the statement of a plan runs, when it is its turn; None for any that is no read."""
        return _FREE if plan is None or not self._needed else _Read(self, plan)

    async def enter(self) -> None:
        """Wait for one's turn."""
        if not self._running:
            self._running = 1
            return
        loop = asyncio.get_running_loop()
        place = loop.create_future()
        self._line.append(place)
        if self._timer is None:
            self._timer = loop.call_later(PATIENCE, self._look)
        try:
            await place
        except asyncio.CancelledError:
            if place in self._line:
                self._line.remove(place)
            else:
                self.leave()
            raise

    def leave(self) -> None:
        """Let the next in line have the turn, unless another still runs."""
        self._running -= 1
        self._ended = time.monotonic()
        if self._line and not self._running:
            self._let_in()

    def _let_in(self) -> None:
        """The first in line begins; one that was cancelled will pass its turn on."""
        place = self._line.popleft()
        self._running += 1
        if not place.done():
            place.set_result(None)

    def _look(self) -> None:
        """Look whether there is any progress."""
        self._timer = None
        left = self._ended + PATIENCE - time.monotonic()
        while self._line and left <= 0:
            self._let_in()
        if self._line:
            self._timer = asyncio.get_running_loop().call_later(left, self._look)


class _Read:
    """The block, which notes whether the statement is a quick one."""

    __slots__ = ("_lane", "_plan", "_start", "_waits")

    def __init__(self, lane: Lane, plan: Plan) -> None:
        self._lane = lane
        self._plan = plan
        self._waits = plan.is_quick

    async def __aenter__(self) -> None:
        if self._waits:
            await self._lane.enter()
        self._start = time.perf_counter()

    async def __aexit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._waits:
            self._lane.leave()
        if error is None:
            seconds = time.perf_counter() - self._start
            self._plan.is_quick = seconds <= max(QUICK, PER_ROW * self._plan.rows)
