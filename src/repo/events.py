"""What a hook is told: plain frozen data, mostly in pairs of a start and an end.

A hook is any callable that takes one event. It runs on the event loop, in the middle of the call
that it is told about, so it must be quick and must not block; an exception of a hook reaches the
caller, as a bug of the application would.

    def log_slow(event: Event) -> None:
        if isinstance(event, CallEnded) and event.at - event.started > 1.0:
            print(f"{event.verb} of {event.task} took {event.at - event.started:.1f} s")

    db = Database(url, hooks=[log_slow])
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted:
    """A call on a scope was made; it may have to wait for its turn or for a connection."""

    call: int
    """Pairs this event with its ``CallEnded``; unique in this process."""
    scope: str
    """The kind of scope: ``"Database"``, ``"Transaction"``, ``"Snapshot"`` or ``"Session"``."""
    verb: str
    """What was called: ``"get"``, ``"rows"``, ``"add_many"``, ..."""
    task: str
    """The name of the asyncio task that made the call."""
    at: float
    """When, in seconds of ``time.perf_counter``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded:
    """A call on a scope ended, with a result, an error or a cancellation."""

    call: int
    scope: str
    verb: str
    task: str
    connection: int | None
    """A small number that stays with a connection of the pool; None if the call never had one."""
    started: float
    """When the call was made, in seconds of ``time.perf_counter``."""
    connected: float | None
    """When its wait was over and the work began; None if it never began."""
    at: float
    """When it ended."""
    error: BaseException | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LongWay:
    """Statements of some shape will go through a session of SQLAlchemy's, which takes longer; for whom speed matters.

    It is told once for each shape. All others are run by the driver itself.
    """

    subject: str
    """The model, or the statement."""
    reason: str
    """What about it is SQLAlchemy's to do."""
    task: str
    at: float
    """When it was found out, in seconds of ``time.perf_counter``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitStarted:
    """``Database.transact`` was called."""

    unit: int
    """Pairs this event with its ``UnitEnded``; unique in this process."""
    name: str
    """The name of the function that is to run in a transaction."""
    task: str
    at: float
    """When, in seconds of ``time.perf_counter``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed:
    """The transaction of a unit failed and was rolled back."""

    unit: int
    name: str
    task: str
    attempt: int
    """Which attempt it was, from 1."""
    error: Exception
    wait: float | None
    """Seconds until the next attempt begins; None if there is none."""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitEnded:
    """A unit ended, with a result, an error or a cancellation."""

    unit: int
    name: str
    task: str
    attempts: int
    """How many transactions it took; all but the last had to be done again."""
    replayed: bool
    """Whether its result is that of an earlier call with the same ``once``."""
    started: float
    """When it was called, in seconds of ``time.perf_counter``."""
    at: float
    error: BaseException | None


Event = CallStarted | CallEnded | LongWay | UnitStarted | AttemptFailed | UnitEnded
Hook = Callable[[Event], None]


def task_name() -> str:
    """What events call the running task."""
    task = asyncio.current_task()
    return task.get_name() if task else ""
