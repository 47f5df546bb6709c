"""What ran on which connection, from when to when, as a hook of the database hears it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from examples.flights.report import QUESTIONS
from repo.events import CallEnded, Event


@dataclass(frozen=True, slots=True)
class Bar:
    """A question's time on its connection; seconds since the run began."""

    question: str
    lane: int
    """Which of the run's connections it was, from 0."""
    start: float
    end: float


@dataclass(slots=True)
class Run:
    """All questions asked once: how long that took, and when each had its connection."""

    connections: int
    began: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    bars: list[Bar] = field(default_factory=list)
    _lanes: dict[int, int] = field(default_factory=dict)

    def add(self, question: str, event: CallEnded) -> None:
        """Draw the call that ended as a bar."""
        if event.connection is not None and event.connected is not None:
            lane = self._lanes.setdefault(event.connection, len(self._lanes))
            self.bars.append(Bar(question, lane, event.connected - self.began, event.at - self.began))

    @property
    def work(self) -> float:
        """The seconds of all bars together."""
        return sum(bar.end - bar.start for bar in self.bars)


class Timeline:
    """A hook that records the calls of the questions while a run is being recorded."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._names = {question.name for question in QUESTIONS}

    def __call__(self, event: Event) -> None:
        """Take note of a question's end. Its task is named after its method, by `repo.gather`."""
        name = event.task.rpartition(".")[2]
        if self._run is not None and isinstance(event, CallEnded) and name in self._names:
            self._run.add(name, event)

    @contextmanager
    def record(self, connections: int) -> Iterator[Run]:
        """Record a run over so many connections: from here to the end of the block."""
        self._run = run = Run(connections)
        try:
            yield run
        finally:
            run.seconds = time.perf_counter() - run.began
            self._run = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same questions of the same data, one at a time and, unless nobody wanted it, all at once."""

    one_at_a_time: Run
    all_at_once: Run | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as long one at a time took."""
        return self.one_at_a_time.seconds / self.all_at_once.seconds if self.all_at_once else None
