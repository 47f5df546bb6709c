"""One call at a time on one connection, in the order of the first await."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar

from repo.errors import ScopeClosed, TransactionFailed, UsageError
from repo.gather import finish


class InFlight:
    """The calls that wait or run in a scope, by the task that made them."""

    def __init__(self) -> None:
        self._calls: dict[asyncio.Task[object], str] = {}
        self._ended = asyncio.Event()

    def call(self, verb: str) -> "_Flight":
        """A block in which a call of the running task is in flight."""
        return _Flight(self, verb)

    def begin(self, task: asyncio.Task[object], verb: str) -> None:
        """A call of a task is in flight."""
        self._calls[task] = verb

    def end(self, task: asyncio.Task[object]) -> None:
        """It has ended."""
        del self._calls[task]
        self._ended.set()

    async def cancel(self) -> list[str]:
        """Cancel the calls of other tasks and wait for their end: ``"verb of task-name"`` each."""
        mine = _running_task()
        others = {task: verb for task, verb in self._calls.items() if task is not mine}
        for task in others:
            task.cancel()
        if others:
            await finish(self._until_ended(others))
        return [f"{verb} of {task.get_name()}" for task, verb in others.items()]

    async def _until_ended(self, tasks: Iterable[asyncio.Task[object]]) -> None:
        while any(task in self._calls for task in tasks):
            self._ended.clear()
            await self._ended.wait()


class _Flight:
    """The block. Thousands may be open at a time, so it is as small as can be."""

    __slots__ = ("_calls", "_task", "_verb")

    def __init__(self, calls: InFlight, verb: str) -> None:
        self._calls = calls
        self._verb = verb
        self._task = _running_task()

    def __enter__(self) -> None:
        self._calls.begin(self._task, self._verb)

    def __exit__(self, *_: object) -> None:
        self._calls.end(self._task)


def refuse_abandoned(calls: list[str], outcome: str) -> None:
    """Refuse a block that ended while calls in it were in flight.

    Args:
        calls: what ``InFlight.cancel`` gave.
        outcome: what became of them and of the block.
    """
    if calls:
        raise UsageError(
            f"the block ended while calls were in flight that nobody awaited: {', '.join(calls)}. "
            f"{outcome}; await them inside the block, for example with repo.gather"
        )


def _running_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise UsageError("a scope can only be used by code that runs in an asyncio task")
    return task


class Level:
    """A transaction or one of its savepoints: a line of calls, and the error that ended it."""

    def __init__(self, queue: "Queue", parent: "Level | None" = None) -> None:
        self.queue = queue
        self.parent = parent
        self.open = True
        self.failure: BaseException | None = None
        self.calls = InFlight()
        self.line: deque[Place] = deque()
        """The calls in their order; it is the turn of the first."""
        self.owner: asyncio.Task[object] | None = None
        """The task whose turn it is."""

    def failed(self) -> BaseException | None:
        """The error that ended this level or one around it."""
        level: Level | None = self
        while level is not None:
            if level.failure is not None:
                return level.failure
            level = level.parent
        return None


class Place:
    """A call's place in the line of a level, from its making until it is left."""

    __slots__ = ("_reached", "keeper", "level")

    def __init__(self, level: Level) -> None:
        self.level = level
        self.keeper: asyncio.Task[object] | None = None
        """Whose next turn this is, if the place was taken ahead of it."""
        self._reached = asyncio.get_running_loop().create_future() if level.line else None
        level.line.append(self)

    async def reach(self) -> None:
        """Wait until it is the first."""
        if self._reached is not None:
            await self._reached

    async def keep(self) -> None:
        """Wait likewise, and have the next turn of the running task be this one."""
        await self.reach()
        self.keeper = _running_task()

    def leave(self) -> None:
        """Let the next have its turn."""
        line = self.level.line
        line.remove(self)
        if line:
            line[0]._call()

    def _call(self) -> None:
        """Tell it that it is the first, unless it knows, or does not want to any more."""
        if self._reached is not None and not self._reached.done():
            self._reached.set_result(None)


_levels: ContextVar[tuple[Level, ...]] = ContextVar("repo_levels", default=())


class Queue:
    """The line of calls of one transaction.

    A savepoint owns it for the task that opened it and for that task's children, which is what a
    context variable reaches; the calls of other tasks wait until the savepoint ends.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = Level(self)

    def level(self) -> Level:
        """The innermost open level of this queue that the running task is inside of."""
        for level in reversed(_levels.get()):
            if level.queue is self and level.open:
                return level
        return self.root

    @asynccontextmanager
    async def turn(self, verb: str, *, after_failure: bool = False) -> AsyncIterator[Level]:
        """Wait for this call's turn, and hold the line for the length of the block.

        Args:
            verb: what messages call it.
            after_failure: whether it may run where an earlier statement has failed.

        Raises:
            ScopeClosed: the level has ended.
            TransactionFailed: an earlier statement has failed.
        """
        level, task = self.level(), _running_task()
        self.check(level, after_failure=after_failure)
        is_kept = bool(level.line) and level.line[0].keeper is task
        with nullcontext(level.line[0]) if is_kept else self._in_line(level, verb) as place:
            await place.reach()
            self.check(level, after_failure=after_failure)
            level.owner = task
            try:
                yield level
            finally:
                level.owner = None

    @contextmanager
    def _in_line(self, level: Level, verb: str) -> Iterator[Place]:
        """A new place at the end of the line."""
        with level.calls.call(verb):
            place = Place(level)
            try:
                yield place
            finally:
                place.leave()

    def has_turn(self) -> bool:
        """Whether it is the running task's turn already, so that it must not wait for it."""
        return self.level().owner is _running_task()

    def check(self, level: Level, *, after_failure: bool = False) -> None:
        """Refuse a call on a level that has ended or failed."""
        if not self.root.open or not level.open:
            raise ScopeClosed(
                f"the {self.name} has ended, so it takes no more calls; "
                "was a task started inside of it and not awaited?"
            )
        failure = None if after_failure else level.failed()
        if isinstance(failure, asyncio.CancelledError):
            raise TransactionFailed(
                f"nothing more can be done in this {self.name}: a statement was cancelled while it "
                "ran, so its connection is gone. Let the cancellation leave the block, or the error for "
                "which gather or a TaskGroup has cancelled it; what may fail goes into a savepoint"
            ) from failure
        if failure is not None:
            raise TransactionFailed(
                f"nothing more can be done in this {self.name}: an earlier statement failed "
                f"({type(failure).__name__}: {failure}). Let that error leave the block; or put "
                "the statement that may fail inside `async with tx.savepoint()`.",
                retryable=getattr(failure, "retryable", None),
            ) from failure

    @asynccontextmanager
    async def nested(self, parent: Level) -> AsyncIterator[Level]:
        """A level for a savepoint, for the running task and its children; it ends with the block."""
        level = Level(self, parent)
        token = _levels.set((*_levels.get(), level))
        try:
            yield level
        finally:
            level.open = False
            _levels.reset(token)


def complain(abandoned: list[str], level: Level) -> None:
    """Say why leaving the block normally did not keep what was done in it."""
    refuse_abandoned(abandoned, "They were cancelled, and what was done in the block was rolled back")
    if isinstance(level.failure, asyncio.CancelledError):
        raise TransactionFailed(
            "rolled back, because a statement inside was cancelled while it ran: nobody knows what "
            "it did, and its connection is gone. Let the cancellation leave the block, or the error for "
            "which gather or a TaskGroup has cancelled it; what may fail goes into a savepoint"
        ) from level.failure
    if level.failure is not None:
        raise TransactionFailed(
            "rolled back, because a statement inside failed and its error was caught: "
            f"{type(level.failure).__name__}: {level.failure}. Let the error leave the block; "
            "or put the statement that may fail inside `async with tx.savepoint()`",
            retryable=getattr(level.failure, "retryable", None),
        ) from level.failure
