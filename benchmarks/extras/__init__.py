"""What else is measured: each in a process of its own, its ways in turn."""

import asyncio
import gc
import resource
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from benchmarks.loops import loop_factory
from benchmarks.operations import WrongResult
from benchmarks.turns import Clock, rotated

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and how often to measure."""

    database: str
    url: str
    rounds: int
    most: int
    """The most rows or calls of anything."""
    uvloop: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One way at one size: microseconds for each unit, one sample for a round."""

    extra: str
    database: str
    unit: str
    way: str
    size: int
    beside: str
    """The way that it is compared to."""
    samples: Sequence[float]
    cpu_samples: Sequence[float]
    grown: float | None = None
    """By how many MiB a process of its own grew beyond what the smallest size had needed."""


@dataclass(frozen=True, slots=True)
class Way:
    """Something to be timed, with what it must result in."""

    name: str
    run: Callable[[], Awaitable[Any]]
    result: Any
    beside: str
    """The way that it is compared to."""
    before: Callable[[], Awaitable[Any]] | None = None


class Course(Protocol):
    """The ways of a measurement, for each of its sizes."""

    sizes: Sequence[int]

    def rounds(self, size: int) -> int:
        """How often each way is timed."""
        ...

    async def ways(self, size: int) -> list[Way]:
        """All of them, with what they need in place."""
        ...


Opener = Callable[[Setting], AbstractAsyncContextManager[Course]]


@dataclass(frozen=True, slots=True)
class Extra:
    """Where a measurement is, what it counts, and how its ways are compared."""

    module: str
    title: str
    unit: str
    grows: bool = False
    """It is done in every power of ten, and its memory is measured, too."""
    databases: tuple[str, ...] = ("postgresql", "sqlite")


EXTRAS: Mapping[str, Extra] = {
    "gathered-gets": Extra("gets", "1,000 reads by key, gathered and one by one", "get"),
    "lone-get": Extra("lone", "a read by key by itself, with batching and without", "get"),
    "gathered-calls": Extra("calls", "gathered calls on a pool of 10, nine reads to one write", "call", grows=True),
    "transaction": Extra("transaction", "a verb in a transaction, and the same on a bare AsyncSession", "verb"),
    "stream": Extra("stream", "a whole table, row by row", "row", grows=True),
    "bulk": Extra("bulk", "many new rows", "row", grows=True),
    "import": Extra("imports", "import, in a new process", "import", databases=("",)),
}


def measure(name: str, setting: Setting) -> list[Figure]:
    """All figures of a measurement: times with the ways in turn, then memory with each way by itself."""
    return _in_process("spawn", _measure, name, setting)


def _measure(name: str, setting: Setting) -> list[Figure]:
    """In a new process, from which those that do the work are forked when everything is imported."""
    module = import_module(f"benchmarks.extras.{EXTRAS[name].module}")
    timed = _in_process("fork", _timed, module.opened, name, setting)
    if not EXTRAS[name].grows:
        return timed
    grown: dict[tuple[str, int], float] = {}
    for way in dict.fromkeys(figure.way for figure in timed):
        grown |= _in_process("fork", _grown, module.opened, way, setting)
    return [replace(figure, grown=grown[figure.way, figure.size]) for figure in timed]


def _in_process(start: str, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """What the function gives in a process of its own."""
    with ProcessPoolExecutor(1, get_context(start)) as process:
        return process.submit(function, *arguments, **options).result()


def _timed(opened: Opener, name: str, setting: Setting) -> list[Figure]:
    """The times of every size."""

    async def run() -> list[Figure]:
        figures = []
        async with opened(setting) as course:
            for size in course.sizes:
                ways = await course.ways(size)
                times = await in_turn(ways, course.rounds(size))
                figures += [_figure(name, setting, way, size, times[way.name]) for way in ways]
        return figures

    with asyncio.Runner(loop_factory=loop_factory(setting.uvloop)) as runner:
        return runner.run(run())


def _figure(name: str, setting: Setting, way: Way, size: int, times: Sequence[tuple[float, float]]) -> Figure:
    wall, processor = ([each / size * 1e6 for each in clock] for clock in zip(*times, strict=True))
    return Figure(name, setting.database, EXTRAS[name].unit, way.name, size, way.beside, wall, processor)


def _grown(opened: Opener, name: str, setting: Setting) -> dict[tuple[str, int], float]:
    """By how much this process grows with each size, which it has never had before."""

    async def run() -> dict[tuple[str, int], float]:
        grown: dict[tuple[str, int], float] = {}
        async with opened(setting) as course:
            start = None
            for size in course.sizes:
                (way,) = [way for way in await course.ways(size) if way.name == name]
                await _once(way)
                start = largest() if start is None else start
                grown[name, size] = largest() - start
        return grown

    with asyncio.Runner(loop_factory=loop_factory(setting.uvloop)) as runner:
        return runner.run(run())


async def in_turn(ways: Sequence[Way], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """The seconds of each way by both clocks; who begins changes, and the first round does not count."""
    times: dict[str, list[tuple[float, float]]] = {way.name: [] for way in ways}
    for turn in range(rounds + 1):
        for way in rotated(ways, turn):
            seconds = await _once(way)
            if turn > 0:
                times[way.name].append(seconds)
    return times


async def _once(way: Way) -> tuple[float, float]:
    """Do it, and refuse another result than the right one."""
    if way.before is not None:
        await way.before()
    gc.collect()
    clock = Clock()
    result = await way.run()
    seconds = clock.seconds()
    if result != way.result:
        raise WrongResult(f"{way.name}: {result!r} instead of {way.result!r}")
    return seconds


def powers(most: int) -> list[int]:
    """1, 10, 100, ... up to so many."""
    return [10**power for power in range(len(str(most))) if 10**power <= most]


def largest() -> float:
    """The largest size that this process has had, in MiB."""
    # On Linux a child's ru_maxrss begins at that of its parent; what the kernel says of its memory does not.
    status = Path("/proc/self/status")
    if status.exists():
        (kept,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(kept.split()[1]) / 2**10
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (2**20 if sys.platform == "darwin" else 2**10)
