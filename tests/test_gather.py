import asyncio

import pytest

from repo import gather
from repo.gather import finish


async def give(value: int, turns: int = 1) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def fail(error: Exception, turns: int = 1) -> int:
    await give(0, turns)
    raise error


async def hold(log: list[str], name: str) -> int:
    """Run until cancelled, and take a few turns of the loop to end."""
    try:
        await asyncio.Event().wait()
    finally:
        await give(0, 3)
        log.append(name)
    return 0


async def test_results_are_in_order() -> None:
    """Results come in the order of the awaitables, whatever order they end in."""
    assert await gather(give(1, 5), give(2, 1), give(3, 3)) == (1, 2, 3)


async def test_nothing_at_all() -> None:
    """Nothing to wait for is an empty tuple."""
    assert await gather() == ()


async def test_first_failure_is_raised_as_itself() -> None:
    """The first error in time is raised, that very object, not a group."""
    error = ValueError("first")
    with pytest.raises(ValueError, match="first") as caught:
        await gather(fail(KeyError("later"), 5), fail(error, 1))
    assert caught.value is error


async def test_others_are_cancelled_and_awaited() -> None:
    """When the error reaches the caller, the others have ended, clean-up included."""
    log: list[str] = []
    with pytest.raises(ValueError, match="no"):
        await gather(hold(log, "a"), fail(ValueError("no")), hold(log, "b"))
    assert log == ["a", "b"]


async def test_later_errors_become_notes() -> None:
    """What others raise while they end is a note of the first error, so that nothing is lost."""

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("clean-up failed") from None

    with pytest.raises(ValueError, match="no") as caught:
        await gather(stubborn(), fail(ValueError("no")))
    assert caught.value.__notes__ == ["also failed: RuntimeError: clean-up failed"]


async def test_cancellation_is_passed_on_and_awaited() -> None:
    """A cancel from outside reaches every awaitable, and is raised after they have ended."""
    log: list[str] = []
    task = asyncio.create_task(give_up(log))
    await give(0, 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["a", "b"]


async def give_up(log: list[str]) -> None:
    await gather(hold(log, "a"), hold(log, "b"))


async def test_second_cancellation_leaves_nothing_running() -> None:
    """A cancel that arrives while the others end does not abandon them."""
    log: list[str] = []
    task = asyncio.create_task(give_up(log))
    await give(0, 3)
    task.cancel()
    await give(0, 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["a", "b"]


async def test_limit() -> None:
    """At most ``limit`` run at a time, started in order; all of them run in the end."""
    running = peak = 0
    started: list[int] = []

    async def work(number: int) -> int:
        nonlocal running, peak
        started.append(number)
        running += 1
        peak = max(peak, running)
        await give(0, 1 + number % 3)
        running -= 1
        return number

    assert await gather(*(work(number) for number in range(20)), limit=3) == tuple(range(20))
    assert peak == 3
    assert started == list(range(20))


async def test_what_was_not_started_never_is() -> None:
    """After a failure, coroutines beyond the limit are closed without a warning and never run."""
    ran: list[int] = []

    async def note(number: int) -> None:
        ran.append(number)

    with pytest.raises(ValueError, match="no"):
        await gather(fail(ValueError("no")), *(note(number) for number in range(5)), limit=1)
    assert ran == []


async def test_limit_must_be_positive() -> None:
    """A limit below 1 is refused before anything runs."""
    with pytest.raises(ValueError, match="at least 1, not 0"):
        await gather(give(1), limit=0)


async def test_same_task_twice() -> None:
    """A task that is given twice has its result twice."""
    task = asyncio.create_task(give(7))
    assert await gather(task, give(1), task) == (7, 1, 7)


async def test_tasks_are_named_after_their_coroutines() -> None:
    """A coroutine's task has the coroutine's name, so that hooks and errors can say who called."""

    async def name() -> str:
        task = asyncio.current_task()
        return task.get_name() if task else ""

    (found,) = await gather(name())
    assert found.endswith("test_tasks_are_named_after_their_coroutines.<locals>.name")


async def test_finish_runs_to_the_end() -> None:
    """What must not stop half-way ends before a cancellation is passed on."""
    log: list[str] = []

    async def commit() -> None:
        await give(0, 5)
        log.append("committed")

    task = asyncio.create_task(finish(commit()))
    await give(0, 2)
    task.cancel()
    await give(0, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["committed"]


async def test_finish_prefers_the_error() -> None:
    """An error of the work itself is raised in place of a cancellation that came meanwhile."""
    task = asyncio.create_task(finish(fail(ValueError("commit failed"), 5)))
    await give(0, 2)
    task.cancel()
    with pytest.raises(ValueError, match="commit failed"):
        await task


async def test_finish_after_a_cancellation_is_bounded() -> None:
    """What goes on for too long after a cancellation is cut short, however often it has to be told; not before."""
    told: list[str] = []

    async def commit() -> None:
        for turn in ("once", "twice"):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told.append(turn)
        await asyncio.Event().wait()

    task = asyncio.create_task(finish(commit(), grace=0.01))
    await asyncio.wait([task], timeout=0.1)
    assert (task.done(), told) == (False, [])
    task.cancel()
    with pytest.raises(TimeoutError, match=r"0.01 s after"):
        await task
    assert told == ["once", "twice"]


async def test_finish_within_its_time() -> None:
    """What ends soon enough after a cancellation has its result; then the cancellation is passed on."""
    ended: list[int] = []

    async def commit() -> None:
        ended.append(await give(1, 5))

    task = asyncio.create_task(finish(commit(), grace=60))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [1]
