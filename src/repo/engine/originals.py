"""What entities were before a transaction wrote them, so that a rollback is one for them, too.

SQLAlchemy takes what a session has flushed for stored, whatever becomes of the transaction: it has a
key, which on some databases another row gets, and its changes are forgotten, so that the next attempt
would write none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.orm import InstanceState, Session
from sqlalchemy.orm.attributes import instance_state

from repo.engine.entities import Before
from repo.engine.flushing import GuardedSession
from repo.engine.lending import listeners

_KEY = "repo.originals"


@dataclass(slots=True)
class _Original:
    """What an entity was when it came to a transaction, and at which level that was."""

    before: Before
    level: object
    outside: bool
    """Whether it was given to the session, which has not read it itself."""


class Originals:
    """What the entities of one session were.

    Args:
        session: the session of a transaction, a ``GuardedSession``.
        level: gives the savepoint, or the transaction, that the running code is inside of.
    """

    def __init__(self, session: Session, level: Callable[[], object]) -> None:
        self._session = session
        self._level = level
        # Weak, so that a long transaction does not keep every entity that it has stored.
        self._kept: WeakKeyDictionary[InstanceState[Any], _Original] = WeakKeyDictionary()
        session.info[_KEY] = self

    def keep(self, entity: Any, *, outside: bool) -> Before | None:
        """Remember what an entity is now, and give it; None if it is known what it was before that."""
        state = instance_state(entity)
        if state in self._kept:
            return None
        before = Before(state)
        self._kept[state] = _Original(before, self._level(), outside)
        return before

    def release(self, level: object, parent: object) -> None:
        """A savepoint was released: what came to it belongs to its parent."""
        for original in self._kept.values():
            if original.level is level:
                original.level = parent

    def undo(self, level: object) -> None:
        """A savepoint was rolled back: what was given to the session in it leaves it, as it was.

        What the session has read itself it reads again.
        """
        for state, original in list(self._kept.items()):
            if original.level is not level:
                continue
            del self._kept[state]
            if original.outside:
                if state.session is self._session:
                    self._session.expunge(state.obj())
                original.before.restore(state, alone=True)

    def restore(self) -> None:
        """The transaction was rolled back and its session closed: everything is as it was."""
        for state, original in list(self._kept.items()):
            # Not if it has found another by now. What was deleted is in the closed one still.
            if state.session in (None, self._session):
                original.before.restore(state, alone=True)
        self.forget()

    def forget(self) -> None:
        """The transaction was committed: what was before is of no use."""
        self._kept.clear()


def originals_of(session: Session) -> Originals:
    """What the entities of a transaction's session were."""
    originals: Originals = session.info[_KEY]
    return originals


@event.listens_for(GuardedSession, "before_attach")
def _given(session: Session, entity: Any) -> None:
    originals_of(session).keep(entity, outside=True)


@event.listens_for(GuardedSession, "before_flush")
def _written(session: Session, *_: Any) -> None:
    for entity in (*session.dirty, *session.deleted):
        originals_of(session).keep(entity, outside=False)


_OURS = listeners(GuardedSession())


def is_listened_to(session: Session) -> bool:
    """Whether others than `repo` want to be told by a transaction's session."""
    return listeners(session) > _OURS
