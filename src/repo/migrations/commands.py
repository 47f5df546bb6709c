"""Migrations from within a program: the commands of alembic that it needs, inside a running loop."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import takewhile
from os import PathLike
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from repo.database import Database
from repo.errors import ConfigurationError, LockTimeout, RepoError, translate
from repo.migrations.environment import LOCK_TIMEOUT
from repo.migrations.locking import PAUSE
from repo.migrations.mismatch import SchemaMismatch

Configuration = str | PathLike[str] | Config
"""Where alembic finds the migrations: the path of an ``alembic.ini``, or alembic's own object."""

_turn = threading.Lock()
"""Alembic keeps the migration that runs in module globals (`context`, `op`): one at a time."""


async def upgrade(
    db: Database,
    revision: str = "head",
    *,
    config: Configuration = "alembic.ini",
    lock_timeout: float = LOCK_TIMEOUT,
) -> None:
    """Bring the database to a revision, unless it is there already.

    All revisions are applied in one transaction, or none. Any number of processes and tasks may
    call this at once: one works, the others wait and find nothing left to do.

    Args:
        db: where; one connection of its pool is used.
        revision: an identifier of alembic's, such as ``"head"`` or ``"+1"``.
        config: the ``alembic.ini`` (a relative path is in the working folder), or its `Config`.
        lock_timeout: seconds to wait for whoever else is migrating, and for a table's lock.

    Raises:
        SchemaMismatch: the database is at a revision that is not among the migrations.
        LockTimeout: somebody else is migrating, and was not ready in time.
        ConfigurationError: no ``alembic.ini``, or no such revision.
    """
    settings = _load(config)
    work = partial(_upgrade, settings, revision, lock_timeout)
    await _run(db, work, lock_timeout)


async def check(db: Database, *, config: Configuration = "alembic.ini") -> None:
    """Raise unless the database is at head and has exactly what the models say; changes nothing.

    Raises:
        SchemaMismatch: it is not. ``current``, ``expected`` and ``differences`` say how.
        ConfigurationError: no ``alembic.ini``.
    """
    await _run(db, partial(_check, _load(config)), LOCK_TIMEOUT)


def _load(config: Configuration) -> Config:
    """The configuration, which must be there."""
    if isinstance(config, Config):
        return config
    path = Path(config)
    if not path.is_file():
        raise ConfigurationError(f"no {path} in {Path.cwd()}: give the path of your alembic.ini as config=")
    return Config(path)


async def _run(db: Database, work: Callable[[Connection], None], patience: float) -> None:
    """Do alembic's work on a connection of the database; its errors become ours."""
    try:
        async with _alone(patience), db.engine.connect() as connection:
            await connection.run_sync(work)
    except CommandError as error:
        raise ConfigurationError(f"alembic: {error}") from error
    except RepoError:
        raise
    except Exception as error:
        told = translate(error)
        if told is None:
            raise
        raise told from error


@asynccontextmanager
async def _alone(patience: float) -> AsyncIterator[None]:
    """Wait until no other task or thread of this process is using alembic."""
    deadline = time.monotonic() + patience
    while not _turn.acquire(blocking=False):
        if time.monotonic() >= deadline:
            raise LockTimeout(f"another task of this process has been migrating for longer than {patience:.1f} s")
        await asyncio.sleep(PAUSE)
    try:
        yield
    finally:
        _turn.release()


@contextmanager
def _handing(config: Config, **attributes: object) -> Iterator[None]:
    """Hand objects over to ``env.py``, in a configuration that may be the caller's own."""
    before = dict(config.attributes)
    config.attributes.update(attributes)
    try:
        yield
    finally:
        config.attributes.clear()
        config.attributes.update(before)


def _upgrade(config: Config, revision: str, lock_timeout: float, connection: Connection) -> None:
    """``alembic upgrade`` on a connection."""
    with _handing(config, connection=connection, lock_timeout=lock_timeout):
        command.upgrade(config, revision)


def _check(config: Config, connection: Connection) -> None:
    """``alembic check`` on a connection, except that it prints nothing."""
    script = ScriptDirectory.from_config(config)

    def look(current: tuple[str, ...], migration: MigrationContext) -> Iterable[RevisionStep]:
        _refuse_mismatch(current, tuple(script.get_heads()), migration)
        return ()

    with (
        _handing(config, connection=connection),
        EnvironmentContext(config, script, fn=look),
    ):
        script.run_env()


def _refuse_mismatch(current: tuple[str, ...], expected: tuple[str, ...], migration: MigrationContext) -> None:
    """`SchemaMismatch` unless the database is at head and equal to the models."""
    if set(current) != set(expected):
        raise SchemaMismatch(
            f"the database is {_place(current)}, but this code needs {', '.join(expected)}: run"
            " `alembic upgrade head`, or await repo.migrations.upgrade(db)",
            current=current,
            expected=expected,
        )
    found = compare_metadata(migration, migration.opts["target_metadata"])
    differences = [_describe(difference) for difference in found]
    if differences:
        raise SchemaMismatch(
            f"the database is {_place(current)}, but differs from the models. To make them equal:"
            f" {'; '.join(differences)}",
            current=current,
            expected=expected,
            differences=differences,
        )


def _place(revisions: Sequence[str]) -> str:
    """Where in the history a database is."""
    return f"at revision {', '.join(revisions)}" if revisions else "empty, or was never migrated"


def _describe(difference: Any) -> str:
    """One of alembic's differences in a few words: ``add_column flights.hour``.

    Alembic gives tuples of a verb, names or schema items, and for a changed column a dict and the
    old and the new value; several changes of one column are a list of such tuples.
    """
    if isinstance(difference, list):
        return "; ".join(map(_describe, difference))
    verb, *parts = difference
    named = takewhile(lambda part: not isinstance(part, dict), parts)
    return f"{verb} {'.'.join(str(getattr(part, 'name', part)) for part in named if part is not None)}"
