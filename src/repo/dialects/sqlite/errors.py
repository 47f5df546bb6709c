"""SQLite's errors, by their extended result codes and, for one that is not listed, by its class.

Source: "Result and Error Codes" of SQLite. A code in neither table is a plain ``RepoError``: what
is no error at all, and what says that SQLite or its driver is broken.
"""

import sqlite3
from typing import Any

from sqlalchemy import MetaData

from repo import errors
from repo.dialects.sqlite import constraints
from repo.dialects.sqlite.diagnosis import NO_CLUES, Clues
from repo.errors import RepoError

CONSTRAINTS: dict[str, type[errors.ConstraintViolation]] = {
    "SQLITE_CONSTRAINT_UNIQUE": errors.UniqueViolation,
    "SQLITE_CONSTRAINT_PRIMARYKEY": errors.UniqueViolation,
    "SQLITE_CONSTRAINT_ROWID": errors.UniqueViolation,
    "SQLITE_CONSTRAINT_FOREIGNKEY": errors.ForeignKeyViolation,
    "SQLITE_CONSTRAINT_NOTNULL": errors.NotNullViolation,
    "SQLITE_CONSTRAINT_CHECK": errors.CheckViolation,
}

NAMES: dict[str, tuple[type[RepoError], str]] = {
    "SQLITE_BUSY_SNAPSHOT": (
        errors.SerializationFailure,
        "the transaction began by reading and others wrote since; run it again from its start",
    ),
    "SQLITE_CONSTRAINT_DATATYPE": (errors.InvalidValue, "a value has the wrong type for its column"),
    "SQLITE_CONSTRAINT_TRIGGER": (errors.ConstraintViolation, "a trigger of the database refused the row"),
}

CLASSES: dict[int, tuple[type[RepoError], str]] = {
    sqlite3.SQLITE_ERROR: (
        errors.InvalidStatement,
        "SQLite does not understand the statement: a missing table or column, or its syntax",
    ),
    sqlite3.SQLITE_PERM: (
        errors.ConnectFailed,
        "this user may not open the file; check its permissions and those of its folder",
    ),
    sqlite3.SQLITE_BUSY: (
        errors.DatabaseLocked,
        "another connection kept the write lock for longer than the busy time-out; "
        "look for a long transaction in this or another process",
    ),
    sqlite3.SQLITE_LOCKED: (
        errors.DatabaseLocked,
        "another statement of this process has locked the table; run this again when that has ended",
    ),
    sqlite3.SQLITE_NOMEM: (errors.Unavailable, "there is no memory left"),
    sqlite3.SQLITE_READONLY: (
        errors.StorageFailed,
        "the database can only be read: check the permissions of its file and its folder",
    ),
    sqlite3.SQLITE_INTERRUPT: (
        errors.StatementTimeout,
        "the statement was interrupted, by a time-out or by interrupt()",
    ),
    sqlite3.SQLITE_IOERR: (
        errors.StorageFailed,
        "reading or writing the file failed; is its disk, or the network that it is on, in order?",
    ),
    sqlite3.SQLITE_CORRUPT: (errors.StorageFailed, "the database file is damaged; restore it from a backup"),
    sqlite3.SQLITE_FULL: (errors.StorageFailed, "the disk is full, or the file as large as it may be"),
    sqlite3.SQLITE_CANTOPEN: (
        errors.ConnectFailed,
        "the file cannot be opened: does its folder exist, and may it be written?",
    ),
    sqlite3.SQLITE_PROTOCOL: (errors.DatabaseLocked, "too many connections opened the file at once; try again"),
    sqlite3.SQLITE_SCHEMA: (
        errors.SerializationFailure,
        "another connection changed the tables meanwhile; run the transaction again from its start",
    ),
    sqlite3.SQLITE_TOOBIG: (errors.InvalidValue, "a value, or the statement, is too large"),
    sqlite3.SQLITE_CONSTRAINT: (errors.ConstraintViolation, "a constraint was broken"),
    sqlite3.SQLITE_MISMATCH: (errors.InvalidValue, "a value has the wrong type for its column"),
    sqlite3.SQLITE_NOLFS: (errors.StorageFailed, "the file is larger than this system supports"),
    sqlite3.SQLITE_AUTH: (errors.InvalidStatement, "an authorizer does not allow the statement"),
    sqlite3.SQLITE_RANGE: (errors.InvalidStatement, "a parameter's number is out of range"),
    sqlite3.SQLITE_NOTADB: (errors.StorageFailed, "the file is not an SQLite database; is its path right?"),
}

UNLISTED = (RepoError, "SQLite failed")
"""What a code means of which neither the name nor its class is listed."""

_NAMELESS = {3091: "SQLITE_CONSTRAINT_DATATYPE"}
"""Codes that SQLite has and the driver calls "unknown"."""


def translate(error: BaseException, metadata: MetaData | None) -> RepoError | None:
    """The error as one of ours; None if it is not SQLite's."""
    cause: Any = getattr(error, "orig", None) or error
    if isinstance(cause, OverflowError | UnicodeError) and _raised_by_driver(cause):
        # Of a text, the error would show a part.
        said = str(cause) if isinstance(cause, OverflowError) else "the text has lone surrogates"
        return errors.InvalidValue(f"a parameter's value cannot be stored in SQLite: {said}")
    if not isinstance(cause, sqlite3.Error):
        return None
    code: int | None = getattr(cause, "sqlite_errorcode", None)
    if code is None:
        return _without_code(cause)
    name = _NAMELESS.get(code) or constraints.kind(cause)
    clues: Clues = getattr(cause, Clues.KEPT_AS, NO_CLUES)
    if name in CONSTRAINTS:
        statement = getattr(error, "statement", None)
        known = metadata if metadata is not None else clues.metadata
        fields = constraints.describe(name, str(cause), known, statement, clues.foreign_key)
        return CONSTRAINTS[name].of(code=name, **fields)
    if clues.query_only:
        return errors.ReadOnlyScope(
            "a write was sent in a snapshot or in a transaction with read_only=True, which only read", code=name
        )
    if clues.locked is not None:
        return errors.DatabaseLocked(
            f"{clues.locked}. Look for a long transaction there, or wait longer (?timeout= in the URL, in seconds)",
            code=name,
        )
    made, text = NAMES.get(name) or CLASSES.get(code & 0xFF) or UNLISTED
    # A trigger's own words may show values of rows.
    said = "" if made is errors.ConstraintViolation else f": {cause}"
    message = f"{text} ({name}{said})"
    # Trying again makes no folder.
    return made(message, code=name) if made is not errors.ConnectFailed else made(message, code=name, retryable=False)


def _raised_by_driver(error: BaseException) -> bool:
    """Whether an error of Python's own comes out of the driver, and not out of a user's function."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    names = ("aiosqlite", "repo.dialects.sqlite.driver", "repo.dialects.sqlite.inserting")
    return last is not None and str(last.tb_frame.f_globals.get("__name__")).startswith(names)


def _without_code(cause: sqlite3.Error) -> RepoError:
    """The driver's own complaints."""
    said = str(cause)
    if "binding parameter" in said:
        # What it says is a number and a Python type.
        return errors.InvalidValue(f"a parameter's Python type cannot be stored in SQLite ({said})")
    if "closed" in said:
        return errors.ConnectionLost(
            f"the connection is closed, and what was not committed is undone; do that again ({said})"
        )
    return errors.InvalidStatement(f"the driver refused the call ({said})")
