"""Who may have a connection: in line, first come first served, never more than the pool has.

A task that holds a connection and waits for another can bring the pool to a standstill: when every
connection is held by such a task, none ever comes back. Two things keep that from happening. All
permits but one are for holders that may come back for more (transactions, snapshots, streams), so
there is always one for the calls that come and go. And where holders inside of holders use up that
one, too, the request that would complete the circle is refused at once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from repo.errors import PoolDeadlock, PoolTimeout


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """How busy a ``Database`` is at this moment, and how much it was asked so far."""

    checked_out: int
    """Connections that are in use, or about to be opened."""
    waiting: int
    """Calls and transactions that wait in line for a connection, or for their turn; a batch is one call."""
    longest_wait: float
    """The longest that one of them has waited so far, in seconds."""
    queries: int
    """Calls that have had a connection so far, of all scopes."""
    batches: int
    """How many of them were several gathered calls."""


class Holder:
    """What holds permits: a single call, or a scope inside of which more may be asked for."""

    patience: float | None = None
    """How many seconds it waits for its turn to write; None means for as long as it takes."""
    asked: float | None = None
    """When it began to stand in line for that turn, if it had to."""
    parent: "Holder | None" = None
    """The innermost scope that the asking code is inside of and that holds a permit: it cannot end before this one."""
    children = 0
    """How many requests made inside of it wait or hold permits."""
    permits = 0
    give_back: Callable[[], object] | None = None
    """Called when others wait: gives back permits that the holder can do without now."""
    open = True

    def __init__(
        self,
        what: str,
        pool: "Permits | None" = None,
        *,
        nests: bool = False,
        writes: bool = False,
        alone: bool = False,
    ) -> None:
        self.what = what
        """How messages call it."""
        self.pool = pool
        """Whose permits it asks for; scopes of other databases are none of its business."""
        self.task = asyncio.current_task()
        self.nests = nests
        """Whether code inside of it may ask for further connections."""
        self.writes = writes
        """Whether it needs the turn to write."""
        self.alone = alone
        """Whether it knows nothing of the scopes that the asking code is inside of."""
        self.since = time.monotonic()

    def find_parent(self) -> None:
        """Find out what it is inside of; before it holds a permit itself."""
        around = () if self.alone else inside()
        for each in reversed(around):
            if each.pool is self.pool and each.permits and each is not self:
                self.parent = each
                return
        self.parent = None

    def __str__(self) -> str:
        name = self.task.get_name() if self.task else "?"
        return f"{self.what} of {name} ({time.monotonic() - self.since:.1f} s)"


_inside: ContextVar[tuple[Holder, ...]] = ContextVar("repo_inside", default=())


def inside() -> Sequence[Holder]:
    """The open scopes that the running code is inside of, the outermost first."""
    held = _inside.get()
    return [holder for holder in held if holder.open] if held else held


def enter(holder: Holder) -> None:
    """From here on the running task, and the tasks that it starts, are inside of the holder."""
    _inside.set((*inside(), holder))


def leave(holder: Holder) -> None:
    """The holder has ended; tasks that were started inside know by its being closed."""
    holder.open = False
    _inside.set(tuple(inside()))


async def wait(place: asyncio.Future[None], seconds: float | None) -> None:
    """Stand in line, for so many seconds at most; None means for as long as it takes.

    Raises:
        TimeoutError: they are over.
    """
    if seconds is None:
        await place
        return
    async with asyncio.timeout(seconds):
        await place


class Permits:
    """A number of permits, one for each connection of the pool.

    Args:
        size: how many there are.
        timeout: how long a request waits, in seconds; None means for as long as it takes.
    """

    def __init__(self, size: int, timeout: float | None = None) -> None:
        self.size = size
        self.timeout = timeout
        self.held = 0
        self.longest_wait = 0.0
        self._nesting = 0
        self._holders: set[Holder] = set()
        self._line: deque[tuple[Holder, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait in line."""
        return len(self._line)

    def try_acquire(self, holder: Holder) -> bool:
        """Take a permit if one is free now and nobody waits for it."""
        if self._line or not self._admissible(holder):
            return False
        self._ask(holder)
        self._grant(holder)
        return True

    async def acquire(self, holder: Holder, *, waited: float = 0.0) -> None:
        """Take a permit, waiting in line for it.

        Args:
            holder: who gets it.
            waited: how many seconds of the time-out it has spent before, on its turn to write.

        Raises:
            PoolDeadlock: every permit is held by someone who waits for another.
            PoolTimeout: it took longer than the time-out.
        """
        if self._admissible(holder) and not (self._line and any(self._admissible(other) for other, _ in self._line)):
            self._ask(holder)
            self._grant(holder)
            return
        start = time.monotonic() - waited
        self._ask(holder)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((holder, place))
        try:
            self._check_deadlock(holder)
            for other in list(self._holders):
                if other.give_back is not None:
                    other.give_back()
            await wait(place, None if self.timeout is None else self.timeout - waited)
        except BaseException as error:
            self._give_up(holder, place)
            if isinstance(error, TimeoutError):
                raise self._timed_out(holder) from None
            raise
        finally:
            self.longest_wait = max(self.longest_wait, time.monotonic() - start)

    def release(self, holder: Holder) -> None:
        """Give a permit back: to the first in line who may have one."""
        self.held -= 1
        holder.permits -= 1
        if not holder.permits:
            self._holders.discard(holder)
            self._nesting -= _outermost(holder)
        self._unask(holder)
        self._serve()

    def _serve(self) -> None:
        """Give free permits to those in line."""
        while self._line and self.held < self.size:
            entry = next((e for e in self._line if not e[1].done() and self._admissible(e[0])), None)
            if entry is None:
                return
            self._line.remove(entry)
            holder, place = entry
            self._grant(holder)
            place.set_result(None)

    def _admissible(self, holder: Holder) -> bool:
        """Whether there is a permit for the holder; the last one is not for outermost scopes."""
        if self.held >= self.size:
            return False
        if holder.permits or not _outermost(holder):
            return True
        return self._nesting < max(self.size - 1, 1)

    def _ask(self, holder: Holder) -> None:
        if holder.parent is not None:
            holder.parent.children += 1

    def _unask(self, holder: Holder) -> None:
        if holder.parent is not None:
            holder.parent.children -= 1

    def _grant(self, holder: Holder) -> None:
        self.held += 1
        holder.permits += 1
        if holder.permits == 1:
            holder.since = time.monotonic()
            self._holders.add(holder)
            self._nesting += _outermost(holder)

    def _give_up(self, holder: Holder, place: asyncio.Future[None]) -> None:
        """Leave the line; a permit that was handed over in the same turn goes back."""
        if place.done() and not place.cancelled():
            self.release(holder)
            return
        self._line.remove((holder, place))
        self._unask(holder)

    def _check_deadlock(self, holder: Holder) -> None:
        """Refuse a request that would wait for ever."""
        # Who has several permits can work with one, and gives the others back.
        if holder.parent is None or any(not o.children or o.permits > 1 for o in self._holders):
            return
        raise PoolDeadlock(
            f"{holder.what} waits for a connection inside of {holder.parent.what}, and so does every "
            f"other holder of the pool's {self.size}: {self._who()}. None can go on, so none comes "
            "back. Make these calls through the transaction or snapshot that they are in; or make "
            "the pool larger than the number of tasks that nest; a task that nobody awaits says "
            "db.independent()"
        )

    def _timed_out(self, holder: Holder) -> PoolTimeout:
        return PoolTimeout(
            f"{holder.what} got no connection within {self.timeout} s; {len(self._line)} more wait "
            f"for one of {self.size}, which are held by {self._who()}. Hold connections for a "
            "shorter time, or raise pool_size or pool_timeout"
        )

    def _who(self) -> str:
        """The holders, the oldest first."""
        oldest = sorted(self._holders, key=lambda holder: holder.since)
        return ", ".join(str(holder) for holder in oldest[:10])


def _outermost(holder: Holder) -> bool:
    """Whether it is a scope that is inside of no other."""
    return holder.nests and holder.parent is None
