"""The eleven operations: how one is shared out among tasks, timed, and checked."""

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from benchmarks.contenders import Contender
from benchmarks.schema import LEVELS, Model, Values, canonical, next_level
from benchmarks.turns import Clock

T = TypeVar("T")

OPERATIONS: Mapping[str, str] = {
    "insert-single": "A",
    "insert-batch": "B",
    "insert-bulk": "C",
    "filter-large": "D",
    "filter-small": "E",
    "get": "F",
    "filter-dicts": "G",
    "filter-tuples": "H",
    "update-whole": "I",
    "update-partial": "J",
    "delete": "K",
}
"""Their names, and the letters that Tortoise's benchmark gives them."""
INSERTS = ("insert-single", "insert-batch", "insert-bulk")
CHANGES = ("update-whole", "update-partial", "delete")
SMALL = 20
"""The limit of E."""
LARGE = 20
"""So many times D, G and H read a level; with more tasks than that, each does once."""


@dataclass(frozen=True, slots=True)
class Job:
    """One operation to be done by so many tasks; the seed says which rows are read."""

    operation: str
    rows: int
    concurrency: int
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How long it took, for how many rows; or what went wrong."""

    seconds: float = 0.0
    rows: int = 0
    cpu_seconds: float = 0.0
    """Of the contender's process, with all of its threads."""
    error: str = ""

    @property
    def microseconds(self) -> float:
        """For each row."""
        return self.seconds / self.rows * 1e6

    @property
    def cpu_microseconds(self) -> float:
        """For each row."""
        return self.cpu_seconds / self.rows * 1e6


class WrongResult(Exception):
    """A contender did not do what it is measured for."""


async def execute(contender: Contender, model: Model, job: Job) -> Outcome:
    """Do the operation; a failure is a result, too."""
    try:
        if job.operation in INSERTS:
            return await _insert(contender, model, job)
        if job.operation in CHANGES:
            return await _change(contender, model, job)
        return await _read(contender, model, job)
    except Exception as error:
        return Outcome(error=f"{type(error).__name__}: {error}"[:300])


def expected(model: Model, job: Job) -> list[Values]:
    """The rows that the operation leaves, but for the roots."""
    stored = model.stored(job.rows)
    if job.operation in INSERTS:
        return [model.added(n, OPERATIONS[job.operation]) for n in range(job.rows)]
    match job.operation:
        case "update-whole":
            return [model.changed(row) for row in stored]
        case "update-partial":
            return [row | {"level": next_level(row["level"])} for row in stored]
        case "delete":
            return []
        case _:
            return stored


def shares(items: Sequence[T], tasks: int) -> list[Sequence[T]]:
    """The items in as many parts of the same size, the last of which may be smaller; none is empty."""
    size = -(-len(items) // tasks)
    return [items[start : start + size] for start in range(0, len(items), size)]


async def _timed(work: Sequence[Coroutine[Any, Any, T]], rows: Callable[[list[T]], int]) -> tuple[Outcome, list[T]]:
    """How long all of it takes together, without the garbage of what was before."""
    gc.collect()
    clock = Clock()
    results = await asyncio.gather(*work)
    seconds, cpu_seconds = clock.seconds()
    return Outcome(seconds, rows(results), cpu_seconds), results


async def _insert(contender: Contender, model: Model, job: Job) -> Outcome:
    rows = [model.given(n, OPERATIONS[job.operation]) for n in range(job.rows)]
    verbs: Mapping[str, Callable[[Sequence[Values]], Coroutine[Any, Any, None]]] = {
        "insert-single": contender.insert_single,
        "insert-batch": contender.insert_batch,
        "insert-bulk": contender.insert_bulk,
    }
    verb = verbs[job.operation]
    outcome, _ = await _timed([verb(share) for share in shares(rows, job.concurrency)], lambda _: len(rows))
    return outcome


async def _change(contender: Contender, model: Model, job: Job) -> Outcome:
    objects = await contender.objects()
    stored = model.stored(job.rows)
    work: list[Coroutine[Any, Any, None]] = []
    for mine, rows in zip(shares(objects, job.concurrency), shares(stored, job.concurrency), strict=True):
        if job.operation == "update-whole":
            work.append(contender.update_whole(mine, [model.changed(row) for row in rows]))
        elif job.operation == "update-partial":
            work.append(contender.update_partial(mine, [next_level(row["level"]) for row in rows]))
        else:
            work.append(contender.delete(mine))
    outcome, _ = await _timed(work, lambda _: len(objects))
    return outcome


async def _read(contender: Contender, model: Model, job: Job) -> Outcome:
    calls = _reads(contender, model, job)
    work = [_in_turn(share) for share in shares(calls, job.concurrency)]
    outcome, found = await _timed(work, lambda found: sum(count for count, _, _ in found))
    check = Check(contender, model, job)
    for _, last, asked in found:
        check.compare(last, asked)
    return outcome


Call = tuple[Callable[..., Awaitable[Any]], tuple[Any, ...]]


def _reads(contender: Contender, model: Model, job: Job) -> list[Call]:
    """All calls of an operation that reads, each with its arguments."""
    chance = random.Random(job.seed)
    if job.operation == "get":
        return [(contender.get, (model.roots + chance.randint(1, job.rows),)) for _ in range(job.rows)]
    if job.operation == "filter-small":
        most = job.rows // len(LEVELS) - SMALL
        levels = [LEVELS[n % len(LEVELS)] for n in range(max(job.rows // 5, job.concurrency))]
        return [(contender.filter_small, (level, SMALL, chance.randint(0, most))) for level in levels]
    verbs: Mapping[str, Callable[[int], Awaitable[Any]]] = {
        "filter-large": contender.filter_large,
        "filter-dicts": contender.filter_dicts,
        "filter-tuples": contender.filter_tuples,
    }
    return [(verbs[job.operation], (LEVELS[n % len(LEVELS)],)) for n in range(max(LARGE, job.concurrency))]


async def _in_turn(calls: Sequence[Call]) -> tuple[int, Any, int]:
    """One task: its calls one after another; how many rows came, and the last result with its first argument."""
    count, last = 0, None
    for verb, arguments in calls:
        last = await verb(*arguments)
        count += len(last) if verb.__name__ != "get" else 1
    return count, last, calls[-1][1][0]


class Check:
    """What a contender has read, beside what is stored."""

    def __init__(self, contender: Contender, model: Model, job: Job) -> None:
        self.contender = contender
        self.model = model
        self.job = job
        self.stored = {row["id"]: row for row in model.stored(job.rows)}

    def compare(self, found: Any, asked: int) -> None:
        """Refuse what is not all that was asked for, or has other values."""
        rows = self._rows(found)
        wanted = [canonical([self.stored[row[0]][name] for name in self.model.names]) for row in rows]
        if [canonical(row) for row in rows] != wanted:
            raise WrongResult(f"found other values than there are: {rows[0]} is not {wanted[0]}")
        if self.job.operation == "get":
            right = rows[0][0] == asked
        else:
            of_level = sum(row["level"] == asked for row in self.stored.values())
            count = SMALL if self.job.operation == "filter-small" else of_level
            right = len({row[0] for row in rows}) == count and {row[2] for row in rows} == {asked}
        if not right:
            raise WrongResult(f"found {len(rows)} rows that are not those asked for")

    def _rows(self, found: Any) -> list[Sequence[Any]]:
        """What was found, as the values of rows."""
        match self.job.operation:
            case "get":
                return [self.contender.values(found)]
            case "filter-dicts":
                return [[row[name] for name in self.model.names] for row in found]
            case "filter-tuples":
                return [tuple(row) for row in found]
            case _:
                return [self.contender.values(thing) for thing in found]
