"""The statements that a `Database` sends, noted where the drivers send them.

SQLAlchemy's events do not tell of what is given to the driver itself. What the drivers offer for this tells less:
asyncpg's query loggers hear neither of prepared statements nor of COPY, and sqlite3's trace takes every row of an
`executemany` for a statement, and shows its values. So this module, and no other, steps between a driver's connection
and what it sends by, in attributes that are private to the drivers. Where one is not there, that is an error; and a
test compares what is noted with what the server hears.
"""

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, ClassVar, Self

from sqlalchemy import event

from repo.database import Database
from repo.errors import UsageError

Note = Callable[[str], None]

_LONGEST = 300
"""Characters of a statement that a message shows."""

_AROUND = re.compile(
    r"\s*((BEGIN|START|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET|RESET|PRAGMA)\b"
    r"|SELECT\s+(set_config|pg_export_snapshot)\(|SELECT 1 FROM sqlite_master LIMIT 1$"
    r"|SELECT\s+current_setting\('jit'\) AS cur,)",  # asyncpg asks this before it looks for a type
    re.IGNORECASE,
)
"""What begins, ends and sets up transactions and snapshots."""


@contextmanager
def queries(db: Database, at_most: int | None = None) -> Iterator[list[str]]:
    """Collect the statements that are sent through a ``Database`` while the block runs, in their order.

        with queries(db, at_most=2) as sent:
            await Orders(db).all(load=Order.lines)

    A statement that is executed for many rows in one go is one, and so is a stream. Left out is what
    begins, ends and sets up transactions and snapshots: BEGIN, COMMIT, ROLLBACK, SAVEPOINT, SET, PRAGMA
    and the like.

    Args:
        db: its transactions and snapshots, and sessions of its engine, are collected, too.
        at_most: how many there may be; None means any number.

    Raises:
        AssertionError: there were more; it lists them, without the values of their parameters.
        UsageError: a connection lets nobody look: one of SQLite that an engine of yours has opened.
    """
    sent: list[str] = []

    def note(statement: str) -> None:
        if not _AROUND.match(statement):
            sent.append(statement)

    with _listening(db, note):
        yield sent
    if at_most is not None and len(sent) > at_most:
        shown = (f"{times} x {_shortened(statement)}" for statement, times in Counter(sent).items())
        raise AssertionError(
            "\n  ".join([f"{len(sent)} statements were sent, {at_most} at most were expected:", *shown])
        )


def _shortened(statement: str) -> str:
    """A statement in one line that can be read."""
    line = " ".join(statement.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


@contextmanager
def _listening(db: Database, note: Note) -> Iterator[None]:
    """Have the statements of every connection noted for as long as somebody has it out of the pool."""
    between = _BETWEEN[db.engine.dialect.driver]
    heard: set[Any] = set()

    def begin(connection: Any, *_: Any) -> None:
        between.listen(connection.driver_connection, note)
        heard.add(connection.driver_connection)

    def end(connection: Any, *_: Any) -> None:
        if connection is not None:
            between.forget(connection.driver_connection, note)
            heard.discard(connection.driver_connection)

    # Not from its opening to its closing: while nobody has it, the pool and its listeners look after it.
    engine = db.engine.sync_engine
    event.listen(engine, "checkout", begin)
    event.listen(engine, "checkin", end)
    try:
        for connection in db._connections.out:
            begin(connection)
        yield
    finally:
        event.remove(engine, "checkout", begin)
        event.remove(engine, "checkin", end)
        for driver in heard:
            between.forget(driver, note)


class _Between:
    """Stands between a driver's connection and what it sends by, and tells of what passes."""

    def __init__(self, original: Any) -> None:
        self.original = original
        self.notes: set[Note] = set()

    def tell(self, statement: str) -> None:
        """Tell of a statement that is about to be sent."""
        for note in list(self.notes):
            note(statement)

    @classmethod
    def listen(cls, driver: Any, note: Note) -> None:
        """Tell this one, too, of the connection's statements."""
        between = cls.current(driver)
        if not isinstance(between, cls):
            between = cls(between)
            cls.put(driver, between)
        between.notes.add(note)

    @classmethod
    def forget(cls, driver: Any, note: Note) -> None:
        """Tell this one no more; where nobody is told any more, the connection is as it was."""
        between = cls.current(driver)
        if isinstance(between, cls):
            between.notes.discard(note)
            if not between.notes:
                cls.put(driver, between.original)

    @staticmethod
    def current(driver: Any) -> Any:
        """What the connection sends by; None where it is closed."""
        raise NotImplementedError

    @staticmethod
    def put(driver: Any, value: Any) -> None:
        """Have the connection send by this."""
        raise NotImplementedError


class _Protocol(_Between):
    """In the place of the object by which asyncpg speaks to the server."""

    SENDING: ClassVar = {
        "query": "query",
        "bind_execute": "state",
        "bind_execute_many": "state",
        "bind": "state",  # a portal, from which rows are taken some at a time
        "copy_in": "copy_stmt",
        "copy_out": "copy_stmt",
    }
    """The methods that have a statement executed, and which argument says what."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.original, name)
        if name not in self.SENDING:
            return method

        def sending(*args: Any, **options: Any) -> Any:
            given = args[0] if args else options[self.SENDING[name]]
            statement = getattr(given, "query", given)
            if statement not in _asked_by_asyncpg():
                self.tell(statement)
            return method(*args, **options)

        return sending

    @staticmethod
    def current(driver: Any) -> Any:
        return driver._protocol

    @staticmethod
    def put(driver: Any, value: Any) -> None:
        driver._protocol = value


@cache
def _asked_by_asyncpg() -> Container[str]:
    """What asyncpg asks on its own account, when it meets a type for the first time on a connection."""
    from asyncpg import introspection

    return {value for value in vars(introspection).values() if isinstance(value, str)}


class _Cursors(_Between):
    """In the place of the methods by which sqlite3's connection executes, itself or by a cursor."""

    def __init__(self, original: Callable[..., sqlite3.Cursor]) -> None:
        super().__init__(original)
        methods = {name: partial(self._execute, name) for name in ("execute", "executemany", "executescript")}
        self.methods = {"cursor": self, **methods}

    def __call__(self) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.original(partial(_Cursor, self.tell))
        return cursor

    def _execute(self, name: str, *arguments: Any) -> Any:
        return getattr(self(), name)(*arguments)

    @staticmethod
    def current(driver: Any) -> Any:
        return getattr(driver._connection, "cursor", None)

    @staticmethod
    def put(driver: Any, value: Any) -> None:
        attributes = getattr(driver._connection, "__dict__", None)
        if attributes is None:
            raise UsageError(
                "queries() cannot look into the connections of this engine, which sqlite3 has made: let the Database "
                "make its engine, from a URL"
            )
        if isinstance(value, _Cursors):
            attributes.update(value.methods)
        else:
            for name in attributes["cursor"].methods:
                del attributes[name]


class _Cursor(sqlite3.Cursor):
    """A cursor that tells what it executes."""

    def __init__(self, tell: Note, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._tell = tell

    def execute(self, statement: str, *parameters: Any) -> Self:
        self._tell(statement)
        return super().execute(statement, *parameters)

    def executemany(self, statement: str, rows: Any) -> Self:
        self._tell(statement)
        return super().executemany(statement, rows)

    def executescript(self, script: str) -> sqlite3.Cursor:
        self._tell(script)
        return super().executescript(script)


_BETWEEN: Mapping[str, type[_Between]] = {"asyncpg": _Protocol, "aiosqlite": _Cursors}
