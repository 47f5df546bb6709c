"""advanced-alchemy: a repository over a session for each unit of work, rows through its query repository."""

from collections.abc import Sequence
from typing import Any

from advanced_alchemy.config import AsyncSessionConfig, SQLAlchemyAsyncConfig
from advanced_alchemy.filters import LimitOffset
from advanced_alchemy.repository import SQLAlchemyAsyncQueryRepository, SQLAlchemyAsyncRepository
from sqlalchemy import select

from benchmarks.contenders import Attributes, Rows
from benchmarks.contenders.mapped import journal
from benchmarks.contenders.orm_sqlalchemy import engine_for
from benchmarks.schema import ROOT, Model


class AdvancedAlchemy(Attributes):
    """`update` and `delete` read the row before they write it: that is how these verbs of it work."""

    async def open(self, url: str, model: Model) -> None:
        self.names = model.names
        self.model = journal(model)
        self.columns = [getattr(self.model, name) for name in model.names]
        session = AsyncSessionConfig(expire_on_commit=False)
        self.config = SQLAlchemyAsyncConfig(engine_instance=engine_for(url), session_config=session)
        members = {"model_type": self.model}
        self.repository: Any = type("JournalRepository", (SQLAlchemyAsyncRepository,), members)

    async def close(self) -> None:
        await self.config.get_engine().dispose()

    async def insert_single(self, rows: Rows) -> None:
        for row in rows:
            async with self.config.get_session() as session:
                await self.repository(session=session).add(self.model(**row), auto_commit=True)

    async def insert_batch(self, rows: Rows) -> None:
        async with self.config.get_session() as session, session.begin():
            journals = self.repository(session=session)
            for row in rows:
                await journals.add(self.model(**row))

    async def insert_bulk(self, rows: Rows) -> None:
        async with self.config.get_session() as session:
            await self.repository(session=session).add_many([self.model(**row) for row in rows], auto_commit=True)

    async def filter_large(self, level: int) -> Sequence[Any]:
        async with self.config.get_session() as session:
            return await self.repository(session=session).get_many(level=level)

    async def filter_small(self, level: int, limit: int, offset: int) -> Sequence[Any]:
        async with self.config.get_session() as session:
            return await self.repository(session=session).get_many(LimitOffset(limit, offset), level=level)

    async def get(self, key: int) -> Any:
        async with self.config.get_session() as session:
            return await self.repository(session=session).get(key)

    async def filter_dicts(self, level: int) -> Sequence[Any]:
        return [dict(row._mapping) for row in await self.filter_tuples(level)]

    async def filter_tuples(self, level: int) -> Sequence[Any]:
        statement = select(*self.columns).where(self.model.level == level)
        async with self.config.get_session() as session:
            return await SQLAlchemyAsyncQueryRepository(session=session).get_many(statement)

    async def update_whole(self, objects: Sequence[Any], rows: Rows) -> None:
        async with self.config.get_session() as session, session.begin():
            journals = self.repository(session=session)
            for entity, row in zip(objects, rows, strict=True):
                for name, value in row.items():
                    setattr(entity, name, value)
                await journals.update(entity)

    async def update_partial(self, objects: Sequence[Any], levels: Sequence[int]) -> None:
        async with self.config.get_session() as session, session.begin():
            journals = self.repository(session=session)
            for entity, level in zip(objects, levels, strict=True):
                entity.level = level
                await journals.update(entity)

    async def delete(self, objects: Sequence[Any]) -> None:
        async with self.config.get_session() as session, session.begin():
            journals = self.repository(session=session)
            for entity in objects:
                await journals.delete(entity.id)

    async def objects(self) -> Sequence[Any]:
        statement = select(self.model).order_by(self.model.id)
        async with self.config.get_session() as session:
            return await self.repository(session=session).get_many(self.model.level != ROOT, statement=statement)


make = AdvancedAlchemy
