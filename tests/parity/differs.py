"""What each database says of the same call."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from repo import Database, RepoError


@dataclass(frozen=True)
class Differs:
    """A value, or the class of an error."""

    sqlite: Any
    postgresql: Any

    async def check(self, db: Database, call: Callable[[], Awaitable[Any]]) -> None:
        """The call gives this, value and type, or raises this class."""
        expected = getattr(self, db.engine.dialect.name)
        if isinstance(expected, type) and issubclass(expected, RepoError):
            with pytest.raises(expected):
                await call()
        else:
            given = await call()
            assert (given, type(given)) == (expected, type(expected))
