"""The report: what is asked, what is recorded while it is asked, and what is made of the rows."""

import json
from collections.abc import AsyncIterator
from io import StringIO
from itertools import pairwise

import pytest
from rich.console import Console

from examples.flights.answers import mean, share
from examples.flights.measure import Meter
from examples.flights.progress import Watch
from examples.flights.reckoning import destinations
from examples.flights.report import QUESTIONS, ask
from examples.flights.rows import NamedTally
from examples.flights.tables import tables, timings
from examples.flights.timeline import Run, Timeline
from repo import Base, Database
from tests.examples.few import fill

NAMES = {question.name for question in QUESTIONS}


@pytest.fixture
async def few(url: str) -> str:
    """The URL of a database with a few flights."""
    async with Database(url) as db:
        await fill(db)
    return url


@pytest.fixture
async def meter(few: str) -> AsyncIterator[Meter]:
    """Both ways of asking, over a pool of three connections."""
    watch, timeline = Watch(Console(file=StringIO())), Timeline()
    async with Database(few, pool_size=3, hooks=[watch, timeline]) as db:
        yield Meter(db, timeline, watch)


async def test_a_run_has_a_bar_for_each_question(meter: Meter) -> None:
    """Every question is on the timeline once, inside the run, however it is asked."""
    runs = [(await meter.one_at_a_time())[1], (await meter.all_at_once(3))[1]]
    for run in runs:
        assert sorted(bar.question for bar in run.bars) == sorted(NAMES)
        assert all(0 <= bar.start < bar.end <= run.seconds for bar in run.bars)


async def test_a_connection_answers_one_question_at_a_time(meter: Meter) -> None:
    """The bars of a lane do not overlap; one at a time has one lane, all at once has one for each connection."""
    runs = {1: (await meter.one_at_a_time())[1], 3: (await meter.all_at_once(3))[1]}
    for count, run in runs.items():
        assert {bar.lane for bar in run.bars} == set(range(count))
        for lane in range(count):
            assert overlaps(run, lane) == []


def overlaps(run: Run, lane: int) -> list[tuple[str, str]]:
    """Pairs of questions that a lane shows at the same time."""
    bars = sorted((bar for bar in run.bars if bar.lane == lane), key=lambda bar: bar.start)
    return [(one.question, other.question) for one, other in pairwise(bars) if other.start < one.end]


async def test_both_ways_are_compared(meter: Meter) -> None:
    """The ratio is that of the two runs, and their times are in the table."""
    measured = await meter.both(3, patience=0.0)
    slow, fast = measured.comparison.one_at_a_time, measured.comparison.all_at_once
    assert fast is not None
    assert measured.comparison.ratio == slow.seconds / fast.seconds
    assert (slow.connections, fast.connections) == (1, 3)
    printed = StringIO()
    Console(file=printed, width=200).print(timings(measured.comparison))
    assert f"{slow.seconds:.3f}" in printed.getvalue()


async def test_every_answer_is_printed(few: str) -> None:
    """There is a table for each question, and the figures are in it."""
    async with Database(few) as db, db.snapshot() as snapshot:
        answers = await ask(snapshot)
    printed = StringIO()
    made = list(tables(answers))
    Console(file=printed, width=200).print(*made)
    assert len(made) == len(QUESTIONS)  # what the data holds is in the table of the totals
    for words in ("2013-12-01", "American", "BOEING 767-223", "SJU", "Thursday", "10 and more", "200 and more"):
        assert words in printed.getvalue()


async def test_no_flights_are_a_report_as_well(db: Database) -> None:
    """Empty tables give answers, in which every mean and share is null."""
    await db.create_all(Base.metadata)
    async with db.snapshot() as snapshot:
        answers = await ask(snapshot)
    document = json.loads(answers.json())
    assert document["data"]["flights"] == document["answers"]["totals"]["flights"] == 0
    assert document["answers"]["totals"]["on_time_share"] is None
    assert document["answers"]["aircraft_utilisation"]["top"] == []
    assert len(list(tables(answers))) == len(QUESTIONS)


async def test_progress_is_a_line_for_each_run_where_there_is_no_terminal(few: str) -> None:
    """A log gets a line when a run has ended, and nothing in between."""
    log = StringIO()
    watch, timeline = Watch(Console(file=log)), Timeline()
    async with Database(few, pool_size=2, hooks=[watch, timeline]) as db:
        await Meter(db, timeline, watch).all_at_once(2)
    (line,) = log.getvalue().splitlines()
    assert line.startswith(f"All at once: {len(QUESTIONS)} questions in ")


async def test_progress_shows_every_answer_on_a_terminal(few: str) -> None:
    """A terminal shows each question, with its seconds when it is answered."""
    screen = StringIO()
    watch, timeline = Watch(Console(file=screen, force_terminal=True, width=120)), Timeline()
    async with Database(few, pool_size=2, hooks=[watch, timeline]) as db:
        await Meter(db, timeline, watch).all_at_once(2)
    for question in QUESTIONS:
        assert f"✓ {question.title} " in screen.getvalue()


def test_means_and_shares_are_rounded_once_and_none_of_nothing() -> None:
    """`mean` and `share` round to two places; of nothing there is no mean."""
    assert (mean(2, 3), share(2, 3)) == (0.67, 66.67)
    assert (mean(-1, 3), share(0, 3)) == (-0.33, 0.0)
    assert (mean(0, 0), share(0, 0)) == (None, None)


def test_destinations_are_compared_before_they_are_rounded() -> None:
    """Means that round to the same are in the order of their exact values; equal ones in that of their codes."""
    rows = [arrivals("AAA", 400, 1000), arrivals("CCC", 1001, 2502), arrivals("BBB", 800, 2000)]
    ranked = destinations([*rows, arrivals("DDD", 0, 364)])
    assert [row.destination for row in ranked.worst] == ["CCC", "AAA", "BBB"]
    assert [row.destination for row in ranked.best] == ["AAA", "BBB", "CCC"]
    assert {row.arrival_delay_mean for row in ranked.worst} == {0.4}


def arrivals(code: str, delay: int, arrived: int) -> NamedTally:
    """A destination with so many arrivals, and so many minutes of delay among them."""
    return NamedTally(arrived, arrived, arrived, arrived, 0, delay, code, None)
