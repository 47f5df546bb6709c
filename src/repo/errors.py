"""What can go wrong.

    RepoError
    ├ NotFound (also sqlalchemy.exc.NoResultFound)
    ├ MultipleFound (also sqlalchemy.exc.MultipleResultsFound)
    ├ StaleData
    ├ ConstraintViolation (also sqlalchemy.exc.IntegrityError)
    │ ├ UniqueViolation
    │ ├ ForeignKeyViolation
    │ ├ NotNullViolation
    │ ├ CheckViolation
    │ └ ExclusionViolation
    ├ SerializationFailure, Deadlock, LockTimeout, DatabaseLocked          retryable
    ├ ConnectionLost, ConnectFailed, Unavailable, PoolTimeout              retryable
    ├ CommitOutcomeUnknown
    ├ StatementTimeout
    ├ InvalidValue, InvalidStatement, StorageFailed
    ├ TransactionFailed, AfterCommitFailed
    ├ InvalidCursor, ConfigurationError
    └ UsageError
      └ ScopeClosed, ReadOnlyScope, NotLoaded, PoolDeadlock, SelfDeadlock, KeyReused

Every error has ``retryable`` (the same work may succeed when it is done again from its start),
``code`` (the SQLSTATE, or SQLite's name of the error, or None) and the driver's error as its
``__cause__``. No message holds a row's values or a password.
"""

from collections.abc import Callable
from typing import Any, Self

from sqlalchemy import MetaData
from sqlalchemy import exc as sa_exc


class RepoError(Exception):
    """Base class of every error that ``repo`` raises."""

    retryable: bool = False
    """Whether the same work may succeed when it is done again from its start."""

    def __init__(self, message: str, *, code: str | None = None, retryable: bool | None = None) -> None:
        # Not super(): the subclasses that are SQLAlchemy errors as well would have their other
        # base's constructor called, which takes a statement and its parameters.
        Exception.__init__(self, message)
        self.message = message
        self.code = code
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # SQLAlchemy's errors would have themselves made of a statement and its parameters.
        return type(self), (self.message,), self.__dict__.copy()


class NotFound(RepoError, sa_exc.NoResultFound):
    """No row has this key, or none meets the condition."""


class MultipleFound(RepoError, sa_exc.MultipleResultsFound):
    """More than one row meets a condition that only one may meet."""


class StaleData(RepoError):
    """The row was changed by someone else since the entity was read."""


class ConstraintViolation(RepoError, sa_exc.IntegrityError):
    """The database refused a row because of a constraint.

    Each field is None, or empty, where the database cannot tell it.
    """

    # What SQLAlchemy's class sets in its constructor. The parameters hold row values: never kept.
    statement = None
    params = None
    ismulti = None
    connection_invalidated = False
    hide_parameters = True
    code: Any

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        constraint: str | None = None,
        table: str | None = None,
        columns: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, code=code)
        self.detail: list[str] = []
        self.constraint = constraint
        self.table = table
        """For a foreign key, the table that refers to the other."""
        self.columns = columns
        """For a foreign key, the columns that refer to the other table."""

    @classmethod
    def of(cls, *, code: str, constraint: str | None, table: str | None, columns: tuple[str, ...]) -> Self:
        """The error in words, from what is known about it."""
        named = f" (constraint {constraint})" if constraint else ""
        message = cls._words(table, columns) + named
        return cls(message, code=code, constraint=constraint, table=table, columns=columns)

    @property
    def orig(self) -> Any:
        """The driver's error, for code that is written for SQLAlchemy's class."""
        return self.__cause__

    @orig.setter
    def orig(self, value: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # a property that is set, too
        self.__cause__ = value

    @staticmethod
    def _words(table: str | None, columns: tuple[str, ...]) -> str:
        where = f" of {table}" if table else ""
        return f"a row{where} breaks a constraint{_listed(columns)}"


class UniqueViolation(ConstraintViolation):
    """A row with the same values in the columns of a unique constraint is there already."""

    @staticmethod
    def _words(table: str | None, columns: tuple[str, ...]) -> str:
        what = " and ".join(columns) or "values"
        return f"{table or 'the table'} has a row with the same {what} already; change that row, or choose others"


class ForeignKeyViolation(ConstraintViolation):
    """A row refers to one that is not there, or one that is referred to was to be deleted."""

    @staticmethod
    def _words(table: str | None, columns: tuple[str, ...]) -> str:
        who = f"a row of {table}{_listed(columns)}" if table else "a row"
        return f"{who} would refer to a row that is not there: never stored, or deleted before what refers to it"


class NotNullViolation(ConstraintViolation):
    """A column that must have a value got none."""

    @staticmethod
    def _words(table: str | None, columns: tuple[str, ...]) -> str:
        what = ".".join(filter(None, (table, *columns))) if columns else "a column"
        return f"{what} must have a value and got none; give one, or let the model have a default"


class CheckViolation(ConstraintViolation):
    """A row breaks a check constraint; which columns it is about is not said."""

    @staticmethod
    def _words(table: str | None, columns: tuple[str, ...]) -> str:
        return f"a row of {table or 'the table'} breaks a rule that the table has for its values"


class ExclusionViolation(ConstraintViolation):
    """A row conflicts with another by an exclusion constraint."""

    @staticmethod
    def _words(table: str | None, columns: tuple[str, ...]) -> str:
        return f"a row of {table or 'the table'} conflicts with another{_listed(columns)}"


def _listed(columns: tuple[str, ...]) -> str:
    return f" by {' and '.join(columns)}" if columns else ""


class SerializationFailure(RepoError):
    """Concurrent transactions could not be put in any order; this one was rolled back."""

    retryable = True


class Deadlock(RepoError):
    """Transactions waited for each other's locks; this one was rolled back."""

    retryable = True


class LockTimeout(RepoError):
    """A lock was not to be had in the time that was set."""

    retryable = True


class DatabaseLocked(RepoError):
    """Another connection kept the database's write lock for longer than the busy time-out."""

    retryable = True


class ConnectionLost(RepoError):
    """The connection broke; what was not committed is rolled back by the server."""

    retryable = True


class CommitOutcomeUnknown(RepoError):
    """The connection broke when a COMMIT was under way: nobody here knows whether it happened."""


class ConnectFailed(RepoError):
    """No connection could be made: nobody listening; not retryable for a wrong password or name."""

    retryable = True


class Unavailable(RepoError):
    """The server refuses work for now: it starts, stops, or has no resources left."""

    retryable = True


class StatementTimeout(RepoError):
    """A statement was stopped because it ran longer than the time that was set."""


class PoolTimeout(RepoError):
    """No connection of the pool became free in the time that was set."""

    retryable = True


class InvalidValue(RepoError):
    """A value does not fit its column: wrong type, too long, out of range."""


class InvalidStatement(RepoError):
    """The database does not understand the statement: a missing table, a syntax error."""


class StorageFailed(RepoError):
    """The database cannot read or write its storage: disk full, read-only or damaged file."""


class TransactionFailed(RepoError):
    """An earlier statement of the transaction failed, so nothing of it can be committed."""


class AfterCommitFailed(RepoError):
    """Something that was to run after a COMMIT failed; the COMMIT stands.

    The cause is what was raised, or an ``ExceptionGroup`` of it where several have failed.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retryable: bool | None = None,
        errors: tuple[Exception, ...] = (),
    ) -> None:
        super().__init__(message, code=code, retryable=retryable)
        self.errors = errors
        """What was raised, in the order in which it was."""
        self.result: Any = None
        """What ``transact`` would have returned."""


class InvalidCursor(RepoError):
    """A page's cursor was not made by this repository for this order."""


class ConfigurationError(RepoError):
    """An option or a URL makes no sense."""


class UsageError(RepoError):
    """A call that cannot be meant; a bug of the calling code."""


class ScopeClosed(UsageError):
    """The scope has ended, or belongs to another event loop."""


class ReadOnlyScope(UsageError):
    """A write was asked of a scope that only reads."""


class NotLoaded(UsageError):
    """A relationship was used that was not loaded."""


class PoolDeadlock(UsageError):
    """Every connection is held by a task that itself waits for another connection."""


class SelfDeadlock(UsageError):
    """A task waits for a lock that it holds itself."""


class KeyReused(UsageError):
    """A key of ``once=`` was used before for something else."""


Translator = Callable[[BaseException, MetaData | None], RepoError | None]
_translators: list[Translator] = []


def register(translator: Translator) -> Translator:
    """Let ``translate`` ask this function; usable as a decorator. The border uses it."""
    _translators.append(translator)
    return translator


def translate(error: BaseException, metadata: MetaData | None = None) -> RepoError | None:
    """The ``RepoError`` that says what a driver's or SQLAlchemy's error means; None if it is neither.

    For those who flush a session of their own::

        except SQLAlchemyError as error:
            raise translate(error, Base.metadata) or error from error

    Args:
        error: anything that was raised.
        metadata: where to look up a constraint's name for databases that report only columns.
    """
    if isinstance(error, RepoError):
        return error
    found = (translator(error, metadata) for translator in _translators)
    return next((result for result in found if result is not None), None)
