"""Values that SQLAlchemy's own types cannot convert.

While a statement is prepared, SQLAlchemy wraps what a type raises; while rows are read, it does not:
a bare LookupError or ValueError leaves it. Whether it was a type that has raised it is seen by the
modules of SQLAlchemy that it went through. Where these are others some day, it stays as it is.
"""

from collections.abc import Iterator
from traceback import walk_tb
from types import FrameType
from typing import Any

from sqlalchemy import Enum, MetaData

from repo.errors import InvalidValue

_TYPES = {
    "sqlalchemy.sql.sqltypes",
    "sqlalchemy.cyextension.processors",
    "sqlalchemy.engine._processors_cy",
    "sqlalchemy.engine._py_processors",
}
"""The modules that convert values for SQLAlchemy's own types; a type of the user's own is in none of them."""

_SHOWN = 10


def misfit(error: BaseException, metadata: MetaData | None, *, sent: bool) -> InvalidValue | None:
    """What a type of SQLAlchemy's means by its error; None if it was not raised by one.

    Args:
        error: as it was raised.
        metadata: where to look for the column; for an enumeration it can be known.
        sent: whether the value was on its way to the database, not read from it.
    """
    kind = _type(error)
    if kind is None:
        return None
    if isinstance(kind, Enum):
        members = ", ".join(kind.enums[:_SHOWN]) + (", ..." if len(kind.enums) > _SHOWN else "")
        where = " or ".join(_columns(kind, metadata)) or f"the enumeration {kind.name}"
        why = "is sent" if sent else "is stored, by another program or by SQL that nothing has checked,"
        return InvalidValue(f"a value {why} for {where} that is none of its members: {members}")
    way = "sent does not fit its parameter's" if sent else "stored does not fit its column's"
    return InvalidValue(f"a value that is {way} type: {type(error).__name__}; its cause says more")


def _type(error: BaseException) -> object:
    """The type that has raised it, or a word for one that cannot be known; None if it was none."""
    frames = [frame for frame in _frames(error) if _module(frame).startswith("sqlalchemy.")]
    if not frames or _module(frames[-1]) not in _TYPES:
        return None
    return frames[-1].f_locals.get("self") or "some type"


def _frames(error: BaseException) -> Iterator[FrameType]:
    return (frame for frame, _ in walk_tb(error.__traceback__))


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _columns(kind: Enum, metadata: MetaData | None) -> list[str]:
    """The columns of that enumeration: ``table.column`` each."""
    columns = (column for table in (metadata.tables.values() if metadata else ()) for column in table.columns)
    return [f"{column.table.name}.{column.name}" for column in columns if _alike(column.type, kind)]


def _alike(one: Any, other: Enum) -> bool:
    return isinstance(one, Enum) and (one.name, one.enums) == (other.name, other.enums)
