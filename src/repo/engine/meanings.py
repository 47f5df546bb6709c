"""What the errors mean that SQLAlchemy raises by itself.

Texts of SQLAlchemy are repeated only where they hold names of the model's and keys, and no values.
"""

from collections.abc import Mapping

from sqlalchemy import MetaData
from sqlalchemy import exc as sa_exc
from sqlalchemy.orm import exc as orm_exc

from repo import errors
from repo.engine.values import misfit
from repo.errors import RepoError

_MISUSED = (errors.UsageError, "SQLAlchemy does not take this call: {said}")
_UNTOLD = (errors.UsageError, "SQLAlchemy does not take this call: {kind}; its cause says more")
_GONE = (errors.NotFound, "the row of an entity that is read again is not there any more")
_BROKE = "the connection broke, and what was not committed is undone; do that again"
_UNREFRESHED = "Could not refresh instance"

CLASSES: Mapping[type[Exception], tuple[type[RepoError], str]] = {
    orm_exc.StaleDataError: (
        errors.StaleData,
        "the row was changed or deleted by someone else since the entity was read; read it again and repeat the change",
    ),
    orm_exc.ObjectDeletedError: _GONE,
    orm_exc.DetachedInstanceError: (
        errors.NotLoaded,
        "an attribute was used that was not loaded, of an entity that belongs to no session any more: ask for it by "
        "load= when you read, or later by await repository.load(entity, ...)",
    ),
    orm_exc.FlushError: _MISUSED,
    orm_exc.ObjectDereferencedError: _MISUSED,
    sa_exc.MultipleResultsFound: (errors.MultipleFound, "more than one row meets the condition, where one is expected"),
    sa_exc.NoResultFound: (errors.NotFound, "no row meets the condition"),
    sa_exc.TimeoutError: (
        errors.PoolTimeout,
        "no connection of the engine's own pool became free: it is used beside `repo`, too, or has fewer "
        "connections than pool_size says",
    ),
    sa_exc.PendingRollbackError: (
        errors.TransactionFailed,
        "an earlier statement of the session failed, so nothing can be done in it before await session.rollback()",
    ),
    sa_exc.DisconnectionError: (errors.ConnectionLost, _BROKE),
    sa_exc.NoSuchModuleError: (errors.ConfigurationError, "{said}"),
    sa_exc.CompileError: (
        errors.InvalidStatement,
        "SQLAlchemy can make no SQL for this database of the statement; its cause says more",
    ),
    sa_exc.InvalidRequestError: _MISUSED,
    sa_exc.CircularDependencyError: _MISUSED,
    sa_exc.IdentifierError: _MISUSED,
    sa_exc.ArgumentError: _UNTOLD,
}
"""The nearest of an error's classes counts. What is in none is the driver's, or of a kind that we do not know."""


def meaning(error: BaseException, metadata: MetaData | None) -> RepoError | None:
    """What an error of SQLAlchemy's, that holds no code of a driver's, means; None if it is none."""
    match error:
        case sa_exc.DBAPIError() if error.connection_invalidated:
            return errors.ConnectionLost(_BROKE)
        case sa_exc.StatementError(orig=RepoError() as ours):
            return ours
        case sa_exc.StatementError(orig=sa_exc.InvalidRequestError() as said):
            return errors.InvalidStatement(str(said.args[0]))
        case sa_exc.StatementError() if not isinstance(error, sa_exc.DBAPIError):
            # Raised while parameters are prepared. Its own text shows them.
            orig = error.orig or error
            return misfit(orig, metadata, sent=True) or errors.InvalidValue(
                f"a value that is sent does not fit its type, or a default cannot be made: {type(orig).__name__}; "
                "its cause says more"
            )
    return _by_class(error) or misfit(error, metadata, sent=False)


def _by_class(error: BaseException) -> RepoError | None:
    """By the nearest class that is listed."""
    listed = next((CLASSES[kind] for kind in type(error).__mro__ if kind in CLASSES), None)
    if listed is None:
        return None
    said = str(error.args[0]).partition("\n")[0] if error.args else type(error).__name__
    made, text = _GONE if said.startswith(_UNREFRESHED) else listed
    return made(text.format(said=said, kind=type(error).__name__))
