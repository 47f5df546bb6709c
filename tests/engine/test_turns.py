import asyncio
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from repo.dialects.base import TransactionOptions
from repo.engine.admission import Holder
from repo.engine.turns import Turn
from repo.errors import DatabaseLocked, PoolTimeout
from tests.interleaved import settle

PLAIN = TransactionOptions()


def writer(name: str = "add") -> Holder:
    """Who wants to write."""
    return Holder(name, writes=True)


@pytest.fixture
def locked() -> OperationalError:
    """What comes of a BEGIN for which another process has the lock."""
    with sqlite3.connect("file::memory:?cache=shared", uri=True, isolation_level=None, timeout=0) as first:
        second = sqlite3.connect("file::memory:?cache=shared", uri=True, isolation_level=None, timeout=0)
        first.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as caught:
            second.execute("BEGIN IMMEDIATE")
        second.close()
        first.execute("ROLLBACK")
    first.close()
    return OperationalError("BEGIN IMMEDIATE", None, caught.value)


async def test_first_come_first_served() -> None:
    """The turn goes to those in line in the order in which they came; who is cancelled is passed over."""
    turn, order = Turn(), list[int]()
    await turn.take(writer())

    async def write(number: int) -> None:
        await turn.take(writer())
        order.append(number)
        turn.give_back()

    tasks = [asyncio.create_task(write(number)) for number in range(5)]
    await settle()
    assert turn.waiting == 5
    tasks[1].cancel()
    turn.give_back()
    tasks[0].cancel()  # in the same moment in which it was handed the turn
    await asyncio.wait(tasks)
    assert order == [2, 3, 4]
    assert (turn.holder, turn.waiting) == (None, 0)


async def test_time_out() -> None:
    """A wait that is too long says how long it was, who has the turn, and how many more wait."""
    turn = Turn(timeout=0.01)
    await turn.take(writer("the report"))
    other = asyncio.create_task(turn.take(writer()))
    with pytest.raises(PoolTimeout, match=r"0.01 s \(pool_timeout\) .* the report of .*, and 1 more wait"):
        await turn.take(writer())
    with pytest.raises(PoolTimeout):
        await other
    assert turn.waiting == 0


async def test_a_lock_that_others_have(locked: OperationalError) -> None:
    """Who has waited behind one that tried in vain is told so, or has the rest of its time; not after a success."""
    turn = Turn()
    await turn.take(writer())
    waiting = asyncio.create_task(turn.take(writer()))
    await settle()
    with pytest.raises(OperationalError), turn.beginning(PLAIN) as options:
        assert options is PLAIN
        await asyncio.sleep(0.05)
        late = writer()
        later = asyncio.create_task(turn.take(late))
        await settle()
        raise locked
    with pytest.raises(DatabaseLocked):
        await waiting
    turn.give_back()
    await later
    assert turn.holder is late
    with pytest.raises(DatabaseLocked, match="the rest of its time"), turn.beginning(PLAIN) as options:
        assert options.lock_timeout is not None
        assert 0 < options.lock_timeout < 10
        raise locked
    with turn.beginning(PLAIN):
        pass
    with turn.beginning(PLAIN) as options:
        assert options is PLAIN


async def test_a_time_of_ones_own(locked: OperationalError) -> None:
    """What one waits for a lock who was told for how long says nothing of how long others would."""
    turn = Turn()
    await turn.take(writer())
    waiting = asyncio.create_task(turn.take(writer()))
    await settle()
    with pytest.raises(OperationalError), turn.beginning(TransactionOptions(lock_timeout=0.01)):
        raise locked
    await settle()
    assert not waiting.done()
    turn.give_back()
    await waiting
    with turn.beginning(PLAIN) as options:
        assert options is PLAIN
