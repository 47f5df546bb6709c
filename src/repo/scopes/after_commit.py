"""What is to run once a transaction is known to be committed."""

import asyncio
import inspect
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from repo.errors import AfterCommitFailed, UsageError
from repo.scopes.call import name_of
from repo.scopes.queue import Level

GRACE = 5.0
"""Seconds for which functions may go on after a cancellation."""


@dataclass(slots=True)
class _Later:
    """A function with its arguments, and where it was registered."""

    level: Level
    function: Callable[..., Any]
    args: tuple[Any, ...]

    async def run(self) -> None:
        made: Any = self.function(*self.args)
        if not inspect.isawaitable(made):
            raise UsageError(f"after_commit takes async functions; {self} returned {type(made).__name__}")
        await made

    def __str__(self) -> str:
        return name_of(self.function)


class AfterCommit:
    """The functions of one transaction, in the order in which they were registered."""

    def __init__(self) -> None:
        self._later: deque[_Later] = deque()

    def add(self, level: Level, function: Any, args: tuple[Any, ...]) -> None:
        """Register a function at a level, with which it is dropped."""
        if not callable(function):
            if inspect.iscoroutine(function):
                function.close()
            raise UsageError(
                "after_commit takes the function and its arguments, as in tx.after_commit(send, order.id), "
                f"not {type(function).__name__}"
            )
        self._later.append(_Later(level, function, args))

    def release(self, level: Level) -> None:
        """A savepoint was released: what it has registered is its parent's."""
        for later in self._later:
            if later.level is level and level.parent is not None:
                later.level = level.parent

    def undo(self, level: Level) -> None:
        """A savepoint was rolled back: drop what it has registered."""
        self._later = deque(later for later in self._later if later.level is not level)

    async def run(self, cancelled: asyncio.CancelledError | None = None) -> None:
        """Run them one after the other, also those after one that fails.

        A cancellation waits for their end, but not for longer than ``GRACE``: then the one that
        runs is cancelled, and those after it do not run.

        Args:
            cancelled: a cancellation that has arrived before.

        Raises:
            AfterCommitFailed: some have failed.
        """
        if self._later:
            cancelled = await self._run_in_task(cancelled)
        if cancelled is not None:
            raise cancelled

    async def _run_in_task(self, cancelled: asyncio.CancelledError | None) -> asyncio.CancelledError | None:
        """Run them; a cancellation that came meanwhile, or before, is returned."""
        failed: list[tuple[_Later, Exception]] = []
        task = asyncio.create_task(self._run_all(failed), name=_name())
        while not task.done():
            try:
                await asyncio.wait([task], timeout=GRACE if cancelled else None)
            except asyncio.CancelledError as error:
                cancelled = error
            else:
                task.cancel()
        if failed:
            self._raise(failed)
        try:
            task.result()
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
        if cancelled is not None:
            self._tell(cancelled)
        return cancelled

    async def _run_all(self, failed: list[tuple[_Later, Exception]]) -> None:
        """Run each, and note those that fail; who does not come to its end is still there afterwards."""
        while self._later:
            later = self._later[0]
            try:
                await later.run()
            except Exception as error:
                failed.append((later, error))
            self._later.popleft()

    def _raise(self, failed: list[tuple[_Later, Exception]]) -> None:
        """Raise all failures as one error."""
        errors = tuple(error for _, error in failed)
        names = ", ".join(f"{later} ({type(error).__name__})" for later, error in failed)
        raise AfterCommitFailed(
            f"the transaction is committed, but of what was to run after it failed: {names}{self._left()}. "
            "Do not do the transaction again; only what has failed is left to do",
            errors=errors,
        ) from (errors[0] if len(errors) == 1 else ExceptionGroup("after the commit", errors))

    def _tell(self, cancelled: asyncio.CancelledError) -> None:
        """Have a cancellation say what it has cut short."""
        if self._later:
            cancelled.add_note(f"the transaction is committed{self._left()}")

    def _left(self) -> str:
        """What a cancellation has left undone, in words."""
        left = ", ".join(map(str, self._later))
        return f"; a cancellation has stopped what was to run after it: {left}" if left else ""


def _name() -> str | None:
    """The running task's name, for what runs in its place."""
    task = asyncio.current_task()
    return task.get_name() if task else None
