"""What an entry of the table of mistakes is, and what has to be true of every error."""

import pickle
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from repo import ConstraintViolation, Database, RepoError
from tests.mistakes import SECRET


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a mistake is made: a database with the tables of `tests.mistakes` and some rows."""

    db: Database
    folder: Path
    """An empty folder."""

    @property
    def url(self) -> URL:
        """The database's address."""
        return self.db.engine.url


Way = Callable[[Bench], Awaitable[object]]
"""Makes a mistake, and raises what comes of it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an error says."""

    kind: type[RepoError]
    codes: tuple[str | None, ...] = (None,)
    """One of these; which one depends on the way, or on the version of the database."""
    constraint: str | None = None
    table: str | None = None
    columns: tuple[str, ...] = ()
    retryable: bool | None = None
    """None means as the class says."""
    cause: tuple[str | None, ...] = ("sqlite3", "asyncpg")
    """Out of which packages the cause comes; None, or nothing at all, if there is none."""

    @property
    def again(self) -> bool:
        """Whether the same work may succeed when it is done again from its start."""
        return self.kind.retryable if self.retryable is None else self.retryable

    def is_of(self, error: RepoError) -> bool:
        """Whether the error says just this."""
        fields = (error.constraint, error.table, error.columns) if isinstance(error, ConstraintViolation) else ()
        said = (type(error), error.retryable, *(fields or (None, None, ())))
        wanted = (self.kind, self.again, self.constraint, self.table, self.columns)
        return said == wanted and error.code in self.codes and _comes_from(error) in (self.cause or (None,))


def _comes_from(error: RepoError) -> str | None:
    cause = error.__cause__
    return None if cause is None else type(cause).__module__.partition(".")[0]


class Fine(str):
    """What happens instead, where it is no mistake at all."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: the ways in which it can be made, and what comes of each of them."""

    what: str
    ways: tuple[Way, ...]
    told: Mapping[str, Told | str]
    """By the name of the database; a text says why nothing is raised there."""


def mistake(what: str, *ways: Way, sqlite: Told | str, postgresql: Told | str) -> Mistake:
    """An entry of the table."""
    return Mistake(what, ways, {"sqlite": sqlite, "postgresql": postgresql})


def flaws(error: RepoError) -> list[str]:
    """What is wrong with how an error presents itself: it can be shown and sent, in one line, and hides values."""
    other = pickle.loads(pickle.dumps(error))
    same = (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))
    shown = [str(error), repr(error), str(error.args), str(vars(error))]
    return [
        *([] if same else ["it changes when it is pickled"]),
        *(f"shows a value: {text}" for text in shown if SECRET in text),
        *(f"is of several lines: {text}" for text in shown if "\n" in text),
    ]
