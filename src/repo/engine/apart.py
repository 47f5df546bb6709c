"""Tables to which rows are added without waiting for anybody.

While a transaction waits for another it holds what it has written before. So the rows of several callers are
added by one only where it does not wait: where no other row is asked for, by a foreign key or a constraint
besides the key, and nothing else happens, by a trigger or a rule.
"""

from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import CheckConstraint, FromClause, PrimaryKeyConstraint, Table

from repo.dialects.base import Dialect


class Apart:
    """What is known of the tables of one engine."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[FromClause, bool] = WeakKeyDictionary()

    def may_be(self, table: FromClause) -> bool:
        """Whether it is possible, by what the model says and what was found out before."""
        known = self._known.get(table)
        return _plain(table) if known is None else known

    async def find_out(self, dialect: Dialect, driver: Any, table: FromClause) -> bool:
        """Whether it is so, by what the database says; it is asked once for each table.

        Args:
            dialect: the database's ways.
            driver: the driver's connection.
            table: of which it is possible.
        """
        known = self._known.get(table)
        if known is None:
            known = self._known[table] = isinstance(table, Table) and await dialect.asks_nobody(driver, table)
        return known


def _plain(table: FromClause) -> bool:
    """Whether a table has no constraints in the model of which others may have part."""
    if not isinstance(table, Table):
        return False
    own = all(isinstance(each, PrimaryKeyConstraint | CheckConstraint) for each in table.constraints)
    return own and not any(index.unique for index in table.indexes)
