"""Tortoise ORM, as in its own benchmark: model methods, and `in_transaction` where that has one."""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from sqlalchemy.engine import URL, make_url
from tortoise import Tortoise, fields
from tortoise.models import Model as TortoiseModel
from tortoise.transactions import in_transaction

from benchmarks.contenders import POOL, TIMEOUT, Attributes, Rows
from benchmarks.schema import MODELS, ROOT, TABLE, Column, Model, kind_of

WIDE: dict[str, Any] = {
    "float": fields.FloatField,
    "smallint": fields.SmallIntField,
    "int": fields.IntField,
    "bigint": fields.BigIntField,
    "char": lambda **options: fields.CharField(255, **options),
    "text": fields.TextField,
    "decimal": lambda **options: fields.DecimalField(12, 8, **options),
    "json": fields.JSONField,
}


class Tortoises(Attributes):
    """On SQLite it has one connection, with a lock around it."""

    async def open(self, url: str, model: Model) -> None:
        self.names = model.names
        self.model = _journal(model)
        module = sys.modules["journals"] = ModuleType("journals")  # Tortoise looks its models up by a module's name
        vars(module)["Journal"] = self.model
        await Tortoise.init(db_url=_address(make_url(url)), modules={"models": ["journals"]})

    async def close(self) -> None:
        await Tortoise.close_connections()

    async def insert_single(self, rows: Rows) -> None:
        for row in rows:
            await self.model.create(**row)

    async def insert_batch(self, rows: Rows) -> None:
        async with in_transaction():
            for row in rows:
                await self.model.create(**row)

    async def insert_bulk(self, rows: Rows) -> None:
        await self.model.bulk_create([self.model(**row) for row in rows])

    async def filter_large(self, level: int) -> Sequence[Any]:
        return await self.model.filter(level=level)

    async def filter_small(self, level: int, limit: int, offset: int) -> Sequence[Any]:
        return await self.model.filter(level=level).limit(limit).offset(offset)

    async def get(self, key: int) -> Any:
        return await self.model.get(id=key)

    async def filter_dicts(self, level: int) -> Sequence[Any]:
        return await self.model.filter(level=level).values()

    async def filter_tuples(self, level: int) -> Sequence[Any]:
        return await self.model.filter(level=level).values_list()

    async def update_whole(self, objects: Sequence[Any], rows: Rows) -> None:
        async with in_transaction():
            for thing, row in zip(objects, rows, strict=True):
                for name, value in row.items():
                    setattr(thing, name, value)
                await thing.save()

    async def update_partial(self, objects: Sequence[Any], levels: Sequence[int]) -> None:
        async with in_transaction():
            for thing, level in zip(objects, levels, strict=True):
                thing.level = level
                await thing.save(update_fields=["level"])

    async def delete(self, objects: Sequence[Any]) -> None:
        async with in_transaction():
            for thing in objects:
                await thing.delete()

    async def objects(self) -> Sequence[Any]:
        return await self.model.exclude(level=ROOT).order_by("id")


def _journal(model: Model) -> Any:
    """The class for a table."""
    members: dict[str, Any] = {
        "id": fields.IntField(primary_key=True),
        "timestamp": fields.DatetimeField(auto_now_add=True),
        "level": fields.SmallIntField(db_index=True),
        "text": fields.CharField(255, db_index=True),
    }
    if model.name == "related":
        members["parent"] = fields.ForeignKeyField("models.Journal", related_name="children", null=True)
    for column in MODELS["wide"][4:] if model.name == "wide" else ():
        members[column.name] = _wide(column)
    return type("Journal", (TortoiseModel,), {**members, "Meta": type("Meta", (), {"table": TABLE})})


def _wide(column: Column) -> Any:
    """A field of the wide table."""
    kind = WIDE[kind_of(column.name)]
    return kind(null=True) if column.nullable else kind(default=column.default)


def _address(url: URL) -> str:
    """Tortoise's own spelling of a URL."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite://{url.database}?journal_mode=WAL&synchronous=NORMAL&busy_timeout={int(TIMEOUT * 1000)}"
    pool = {"minsize": str(POOL), "maxsize": str(POOL)}
    return url.set(drivername="asyncpg", query=pool).render_as_string(hide_password=False)


make = Tortoises
