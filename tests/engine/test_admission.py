import asyncio

import pytest

from repo.engine.admission import Holder, Permits, enter, leave
from repo.errors import PoolDeadlock, PoolTimeout
from tests.interleaved import settle


def call() -> Holder:
    """A single call, inside of what the running code is inside of."""
    holder = Holder("count")
    holder.find_parent()
    return holder


async def test_first_come_first_served() -> None:
    """Permits are handed over in the order in which they were asked for."""
    permits, first = Permits(1), call()
    await permits.acquire(first)
    order: list[int] = []

    async def wait(number: int) -> None:
        mine = call()
        await permits.acquire(mine)
        order.append(number)
        permits.release(mine)

    tasks = [asyncio.create_task(wait(number)) for number in range(5)]
    await settle()
    assert permits.waiting == 5
    permits.release(first)
    await asyncio.gather(*tasks)
    assert order == list(range(5))
    assert (permits.held, permits.waiting) == (0, 0)


async def test_nobody_jumps_the_line() -> None:
    """A permit that is free now is not taken from those who wait for it."""
    permits, first, second = Permits(1), call(), call()
    assert permits.try_acquire(first)
    waiter = asyncio.create_task(permits.acquire(second))
    await settle()
    permits.release(first)
    assert not permits.try_acquire(call())
    await waiter


async def test_cancelled_wait_leaves_the_line() -> None:
    """A wait that is cancelled takes no permit, also when it was just handed one."""
    permits, first = Permits(1), call()
    await permits.acquire(first)
    waiting = asyncio.create_task(permits.acquire(call()))
    handed = asyncio.create_task(permits.acquire(call()))
    await settle()
    waiting.cancel()
    await settle()
    permits.release(first)
    handed.cancel()  # in the same turn in which it was handed the permit
    for task in (waiting, handed):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (permits.held, permits.waiting) == (0, 0)
    assert permits.try_acquire(call())


async def test_the_last_permit_is_for_calls() -> None:
    """Outermost scopes leave one permit for calls, which come and go; a scope may have several."""
    permits = Permits(3)
    scopes = [Holder("a transaction", nests=True) for _ in range(3)]
    assert [permits.try_acquire(scope) for scope in scopes] == [True, True, False]
    assert permits.try_acquire(scopes[0])
    permits.release(scopes[0])
    assert permits.try_acquire(call())


async def test_calls_do_not_wait_behind_scopes() -> None:
    """A scope that waits for its permit keeps no call from the one that is kept for calls."""
    permits = Permits(2)
    first, second = (Holder("a transaction", nests=True) for _ in range(2))
    await permits.acquire(first)
    waiter = asyncio.create_task(permits.acquire(second))
    await settle()
    mine = call()
    await permits.acquire(mine)
    permits.release(mine)
    permits.release(first)
    await waiter


async def test_a_circle_is_refused_at_once() -> None:
    """When every permit is held by one who waits for another, the last request is an error that names them."""
    permits = Permits(2)
    outer, inner = Holder("the outer transaction", nests=True), Holder("the inner transaction", nests=True)
    await permits.acquire(outer)
    enter(outer)
    inner.find_parent()
    await permits.acquire(inner)
    enter(inner)
    with pytest.raises(PoolDeadlock, match=r"count waits .*inside of the inner.*the outer transaction of"):
        await permits.acquire(call())
    assert (permits.held, permits.waiting) == (2, 0)
    leave(inner)
    permits.release(inner)
    await permits.acquire(call())


async def test_time_out() -> None:
    """A wait that is too long says how long it was, how many wait, and who holds the permits."""
    permits = Permits(1, timeout=0.01)
    await permits.acquire(Holder("the report", nests=True))
    other = asyncio.create_task(permits.acquire(call()))
    with pytest.raises(PoolTimeout, match=r"within 0.01 s; 1 more wait .* held by the report of"):
        await permits.acquire(call())
    with pytest.raises(PoolTimeout):
        await other
    assert permits.waiting == 0
