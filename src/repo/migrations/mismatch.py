"""The error of a database whose schema is not the one that the code needs."""

from collections.abc import Sequence

from repo.errors import RepoError


class SchemaMismatch(RepoError):
    """The database's schema is older or newer than the code, or has drifted from the models.

    Args:
        message: what was found, and what to do about it.
        current: the revisions that the database is at; empty where it was never migrated.
        expected: the revisions that the code needs; empty where that cannot be said.
        differences: one line for each difference between the database and the models.
    """

    def __init__(
        self,
        message: str,
        *,
        current: Sequence[str],
        expected: Sequence[str] = (),
        differences: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.current = tuple(current)
        self.expected = tuple(expected)
        self.differences = tuple(differences)
