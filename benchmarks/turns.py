"""Taking turns: what is compared runs in one go, who begins changes, and all are timed by the same clocks."""

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


def rotated(things: Sequence[T], turn: int) -> list[T]:
    """The things in turn, beginning with another one each time."""
    start = turn % len(things)
    return [*things[start:], *things[:start]]


def processor_seconds() -> float:
    """For how long this process, its threads and its ended children ran on a processor."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@dataclass(frozen=True, slots=True)
class Clock:
    """Both clocks, which run from when it is made."""

    wall: float = field(default_factory=time.perf_counter)
    processor: float = field(default_factory=processor_seconds)

    def seconds(self) -> tuple[float, float]:
        """What has passed on each of them."""
        return time.perf_counter() - self.wall, processor_seconds() - self.processor
