"""One call on a scope: what it is to do, and its way through the scope as the hooks see it."""

import asyncio
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.orm import Session

from repo.engine.border import About, border
from repo.events import CallEnded, CallStarted, Hook

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One piece of work that a scope is asked to do on one of its connections."""

    verb: str
    work: Callable[[Session], T]
    """Runs inside SQLAlchemy's greenlet; what it returns must not need the session any more."""
    writes: bool | None = False
    """None: who knows? Where writes are refused it may try; where they need more, it gets that."""
    metadata: About = None
    """Where to look up the names of constraints."""
    repeatable: Callable[[], bool] = lambda: True
    """Whether a read is sure to change nothing, however often it is done; asked only after a failure."""


def name_of(function: Any) -> str:
    """What messages and events call a function."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__qualname__", type(function).__name__)


class Performer(Protocol):
    """Whatever does calls: a scope."""

    async def perform(self, call: Call[T]) -> T:
        """Do a piece of work."""
        raise NotImplementedError


_numbers = itertools.count(1)


class Trace:
    """One call's way through a scope, told to the hooks."""

    __slots__ = ("call", "connected_at", "connection", "hooks", "scope", "started", "task", "verb")

    def __init__(self, hooks: Sequence[Hook], scope: str, verb: str) -> None:
        self.hooks = hooks
        self.scope = scope
        self.verb = verb
        self.call = next(_numbers)
        self.connection: int | None = None
        self.connected_at: float | None = None
        self.started = time.perf_counter()
        task = asyncio.current_task()
        self.task = task.get_name() if task else ""

    def connected(self, number: int) -> None:
        """The wait is over; the work begins on this connection."""
        self.connection = number
        self.connected_at = time.perf_counter()

    def tell_start(self) -> None:
        """Tell the hooks that the call was made."""
        event = CallStarted(call=self.call, scope=self.scope, verb=self.verb, task=self.task, at=self.started)
        for hook in self.hooks:
            hook(event)

    def tell_end(self, error: BaseException | None) -> None:
        """Tell the hooks that the call ended."""
        event = CallEnded(
            call=self.call,
            scope=self.scope,
            verb=self.verb,
            task=self.task,
            connection=self.connection,
            started=self.started,
            connected=self.connected_at,
            at=time.perf_counter(),
            error=error,
        )
        for hook in self.hooks:
            hook(event)


@contextmanager
def calling(hooks: Sequence[Hook], scope: str, call: Call[Any]) -> Iterator[Trace]:
    """Where every call passes: the hooks are told, and errors become errors of `repo`."""
    trace = Trace(hooks, scope, call.verb)
    trace.tell_start()
    try:
        with border(call.metadata):
            yield trace
    except BaseException as error:
        trace.tell_end(error)
        raise
    trace.tell_end(None)
