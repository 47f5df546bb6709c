"""Many rows by few statements: several of them in each INSERT, which takes half the time."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, ClassVar

from sqlalchemy import Column, Connection, Dialect, insert

VARIABLES = 999
"""How many parameters a statement may have in every version of SQLite."""

_TOGETHER = (500, 250, 200, 125, 100, 50, 25, 20, 10, 5, 2, 1)
"""How many rows one statement inserts, as its parameters allow: numbers that leave no rest of some thousand rows."""


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


def insert_many(connection: Connection, columns: Sequence[Column[Any]], parts: Iterable[Sequence[Any]]) -> bool:
    """Insert rows of bound values; False where an INSERT of these columns is more than their values."""
    texts = _texts(connection.dialect, tuple(columns))
    if texts is None:
        return False
    several, rows, one = texts
    width, options = len(columns), {Insert.KEPT_AS: Insert(columns)}
    for part in parts:
        rest = len(part) - len(part) % (rows * width)
        for text, start, end, size in ((several, 0, rest, rows * width), (one, rest, len(part), width)):
            if start < end:
                sent = [tuple(part[n : n + size]) for n in range(start, end, size)]
                connection.exec_driver_sql(text, sent, execution_options=options)
    return True


@lru_cache(maxsize=256)
def _texts(dialect: Dialect, columns: tuple[Column[Any], ...]) -> tuple[str, int, str] | None:
    """The INSERT of several rows, how many these are, and that of one row; None where there is more to an INSERT."""
    keys, width = [column.key for column in columns], len(columns)
    compiled: Any = insert(columns[0].table).inline().compile(dialect=dialect, column_keys=keys)
    one, row = str(compiled), f"({', '.join('?' * width)})"
    if compiled.positiontup != keys or not one.endswith(f" VALUES {row}") or width > VARIABLES:
        return None
    rows = next(number for number in _TOGETHER if number * width <= VARIABLES)
    return one + f", {row}" * (rows - 1), rows, one
