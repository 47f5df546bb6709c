"""Many rows by few statements: several of them in each INSERT, which takes half the time."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import chain
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import Column, Connection, Dialect, FromClause, Table, insert

from repo.dialects.sqlite.driver import committing

Ask = Callable[[str, tuple[Any, ...]], Sequence[Any]]
"""Gives the rows of a statement."""

VARIABLES = 999
"""How many parameters a statement may have in every version of SQLite."""

_TOGETHER = (500, 250, 200, 125, 100, 50, 25, 20, 10, 5, 2, 1)
"""How many rows one statement inserts, as its parameters allow: numbers that leave no rest of some thousand rows."""


_SAYS = """
SELECT max(type = 'table'), max(type = 'trigger' OR coalesce(sql, '') LIKE '%CONFLICT%')
FROM (SELECT * FROM sqlite_master UNION ALL SELECT * FROM sqlite_temp_master) WHERE tbl_name = ? COLLATE NOCASE
"""
"""Whether a table is there, and not in an attached file, and whether something may not take a conflict for an error."""


class Insert:
    """What the rows are that a statement inserts, for those who look for the reason of its failure."""

    KEPT_AS: ClassVar[str] = "repo_insert"
    """The execution option."""

    def __init__(self, columns: Sequence[Column[Any]]) -> None:
        self.table = columns[0].table
        self._keys = [column.key for column in columns]

    def rows(self, sent: Iterable[Sequence[Any]]) -> Iterable[dict[str, Any]]:
        """The values that were sent, by the keys of their columns."""
        values = iter(chain.from_iterable(sent))
        return (dict(zip(self._keys, row, strict=True)) for row in zip(*[values] * len(self._keys), strict=True))


class Texts(NamedTuple):
    """The INSERTs of some columns."""

    table: FromClause
    width: int
    """How many columns they are."""
    rows: int
    """How many the first two insert."""
    several: str
    several_by_parts: str
    """The same, which leaves what it had inserted when it fails."""
    one: str

    def sent(self, values: Sequence[Any], ask: Ask) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        """The statements for the values of one row after the other, each with its sets of them.

        What was inserted before an error is left to the transaction.
        """
        size = self.rows * self.width
        rest = len(values) - len(values) % size
        if rest:
            several = self.several_by_parts if _only_fails(self.table, ask) else self.several
            yield several, [tuple(values[n : n + size]) for n in range(0, rest, size)]
        if rest < len(values):
            yield self.one, [tuple(values[n : n + self.width]) for n in range(rest, len(values), self.width)]


def insert_many(connection: Connection, columns: Sequence[Column[Any]], parts: Iterable[Sequence[Any]]) -> bool:
    """Insert rows of bound values; False where an INSERT of these columns is more than their values."""
    texts = texts_of(connection.dialect, tuple(columns))
    if texts is None:
        return False
    options = {Insert.KEPT_AS: Insert(columns)}

    @cache  # the same for each part
    def ask(text: str, values: tuple[Any, ...]) -> Sequence[Any]:
        return connection.exec_driver_sql(text, values).all()

    for part in parts:
        for text, sent in texts.sent(part, ask):
            connection.exec_driver_sql(text, sent, execution_options=options)
    return True


def load(connection: sqlite3.Connection, texts: Texts, values: Sequence[Any]) -> None:
    """The same on the connection of ``sqlite3``, in a transaction of its own."""
    with committing(connection):
        for text, sent in texts.sent(values, lambda text, values: connection.execute(text, values).fetchall()):
            connection.executemany(text, sent)


def _only_fails(table: FromClause, ask: Ask) -> bool:
    """Whether a conflict in a table can be nothing but an error, so that it makes no difference to say so.

    SQLite copies each page that an INSERT of several rows touches, in order to undo that statement by
    itself, which takes longer than to insert them where their index is large. It need not with
    ``OR FAIL``; but this overrules what constraints and triggers say of conflicts.
    """
    return isinstance(table, Table) and table.schema is None and [*map(tuple, ask(_SAYS, (table.name,)))] == [(1, 0)]


@lru_cache(maxsize=256)
def texts_of(dialect: Dialect, columns: tuple[Column[Any], ...]) -> Texts | None:
    """The INSERTs of these columns; None where there is more to an INSERT."""
    keys, width = [column.key for column in columns], len(columns)
    statement = insert(columns[0].table).inline()
    compiled: Any = statement.compile(dialect=dialect, column_keys=keys)
    one, row = str(compiled), f"({', '.join('?' * width)})"
    if compiled.positiontup != keys or not one.endswith(f" VALUES {row}") or width > VARIABLES:
        return None
    by_parts = str(statement.prefix_with("OR FAIL").compile(dialect=dialect, column_keys=keys))
    rows = next(number for number in _TOGETHER if number * width <= VARIABLES)
    others = f", {row}" * (rows - 1)
    return Texts(columns[0].table, width, rows, one + others, by_parts + others, one)
