"""Postgres's errors, by SQLSTATE and, for a code that is not listed, by its class.

Source: the documentation of PostgreSQL, appendix "PostgreSQL Error Codes". A code in neither table
is a plain ``RepoError``: warnings and states that no client is told, and what belongs to no class
of ours, such as an internal error.
"""

import re
from typing import Any

from sqlalchemy import ForeignKeyConstraint, MetaData

from repo import errors
from repo.errors import RepoError

CONSTRAINTS: dict[str, type[errors.ConstraintViolation]] = {
    "23": errors.ConstraintViolation,
    "23001": errors.ForeignKeyViolation,  # ON DELETE RESTRICT, from Postgres 18 on
    "23502": errors.NotNullViolation,
    "23503": errors.ForeignKeyViolation,
    "23505": errors.UniqueViolation,
    "23514": errors.CheckViolation,
    "23P01": errors.ExclusionViolation,
    "40002": errors.ConstraintViolation,
    "44": errors.CheckViolation,  # WITH CHECK OPTION of a view
}

UNSENDABLE = "22000"
"""The code that the driver gives to values which it cannot send."""

_MISUNDERSTOOD = (errors.InvalidStatement, "the server cannot do what the statement says")
_BROKEN = (
    errors.ConnectionLost,
    "the connection broke, and what was not committed is undone; do that again",
)
_CLOSED = (
    errors.ConnectionLost,
    "the server closed the connection (it stops, or was told to), and what was not committed is undone; do that again",
)
_STORAGE = (errors.StorageFailed, "the server cannot read or write its storage; its own log says more")
_REFUSED = (
    errors.ConnectFailed,
    "the server refused the user, the password or the database that the URL names",
)

CODES: dict[str, tuple[type[RepoError], str]] = {
    "03": _MISUNDERSTOOD,
    "08": _BROKEN,
    "08001": (errors.ConnectFailed, "no connection could be made"),
    "08004": (errors.ConnectFailed, "the server refused the connection"),
    "08007": (
        errors.CommitOutcomeUnknown,
        "nobody can say whether the transaction was committed: read what it would have changed before you do it again",
    ),
    "08P01": (
        errors.InvalidStatement,
        "the driver and the server, or a pooler between them, do not understand each other",
    ),
    "0A": (errors.InvalidStatement, "the server does not support this"),
    "0B": _MISUNDERSTOOD,
    "0F": _MISUNDERSTOOD,
    "0L": _MISUNDERSTOOD,
    "0P": _MISUNDERSTOOD,
    "21": (errors.InvalidStatement, "several rows came where one may be, or one row would be changed twice"),
    "22": (errors.InvalidValue, "a value does not fit"),
    UNSENDABLE: (errors.InvalidValue, "a parameter's value cannot be sent as its type; is the Python type right?"),
    "22001": (errors.InvalidValue, "a text is too long for its column; check its length first, or widen the column"),
    "22003": (errors.InvalidValue, "a number is too large for its type; BigInteger and Numeric hold larger ones"),
    "22012": (errors.InvalidValue, "a number was divided by zero"),
    "24": _MISUNDERSTOOD,
    "25": (errors.InvalidStatement, "the statement does not fit the state of the transaction"),
    "25006": (
        errors.ReadOnlyScope,
        "a write was sent in a snapshot, in a transaction with read_only=True, or to a replica, which only read",
    ),
    "25P02": (errors.TransactionFailed, "an earlier statement failed, so nothing can be done before a rollback"),
    "25P03": (
        errors.ConnectionLost,
        "the server closed the connection, because its transaction was idle for too long: wait for others outside",
    ),
    "25P04": (errors.StatementTimeout, "the transaction ran for longer than the server allows"),
    "26": (errors.InvalidStatement, "a prepared statement is not there; is a pooler in between?"),
    "27": _MISUNDERSTOOD,
    "28": _REFUSED,
    "2B": _MISUNDERSTOOD,
    "2D": _MISUNDERSTOOD,
    "2F": _MISUNDERSTOOD,
    "34": _MISUNDERSTOOD,
    "38": _MISUNDERSTOOD,
    "39": _MISUNDERSTOOD,
    "3B": _MISUNDERSTOOD,
    "3D": (errors.ConnectFailed, "there is no such database; create it, or correct the URL"),
    "3F": (errors.InvalidStatement, "there is no such schema; are the migrations up to date?"),
    "40": (errors.SerializationFailure, "the transaction was rolled back; run it again from its start"),
    "40001": (
        errors.SerializationFailure,
        "concurrent transactions could not be put in any order; run this one again from its start",
    ),
    "40003": (
        errors.CommitOutcomeUnknown,
        "nobody can say whether the statement was completed: read what it would have changed before you do it again",
    ),
    "40P01": (
        errors.Deadlock,
        "two transactions waited for each other's locks; run this one again from its start, "
        "and take locks in the same order everywhere",
    ),
    "42": (
        errors.InvalidStatement,
        "the server does not understand the statement: a missing table or column, a wrong type, or its syntax",
    ),
    "42501": (errors.InvalidStatement, "the user may not do this; grant it the privilege, or connect as another user"),
    "53": (errors.Unavailable, "the server has no resources left; try again later"),
    "53100": (errors.StorageFailed, "the server's disk is full"),
    "53300": (errors.Unavailable, "the server takes no more connections; use a smaller pool_size, or a pooler"),
    "54": (errors.InvalidStatement, "the statement exceeds a limit of the server"),
    "55": (errors.InvalidStatement, "what the statement is about is not in the state for it"),
    "55P03": (
        errors.LockTimeout,
        "a lock was not to be had in time, because another transaction holds it; run this one again, or wait longer",
    ),
    "57": (errors.Unavailable, "the server stops or starts, or an administrator intervened"),
    "57014": (
        errors.StatementTimeout,
        "the statement was stopped: it ran longer than a time-out allows, or somebody cancelled it on the server",
    ),
    "57P01": _CLOSED,
    "57P02": _CLOSED,
    "57P03": (errors.Unavailable, "the server starts or stops; try again in a moment"),
    "57P04": (errors.ConnectionLost, "the database was dropped"),
    "57P05": _CLOSED,
    "58": _STORAGE,
    "72": (
        errors.SerializationFailure,
        "the rows to read are too old by now; run the transaction again from its start",
    ),
    "F0": (errors.Unavailable, "the server's configuration is damaged"),
    "HV": (errors.InvalidStatement, "a foreign table, or the server behind it, failed"),
    "HV00N": (errors.Unavailable, "the server behind a foreign table cannot be reached"),
    "P0": (errors.InvalidStatement, "a function or a trigger of the database raised an error"),
    "XX001": _STORAGE,
    "XX002": _STORAGE,
}

UNLISTED = (RepoError, "the server failed")
"""What a code means of which neither the code nor its class is listed."""

_TALKATIVE = {"09", "20", "22", "38", "39", "HV", "P0", "XX"}
"""Classes of errors whose text may show values of rows: never repeated."""

_KEY = re.compile(r"\((?P<columns>.*?)\)=\(")
_COLUMN = re.compile(r'[\w$]+|"[^"]+"')
_PARAMETER = re.compile(r"argument (\$\d+)(?:.*\((expected [\w ]+, got [\w ]+)\)$)?", re.DOTALL)
_NOT_THERE = re.compile(r"\) is not present in table ")
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


def translate(error: BaseException, metadata: MetaData | None = None) -> RepoError | None:
    """The error as one of ours; None if it is not asyncpg's."""
    cause = _driver_error(error)
    if cause is None:
        return None
    code = getattr(cause, "sqlstate", None)
    if code is None:
        return _without_code(error, cause)
    violated = CONSTRAINTS.get(code) or CONSTRAINTS.get(code[:2])
    if violated is not None:
        return _constraint(violated, code, cause, metadata)
    if type(cause).__name__ == "InvalidCachedStatementError":
        return errors.InvalidStatement(
            "the tables were changed while this program ran; the same statement works from now on",
            code=code,
            retryable=True,
        )
    made, text = CODES.get(code) or CODES.get(code[:2]) or UNLISTED
    # To send a wrong password again may lock the account.
    retryable = False if made is errors.ConnectFailed and code[:2] != "08" else None
    return made(f"{text} ({code}: {_details(code, cause)})", code=code, retryable=retryable)


def broken(error: BaseException) -> RepoError:
    """The error for a connection of which the driver knows that it is of no use any more."""
    made, text = _BROKEN
    return made(f"{text} ({type(error).__name__})")


def _driver_error(error: BaseException) -> BaseException | None:
    """Asyncpg's own error: bare, or below SQLAlchemy's and its adapter's; or only the adapter's."""
    orig = getattr(error, "orig", None)
    for candidate in (getattr(orig, "__cause__", None), orig, error):
        if isinstance(candidate, Exception) and type(candidate).__module__.startswith(
            ("asyncpg.", "sqlalchemy.dialects.postgresql.asyncpg")
        ):
            return candidate
    return None


def _without_code(error: BaseException, cause: BaseException) -> RepoError:
    """The driver's own complaints: a broken connection, or a value that it cannot send."""
    name = type(cause).__name__
    # The driver loses count where a connection goes while it begins to ask.
    if getattr(error, "connection_invalidated", False) or name == "InternalClientError":
        return broken(cause)
    if name == "ClientConfigurationError":
        return errors.ConfigurationError(f"the driver does not accept an option of the URL: {_first_line(cause)}")
    if name == "TargetServerAttributeNotMatched":
        return errors.ConnectFailed(_first_line(cause))
    return errors.InvalidStatement(f"the driver refused the call ({name}: {_first_line(cause)})")


def _constraint(
    violated: type[errors.ConstraintViolation], code: str, cause: Any, metadata: MetaData | None
) -> RepoError:
    """A constraint's error. The server's detail holds row values, so only columns are taken."""
    constraint, table, column = cause.constraint_name, cause.table_name, cause.column_name
    columns: tuple[str, ...] = (column,) if column else ()
    if violated is errors.ForeignKeyViolation:
        columns = _referring(metadata, constraint, table) or _columns(cause, _NOT_THERE)
    elif violated in (errors.UniqueViolation, errors.ExclusionViolation):
        columns = _columns(cause)
    return violated.of(code=code, constraint=constraint, table=table, columns=columns)


def _referring(metadata: MetaData | None, constraint: str | None, table: str | None) -> tuple[str, ...]:
    """The columns of a foreign key, by its name.

    After a DELETE the server's detail is about the table that is referred to.
    """
    for candidate in metadata.tables.values() if metadata is not None else ():
        for foreign_key in candidate.foreign_key_constraints:
            if candidate.name == table and foreign_key.name == constraint:
                return _names(foreign_key)
    return ()


def _names(constraint: ForeignKeyConstraint) -> tuple[str, ...]:
    return tuple(column.name for column in constraint.columns)


def _columns(cause: Any, only: re.Pattern[str] | None = None) -> tuple[str, ...]:
    """The columns in the server's detail, ``Key (a, b)=(1, 2) ...``; none for an expression."""
    detail = cause.detail or ""
    found = _KEY.search(detail) if only is None or only.search(detail) else None
    names = found["columns"].split(", ") if found else []
    columns = [name[1:-1] if name.startswith('"') else name for name in names]
    return tuple(columns) if all(map(_COLUMN.fullmatch, names)) else ()


def _details(code: str, cause: BaseException) -> str:
    """What the driver says, or only what the code is called where that may show values."""
    parameter = _PARAMETER.search(str(cause)) if code == UNSENDABLE else None
    if parameter is not None:
        return ", ".join(filter(None, parameter.groups()))
    if code[:2] not in _TALKATIVE:
        return _first_line(cause)
    return " ".join(_WORD.findall(type(cause).__name__.removesuffix("Error"))).lower()


def _first_line(cause: BaseException) -> str:
    """What the driver says, without the lines of detail that may hold row values."""
    return str(cause).partition("\n")[0]
