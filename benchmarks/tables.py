"""What was measured as a table: medians, spread, and ratios to `repo`."""

import math
import statistics
from collections.abc import Iterator, Sequence

from benchmarks.operations import OPERATIONS
from benchmarks.rounds import Measured

OURS = "repo"


def median(result: Measured) -> float:
    """Microseconds for each row; not a number where it failed."""
    return statistics.median(result.samples) if result.samples and not result.errors else math.nan


def spread(result: Measured) -> float:
    """Half of the distance between the quartiles, as a part of the median."""
    if len(result.samples) < 2:
        return 0.0
    low, _, high = statistics.quantiles(result.samples, n=4, method="inclusive")
    return (high - low) / 2 / statistics.median(result.samples)


def geometric_mean(values: Sequence[float]) -> float:
    """Not a number where one of them is not."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def table(results: Sequence[Measured]) -> Iterator[str]:
    """The lines for one model, database and number of tasks."""
    first = results[0]
    contenders = list(dict.fromkeys(result.contender for result in results))
    medians = {(result.operation, result.contender): median(result) for result in results}
    yield f"{first.model} model, {first.database}, {first.concurrency} tasks: microseconds a row; times those of {OURS}"
    yield f"{'':17}" + "".join(f"{name:>21}" for name in contenders)
    for operation in dict.fromkeys(result.operation for result in results):
        line = f"{OPERATIONS[operation]} {operation:15}"
        for result in results:
            if result.operation == operation:
                line += _cell(result, medians.get((operation, OURS), math.nan))
        yield line
    means = {name: geometric_mean([m for (_, who), m in medians.items() if who == name]) for name in contenders}
    yield f"{'geometric mean':17}" + "".join(
        f"{value:10.1f}{'':5}{_ratio(value, means.get(OURS, math.nan)):>6}" for value in means.values()
    )
    yield from sorted(
        {f"  {result.contender}, {result.operation}: {error}" for result in results for error in result.errors}
    )


def _cell(result: Measured, ours: float) -> str:
    """A median, how far it is spread, and its ratio."""
    value = median(result)
    if math.isnan(value):
        return f"{'failed':>21}"
    return f"{value:10.1f} ±{spread(result) * 100:2.0f}%{_ratio(value, ours):>6}"


def _ratio(value: float, ours: float) -> str:
    return "" if math.isnan(value / ours) else f"{value / ours:.2f}"
