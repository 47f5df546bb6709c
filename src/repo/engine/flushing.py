"""Changes that one task makes to an entity while another task's flush is writing it.

SQLAlchemy reads an entity's changes, awaits the database, and then marks the entity as unchanged:
what was changed meanwhile is neither written nor remembered. Here such a change is refused.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import WeakSet

from sqlalchemy import event
from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.orm.attributes import instance_state

from repo.engine import versions
from repo.errors import UsageError

_watched: WeakSet[Mapper[Any]] = WeakSet()
_running: dict[int, "FlushGuard"] = {}
"""The guards of the sessions that flush now, by ``InstanceState.session_id``."""


_GUARD = "repo.flush_guard"


class GuardedSession(Session):
    """A session whose ``FlushGuard`` is told of its flushes, and that names what a flush does not find."""

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        with versions.naming(self):
            super().flush(objects)


@event.listens_for(GuardedSession, "before_flush")
def _begin(session: Session, *_: Any) -> None:
    guard_of(session).begin((*session.new, *session.dirty))


@event.listens_for(GuardedSession, "after_flush_postexec")
def _end(session: Session, *_: Any) -> None:
    guard_of(session).end()


class FlushGuard:
    """Watches one session's flushes.

    Args:
        session: the session of a transaction, a ``GuardedSession``.
        fail: called with the error, so that the transaction cannot commit what is left.
    """

    def __init__(self, session: Session, fail: Callable[[UsageError], None]) -> None:
        self._session = session
        self._fail = fail
        self._task: asyncio.Task[Any] | None = None
        self._states: set[InstanceState[Any]] = set()
        session.info[_GUARD] = self

    def begin(self, entities: Iterable[Any]) -> None:
        """A flush begins: note what it writes, and have changes of that reported."""
        self._task = asyncio.current_task()
        self._states = {*map(instance_state, entities)}
        for mapper in {state.mapper for state in self._states}:
            if mapper not in _watched:
                _watch(mapper)
        if self._states:
            _running[self._session.hash_key] = self

    def end(self) -> None:
        """The flush is over, well or not."""
        _running.pop(self._session.hash_key, None)
        self._states = set()

    def check(self, state: InstanceState[Any], name: str) -> None:
        """Refuse a change by another task than the one that flushes."""
        task = asyncio.current_task()
        if task is self._task or state not in self._states:
            return
        mine, other = (t.get_name() if t else "?" for t in (task, self._task))
        error = UsageError(
            f"{state.class_.__name__}.{name} was set by {mine} while {other} was writing that very "
            "entity to the database: the change would be lost. Tasks that share an entity must "
            "change it and await the write one after another; or each work in a transaction of "
            "its own"
        )
        self._fail(error)
        raise error


def guard_of(session: Session) -> FlushGuard:
    """The guard of a transaction's session."""
    guard: FlushGuard = session.info[_GUARD]
    return guard


def _watch(mapper: Mapper[Any]) -> None:
    """Have every change of the mapper's attributes reported."""
    _watched.add(mapper)
    for attribute in mapper.attrs:
        is_mapped = attribute.key in mapper.column_attrs or attribute.key in mapper.relationships
        if is_mapped and hasattr(mapper.class_, attribute.key):  # the kind of a row may be in none
            for kind in ("set", "append", "remove"):
                # By these options SQLAlchemy adds no call of its own to each change.
                reporter = _reporter(attribute.key)
                event.listen(attribute.class_attribute, kind, reporter, raw=True, retval=True, include_key=True)


def _reporter(name: str) -> Callable[..., Any]:
    """The listener for one attribute; of no effect unless the entity's session flushes."""

    def changed(state: InstanceState[Any], value: Any, *_: Any, **__: Any) -> Any:
        guard = _running.get(state.session_id or 0)
        if guard is not None:
            guard.check(state, name)
        return value

    return changed
