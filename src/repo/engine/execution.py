"""From a statement to rows or entities.

Functions here take a ``Session`` or a ``Connection``, run inside SQLAlchemy's greenlet, and know no
scope.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Executable, Result, Row, Select, select
from sqlalchemy.orm import Mapper, Session, selectin_polymorphic
from sqlalchemy.orm.interfaces import ORMOption

T = TypeVar("T")


def session(connection: Connection) -> Session:
    """A session that works on the connection and leaves its transaction to us."""
    return Session(connection, expire_on_commit=False, join_transaction_mode="rollback_only")


def alone(connection: Connection, work: Callable[[Session], T]) -> T:
    """Work with a session of its own; entities come back detached."""
    with session(connection) as own:
        return work(own)


def whole(mapper: Mapper[Any]) -> Select[Any]:
    """The SELECT of a model's entities, with the columns of those that belong to subclasses."""
    return select(mapper.class_).options(*polymorphic(mapper))


def polymorphic(mapper: Mapper[Any]) -> list[ORMOption]:
    """The options that load the columns of subclasses, which SQLAlchemy leaves for later."""
    if mapper.polymorphic_on is None:
        return []
    at_once = (mapper, *mapper.with_polymorphic_mappers)
    later = [related.class_ for related in mapper.self_and_descendants if related not in at_once]
    if not later:
        return []
    option = selectin_polymorphic(mapper.class_, later)
    # Else the entities would keep it, for what they load later; and it cannot be pickled.
    option.propagate_to_loaders = False
    return [option]


def buffered(own: Session, statement: Executable, params: Any = None) -> Result[Any]:
    """The whole result, read before the connection goes."""
    result = own.execute(statement, params)
    if isinstance(result, CursorResult) and not result.returns_rows:
        return result
    try:
        return result.freeze()()
    except NotImplementedError:
        # What SQLAlchemy gives for many rows of one INSERT or UPDATE of a model: no rows at all.
        return result


def chunk(rows: Iterable[Any], size: int) -> list[Any]:
    """The next rows of a streamed result; empty at its end."""
    return list(islice(rows, size))


def keyed(own: Session, statement: Executable, keys: int) -> tuple[list[Row[Any]], list[Sequence[Any]]]:
    """The rows without their last columns, so many of them, and these columns of each."""
    result = own.execute(statement).freeze()
    whole = result()
    shown = range(len(whole.keys()) - keys)
    return list(result().columns(*shown)), [row[len(shown) :] for row in whole]
