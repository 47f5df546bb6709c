"""What ``env.py`` calls: one alembic command, on one database or into a script."""

import asyncio
import importlib
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import ModuleType
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from repo.database import Database
from repo.dialects import registry
from repo.engine.tokens import TOKENS
from repo.errors import ConfigurationError, UsageError, translate
from repo.migrations.mismatch import SchemaMismatch
from repo.types.base import PortableType

LOCK_TIMEOUT = 60.0
"""Seconds to wait for whoever else is migrating."""


IncludeObject = Callable[[Any, str | None, Any, bool, Any], bool]
"""Alembic's ``include_object``: the object, its name and kind, whether it is the database's, and its counterpart."""


def run(
    metadata: MetaData | Sequence[MetaData],
    *,
    url: str | None = None,
    lock_timeout: float = LOCK_TIMEOUT,
    **options: Any,
) -> None:
    """Run the alembic command at hand; the whole of an ``env.py``.

        from app.models import Base
        from repo import migrations

        migrations.run(Base.metadata)

    Works online and with ``--sql``, on the command line, called from a program, and inside a
    running loop. Where ``config.attributes["connection"]`` has a `Connection` that is in no
    transaction, or an `AsyncEngine`, that is used.

    Args:
        metadata: what the models say; for ``check`` and ``revision --autogenerate``.
        url: the database; else DATABASE_URL of the environment, else ``sqlalchemy.url`` of the ini.
        lock_timeout: seconds to wait for another process that is migrating, and for a table's lock.
        options: more options of alembic's ``context.configure``. With
            ``transaction_per_migration=True`` each revision is a transaction of its own, where
            the lock does not depend on it: on SQLite a run is always one.

    Raises:
        CommandError: what alembic prints as one line, for every error of the database.
        RepoError, SQLAlchemyError: the errors themselves, if a connection was handed over.
    """
    settings = {"target_metadata": metadata, **_AUTOGENERATE, **options}
    settings["include_object"] = _leaving_ours(options.get("include_object"))
    handed = context.config.attributes.get("connection")
    if isinstance(handed, Connection):
        _migrate(handed, lock_timeout, settings)
        return
    try:
        if context.is_offline_mode():
            _write(_url(url), settings)
        else:
            _show_progress()
            work = partial(_migrate, lock_timeout=lock_timeout, settings=settings)
            _complete(_opened(_url(url), work) if handed is None else _connected(handed, work))
    except Exception as error:
        told = translate(error)  # of a driver's bare error, too: some come so when they connect
        if told is None and not isinstance(error, SQLAlchemyError | OSError):
            raise
        raise CommandError(" ".join(str(told or error).split())) from error
    except KeyboardInterrupt:
        raise CommandError("interrupted; the revision that was under way is undone") from None


def tables(metadata: MetaData) -> MetaData:
    """Add to the metadata the tables that `repo` itself needs, and return it; for ``transact(once=)``.

        migrations.run(migrations.tables(Base.metadata))

    Then ``revision --autogenerate`` writes a revision that creates them. Without it they are left
    alone where they are there.
    """
    if TOKENS.name not in metadata.tables:
        TOKENS.to_metadata(metadata)
    return metadata


def _leaving_ours(include: IncludeObject | None) -> IncludeObject:
    """What decides which objects are compared: the user's function, but not on our table if nobody names it."""

    def included(item: Any, name: str | None, kind: Any, reflected: bool, compare_to: Any) -> bool:
        if kind == "table" and reflected and compare_to is None and name == TOKENS.name:
            return False
        return include is None or include(item, name, kind, reflected, compare_to)

    return included


def _render_item(kind: str, item: object, made: AutogenContext) -> str | Literal[False]:
    """Write a type of `repo` into a revision as the type that the database sees.

    So a revision stays what it is when the code moves on, and does not import ``repo``.
    """
    if kind != "type" or not isinstance(item, PortableType):
        return False
    made.imports |= item.imports
    return item.written


_AUTOGENERATE: dict[str, Any] = {
    "compare_type": True,
    "compare_server_default": True,
    "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
    "render_item": _render_item,
}


def _url(given: str | None) -> str:
    """The database's URL, from the first place that has one."""
    url = given or os.environ.get("DATABASE_URL") or context.config.get_main_option("sqlalchemy.url")
    if not url:
        raise ConfigurationError("no database: set DATABASE_URL, or sqlalchemy.url in alembic.ini, to its URL")
    return url


def _dialect(name: str) -> ModuleType:
    """What this package knows about one kind of database."""
    return importlib.import_module(f"repo.migrations.{name}")


def _write(url: str, settings: dict[str, Any]) -> None:
    """Write the migrations as a script (``--sql``)."""
    resolved = registry.resolve(url)
    dialect = _dialect(resolved.get_backend_name())
    context.configure(
        url=resolved,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        **(settings | dialect.options()),
    )
    for statement in dialect.preamble():
        context.static_output(f"{statement};\n")
    with context.begin_transaction():
        context.run_migrations()


async def _opened(url: str, work: Callable[[Connection], None]) -> None:
    """Do the work on the database of this URL, set up as the application's own connections are."""
    async with Database(url) as db, db.engine.connect() as connection:
        await connection.run_sync(work)


async def _connected(engine: object, work: Callable[[Connection], None]) -> None:
    """Do the work with the engine's settings but not its pool, which may belong to another loop."""
    if not isinstance(engine, AsyncEngine):
        raise UsageError(
            f"config.attributes['connection'] must be a Connection or an AsyncEngine, not {type(engine).__name__}"
        )
    apart = create_async_engine(engine.url, pool=engine.sync_engine.pool.recreate())
    try:
        async with apart.connect() as connection:
            await connection.run_sync(work)
    finally:
        await apart.dispose()


def _complete(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, in a thread of its own where this one has a running loop."""
    if not _has_loop():
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def _has_loop() -> bool:
    """Whether a loop is running in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _show_progress() -> None:
    """Let the command line say what it does, unless the program has its own logging."""
    if context.config.cmd_opts is not None and not logging.getLogger().handlers:
        progress = logging.getLogger("alembic.runtime.migration")
        progress.addHandler(logging.StreamHandler())
        progress.setLevel(logging.INFO)
        # Alembic logs its errors and prints them, too: once is enough.
        logging.getLogger("alembic").addHandler(logging.NullHandler())


def _migrate(connection: Connection, lock_timeout: float, settings: dict[str, Any]) -> None:
    """Run the command on a connection; under the lock if it may change the schema."""
    if connection.in_transaction():
        raise UsageError(
            "the connection handed to alembic is in a transaction, but a migration begins and ends"
            " its own: hand over a connection that has done nothing yet"
        )
    dialect = _dialect(connection.dialect.name)
    context.configure(connection=connection, **(settings | dialect.options()))
    migration = context.get_context()
    dialect.adapt(migration)
    destination = migration.opts.get("destination_rev")
    if destination is None:
        _look(migration)
    elif not _is_there(connection, migration, destination):
        patience = context.config.attributes.get("lock_timeout", lock_timeout)
        with dialect.exclusive(connection, patience) as verify, context.begin_transaction():
            context.run_migrations()
            verify()


def _look(migration: MigrationContext) -> None:
    """Run a command that changes nothing, and see to it that it does not."""
    migration.opts["dont_mutate"] = True  # else a check creates the table of the revision
    _refuse_unknown(migration)
    with context.begin_transaction():
        context.run_migrations()


def _is_there(connection: Connection, migration: MigrationContext, destination: object) -> bool:
    """Whether the database is at head and should be: then nobody has to wait for anybody."""
    current = _refuse_unknown(migration)
    connection.rollback()
    return destination in {"head", "heads"} and set(current) == set(context.script.get_heads())


def _refuse_unknown(migration: MigrationContext) -> tuple[str, ...]:
    """The revisions that the database is at; `SchemaMismatch` if one is not among the files."""
    current = migration.get_current_heads()
    known = {script.revision for script in context.script.walk_revisions()}
    unknown = sorted(set(current) - known)
    if unknown and not migration.purge:
        raise SchemaMismatch(
            f"the database is at revision {', '.join(unknown)}, which is not among the migrations"
            " here: newer code has migrated it. Update this code, or downgrade the database with"
            " the code that knows the revision.",
            current=current,
            expected=context.script.get_heads(),
        )
    return current
