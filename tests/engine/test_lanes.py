"""Reads of SQLite, one at a time: in line, unless what runs takes long."""

import asyncio
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, literal, select
from sqlalchemy.dialects import sqlite

from repo import Database, gather
from repo.engine import lanes
from repo.engine.lanes import Lane
from repo.engine.plans import Plan
from repo.events import CallEnded, Event
from tests.interleaved import settle
from tests.models import User, Users, opened, stocked


class Reader:
    """Reads in a lane until it is told to end."""

    def __init__(self, lane: Lane, plan: Plan) -> None:
        self.running = asyncio.Event()
        self.end = asyncio.Event()
        self.task = asyncio.create_task(self._read(lane, plan))

    async def _read(self, lane: Lane, plan: Plan) -> None:
        async with lane.of(plan):
            self.running.set()
            await self.end.wait()


async def readers(lane: Lane, plan: Plan, number: int) -> list[Reader]:
    """Some that have begun to read, or to wait."""
    made = [Reader(lane, plan) for _ in range(number)]
    await settle()
    return made


def running(made: list[Reader]) -> list[bool]:
    return [reader.running.is_set() for reader in made]


@pytest.fixture
def plan() -> Plan:
    """Of a quick statement."""
    made = Plan(sqlite.dialect(), select(literal(1)), [])
    made.is_quick = True
    return made


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is in line waits for as long as it takes, and all is quick."""
    monkeypatch.setattr(lanes, "PATIENCE", 60.0)
    monkeypatch.setattr(lanes, "QUICK", 60.0)


@pytest.mark.usefixtures("patient")
async def test_first_come_first_served(plan: Plan) -> None:
    """One read at a time runs, in the order in which they came."""
    made = await readers(Lane(needed=True), plan, 3)
    for number, reader in enumerate(made):
        assert running(made) == [each <= number for each in range(3)]
        reader.end.set()
        await settle()


@pytest.mark.usefixtures("patient")
async def test_a_long_statement_waits_for_nobody(plan: Plan) -> None:
    """A statement that is not known to be quick begins at once, and nobody waits for it."""
    lane, long = Lane(needed=True), Plan(sqlite.dialect(), select(literal(2)), [])
    first, second = await readers(lane, plan, 1), await readers(lane, long, 2)
    assert running(first + second) == [True] * 3
    first[0].end.set()
    await settle()
    assert running(await readers(lane, plan, 1)) == [True]


async def test_patience(plan: Plan) -> None:
    """A read that proves to be long is one that nobody waits for, and so are all others of its statement."""
    lane = Lane(needed=True)
    made = await readers(lane, plan, 3)
    for reader in made:
        await reader.running.wait()
    assert not plan.is_quick
    made += await readers(lane, plan, 1)
    plan.is_quick = True
    made += await readers(lane, plan, 1)
    assert running(made) == [True] * 5


async def test_others_go_on_beside_a_long_one(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quick reads that have waited for a long one run one at a time from then on, and wait for it no more."""
    lane, quick = Lane(needed=True), Plan(sqlite.dialect(), select(literal(2)), [])
    quick.is_quick = True
    long, *others = await readers(lane, plan, 1) + await readers(lane, quick, 2)
    await others[0].running.wait()
    monkeypatch.setattr(lanes, "PATIENCE", 60.0)
    others += await readers(lane, quick, 1)
    for number, reader in enumerate(others):
        assert running(others) == [each <= number for each in range(3)]
        reader.end.set()
        await settle()
    assert running(await readers(lane, quick, 1)) == [True]
    assert not long.task.done()


@pytest.mark.usefixtures("patient")
async def test_progress(plan: Plan) -> None:
    """As long as none takes long the others wait."""
    lane = Lane(needed=True)
    made = await readers(lane, plan, 3)
    made[0].end.set()
    await settle()
    lane._look()
    await settle()
    assert (running(made), lane.waiting) == ([True, True, False], 1)
    made[1].end.set()
    await made[2].running.wait()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("moment", ["in line", "as its turn comes", "while it runs"])
async def test_cancelled(plan: Plan, moment: str) -> None:
    """A read that is cancelled at any moment holds nobody up, and lets nobody begin too early."""
    first, second, third = await readers(Lane(needed=True), plan, 3)
    if moment != "in line":
        first.end.set()
        await (asyncio.sleep(0) if moment == "as its turn comes" else second.running.wait())
    second.task.cancel()
    await asyncio.wait([second.task])
    assert second.task.cancelled()
    assert second.running.is_set() == (moment == "while it runs")
    await settle()
    assert third.running.is_set() == (moment != "in line")
    first.end.set()
    await third.running.wait()


@pytest.mark.parametrize(("rows", "per_row", "is_quick"), [(0, 60.0, False), (1, 60.0, True), (1, 0.0, False)])
async def test_what_is_quick(
    plan: Plan, rows: int, per_row: float, is_quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement is quick that took little time for each of its rows, when it ran to its end the last time."""
    monkeypatch.setattr(lanes, "QUICK", 0.0)
    monkeypatch.setattr(lanes, "PER_ROW", per_row)
    lane = Lane(needed=True)
    for before in (True, False):
        plan.is_quick = before
        with pytest.raises(TimeoutError):
            async with lane.of(plan):
                raise TimeoutError
        assert plan.is_quick == before
        async with lane.of(plan):
            plan.rows = rows
        assert plan.is_quick == is_quick


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("kind", ["database", "snapshot"])
async def test_lists_of_sqlite(url: str, kind: str) -> None:
    """Gathered quick lists are read one after the other from SQLite, and at once from Postgres; all are right."""
    times: list[tuple[float, float]] = []

    def hook(told: Event) -> None:
        if isinstance(told, CallEnded) and told.verb == "all" and told.connected is not None:
            times.append((told.connected, told.at))

    async with Database(url, hooks=[hook]) as db:
        await stocked(db)
        await Users(db).all(User.id <= 0, order_by=User.id)
        times.clear()
        async with opened(db, kind) as scope:
            found = await gather(*(Users(scope).all(User.id <= number, order_by=User.id) for number in range(20)))
    assert [len(users) for users in found] == [0, 1, 2, *[3] * 17]
    assert len(times) == 20
    times.sort()
    overlap = any(next_began < ended for (_, ended), (next_began, _) in pairwise(times))
    assert overlap != db.dialect.one_writer


class Meeting:
    """A function of SQLite's that returns when two have called it."""

    def __init__(self, db: Database) -> None:
        self._barrier = threading.Barrier(2)
        self._loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()
        event.listen(db.engine.sync_engine, "connect", self._connected)

    async def come(self) -> None:
        """Be one of them, when the other one is there."""
        await self.begun.wait()
        self.begun.clear()
        self._barrier.wait(timeout=60)

    def _connected(self, connection: Any, _: Any) -> None:
        connection.create_function("meet", 0, self._meet)

    def _meet(self) -> int:
        self._loop.call_soon_threadsafe(self.begun.set)
        return self._barrier.wait(timeout=60)


@pytest.mark.usefixtures("patient")
async def test_a_write_waits_for_no_read(tmp_path: Path) -> None:
    """A write, and a transaction, run while a quick read takes its time; another such read does not."""
    async with Database(f"sqlite+aiosqlite:///{tmp_path}/a.db") as db:
        meeting = Meeting(db)
        await stocked(db)
        await gather(meeting.come(), db.scalar(select(func.meet())))
        reads = [asyncio.create_task(db.scalar(select(func.meet()))) for _ in range(2)]
        await meeting.begun.wait()
        async with asyncio.timeout(30):
            await Users(db).add(User(name="Joan"))
            async with db.transaction() as tx:
                assert await Users(tx).count() == 4
        for read in reads:
            assert not read.done()
            await gather(meeting.come(), read)


async def test_long_statements_run_at_once(tmp_path: Path) -> None:
    """Statements that nobody knows to be quick run at the same time."""
    async with Database(f"sqlite+aiosqlite:///{tmp_path}/a.db") as db:
        Meeting(db)
        await db.ping()
        async with asyncio.timeout(30):
            assert {*await gather(*(db.scalar(select(func.meet())) for _ in range(2)))} == {0, 1}
