"""The one place where errors of drivers and of SQLAlchemy become errors of `repo`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import MetaData
from sqlalchemy import exc as sa_exc

from repo import errors
from repo.dialects import registry
from repo.engine.meanings import meaning
from repo.errors import RepoError

About = MetaData | Callable[[], MetaData | None] | None
"""The tables that a call is about; a function is asked only where an error wants to know."""


@contextmanager
def border(about: About = None) -> Iterator[None]:
    """Translate what is raised inside; an error that is not the database's passes unchanged.

    The driver's own error becomes the ``__cause__``.
    """
    try:
        yield
    except Exception as error:
        cross(error, about)
        raise


def cross(error: BaseException, about: About = None) -> None:
    """Raise what an error means; one that is to pass unchanged is only looked at."""
    if isinstance(error, RepoError) or not isinstance(error, Exception):
        return
    translated = errors.translate(error, about() if callable(about) else about)
    if translated is not None:
        raise translated from _cause(error, translated)


@contextmanager
def committing(about: About = None, *, read_only: bool = False) -> Iterator[None]:
    """Translate what is raised by a COMMIT."""
    try:
        yield
    except Exception as error:
        cross_commit(error, about, read_only=read_only)
        raise


def cross_commit(error: Exception, about: About = None, *, read_only: bool = False) -> None:
    """Raise what an error of a COMMIT means, of which a lost or late answer leaves the outcome open."""
    meant = error
    try:
        cross(error, about)
    except (errors.ConnectionLost, OSError) as translated:
        meant = translated
    if not isinstance(meant, errors.ConnectionLost | OSError):
        return
    late = isinstance(meant, TimeoutError)
    happened = "the server did not answer COMMIT in time" if late else "the connection broke during COMMIT"
    code, cause = getattr(meant, "code", None), meant.__cause__ or meant
    if read_only:
        raise errors.ConnectionLost(f"{happened} of a transaction that has only read", code=code) from cause
    raise errors.CommitOutcomeUnknown(
        f"{happened}, so whether the changes are stored is unknown: "
        "read what they would have changed before you do it again",
        code=code,
    ) from cause


@contextmanager
def connecting(where: str) -> Iterator[None]:
    """Translate what is raised while a connection is made; drivers raise bare errors there."""
    try:
        with border(), _knowing_its_options():
            yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise errors.ConnectFailed(
            f"no connection to {where}: {reason}. Does the server run, and is the address right?"
        ) from error
    except RepoError as error:
        error.message = f"no connection to {where}: {error}"
        error.args = (error.message,)
        raise


@contextmanager
def _knowing_its_options() -> Iterator[None]:
    """Translate what is raised by a driver that is given an option which it does not have."""
    try:
        yield
    except (TypeError, sa_exc.ArgumentError) as error:
        if isinstance(error, TypeError) and "keyword argument" not in str(error):
            raise
        raise errors.ConfigurationError(f"the driver does not know an option: {error}") from error


def _cause(error: BaseException, translated: RepoError) -> BaseException | None:
    """The driver's own error, where there is one."""
    orig: BaseException | None = getattr(error, "orig", None)
    if orig is translated:
        return translated.__cause__
    return error if orig is None else orig.__cause__ or orig


@errors.register
def _translate(error: BaseException, metadata: MetaData | None) -> RepoError | None:
    """By the driver's code; where there is none, by what SQLAlchemy makes of it."""
    found = (dialect.translate(error, metadata) for dialect in registry.DIALECTS.values())
    by_code = next((result for result in found if result is not None), None)
    return by_code or meaning(error, metadata)
