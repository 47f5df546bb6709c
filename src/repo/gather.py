"""Structured waiting: many awaitables at once, none of them left running afterwards."""

import asyncio
import contextlib
import contextvars
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, TypeVar, overload

T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")
T6 = TypeVar("T6")
T = TypeVar("T")


@overload
async def gather(a1: Awaitable[T1], /, *, limit: int | None = ...) -> tuple[T1]: ...
@overload
async def gather(a1: Awaitable[T1], a2: Awaitable[T2], /, *, limit: int | None = ...) -> tuple[T1, T2]: ...
@overload
async def gather(
    a1: Awaitable[T1], a2: Awaitable[T2], a3: Awaitable[T3], /, *, limit: int | None = ...
) -> tuple[T1, T2, T3]: ...
@overload
async def gather(
    a1: Awaitable[T1],
    a2: Awaitable[T2],
    a3: Awaitable[T3],
    a4: Awaitable[T4],
    /,
    *,
    limit: int | None = ...,
) -> tuple[T1, T2, T3, T4]: ...
@overload
async def gather(
    a1: Awaitable[T1],
    a2: Awaitable[T2],
    a3: Awaitable[T3],
    a4: Awaitable[T4],
    a5: Awaitable[T5],
    /,
    *,
    limit: int | None = ...,
) -> tuple[T1, T2, T3, T4, T5]: ...
@overload
async def gather(
    a1: Awaitable[T1],
    a2: Awaitable[T2],
    a3: Awaitable[T3],
    a4: Awaitable[T4],
    a5: Awaitable[T5],
    a6: Awaitable[T6],
    /,
    *,
    limit: int | None = ...,
) -> tuple[T1, T2, T3, T4, T5, T6]: ...
@overload
async def gather(*awaitables: Awaitable[T], limit: int | None = ...) -> tuple[T, ...]: ...


async def gather(*awaitables: Awaitable[Any], limit: int | None = None) -> tuple[Any, ...]:
    """Await all at once and return their results in order; if one fails, none is left running.

    At the first failure the others are cancelled **and awaited**, then that first error is raised
    as itself, not in a group; what the others raised while they ended is added to it as notes.
    A cancellation from outside is passed on to all of them and awaited, too.

    Args:
        awaitables: coroutines, tasks or futures. A coroutine's task is named after it.
        limit: how many may run at the same time; None means all.

    Raises:
        ValueError: ``limit`` is less than 1. No coroutine was started.
    """
    if limit is not None and limit < 1:
        _discard(awaitables)
        raise ValueError(f"limit must be at least 1, not {limit}")
    group = _Group(awaitables, limit)
    try:
        failed = await group.finished
        if failed is not None:
            failed.result()
    except BaseException as error:
        await group.stop(error)
        raise
    return tuple(future.result() for future in group.futures)


class _Group:
    """The futures of one ``gather``; ``finished`` resolves to the first that failed, or to None."""

    def __init__(self, awaitables: Iterable[Awaitable[Any]], limit: int | None) -> None:
        self.waiting = iter(awaitables)
        self.limit = limit
        self.futures: list[asyncio.Future[Any]] = []
        self.running: dict[asyncio.Future[Any], None] = {}
        self.finished = asyncio.get_running_loop().create_future()
        self.context = contextvars.copy_context()
        self.start()

    def start(self) -> None:
        """Start awaitables in order until ``limit`` of them run; finish when none is left."""
        while self.limit is None or len(self.running) < self.limit:
            awaitable = next(self.waiting, None)
            if awaitable is None:
                break
            future = _future(awaitable)
            self.futures.append(future)
            self.running[future] = None
            future.add_done_callback(self.ended, context=self.context)
        if not self.running and not self.finished.done():
            self.finished.set_result(None)

    def ended(self, future: asyncio.Future[Any]) -> None:
        """Note a failure, or let the next one start."""
        self.running.pop(future, None)
        if self.finished.done():
            return
        if future.cancelled() or future.exception() is not None:
            self.finished.set_result(future)
        else:
            self.start()

    async def stop(self, error: BaseException) -> None:
        """Cancel and await all that runs; what they raise meanwhile becomes notes of ``error``."""
        _discard(self.waiting)
        for future in self.running:
            future.cancel()
        # A second cancellation from outside must not leave the others running, so the wait goes
        # on; `error` is on its way out already and says enough.
        while self.running:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(self.running)
        for future in self.futures:
            other = None if future.cancelled() else future.exception()
            if other is not None and other is not error:
                error.add_note(f"also failed: {type(other).__name__}: {other}")


def _future(awaitable: Awaitable[Any]) -> asyncio.Future[Any]:
    """A future of the awaitable; a coroutine becomes a task named after it."""
    if asyncio.iscoroutine(awaitable):
        return asyncio.get_running_loop().create_task(awaitable, name=getattr(awaitable, "__qualname__", None))
    return asyncio.ensure_future(awaitable)


def _discard(awaitables: Iterable[Awaitable[Any]]) -> None:
    """Close coroutines that will never run, so that Python does not warn of them."""
    for awaitable in awaitables:
        if asyncio.iscoroutine(awaitable):
            awaitable.close()


async def finish(coroutine: Coroutine[Any, Any, T], *, grace: float | None = None) -> T:
    """Run something to its end whatever happens; a cancellation is passed on afterwards.

    For what must not stop half-way: COMMIT, ROLLBACK, the return of a connection. An error of the
    coroutine itself is raised in place of the cancellation, because it says more.

    Args:
        coroutine: what must not stop half-way.
        grace: how many seconds it may go on after a cancellation; None means for as long as it takes.

    Raises:
        TimeoutError: it went on for longer than that, so it was cancelled itself.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(coroutine)
    cancelled: asyncio.CancelledError | None = None
    deadline: float | None = None
    cut = False
    while not task.done():
        try:
            _, late = await asyncio.wait([task], timeout=None if deadline is None else deadline - loop.time())
        except asyncio.CancelledError as error:
            cancelled = error
            deadline = deadline or (loop.time() + grace if grace is not None else None)
            continue
        if late:
            # Whoever wanted a second word of the server, such as its good-bye, is told again.
            cut = task.cancel()
            deadline = loop.time() + (grace or 0)
    if cut and task.cancelled():
        raise TimeoutError(f"it was cut short {grace:g} s after its cancellation")
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result
