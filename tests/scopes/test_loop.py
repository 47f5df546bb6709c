"""What is known of the event loop's next steps."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

import pytest

from repo import Database
from repo.engine.loop import call_in_next_turn, has_more_to_run
from tests.models import opened
from tests.scopes.models import Accounts


class Watched:
    """A coroutine, and what it waits for: None where that is only the next turn of the loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self.coroutine = coroutine
        self.waits: list[object] = []

    def __await__(self) -> Generator[Any, None, None]:
        for wait in self.coroutine.__await__():
            self.waits.append(wait)
            yield wait


def test_asyncio_tells_what_is_ready() -> None:
    """A loop of asyncio has more to run while a task is ready, and only then."""

    async def look() -> list[bool]:
        loop = asyncio.get_running_loop()
        before = has_more_to_run(loop)
        task = asyncio.create_task(asyncio.sleep(60))
        ready = has_more_to_run(loop)
        await asyncio.sleep(0)
        waiting = has_more_to_run(loop)
        task.cancel()
        return [before, ready, waiting, has_more_to_run(loop)]

    assert asyncio.run(look()) == [False, True, False, True]


def test_steps_of_our_own_are_not_counted() -> None:
    """What tidies up after a turn of the loop makes no calls; what is ready beside it may."""

    async def look() -> list[bool]:
        loop = asyncio.get_running_loop()
        ours = call_in_next_turn(int)
        alone = has_more_to_run(loop)
        loop.call_soon(int)
        beside = has_more_to_run(loop)
        ours.cancel()
        return [alone, beside]

    assert asyncio.run(look()) == [False, True]


def test_a_loop_that_does_not_tell_may_have_more() -> None:
    """Where nothing is known of what is ready, something may be."""
    silent: Any = object()
    assert has_more_to_run(silent)


def test_tasks_that_begin_at_once_may_be_followed() -> None:
    """Where tasks are made in a way of somebody's own, those that follow may not be ready yet."""

    async def look() -> bool:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coroutine, **options: asyncio.Task(coroutine, loop=loop, **options))
        return has_more_to_run(loop)

    assert asyncio.run(look())


@pytest.mark.parametrize("kind", ["database", "transaction", "session"])
async def test_a_lone_get_waits_for_nobody(bank: Database, kind: str) -> None:
    """A get that nobody can join begins at once; one that others can join waits for one turn of the loop."""
    async with opened(bank, kind) as scope:
        await Accounts(scope).count()
        alone = Watched(Accounts(scope).get(1))
        await alone
        next_one = Watched(Accounts(scope).get(3))
        await next_one
        asyncio.get_running_loop().call_soon(int)
        beside = Watched(Accounts(scope).get(2))
        await beside
    assert [get.waits[0] is None for get in (alone, next_one, beside)] == [False, False, True]
