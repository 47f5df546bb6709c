"""Entities into a session, written, and out of it again: complete, or as they were.

Functions here take a ``Session`` and run inside SQLAlchemy's greenlet.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from sqlalchemy import Column, DefaultClause, inspect
from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.schema import SchemaItem

from repo.engine import versions
from repo.engine.conditions import by_identities, in_parts, stored
from repo.engine.execution import whole
from repo.engine.reach import Reach
from repo.errors import UsageError


class Unharmed:
    """A block that leaves entities, and what hangs on them, as they were if it fails.

    SQLAlchemy expires what a failed flush was about: its next use would read from the database. An
    entity that leaves its session with the call could not even be read any more, and the values
    that its user has set would be gone.
    """

    def __init__(self, own: Session, *entities: Any) -> None:
        self._own: Session | None = own
        self._before = [(state, Before(state)) for state in graph(*entities)]

    def __enter__(self) -> "Unharmed":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self.restore()
        self._own = None

    def leave_members(self) -> None:
        """Leave what was in the session before to the session.

        A failed flush undoes all that its transaction has changed, not only what this call did.
        """
        self._before = [(state, before) for state, before in self._before if before.session is None]

    def restore(self) -> None:
        """Put everything back; what is in another session by now is not touched."""
        for state, before in self._before:
            if state.session is not None and state.session is not before.session:
                if state.session is not self._own:
                    continue
                state.session.expunge(state.obj())
            before.restore(state)


class Before:
    """What one entity was. It does not keep the entity alive."""

    __slots__ = ("_collections", "_committed", "_expired", "_rest", "_values", "session")

    def __init__(self, state: InstanceState[Any]) -> None:
        self.session = state.session
        self._values = state.dict.copy()
        self._collections = _collections(self._values) if state.mapper.relationships else ()
        self._committed = state.committed_state.copy()
        self._expired = frozenset(state.expired_attributes)
        self._rest = _copied(vars(state))
        self._rest.pop("_strong_obj", None)

    def restore(self, state: InstanceState[Any], *, alone: bool = False) -> None:
        """Put it back; ``alone`` in no session, whichever it was in."""
        listed = state.modified  # its session lists it as changed until it flushes
        state.dict.clear()
        state.dict.update(self._values)
        state.committed_state = self._committed.copy()
        state.expired_attributes = set(self._expired)
        vars(state).clear()
        vars(state).update(_copied(self._rest))
        if alone:
            state.session_id = None
        elif state.session_id is not None and (state.modified or listed):
            state.modified = True
            state._strong_obj = state.obj()  # a session keeps what is to be written
        for collection, adapter in self._collections:
            # One that was replaced has lost its adapter.
            collection._sa_adapter = adapter
            adapter.invalidated = False


def _collections(values: Mapping[str, Any]) -> Sequence[tuple[Any, Any]]:
    """The collections among an entity's values, each with its adapter."""
    return tuple((value, value._sa_adapter) for value in values.values() if hasattr(value, "_sa_adapter"))


def _copied(held: Mapping[str, Any]) -> dict[str, Any]:
    """What a state holds, with copies of the dicts in it, which change in place."""
    copied = dict(held)
    for name in [name for name, value in held.items() if type(value) is dict]:
        copied[name] = copied[name].copy()
    return copied


def refuse_stored(entity: Any) -> None:
    """Refuse an entity that is not new."""
    if inspect(entity).key is not None:
        raise UsageError(f"this {type(entity).__name__} is stored already; use update()")


def insert(own: Session, reach: Reach, entity: Any) -> Unharmed:
    """Store a new entity, and what is new on its relationships."""
    with Unharmed(own, entity) as before:
        _adopt(own, entity)
        reach.admit(own, graph(entity))
        before.leave_members()
        new = [state for state in graph(entity) if state.key is None]
        versions.flush(own)
        for state in new:
            if left := early(state.mapper):
                own.expire(state.obj(), left)
        complete(own, entity)
    return before


def update(own: Session, reach: Reach, entity: Any, values: Mapping[str, Any]) -> Unharmed:
    """Set values, and write what was changed on an entity and on its relationships.

    A version among the values is the one in which the entity is expected.
    """
    values, expected = versions.expectation(inspect(entity).mapper, values)
    with Unharmed(own, entity, *touched(own, reach, values)) as before:
        _adopt(own, entity)
        versions.check(entity, expected)
        assign(own, reach, [entity], values)
        before.leave_members()
        versions.flush(own)
        complete(own, entity)
    return before


def assign(own: Session, reach: Reach, entities: Sequence[Any], values: Mapping[str, Any]) -> None:
    """Set the same values of several entities of the session, and let nothing out of reach come of it."""
    # What SQLAlchemy loads when a relationship is set would write some of the values.
    with own.no_autoflush, _nothing_pending(own):
        for entity in entities:
            for name, value in values.items():
                setattr(entity, name, value)
        reach.admit(own, graph(*entities))


def touched(own: Session, reach: Reach, values: Mapping[str, Any]) -> list[Any]:
    """The other entities that may be changed when these values of one are set, and the values then refused."""
    if not reach.narrows or values.keys() <= stored(reach.own.mapper).keys():
        return []
    return [*own, *_entities(values)]


@contextmanager
def _nothing_pending(own: Session) -> Iterator[None]:
    """A block that leaves no new entities in the session if it fails, which another flush would store."""
    before = own.new  # SQLAlchemy's set, as entities need not be hashable
    try:
        yield
    except BaseException:
        for entity in own.new - before:
            own.expunge(entity)
        raise


def _entities(values: Mapping[str, Any]) -> Iterator[Any]:
    """The entities among the new values of an entity."""
    for value in values.values():
        several = value.values() if isinstance(value, Mapping) else value
        for each in several if isinstance(several, Collection) else (value,):
            if hasattr(each, "_sa_instance_state"):
                yield each


def complete(own: Session, entity: Any) -> None:
    """Read what the database has computed while it stored an entity, if it did not return it."""
    for state in graph(entity):
        missing = _expired(state)
        if missing and state.session is own:
            own.refresh(state.obj(), missing)


def complete_many(own: Session, mapper: Mapper[Any], entities: Iterable[Any], *, left: Sequence[str] = ()) -> None:
    """Read what the database has computed while it stored several rows of a model; by one query for many.

    Args:
        own: the session that they are in.
        mapper: the model's.
        entities: the entities of the rows.
        left: attributes that are read even where they have a value.
    """
    lacking: list[Any] = []
    for entity in entities:
        state = inspect(entity)
        if left:
            own.expire(entity, left)
        if any(not state.mapper.column_attrs[name].deferred for name in _expired(state)):
            lacking.append(state.identity)
    for keys in in_parts(lacking):
        # A row whose entity is there fills in what that lacks, and changes nothing else.
        own.scalars(whole(mapper).where(by_identities(mapper, keys))).unique().all()


def _expired(state: InstanceState[Any]) -> set[str]:
    """The columns that would be read when they are used."""
    return state.expired_attributes & {attribute.key for attribute in state.mapper.column_attrs}


def early(mapper: Mapper[Any]) -> list[str]:
    """The attributes of which RETURNING may give a value too early: those that are left to triggers."""
    return [name for name, column in stored(mapper).items() if _is_left_to_a_trigger(column)]


def _is_left_to_a_trigger(column: Column[Any]) -> bool:
    """Whether the database makes a column's values in a way that the model does not tell."""
    made, changed = column.server_default, column.server_onupdate
    is_told = made is None or isinstance(made, SchemaItem | DefaultClause)
    return not is_told or not (changed is None or isinstance(changed, SchemaItem))


def _adopt(own: Session, entity: Any) -> None:
    """Let the session have an entity and what hangs on it: all of it, or nothing.

    Raises:
        UsageError: it belongs to another session, or the session has another object for its row.
    """
    seen: dict[Any, Any] = {}
    for state in graph(entity):
        each, name = state.obj(), state.class_.__name__
        if state.session is not None and state.session is not own:
            raise UsageError(
                f"this {name} belongs to another transaction or session that is still open: write it "
                "there, or after that has ended"
            )
        if state.key is None:
            continue
        other = seen.setdefault(state.key, own.identity_map.get(state.key, each))
        if other is not each:
            raise UsageError(
                f"there are two objects for the {name} with the key {state.key[1]}: this one, and one "
                "that this transaction has read before, or that the entity refers to as well. Change "
                "that one, or update by key"
            )
    own.add(entity)


def graph(*entities: Any) -> Iterator[InstanceState[Any]]:
    """Entities and all that a session takes along with them, each once."""
    found: set[InstanceState[Any]] = set()
    for entity in entities:
        state: InstanceState[Any] = inspect(entity)
        along = state.mapper.cascade_iterator("save-update", state, halt_on=found.__contains__)
        for each in () if state in found else (state, *(related for _, _, related, _ in along)):
            found.add(each)
            yield each
