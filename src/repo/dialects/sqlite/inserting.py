"""Many rows by few statements: several of them in each INSERT, which takes half the time."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import Column, Connection, Dialect, FromClause, Table, insert

VARIABLES = 999
"""How many parameters a statement may have in every version of SQLite."""

_TOGETHER = (500, 250, 200, 125, 100, 50, 25, 20, 10, 5, 2, 1)
"""How many rows one statement inserts, as its parameters allow: numbers that leave no rest of some thousand rows."""


_SAYS_MORE = """
SELECT 1 FROM (SELECT * FROM sqlite_master UNION ALL SELECT * FROM sqlite_temp_master)
WHERE tbl_name = ? COLLATE NOCASE AND (type = 'trigger' OR sql LIKE '%CONFLICT%')
"""
"""Finds what may not take a conflict for an error."""


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


class _Texts(NamedTuple):
    """The INSERTs of a table."""

    rows: int
    """How many the first two insert."""
    several: str
    several_by_parts: str
    """The same, which leaves what it had inserted when it fails."""
    one: str


def insert_many(connection: Connection, columns: Sequence[Column[Any]], parts: Iterable[Sequence[Any]]) -> bool:
    """Insert rows of bound values; False where an INSERT of these columns is more than their values.

    What was inserted before an error is left to the caller's savepoint.
    """
    texts = _texts(connection.dialect, tuple(columns))
    if texts is None:
        return False
    several, width, options = "", len(columns), {Insert.KEPT_AS: Insert(columns)}
    for part in parts:
        rest = len(part) - len(part) % (texts.rows * width)
        if rest and not several:
            only_fails = _only_fails(connection, columns[0].table)
            several = texts.several_by_parts if only_fails else texts.several
        for text, start, end, size in ((several, 0, rest, texts.rows * width), (texts.one, rest, len(part), width)):
            if start < end:
                sent = [tuple(part[n : n + size]) for n in range(start, end, size)]
                connection.exec_driver_sql(text, sent, execution_options=options)
    return True


def _only_fails(connection: Connection, table: FromClause) -> bool:
    """Whether a conflict in a table can be nothing but an error, so that it makes no difference to say so.

    SQLite copies each page that an INSERT of several rows touches, in order to undo that statement by
    itself, which takes longer than to insert them where their index is large. It need not with
    ``OR FAIL``; but this overrules what constraints and triggers say of conflicts.
    """
    if not isinstance(table, Table) or table.schema is not None:
        return False
    return not connection.exec_driver_sql(_SAYS_MORE, (table.name,)).all()


@lru_cache(maxsize=256)
def _texts(dialect: Dialect, columns: tuple[Column[Any], ...]) -> _Texts | None:
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
    return _Texts(rows, one + others, by_parts + others, one)
