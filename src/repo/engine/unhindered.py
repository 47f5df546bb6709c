"""Tables to which rows are added without waiting for anybody.

While a transaction waits for another it holds what it has written before. So the rows of several callers are
added by one only where it does not wait: where no other row is asked for, by a foreign key or a constraint
besides a key that nobody chooses, and nothing else happens, by a trigger or a rule.
"""

import time
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import CheckConstraint, Column, PrimaryKeyConstraint, Sequence, Table, Uuid
from sqlalchemy.orm import Mapper

from repo.dialects.base import Dialect

ASKED = 60.0
"""Seconds for which the database's answer is taken for true: a migration may change it."""


class Unhindered:
    """What the database of one engine has said of its tables."""

    def __init__(self) -> None:
        self._said: WeakKeyDictionary[Table, tuple[bool, float]] = WeakKeyDictionary()

    def may_be(self, table: Table) -> bool:
        """Whether it may be so, as the database has not said otherwise."""
        said, until = self._said.get(table, (True, 0.0))
        return said or time.monotonic() > until

    async def find_out(self, dialect: Dialect, driver: Any, table: Table) -> bool:
        """Whether it is so, for which the database is asked now and then.

        Args:
            dialect: the database's ways.
            driver: the driver's connection.
            table: of which the model says so.
        """
        said, until = self._said.get(table, (False, 0.0))
        if time.monotonic() > until:
            said = await dialect.adds_unhindered(driver, table)
            self._said[table] = said, time.monotonic() + ASKED
        return said


@lru_cache(maxsize=1024)
def made_key(mapper: Mapper[Any]) -> tuple[str, ...]:
    """The attributes of the key of a table that nobody has part in by what the model says; none for another table.

    Only a key that nobody chooses is one for which nobody waits.
    """
    table, key = mapper.local_table, mapper.primary_key
    if not isinstance(table, Table) or {*key} != {*table.primary_key.columns}:
        return ()
    own = all(isinstance(each, PrimaryKeyConstraint | CheckConstraint) for each in table.constraints)
    made = all(_is_made(table, column) for column in table.primary_key.columns)
    if not own or not made or any(index.unique for index in table.indexes):
        return ()
    return tuple(mapper.get_property_by_column(column).key for column in key)


def _is_made(table: Table, column: Column[Any]) -> bool:
    """Whether the value of a column in a key is made by the database, or at random."""
    default = column.default
    if default is None or isinstance(default, Sequence):
        return column is table.autoincrement_column or column.server_default is not None
    return isinstance(column.type, Uuid) and default.is_callable
