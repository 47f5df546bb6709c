"""Both ways of asking, measured in turn."""

import time
from dataclasses import dataclass

from examples.flights.answers import Answers
from examples.flights.progress import Watch
from examples.flights.report import ask
from examples.flights.timeline import Comparison, Run, Timeline
from repo import Database

PATIENCE = 4.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The answers, the fastest run of each way, and how many rounds there were to choose from."""

    answers: Answers
    comparison: Comparison
    rounds: int


@dataclass(frozen=True, slots=True)
class Meter:
    """Asks all questions of snapshots of a database; its hooks are the timeline and the watch."""

    db: Database
    timeline: Timeline
    watch: Watch

    async def one_at_a_time(self) -> tuple[Answers, Run]:
        """Each question when the one before is answered, over one connection."""
        return await self._run("One at a time", 1, one_at_a_time=True)

    async def all_at_once(self, connections: int, title: str = "All at once") -> tuple[Answers, Run]:
        """All questions together, over so many connections."""
        return await self._run(title, connections, one_at_a_time=False)

    async def both(self, connections: int, *, patience: float = PATIENCE) -> Measured:
        """Once to warm up, then both ways in turn; the fastest run of each way counts.

        After so many seconds of `patience` no further round is begun.
        """
        answers, _ = await self.all_at_once(connections, "Warming up")
        slow: list[Run] = []
        fast: list[Run] = []
        end = time.perf_counter() + patience
        while not slow or time.perf_counter() < end:
            slow.append((await self.one_at_a_time())[1])
            fast.append((await self.all_at_once(connections))[1])
        return Measured(answers, Comparison(min(slow, key=_seconds), min(fast, key=_seconds)), len(slow))

    async def only_one_at_a_time(self) -> Measured:
        """One run, with nothing to compare it to."""
        answers, run = await self.one_at_a_time()
        return Measured(answers, Comparison(run), 1)

    async def _run(self, title: str, connections: int, *, one_at_a_time: bool) -> tuple[Answers, Run]:
        """One run, from opening the snapshot to closing it."""
        with self.watch.watching(title), self.timeline.record(connections) as run:
            async with self.db.snapshot(connections=connections) as snapshot:
                answers = await ask(snapshot, one_at_a_time=one_at_a_time)
        return answers, run


def _seconds(run: Run) -> float:
    """What makes a run fast."""
    return run.seconds
