"""SQLAlchemy's ORM with `AsyncSession`: one session for each task, and one transaction for each unit of work."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import event, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from benchmarks.contenders import POOL, TIMEOUT, Attributes, Rows
from benchmarks.contenders.converters import PRAGMAS
from benchmarks.contenders.mapped import journal
from benchmarks.schema import ROOT, Model


def engine_for(url: str) -> AsyncEngine:
    """An engine of which the pool has no overflow; on SQLite the pragmas are set as the dialect's page shows."""
    if not url.startswith("sqlite"):
        return create_async_engine(url, pool_size=POOL, max_overflow=0)
    engine = create_async_engine(url, pool_size=POOL, max_overflow=0, connect_args={"timeout": TIMEOUT})

    @event.listens_for(engine.sync_engine, "connect")
    def _set_pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    return engine


class Orm(Attributes):
    """The unit of work as its tutorial teaches it."""

    async def open(self, url: str, model: Model) -> None:
        self.names = model.names
        self.model = journal(model)
        self.columns = [getattr(self.model, name) for name in model.names]
        self.engine = engine_for(url)
        self.session = async_sessionmaker(self.engine, expire_on_commit=False)

    async def close(self) -> None:
        await self.engine.dispose()

    async def insert_single(self, rows: Rows) -> None:
        for row in rows:
            async with self.session.begin() as session:
                session.add(self.model(**row))

    async def insert_batch(self, rows: Rows) -> None:
        async with self.session.begin() as session:
            for row in rows:
                session.add(self.model(**row))

    async def insert_bulk(self, rows: Rows) -> None:
        async with self.session.begin() as session:
            await session.execute(insert(self.model), list(rows))

    async def filter_large(self, level: int) -> Sequence[Any]:
        async with self.session() as session:
            return (await session.scalars(select(self.model).where(self.model.level == level))).all()

    async def filter_small(self, level: int, limit: int, offset: int) -> Sequence[Any]:
        statement = select(self.model).where(self.model.level == level).limit(limit).offset(offset)
        async with self.session() as session:
            return (await session.scalars(statement)).all()

    async def get(self, key: int) -> Any:
        async with self.session() as session:
            return await session.get_one(self.model, key)

    async def filter_dicts(self, level: int) -> Sequence[Any]:
        async with self.session() as session:
            result = await session.execute(select(*self.columns).where(self.model.level == level))
            return [dict(row) for row in result.mappings()]

    async def filter_tuples(self, level: int) -> Sequence[Any]:
        async with self.session() as session:
            return (await session.execute(select(*self.columns).where(self.model.level == level))).all()

    async def update_whole(self, objects: Sequence[Any], rows: Rows) -> None:
        async with self.session.begin() as session:
            for entity, row in zip(objects, rows, strict=True):
                for name, value in row.items():
                    setattr(entity, name, value)
                session.add(entity)

    async def update_partial(self, objects: Sequence[Any], levels: Sequence[int]) -> None:
        async with self.session.begin() as session:
            for entity, level in zip(objects, levels, strict=True):
                entity.level = level
                session.add(entity)

    async def delete(self, objects: Sequence[Any]) -> None:
        async with self.session.begin() as session:
            for entity in objects:
                await session.delete(entity)

    async def objects(self) -> Sequence[Any]:
        async with self.session() as session:
            statement = select(self.model).where(self.model.level != ROOT).order_by(self.model.id)
            return (await session.scalars(statement)).all()


make = Orm
