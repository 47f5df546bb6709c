"""The two databases: tables made and filled for every operation alike, and read again to see what it has left."""

import asyncio
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import asyncpg
from sqlalchemy.engine import make_url

from benchmarks.contenders.converters import PRAGMAS
from benchmarks.schema import ROOT, TABLE, Model, Values, parsed
from repo.testing import postgres_url

NAME = f"repo_benchmark_{os.getpid()}"


class Store(Protocol):
    """A database that the benchmark has for itself."""

    url: str
    dialect: str

    def create(self, model: Model) -> None:
        """Make the table anew."""

    def fill(self, model: Model, rows: Sequence[Values]) -> None:
        """Empty the table, and store these rows besides the roots."""

    def rows(self, model: Model) -> list[Values]:
        """All rows that are no roots, by key."""
        ...

    def close(self) -> None:
        """Give the connection back."""


class Sqlite:
    """A file on disk, in WAL mode."""

    dialect = "sqlite"

    def __init__(self, folder: str) -> None:
        path = Path(folder, "benchmark.db")
        self.url = f"sqlite+aiosqlite:///{path}"
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        for pragma in PRAGMAS:
            self.connection.execute(pragma).fetchall()

    def create(self, model: Model) -> None:
        """See `Store`."""
        for statement in (f"DROP TABLE IF EXISTS {TABLE}", *model.ddl(self.dialect)):
            self.connection.execute(statement)

    def fill(self, model: Model, rows: Sequence[Values]) -> None:
        """See `Store`."""
        places = ", ".join("?" for _ in model.names)
        records = [[_for_sqlite(row[name]) for name in model.names] for row in (*model.root_rows(), *rows)]
        with self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.execute(f"DELETE FROM {TABLE}")
            self.connection.executemany(f"INSERT INTO {TABLE} VALUES ({places})", records)
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def rows(self, model: Model) -> list[Values]:
        """See `Store`."""
        found = self.connection.execute(_all(model)).fetchall()
        return [_row(model, values) for values in found]

    def close(self) -> None:
        """See `Store`."""
        self.connection.close()


class Postgres:
    """A database of its own on the server of `repo.testing`."""

    dialect = "postgresql"

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.server = postgres_url()
        self.url = make_url(self.server).set(database=NAME).render_as_string(hide_password=False)
        self.runner.run(self._administer(f"DROP DATABASE IF EXISTS {NAME}", f"CREATE DATABASE {NAME}"))
        self.connection = self.runner.run(asyncpg.connect(_dsn(self.url)))

    async def _administer(self, *statements: str) -> None:
        connection = await asyncpg.connect(_dsn(self.server))
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    def create(self, model: Model) -> None:
        """See `Store`."""
        quiet = f"ALTER TABLE {TABLE} SET (autovacuum_enabled = false)"
        for statement in (f"DROP TABLE IF EXISTS {TABLE} CASCADE", *model.ddl(self.dialect), quiet):
            self.runner.run(self.connection.execute(statement))

    def fill(self, model: Model, rows: Sequence[Values]) -> None:
        """See `Store`."""
        self.runner.run(self._fill(model, [*model.root_rows(), *rows]))

    async def _fill(self, model: Model, rows: Sequence[Values]) -> None:
        records = [[_for_postgres(row[name]) for name in model.names] for row in rows]
        await self.connection.execute(f"TRUNCATE {TABLE} RESTART IDENTITY")
        await self.connection.copy_records_to_table(TABLE, records=records, columns=model.names)
        await self.connection.execute(f"SELECT setval('{TABLE}_id_seq', $1, false)", len(rows) + 1)
        await self.connection.execute(f"ANALYZE {TABLE}")

    def rows(self, model: Model) -> list[Values]:
        """See `Store`."""
        return [_row(model, record) for record in self.runner.run(self.connection.fetch(_all(model)))]

    def close(self) -> None:
        """See `Store`."""
        self.runner.run(self.connection.close())
        self.runner.run(self._administer(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)"))
        self.runner.close()


@contextmanager
def opened(name: str) -> Iterator[Store]:
    """The database of that name, which is gone afterwards."""
    with TemporaryDirectory(prefix="repo-benchmark-") as folder:
        store: Store = Postgres() if name == "postgresql" else Sqlite(folder)
        try:
            yield store
        finally:
            store.close()


def _all(model: Model) -> str:
    return f"SELECT {', '.join(model.names)} FROM {TABLE} WHERE level <> {ROOT} ORDER BY id"


def _row(model: Model, values: Any) -> Values:
    return {name: parsed(name, value) for name, value in zip(model.names, values, strict=True)}


def _dsn(url: str) -> str:
    return url.replace("postgresql+asyncpg", "postgresql")


def _for_postgres(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, Mapping) else value


def _for_sqlite(value: Any) -> Any:
    """A value as SQLAlchemy, Tortoise and Piccolo can all read it."""
    if hasattr(value, "isoformat"):
        return value.replace(tzinfo=None).isoformat(" ", "microseconds")
    if isinstance(value, Mapping):
        return json.dumps(value)
    return value if value is None or isinstance(value, int | str) else float(value)
