"""Who may write, where only one transaction at a time can: in line, first come first served.

Whoever has the turn may still have to wait for somebody who does not stand in this line, such as
another process. Time that it spends on that counts for all who wait behind it: when it has tried in
vain, those who have waited as long are told the same, and do not try for as long one after the other.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from repo.dialects.base import TransactionOptions
from repo.engine.admission import Holder, wait
from repo.errors import DatabaseLocked, PoolTimeout, translate

MOMENT = 0.001
"""Seconds for which one still tries whose time is over: once."""


class Turn:
    """The turn to write.

    Args:
        timeout: how long one waits for it, in seconds; None means for as long as it takes.
    """

    def __init__(self, timeout: float | None = None) -> None:
        self.timeout = timeout
        self.holder: Holder | None = None
        """Who has it."""
        self.longest_wait = 0.0
        self._line: deque[tuple[Holder, asyncio.Future[None]]] = deque()
        self._blocked: float | None = None
        """Since when all who had the turn have tried to begin in vain."""
        self._patience: float | None = None
        """For how many seconds one tries that was told no time of its own."""

    @property
    def waiting(self) -> int:
        """How many wait in line."""
        return len(self._line)

    def of(self, holder: Holder) -> "_Taken":
        """A block for which the holder has the turn, after waiting for it; see ``take``."""
        return _Taken(self, holder)

    async def take(self, holder: Holder) -> None:
        """Wait for the turn.

        Raises:
            PoolTimeout: it took longer than the time-out.
            DatabaseLocked: it took longer than the holder wants to wait for a lock, or those before it
                have tried in vain for that long.
        """
        if self.holder is None:
            self.holder = holder
            return
        start = holder.asked = time.monotonic()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((holder, place))
        try:
            await wait(place, min(self._limits(holder), default=None))
        except BaseException as error:
            self._give_up(holder, place)
            if isinstance(error, TimeoutError):
                raise self._timed_out(holder) from None
            raise
        finally:
            self.longest_wait = max(self.longest_wait, time.monotonic() - start)

    def give_back(self) -> None:
        """Let the next in line have the turn."""
        self.holder = None
        while self._line and self.holder is None:
            holder, place = self._line.popleft()
            if not place.done():
                self.holder = holder
                place.set_result(None)

    @contextmanager
    def beginning(self, options: TransactionOptions) -> Iterator[TransactionOptions]:
        """A block in which the holder begins, with these options; they may have less time in them."""
        start = time.monotonic()
        left = self._left(options)
        try:
            yield options if left is None else replace(options, lock_timeout=left)
        except Exception as error:
            locked = translate(error)
            if not isinstance(locked, DatabaseLocked):
                raise
            if left is None and options.lock_timeout is None:
                self._patience = time.monotonic() - start
            self._blocked = self._blocked or start
            self._tell(locked, error)
            if left is None:
                raise
            raise DatabaseLocked(
                f"{locked}. That was the rest of its time: it had waited in line before", code=locked.code
            ) from _cause(error)
        self._blocked = None

    def _left(self, options: TransactionOptions) -> float | None:
        """For how many seconds the holder may still try; None means for all of its time."""
        patience = options.lock_timeout or self._patience
        if self.holder is None or patience is None:
            return None
        waited = self._waited(self.holder)
        return max(patience - waited, MOMENT) if waited else None

    def _waited(self, holder: Holder) -> float:
        """For how many seconds it has stood in line while others tried in vain."""
        if holder.asked is None or self._blocked is None:
            return 0.0
        return time.monotonic() - max(holder.asked, self._blocked)

    def _tell(self, locked: DatabaseLocked, error: BaseException) -> None:
        """Tell those in line whose time is over that they could not begin either."""
        for holder, place in list(self._line):
            patience = holder.patience or self._patience
            if patience is not None and self._waited(holder) >= patience and not place.done():
                self._line.remove((holder, place))
                told = DatabaseLocked(locked.message, code=locked.code)
                told.__cause__ = _cause(error)
                place.set_exception(told)

    def _limits(self, holder: Holder) -> list[float]:
        return [each for each in (self.timeout, holder.patience) if each is not None and each != math.inf]

    def _give_up(self, holder: Holder, place: asyncio.Future[None]) -> None:
        """Leave the line; a turn that was handed over in the same moment goes to the next."""
        if (holder, place) in self._line:
            self._line.remove((holder, place))
        elif self.holder is holder:
            self.give_back()

    def _timed_out(self, holder: Holder) -> PoolTimeout | DatabaseLocked:
        has = f"its turn to write, which {self.holder} has: only one transaction at a time can write here"
        if holder.patience == min(self._limits(holder)):
            return DatabaseLocked(
                f"{holder.what} waited {holder.patience:g} s (lock_timeout) for {has}. "
                "Make transactions shorter, or wait longer"
            )
        return PoolTimeout(
            f"{holder.what} waited {self.timeout:g} s (pool_timeout) for {has}, and {self.waiting} more wait for it. "
            "Make transactions shorter, or raise pool_timeout"
        )


class _Taken:
    """The block."""

    __slots__ = ("_holder", "_turn")

    def __init__(self, turn: Turn, holder: Holder) -> None:
        self._turn = turn
        self._holder = holder

    async def __aenter__(self) -> None:
        await self._turn.take(self._holder)

    async def __aexit__(self, *_: object) -> None:
        self._turn.give_back()


def _cause(error: BaseException) -> BaseException:
    """The driver's own error."""
    return getattr(error, "orig", None) or error
