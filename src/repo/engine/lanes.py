"""Quick reads one at a time, where the database runs in threads of this process.

Python lets one thread at a time run, and SQLite's gives way to another after each row that it reads. Of
ten that read lists at once each waits for nine others, row after row, and so does the event loop, which
makes results of the rows: all ten take twice as long as one after the other. So that is how they
are read. A statement that keeps SQLite busy for long without a row leaves Python to others meanwhile, so
it waits for nobody, and nobody for it; nor for one that was never seen.
"""

import asyncio
import time
from collections import deque
from contextlib import AbstractAsyncContextManager, nullcontext

from repo.engine.plans import Plan

PATIENCE = 0.02
"""Seconds after which nobody waits any longer for a read that runs: with other values a quick one may take long."""

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
        self.longest_wait = 0.0
        """The longest that one has waited, in seconds."""
        self._needed = needed
        self._running: _Read | None = None
        self._since = 0.0
        """Since when it runs."""
        self._line: deque[_Read] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many wait in line."""
        return len(self._line)

    def of(self, plan: Plan | None) -> AbstractAsyncContextManager[None]:
        """A block in which the statement of a plan runs, when it is its turn; None for any that is no read."""
        return _FREE if plan is None or not self._needed else _Read(self, plan)

    async def enter(self, read: "_Read") -> None:
        """Wait for one's turn."""
        if self._running is None:
            self._begin(read)
            return
        loop, start = asyncio.get_running_loop(), time.monotonic()
        read.place = loop.create_future()
        self._line.append(read)
        if self._timer is None:
            self._timer = loop.call_later(PATIENCE, self._look)
        try:
            await read.place
        except asyncio.CancelledError:
            if read in self._line:
                self._line.remove(read)
            else:
                self.leave(read)
            raise
        finally:
            self.longest_wait = max(self.longest_wait, time.monotonic() - start)

    def leave(self, read: "_Read") -> None:
        """Let the next in line have the turn, if this one has it."""
        if self._running is read:
            self._running = None
            self._go_on()

    def _begin(self, read: "_Read") -> None:
        self._running, self._since = read, time.monotonic()

    def _go_on(self) -> None:
        """The next in line begins; who has proved not to be quick does so outside of the lane."""
        while self._line and self._running is None:
            read = self._line.popleft()
            if not read.place.done():
                if read.plan.is_quick:
                    self._begin(read)
                read.place.set_result(None)

    def _look(self) -> None:
        """Look whether what runs has taken too long, in which case nobody waits for it any more."""
        self._timer = None
        left = self._since + PATIENCE - time.monotonic()
        if self._running is not None and left <= 0:
            self._running.plan.is_quick = False
            self._running, left = None, PATIENCE
            self._go_on()
        if self._line:
            self._timer = asyncio.get_running_loop().call_later(left, self._look)


class _Read:
    """The block, which notes whether the statement is a quick one."""

    __slots__ = ("_lane", "_start", "place", "plan")

    place: asyncio.Future[None]
    """Done when its turn has come, if it had to wait for that."""

    def __init__(self, lane: Lane, plan: Plan) -> None:
        self._lane = lane
        self.plan = plan

    async def __aenter__(self) -> None:
        if self.plan.is_quick:
            await self._lane.enter(self)
        self._start = time.perf_counter()

    async def __aexit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._lane.leave(self)
        if error is None:
            seconds = time.perf_counter() - self._start
            self.plan.is_quick = seconds <= max(QUICK, PER_ROW * self.plan.rows)
