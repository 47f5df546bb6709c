"""One call on a scope: what it is to do, and its way through the scope as the hooks see it."""

import functools
import itertools
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from sqlalchemy.orm import Session

from repo.engine.border import About, cross
from repo.engine.connections import Counts
from repo.engine.directly import Direct
from repo.events import CallEnded, CallStarted, Hook, task_name

T = TypeVar("T")


class Call(NamedTuple, Generic[T]):
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
    direct: Direct[T] | None = None
    """The same as one statement for the driver itself, where that is all there is to it."""


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


class Calling:
    """The block in which a call is done: the hooks are told, and errors become errors of `repo`.

    Args:
        hooks: are told of the call's beginning and end.
        scope: the kind of scope, as events call it.
        call: what is done.
        counts: where the call is counted.
    """

    __slots__ = ("_call", "_connected", "_counts", "_hooks", "_number", "_scope", "_started", "connection")

    def __init__(self, hooks: Sequence[Hook], scope: str, call: Call[Any], counts: Counts | None = None) -> None:
        self._hooks = hooks
        self._scope = scope
        self._call = call
        self._counts = counts
        self._connected: float | None = None
        self.connection: int | None = None

    def __enter__(self) -> "Calling":
        if self._hooks:
            self._number = next(_numbers)
            self._started = time.perf_counter()
            self._tell(
                CallStarted(
                    call=self._number, scope=self._scope, verb=self._call.verb, task=task_name(), at=self._started
                )
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                cross(error, self._call.metadata)
        except BaseException as translated:
            error = translated
            raise
        finally:
            if self._hooks:
                self._tell_end(error)

    def connected(self, number: int) -> None:
        """The wait is over; the work begins on this connection."""
        if self._counts is not None and self.connection is None:
            self._counts.queries += 1
        self.connection = number
        if self._hooks:
            self._connected = time.perf_counter()

    def _tell_end(self, error: BaseException | None) -> None:
        """Tell the hooks that the call ended."""
        self._tell(
            CallEnded(
                call=self._number,
                scope=self._scope,
                verb=self._call.verb,
                task=task_name(),
                connection=self.connection,
                started=self._started,
                connected=self._connected,
                at=time.perf_counter(),
                error=error,
            )
        )

    def _tell(self, event: CallStarted | CallEnded) -> None:
        for hook in self._hooks:
            hook(event)
