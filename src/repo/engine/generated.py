"""What nobody gives a row: values that Python makes when it is written, and those that the database makes."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.schema import CallableColumnDefault, ScalarElementColumnDefault

from repo.engine import hydration
from repo.engine.conditions import stored
from repo.engine.rows import plain_function


def made(default: Any) -> Callable[[], Any] | None:
    """How Python makes a default; None where the database does, or nobody; NotImplemented if only a statement can."""
    if isinstance(default, ScalarElementColumnDefault):
        return lambda: default.arg
    if isinstance(default, CallableColumnDefault):
        return plain_function(default) or NotImplemented
    return None


@lru_cache(maxsize=1024)
def defaults(mapper: Mapper[Any]) -> list[tuple[str, Callable[[], Any]]]:
    """What Python makes for a new row where no value is given."""
    return _makers(mapper, lambda column: column.default)


@lru_cache(maxsize=1024)
def updates(mapper: Mapper[Any]) -> list[tuple[str, Callable[[], Any]]]:
    """What Python makes at each change of a row."""
    return _makers(mapper, lambda column: column.onupdate)


@lru_cache(maxsize=1024)
def returned_by_insert(mapper: Mapper[Any]) -> list[str]:
    """What the database makes for a new row where no value is given."""

    def is_made(column: Column[Any]) -> bool:
        return column.primary_key or column.server_default is not None or _is_made_there(column.default)

    return _returned(mapper, is_made)


@lru_cache(maxsize=1024)
def returned_by_update(mapper: Mapper[Any]) -> list[str]:
    """What the database makes at each change of a row."""
    return _returned(mapper, lambda column: column.server_onupdate is not None or _is_made_there(column.onupdate))


def _makers(mapper: Mapper[Any], default_of: Callable[[Column[Any]], Any]) -> list[tuple[str, Callable[[], Any]]]:
    """What Python makes of such defaults of the columns."""
    found = [(name, made(default_of(column))) for name, column in stored(mapper).items()]
    return [(name, make) for name, make in found if make is not None]


def _returned(mapper: Mapper[Any], is_made: Callable[[Column[Any]], bool]) -> list[str]:
    """The attributes whose columns are such, among those that come with every entity."""
    plain = {attribute.key for attribute in hydration.loaded(mapper)}
    return [name for name, column in stored(mapper).items() if name in plain and is_made(column)]


def _is_made_there(default: Any) -> bool:
    """Whether a default is an expression of the database."""
    return default is not None and made(default) is None
