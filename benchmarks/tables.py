"""What was measured, as tables: medians, spread, and ratios."""

import math
import statistics
from collections.abc import Iterator, Sequence

from benchmarks.contenders import CONTENDERS, PEERS
from benchmarks.extras import EXTRAS, Figure
from benchmarks.operations import OPERATIONS
from benchmarks.rounds import Measured

OURS = "repo"
WIDTH = 22


def median(samples: Sequence[float]) -> float:
    """Not a number where there is none."""
    return statistics.median(samples) if samples else math.nan


def spread(samples: Sequence[float]) -> float:
    """Half of the distance between the quartiles, as a part of the median."""
    if len(samples) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
    return (high - low) / 2 / middle


def geometric_mean(values: Sequence[float]) -> float:
    """Not a number where one of them is not."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


class Comparison:
    """One model, database and number of tasks: the medians of all contenders at all operations."""

    def __init__(self, results: Sequence[Measured], clock: str = "wall") -> None:
        first = results[0]
        self.results = results
        self.clock = clock
        self.title = f"{first.model} model, {first.database}, {first.concurrency} {_tasks(first.concurrency)}"
        self.contenders = list(dict.fromkeys(result.contender for result in results))
        self.operations = list(dict.fromkeys(result.operation for result in results))
        self.samples = {(result.operation, result.contender): self._samples(result) for result in results}

    def _samples(self, result: Measured) -> Sequence[float]:
        """None of a contender that has failed even once."""
        return [] if result.errors else _clocked(result, self.clock)

    def mean(self, contender: str) -> float:
        """The geometric mean of its medians."""
        return geometric_mean([median(self.samples[operation, contender]) for operation in self.operations])

    def lines(self) -> Iterator[str]:
        """The table, and what went wrong below it."""
        yield f"{self.title}: {_counted(self.clock)} a row, spread, times those of {OURS}"
        yield f"{'':17}" + "".join(f"{name:>{WIDTH}}" for name in self.contenders)
        for operation in self.operations:
            ours = median(self.samples.get((operation, OURS), []))
            cells = (_cell(self.samples[operation, name], ours) for name in self.contenders)
            yield f"{OPERATIONS[operation]} {operation:15}" + "".join(cells)
        ours = self.mean(OURS) if OURS in self.contenders else math.nan
        means = [self.mean(name) for name in self.contenders]
        yield f"{'geometric mean':17}" + "".join(_fixed(mean, "", ours) for mean in means)
        if OURS in self.contenders:
            yield from self._verdict()
        yield from sorted({f"  {r.contender}, {r.operation}: {error}" for r in self.results for error in r.errors})

    def _verdict(self) -> Iterator[str]:
        """What the table is read for: the best peer, the bare driver, and where a peer is faster."""
        ours = self.mean(OURS)
        peers = [name for name in PEERS if name in self.contenders]
        best = min(peers, key=self.mean, default=None)
        if best is not None:
            yield f"  {OURS} is {self.mean(best) / ours:.2f} times as fast as the best peer, {best}"
        for name in (name for name in self.contenders if CONTENDERS[name].bare):
            yield f"  it takes {ours / self.mean(name):.2f} times as long as the bare driver, {name}"
        slower = {
            operation: median(self.samples[operation, OURS]) / min(median(self.samples[operation, p]) for p in peers)
            for operation in self.operations
            if peers
        }
        worse = [f"{operation} ({factor:.2f})" for operation, factor in slower.items() if factor > 1]
        if worse:
            yield f"  a peer is faster at {', '.join(worse)}"


def extra_lines(figures: Sequence[Figure], clock: str = "wall") -> Iterator[str]:
    """The table of one measurement on one database."""
    first = figures[0]
    where = f", {first.database}" if first.database else ""
    medians = {(figure.size, figure.way): median(_clocked(figure, clock)) for figure in figures}
    yield f"{EXTRAS[first.extra].title}{where}: {_counted(clock)} for each {first.unit}, spread, times those beside it"
    for figure in figures:
        grown = "" if figure.grown is None else f"{figure.grown:9.1f} MiB grown"
        cell = _cell(_clocked(figure, clock), medians[figure.size, figure.beside])
        yield f"{figure.size:>9,} {figure.way:29}{cell} {figure.beside:20}{grown}".rstrip()


def _clocked(result: Measured | Figure, clock: str) -> Sequence[float]:
    """The samples by that clock."""
    return result.cpu_samples if clock == "cpu" else result.samples


def _counted(clock: str) -> str:
    return "microseconds on a processor" if clock == "cpu" else "microseconds"


def _tasks(number: int) -> str:
    return "task" if number == 1 else "tasks"


def _cell(samples: Sequence[float], ours: float) -> str:
    """A median, how far it is spread, and its ratio."""
    return _fixed(median(samples), f"±{spread(samples) * 100:.0f}%" if samples else "", ours)


def _fixed(value: float, around: str, ours: float) -> str:
    """In the width of a column."""
    if math.isnan(value):
        return f"{'failed':>{WIDTH}}"
    ratio = "" if math.isnan(ours) else f"{value / ours:.2f}"
    return f"{value:10.1f} {around:>5}{ratio:>6}"
