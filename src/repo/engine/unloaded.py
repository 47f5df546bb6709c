"""A relationship that was not loaded says so, in place of hidden I/O that cannot happen.

SQLAlchemy loads such a relationship, a deferred column, or what an entity has forgotten when its
session committed, when it is used. Under asyncio that works inside of a session's greenlet only;
elsewhere it ends in ``MissingGreenlet``, in a ``DetachedInstanceError``, or in a coroutine that
nobody awaits. The places where it would begin have no public hook, so this module, and no other,
replaces two private functions of SQLAlchemy's: ``impl.callable_`` of an attribute, and
``expired_attribute_loader`` of a class. Where a SQLAlchemy has no such thing, its own errors are what
the user sees; a test notices.
"""

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import InstanceState, Mapper, PassiveFlag
from sqlalchemy.orm.base import LoaderCallableStatus
from sqlalchemy.orm.exc import DetachedInstanceError
from sqlalchemy.util.concurrency import in_greenlet

from repo.errors import NotLoaded

_done: WeakSet[Mapper[Any]] = WeakSet()


def refuse_hidden_loads(mapper: Mapper[Any]) -> None:
    """Have the model, and all that can be reached from it, raise ``NotLoaded`` outside of a greenlet."""
    pending = [mapper]
    while pending:
        for each in pending.pop().self_and_descendants:
            if each not in _done:
                _done.add(each)
                pending.extend(relationship.mapper for relationship in each.relationships)
                for attribute in each.attrs:
                    _wrap(each.class_, attribute.key)
                _wrap_expired(each)


def _wrap(model: type[Any], name: str) -> None:
    """Replace the function that loads one attribute when it is used, if it has one."""
    implementation: Any = getattr(getattr(model, name, None), "impl", None)
    load = getattr(implementation, "callable_", None)
    if load is not None and not hasattr(load, "refuses"):
        implementation.callable_ = _refusing(load, model.__name__, name)


def _wrap_expired(mapper: Mapper[Any]) -> None:
    """Replace the function that reads what an entity has forgotten, as it does when its session commits."""
    manager: Any = mapper.class_manager
    load = getattr(manager, "expired_attribute_loader", None)
    if load is None:
        return

    def refuse(state: InstanceState[Any], names: set[str], passive: PassiveFlag) -> Any:
        if in_greenlet() or not passive & PassiveFlag.SQL_OK or _is_synchronous(state):
            return load(state, names, passive)
        raise NotLoaded(
            f"this {mapper.class_.__name__} has forgotten {', '.join(sorted(names))}, and using them cannot read them "
            "again: that would be hidden I/O. A session forgets what its entities hold when it rolls back, and when it "
            "commits, unless it is made with expire_on_commit=False; await session.refresh(entity) reads them again"
        )

    manager.expired_attribute_loader = refuse


def _refusing(load: Callable[..., Any], model: str, name: str) -> Callable[..., Any]:
    """The loading function, which refuses to begin what could not be awaited."""

    def refuse(state: InstanceState[Any], passive: PassiveFlag, *args: Any, **options: Any) -> Any:
        if in_greenlet() or not passive & PassiveFlag.SQL_OK or _is_synchronous(state):
            return load(state, passive, *args, **options)
        try:
            # What needs no SQL is there still: None for a foreign key without a value, or an
            # entity that the session has already.
            value = load(state, passive & ~PassiveFlag.SQL_OK, *args, **options)
        except (DetachedInstanceError, InvalidRequestError):
            # It is in no session; or the model itself says that it must not be loaded so.
            value = LoaderCallableStatus.PASSIVE_NO_RESULT
        if value is LoaderCallableStatus.PASSIVE_NO_RESULT:
            raise NotLoaded(
                f"{model}.{name} was not loaded with this {model}, and using it cannot load it: that "
                f"would be hidden I/O. Ask for it when you read: load={model}.{name}; or later: "
                f"await repository.load(entity, {model}.{name})"
            )
        return value

    refuse.refuses = True  # type: ignore[attr-defined]  # marks what was wrapped before
    return refuse


def _is_synchronous(state: InstanceState[Any]) -> bool:
    """Whether the entity belongs to a session without asyncio, which may load as it likes."""
    session = state.session
    return session is not None and not session.get_bind(state.mapper).dialect.is_async
