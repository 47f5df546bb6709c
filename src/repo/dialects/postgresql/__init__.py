"""Postgres by asyncpg."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from sqlalchemy import URL, Column, ColumnElement, Connection, MetaData, Table, event, text
from sqlalchemy.dialects.postgresql import INTERVAL, insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import await_only

from repo.dialects.base import Dialect, EngineSettings, TransactionOptions
from repo.dialects.postgresql import beginning, limits
from repo.dialects.postgresql.copying import copy_in, has_refused, takes
from repo.dialects.postgresql.driver import connect, refusals, sent, watch
from repo.dialects.postgresql.errors import broken, translate
from repo.dialects.postgresql.values import comparable, in_days, stored
from repo.errors import ConfigurationError, RepoError

EXPORT = text("SELECT pg_export_snapshot()")
_NUMBERS: dict[str, type[int] | type[float]] = {
    "timeout": float,
    "command_timeout": float,
    "statement_cache_size": int,
    "max_cached_statement_lifetime": int,
    "max_cacheable_statement_size": int,
}
_TEXTS = {
    *("host", "port", "ssl", "direct_tls", "passfile", "service", "servicefile", "target_session_attrs"),
    *("krbsrvname", "gsslib", "prepared_statement_cache_size"),
}
"""Arguments of ``asyncpg.connect``, and of SQLAlchemy's dialect, that make sense in a URL."""


_ADDS_UNHINDERED = """
SELECT relkind = 'r' AND NOT relhasrules
    AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid AND tgtype & 4 <> 0)
    AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid AND (indisunique OR indisexclusion)
        AND NOT (indisprimary AND $2::text[] @> ARRAY(
            SELECT attname::text FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey))))
FROM pg_class WHERE oid = to_regclass($1)
"""
"""Of a table, and the columns of its key; 4 says that a trigger is for INSERT, as that of a foreign key is."""


class PostgreSQL(Dialect):
    """Postgres by asyncpg."""

    name = "postgresql"
    drivers = ("asyncpg",)
    one_writer = False
    remote = True
    returns_in_order = False
    streams_in = True

    def settings(self, url: URL) -> EngineSettings:
        url = _understood(url)
        # A cancel that arrives while Postgres compiles a query just in time is lost, so the query
        # would run to its end; and queries of an application rarely earn the compilation back.
        connect_args = {"server_settings": {"jit": "off"}, "async_creator_fn": connect, **_numbers(url)}
        url = url.difference_update_query(_NUMBERS)
        return EngineSettings(url=url, options={"connect_args": connect_args})

    def configure(self, engine: AsyncEngine) -> None:
        event.listen(engine.sync_engine, "handle_error", limits.keep)
        watch(engine)

    def autocommit(self, connection: Connection) -> None:
        connection.execution_options(isolation_level="AUTOCOMMIT")

    def begin(self, connection: Connection, options: TransactionOptions) -> None:
        connection.execution_options(
            postgresql_readonly=options.read_only,
            **({"isolation_level": options.isolation.upper()} if options.isolation else {}),
        )
        connection.begin()
        limits.set_local(connection, options)

    async def has_begun(self, connection: Connection) -> bool:
        return await beginning.begin_now(connection)

    def end(self, connection: Connection, options: TransactionOptions) -> None:
        if beginning.is_spoiled(connection):
            connection.invalidate()

    def limited(self, connection: Connection, seconds: float | None, *, begun: bool) -> AbstractContextManager[None]:
        return nullcontext() if begun else limits.limited(connection, seconds)

    async def fetch(self, driver: Any, text: str, values: Sequence[Any], seconds: float | None) -> Sequence[Any]:
        try:
            if seconds is None or seconds == math.inf:
                return cast("Sequence[Any]", await driver.fetch(text, *values))
            with limits.told(seconds):
                return cast("Sequence[Any]", await driver.fetch(text, *values, timeout=seconds))
        except Exception as error:
            _refuse_closed(driver, error)
            raise

    async def fetch_many(
        self, driver: Any, text: str, sets: Sequence[Sequence[Any]], seconds: float | None
    ) -> Sequence[Any]:
        limit = None if seconds == math.inf else seconds
        try:
            with nullcontext() if limit is None else limits.told(limit):
                return cast(Sequence[Any], await sent(driver, driver.fetchmany(text, sets, timeout=limit)))
        except Exception as error:
            _refuse_closed(driver, error)
            raise

    async def fetch_each(
        self, driver: Any, statements: Mapping[int, tuple[str, Sequence[Any]]]
    ) -> Mapping[int, Sequence[Any] | None]:
        found: dict[int, Sequence[Any] | None] = dict.fromkeys(statements)
        alike: dict[str, dict[int, Sequence[Any]]] = {}
        for number, (sending, values) in statements.items():
            alike.setdefault(sending, {})[number] = values
        for sending, sets in alike.items():
            try:
                # In no transaction this is one by itself: all of them have happened, or none.
                rows = await self.fetch_many(driver, sending, [*sets.values()], None)
            except Exception as error:
                # Any other, such as of a value that cannot be read, comes when all of it is stored.
                if driver.is_closed() or not isinstance(error, refusals()):
                    raise
                continue
            given = {row[-1]: row for row in rows}
            found |= {number: [given[number]] if number in given else [] for number in sets}
        return found

    async def adds_unhindered(self, driver: Any, table: Table) -> bool:
        name = self.syntax.identifier_preparer.format_table(table)
        return bool(await driver.fetchval(_ADDS_UNHINDERED, name, [column.name for column in table.primary_key]))

    async def codes(self, driver: Any, text: str) -> Sequence[Any]:
        return [attribute.type.oid for attribute in (await driver.prepare(text)).get_attributes()]

    def pin(
        self,
        connections: Sequence[Connection],
        options: TransactionOptions,
        *,
        joinable: bool,
        guard: Connection | None = None,
    ) -> str | None:
        first, *others = connections
        token = None
        _begin_repeatable(first)
        if others or joinable:
            # Exported now: a connection that is busy with a query cannot do it later.
            token = str(first.execute(EXPORT).scalar_one())
        self._settle(first, options)
        for connection in others:
            self.join(connection, options, token or "")
        return token

    def join(self, connection: Connection, options: TransactionOptions, token: str) -> None:
        _begin_repeatable(connection)
        # Must come first, and takes no parameter; the server itself has made the token.
        connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{token}'")
        self._settle(connection, options)

    def _settle(self, connection: Connection, options: TransactionOptions) -> None:
        """What follows once the moment is fixed."""
        limits.set_local(connection, options)
        # A failed statement ends a transaction for Postgres; going back to here does not lose
        # the moment that the transaction sees.
        connection.exec_driver_sql("SAVEPOINT repo_pinned")

    def recover(self, connection: Connection) -> None:
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT repo_pinned")

    def copy(
        self,
        connection: Connection,
        columns: Sequence[Column[Any]],
        parts: Iterable[Sequence[Any]],
    ) -> bool:
        # Asked before, as a COPY that fails would end the transaction. It goes through SQLAlchemy,
        # which sends BEGIN with the first statement that does.
        if not takes(connection, columns[0].table):
            return False
        await_only(copy_in(connection.connection.driver_connection, columns, parts))
        return True

    async def load(self, driver: Any, columns: Sequence[Column[Any]], values: Sequence[Any]) -> bool:
        try:
            await copy_in(driver, columns, [values])
        except Exception as error:
            _refuse_closed(driver, error)
            if not has_refused(error):
                raise
            return False
        return True

    def insert(self, model: Any) -> Any:
        return insert(model)

    def holds(self, kind: TypeEngine[Any], value: object) -> bool:
        return comparable(stored(kind, self.syntax), value)

    def exact(self, element: ColumnElement[Any]) -> ColumnElement[Any]:
        return in_days(element) if isinstance(stored(element.type, self.syntax), INTERVAL) else element

    def translate(self, error: BaseException, metadata: MetaData | None) -> RepoError | None:
        return translate(error, metadata)


def _refuse_closed(driver: Any, error: Exception) -> None:
    """Say that the connection is gone, for which the driver has only the word for a caller's mistake."""
    if driver.is_closed() and getattr(error, "sqlstate", None) is None:
        raise broken(error) from error


def _understood(url: URL) -> URL:
    """The URL as asyncpg understands it, with a password only where it is hidden when shown."""
    # asyncpg calls libpq's sslmode "ssl", with the same values.
    query = {"ssl" if name == "sslmode" else name: value for name, value in url.query.items()}
    user, password = (query.pop(name, None) for name in ("user", "password"))
    unknown = sorted(set(query) - _TEXTS - set(_NUMBERS))
    if unknown:
        raise ConfigurationError(
            f"asyncpg knows no {', '.join(unknown)} in a URL; what it knows is sslmode, {', '.join(sorted(_NUMBERS))}, "
            "target_session_attrs and a few more, and settings of the server go to "
            'engine_options={"connect_args": {"server_settings": {...}}}'
        )
    return url.set(query=query, username=str(user) if user else None, password=str(password) if password else None)


def _numbers(url: URL) -> dict[str, Any]:
    """The URL's arguments that are numbers."""
    numbers: dict[str, Any] = {}
    for name, number in _NUMBERS.items():
        if name in url.query:
            try:
                numbers[name] = number(str(url.query[name]))
            except ValueError:
                raise ConfigurationError(f"{name} in the URL is no number") from None
    return numbers


def _begin_repeatable(connection: Connection) -> None:
    """Begin a read-only transaction that sees one moment."""
    connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    connection.begin()
