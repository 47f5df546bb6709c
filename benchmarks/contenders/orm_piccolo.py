"""Piccolo: table methods, and `transaction` where the benchmark has one."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from piccolo.columns import (
    JSONB,
    BigInt,
    DoublePrecision,
    ForeignKey,
    Integer,
    Numeric,
    SmallInt,
    Text,
    Timestamptz,
    Varchar,
)
from piccolo.engine.postgres import PostgresEngine
from piccolo.engine.sqlite import SQLiteEngine, TransactionType
from piccolo.table import create_table_class
from sqlalchemy.engine import make_url

from benchmarks.contenders import POOL, TIMEOUT, Attributes, Rows
from benchmarks.schema import MODELS, ROOT, TABLE, Column, Model, kind_of

PARAMETERS = 32_000
"""So many values fit into one statement."""
WIDE: dict[str, Any] = {
    "float": DoublePrecision,
    "smallint": SmallInt,
    "int": Integer,
    "bigint": BigInt,
    "char": lambda **options: Varchar(length=255, **options),
    "text": Text,
    "decimal": lambda **options: Numeric(digits=(12, 8), **options),
    "json": JSONB,
}


class Piccolo(Attributes):
    """On SQLite it opens a connection for each statement outside of a transaction, and has no pool."""

    async def open(self, url: str, model: Model) -> None:
        self.names = model.names
        self.engine, self.transaction = _engine(url)
        self.model = _journal(model, self.engine)
        self.json = model.name == "wide"
        self.chunk = PARAMETERS // len(model.names)
        if isinstance(self.engine, PostgresEngine):
            await self.engine.start_connection_pool(min_size=POOL, max_size=POOL)

    async def close(self) -> None:
        if isinstance(self.engine, PostgresEngine):
            await self.engine.close_connection_pool()

    async def insert_single(self, rows: Rows) -> None:
        for row in rows:
            await self.model(**row).save()

    async def insert_batch(self, rows: Rows) -> None:
        async with self.engine.transaction(**self.transaction):
            for row in rows:
                await self.model(**row).save()

    async def insert_bulk(self, rows: Rows) -> None:
        for start in range(0, len(rows), self.chunk):
            await self.model.insert(*(self.model(**row) for row in rows[start : start + self.chunk]))

    async def filter_large(self, level: int) -> Sequence[Any]:
        return await self._parsed(self.model.objects().where(self.model.level == level))

    async def filter_small(self, level: int, limit: int, offset: int) -> Sequence[Any]:
        query = self.model.objects().where(self.model.level == level).limit(limit).offset(offset)
        return await self._parsed(query)

    async def get(self, key: int) -> Any:
        query = self.model.objects().where(self.model.id == key)
        return await self._parsed(query).first()

    async def filter_dicts(self, level: int) -> Sequence[Any]:
        return await self._parsed(self.model.select().where(self.model.level == level))

    async def filter_tuples(self, level: int) -> Sequence[Any]:
        return [tuple(row.values()) for row in await self.filter_dicts(level)]

    async def update_whole(self, objects: Sequence[Any], rows: Rows) -> None:
        async with self.engine.transaction(**self.transaction):
            for thing, row in zip(objects, rows, strict=True):
                for name, value in row.items():
                    setattr(thing, name, value)
                await thing.save()

    async def update_partial(self, objects: Sequence[Any], levels: Sequence[int]) -> None:
        async with self.engine.transaction(**self.transaction):
            for thing, level in zip(objects, levels, strict=True):
                thing.level = level
                await thing.save(columns=[self.model.level])

    async def delete(self, objects: Sequence[Any]) -> None:
        async with self.engine.transaction(**self.transaction):
            for thing in objects:
                await thing.remove()

    async def objects(self) -> Sequence[Any]:
        return await self._parsed(self.model.objects().where(self.model.level != ROOT).order_by(self.model.id))

    def _parsed(self, query: Any) -> Any:
        """The query, with JSON as Python values where the table has any."""
        return query.output(load_json=True) if self.json else query


def _journal(model: Model, engine: Any) -> Any:
    """The class for a table."""
    members: dict[str, Any] = {
        "timestamp": Timestamptz(),
        "level": SmallInt(index=True),
        "text": Varchar(length=255, index=True),
    }
    if model.name == "related":
        members["parent_id"] = ForeignKey("self", null=True, default=None)
    for column in MODELS["wide"][4:] if model.name == "wide" else ():
        members[column.name] = _wide(column)
    return create_table_class("Journal", class_kwargs={"db": engine, "tablename": TABLE}, class_members=members)


def _wide(column: Column) -> Any:
    """A column of the wide table."""
    kind = WIDE[kind_of(column.name)]
    return kind(null=True, default=None) if column.nullable else kind(default=column.default)


class _Connection(sqlite3.Connection):
    """Piccolo hands its options on to sqlite3 but has none for pragmas; what the file does not keep is set here."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute("PRAGMA synchronous=NORMAL").close()


def _engine(url: str) -> tuple[Any, dict[str, Any]]:
    """The engine, and the options of a transaction that writes."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite":
        options = {"timeout": TIMEOUT, "factory": _Connection}
        return SQLiteEngine(path=parts.database or "", **options), {"transaction_type": TransactionType.immediate}
    address = {"host": parts.host, "port": parts.port, "user": parts.username, "password": parts.password}
    return PostgresEngine(config={**address, "database": parts.database}), {}


make = Piccolo
