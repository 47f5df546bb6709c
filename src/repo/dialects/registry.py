"""Which dialect a URL or an engine belongs to."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from repo.dialects.base import Dialect
from repo.dialects.postgresql import PostgreSQL
from repo.dialects.sqlite import SQLite
from repo.errors import ConfigurationError

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (SQLite(), PostgreSQL())}


def find(name: str) -> Dialect:
    """The dialect of SQLAlchemy's name for a database.

    Raises:
        ConfigurationError: `repo` does not know it.
    """
    if name in DIALECTS:
        return DIALECTS[name]
    known = " and ".join(f"{d.name}+{d.drivers[0]}://" for d in DIALECTS.values())
    raise ConfigurationError(
        f"no support for the database {name!r}: a URL begins with {known}, for example sqlite+aiosqlite:///app.db"
    )


def resolve(url: str | URL) -> URL:
    """The URL with its driver: ``postgresql://`` and ``sqlite://`` get the asynchronous one.

    Raises:
        ConfigurationError: not a URL, an unknown database, or a driver that is not asynchronous.
    """
    parsed = _parse(url)
    if parsed is None:
        # The text may hold a password, so no part of it is shown.
        raise ConfigurationError(
            "this is not a database URL; one looks like sqlite+aiosqlite:///app.db "
            "or postgresql+asyncpg://user:password@host/database"
        )
    name, _, driver = parsed.drivername.partition("+")
    dialect = find(name)
    if driver not in ("", *dialect.drivers):
        raise ConfigurationError(
            f"the driver {driver!r} of {parsed.drivername!r} does not work with asyncio here: "
            f"write {name}+{dialect.drivers[0]}://"
        )
    return parsed.set(drivername=f"{name}+{driver or dialect.drivers[0]}")


def _parse(url: str | URL) -> URL | None:
    """The URL in its parts; None if it is none. SQLAlchemy's error shows the password: not kept."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        return None
