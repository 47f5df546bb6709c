"""What SQLite can still be asked, right after a statement has failed.

SQLite does not say which foreign key was violated, nor why a database can only be read. On an
engine of our own a listener asks, and leaves the answer on the driver's error.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import Connection, ForeignKeyConstraint, MetaData, Table
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.util import await_only

from repo.dialects.sqlite.constraints import ForeignKey, kind, suspects, written
from repo.dialects.sqlite.inserting import Insert
from repo.dialects.sqlite.locks import writer
from repo.dialects.sqlite.schema import described, quoted

EFFORT = 10_000_000
"""How many instructions of SQLite's virtual machine a look through whole tables may take: about
0.1 s, some 200,000 rows. Beyond, the error stays without the name."""

QUESTIONS = 500
"""For how many values that were sent it is asked whether the row that they refer to is there."""

_SAVEPOINT = "repo_diagnosis"


@dataclass(frozen=True, slots=True)
class Clues:
    """What was found out about a failed statement."""

    KEPT_AS: ClassVar[str] = "repo_clues"
    """The attribute of the driver's error."""

    metadata: MetaData | None = None
    """Of the table that was written to."""
    foreign_key: ForeignKey | None = None
    query_only: bool = False
    """Whether the connection was told only to read."""
    locked: str | None = None
    """Which file was locked, how long that was waited for, and who has the lock."""


NO_CLUES = Clues()


def diagnose(context: ExceptionContext) -> None:
    """Leave clues on a driver's error; for the ``handle_error`` event of an engine.

    It replaces no error, and its own failures are of no interest to anyone.
    """
    error: Any = context.original_exception
    name = kind(error)
    if context.connection is None or not name.startswith(("SQLITE_CONSTRAINT", "SQLITE_READONLY", "SQLITE_BUSY")):
        return
    with contextlib.suppress(Exception):
        setattr(error, Clues.KEPT_AS, _look(context, context.connection, name))


def _look(context: ExceptionContext, connection: Connection, name: str) -> Clues:
    """Find out what can be found out."""
    cursor = _Cursor(connection)
    if name.startswith("SQLITE_READONLY"):
        return Clues(query_only=cursor.rows("PRAGMA query_only") == [(1,)])
    if name == "SQLITE_BUSY":
        return Clues(locked=_locked(cursor))
    table = _table(context)
    metadata = table.metadata if table is not None else None
    foreign_key = None
    if name == "SQLITE_CONSTRAINT_FOREIGNKEY":
        with contextlib.suppress(Exception):
            foreign_key = _violated(context, cursor, metadata)
    about = foreign_key.table if foreign_key is not None else written(context.statement)
    if metadata is None and about is not None:
        metadata = described(cursor.rows, about)
    return Clues(metadata=metadata, foreign_key=foreign_key)


async def diagnose_locked(driver: Any, error: BaseException) -> None:
    """Leave clues on an error of the driver's that says that a lock was not to be had."""
    with contextlib.suppress(Exception):
        databases = await driver.execute_fetchall("PRAGMA database_list")
        busy = await driver.execute_fetchall("PRAGMA busy_timeout")
        setattr(error, Clues.KEPT_AS, Clues(locked=_unavailable(databases, busy, began=driver.in_transaction)))


def _locked(cursor: "_Cursor") -> str:
    """What there is to say of a lock that was not to be had."""
    databases, busy = cursor.rows("PRAGMA database_list"), cursor.rows("PRAGMA busy_timeout")
    return _unavailable(databases, busy, began=cursor.driver.in_transaction)


def _unavailable(databases: Iterable[Any], busy: Iterable[Any], *, began: bool) -> str:
    """Which file was locked, how long that was waited for, and who has the lock."""
    (file,) = (row[2] for row in databases if row[1] == "main")
    ((milliseconds,),) = busy
    # Who writes may have to wait for the end of a transaction that reads, which so must not wait for the writer.
    waited = "at once, as SQLite asks of a transaction that began by reading"
    if not began:
        waited = f"within {milliseconds / 1000:g} s"
    return f"the write lock of {file} was not to be had {waited}: {writer(file)}"


class _Cursor:
    """The driver's cursor, beside whatever SQLAlchemy is doing on the connection."""

    def __init__(self, connection: Connection) -> None:
        fairy = connection.connection
        self.driver: Any = fairy.driver_connection
        self._cursor: Any = fairy.cursor()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        self._cursor.execute(statement)
        return list(self._cursor.fetchall())

    def finds(self, foreign_key: ForeignKeyConstraint, values: tuple[Any, ...]) -> bool:
        """Whether the row is there to which these values of a foreign key's columns refer."""
        conditions = " AND ".join(f"{quoted(element.column.name)} = ?" for element in foreign_key.elements)
        other = quoted(foreign_key.referred_table.name)
        self._cursor.execute(" ".join(("SELECT 1 FROM", other, "WHERE", conditions)), values)
        return bool(self._cursor.fetchall())

    def repeat(self, statement: str, parameters: Any, *, many: bool) -> None:
        """Execute what has failed once more.

        Of many rows those before the failed one are stored already, so that it is found by going
        backwards until the first of these.
        """
        if many:
            self._cursor.executemany(statement, list(reversed(parameters)))
        else:
            self._cursor.execute(statement, parameters)


def _violated(context: ExceptionContext, cursor: _Cursor, metadata: MetaData | None) -> ForeignKey | None:
    """The foreign key that was violated, if there is more than one that it can be."""
    possible = list(dict.fromkeys(suspects(metadata, context.statement)))
    if len(possible) == 1:
        return None
    tables = list(dict.fromkeys(constraint.table.name for constraint in possible))
    if context.statement is None:
        return _first(cursor, _violations(cursor, tables))
    with contextlib.suppress(Exception):
        sent = _sent(context, cursor, possible)
        if sent is not None:
            return sent
    before = set(_violations(cursor, tables))
    cursor.rows(f"SAVEPOINT {_SAVEPOINT}")
    try:
        cursor.rows("PRAGMA defer_foreign_keys=ON")
        with contextlib.suppress(Exception):
            cursor.repeat(context.statement, context.parameters, many=_is_many(context))
        after = _violations(cursor, tables)
    finally:
        cursor.rows(f"ROLLBACK TO {_SAVEPOINT}")
        cursor.rows(f"RELEASE {_SAVEPOINT}")
        cursor.rows("PRAGMA defer_foreign_keys=OFF")
    return _first(cursor, [row for row in after if row not in before])


def _sent(context: ExceptionContext, cursor: _Cursor, possible: list[ForeignKeyConstraint]) -> ForeignKey | None:
    """The foreign key whose value in an INSERT or UPDATE refers to nothing: no table is looked through."""
    there: set[tuple[ForeignKeyConstraint, tuple[Any, ...]]] = set()
    own = [foreign_key for foreign_key in possible if foreign_key.table.name == written(context.statement)]
    for row in _rows(context):
        for foreign_key in own:
            values = tuple(row.get(column.key) for column in foreign_key.columns)
            if None in values or (foreign_key, values) in there:
                continue
            if len(there) == QUESTIONS:
                return None
            if not cursor.finds(foreign_key, values):
                return ForeignKey(foreign_key.table.name, tuple(column.name for column in foreign_key.columns))
            there.add((foreign_key, values))
    return None


def _rows(context: ExceptionContext) -> Iterable[dict[str, Any]]:
    """The values that were sent, by the keys of their columns, of a statement that SQLAlchemy has compiled."""
    compiled: Any = getattr(context.execution_context, "compiled", None)
    sent: Any = context.parameters if _is_many(context) else [context.parameters]
    if (insert := _insert(context)) is not None:
        return insert.rows(sent)
    return (dict(zip(compiled.positiontup, values, strict=True)) for values in sent)


def _is_many(context: ExceptionContext) -> bool:
    return bool(context.execution_context and context.execution_context.executemany)


def _violations(cursor: _Cursor, tables: list[str]) -> list[tuple[Any, ...]]:
    """Each row that refers to nothing: table, rowid, other table, number of the foreign key."""
    questions = [f"PRAGMA foreign_key_check({quoted(table)})" for table in tables] or ["PRAGMA foreign_key_check"]
    with _limited(cursor.driver):
        return [row for question in questions for row in cursor.rows(question)]


def _first(cursor: _Cursor, violations: list[tuple[Any, ...]]) -> ForeignKey | None:
    """The foreign key of the first violated table that was declared first, which has the highest number."""
    if not violations:
        return None
    table = violations[0][0]
    number = max(row[3] for row in violations if row[0] == table)
    parts = cursor.rows(f"PRAGMA foreign_key_list({quoted(table)})")
    columns = sorted((part[1], part[3]) for part in parts if part[0] == number)
    return ForeignKey(table, tuple(column for _, column in columns))


@contextlib.contextmanager
def _limited(driver: Any) -> Iterator[None]:
    """Statements inside are interrupted when they take too much effort."""
    await_only(driver.set_progress_handler(lambda: 1, EFFORT))
    try:
        yield
    finally:
        await_only(driver.set_progress_handler(None, 0))


def _table(context: ExceptionContext) -> Table | None:
    """The table of an INSERT, UPDATE or DELETE that SQLAlchemy has compiled."""
    compiled: Any = getattr(context.execution_context, "compiled", None)
    table = getattr(_insert(context) or getattr(compiled, "statement", None), "table", None)
    return table if isinstance(table, Table) else None


def _insert(context: ExceptionContext) -> Insert | None:
    """What was inserted, where that were many rows."""
    options: Mapping[str, Any] = getattr(context.execution_context, "execution_options", {})
    found: Insert | None = options.get(Insert.KEPT_AS)
    return found
