"""A whole transaction, again and again until it is done."""

import asyncio
import inspect
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from repo.errors import (
    AfterCommitFailed,
    RepoError,
    UsageError,
)
from repo.events import AttemptFailed, Event, Hook, UnitEnded, UnitStarted
from repo.retry import Retry, pause
from repo.scopes.call import name_of
from repo.scopes.transaction import Transaction

T = TypeVar("T")

Begin = Callable[[float | None], Transaction]
"""Makes the transaction of an attempt. A number of seconds is a ``lock_timeout``, if there is no other."""

_numbers = itertools.count(1)


class Work(Generic[T]):
    """A function that works in a transaction, and its further arguments.

    Raises:
        UsageError: it is no function, so it cannot be called a second time.
    """

    def __init__(self, function: Any, args: tuple[Any, ...]) -> None:
        if not callable(function):
            if inspect.iscoroutine(function):
                function.close()
            raise UsageError(
                "transact takes the function and its arguments, as in db.transact(transfer, 1, 2), because it may "
                f"have to call it several times; not {type(function).__name__}"
            )
        self.name = name_of(function)
        self._function = function
        self._args = args

    async def run(self, tx: Transaction) -> T:
        """Call the function, and await all that it is."""
        made = self._function(tx, *self._args)
        if not inspect.isawaitable(made):
            raise UsageError(f"transact takes an async function; {self.name} returned {type(made).__name__}")
        result: T = await made
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise UsageError(
                f"{self.name} returned {type(result).__name__}, which nobody has awaited, so all was rolled back; "
                "write `return await ...`"
            )
        return result


class Unit(Generic[T]):
    """One call of ``Database.transact``: a function, and the attempts at it."""

    replayed = False

    def __init__(self, begin: Begin, work: Work[T], retry: Retry, hooks: Sequence[Hook]) -> None:
        self.name = work.name
        self.retry = retry
        self.attempts = 0
        self._begin = begin
        self._work = work
        self._hooks = hooks
        self._number = next(_numbers)
        self._task = task.get_name() if (task := asyncio.current_task()) else ""
        self._started = time.perf_counter()
        self._history: list[str] = []

    async def run(self) -> T:
        """Try until it is done, or trying makes no sense any more.

        Raises:
            Exception: that of the last attempt, with notes about those before it.
        """
        self._tell(UnitStarted(unit=self._number, name=self.name, task=self._task, at=self._started))
        try:
            result = await self._try()
        except BaseException as error:
            self._tell_end(error)
            raise
        self._tell_end(None)
        return result

    async def _try(self) -> T:
        while True:
            tx = self._transaction()
            try:
                return await self._attempt(tx)
            except Exception as error:
                wait = self._wait(error)
                self._tell_failure(error, wait)
                if wait is None:
                    last = self._last(error)
                    self._explain(last)
                    raise last from last.__cause__
                self._remember(error, wait)
            await pause(wait)

    def _transaction(self) -> Transaction:
        """The transaction of the next attempt."""
        self.attempts += 1
        return self._begin(None)

    async def _attempt(self, tx: Transaction) -> T:
        """Do all of it, in this transaction."""
        done: list[T] = []
        try:
            async with tx:
                done.append(await self._call(tx))
        except AfterCommitFailed as error:
            error.result = done[0] if done else None
            raise
        return done[0]

    async def _call(self, tx: Transaction) -> T:
        """Do the work."""
        tx.attempt = self.attempts
        return await self._work.run(tx)

    def _wait(self, error: Exception) -> float | None:
        """Seconds to wait before the next attempt; None for no other."""
        if not self.retry.after(error) or self.attempts >= self.retry.attempts:
            return None
        return self.retry.next_wait(self.attempts, self._elapsed())

    def _last(self, error: Exception) -> Exception:
        """What is raised in the end."""
        return error

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started

    def _remember(self, error: Exception, wait: float) -> None:
        """Write an attempt into the history."""
        self._history.append(f"attempt {self.attempts} of {self.name}: {worded(error)}; it waited for {wait:.3f} s")

    def _explain(self, error: Exception) -> None:
        """Have the last error carry the history."""
        if self._history:
            for line in self._history:
                error.add_note(line)
            error.add_note(
                f"attempt {self.attempts} of {self.name} was the last, {self._elapsed():.1f} s after the first began"
            )

    def _tell(self, event: Event) -> None:
        for hook in self._hooks:
            hook(event)

    def _tell_failure(self, error: Exception, wait: float | None) -> None:
        self._tell(
            AttemptFailed(
                unit=self._number,
                name=self.name,
                task=self._task,
                attempt=self.attempts,
                error=error,
                wait=wait,
                at=time.perf_counter(),
            )
        )

    def _tell_end(self, error: BaseException | None) -> None:
        self._tell(
            UnitEnded(
                unit=self._number,
                name=self.name,
                task=self._task,
                attempts=self.attempts,
                replayed=self.replayed,
                started=self._started,
                at=time.perf_counter(),
                error=error,
            )
        )


def worded(error: BaseException) -> str:
    """An error in the history: only ours are known not to show values of rows."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, RepoError) else name
