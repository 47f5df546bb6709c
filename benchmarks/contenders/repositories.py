"""`repo`: repositories over the `Database`, and over a `Transaction` where the benchmark has one."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import make_url

from benchmarks.contenders import POOL, TIMEOUT, Attributes, Rows
from benchmarks.contenders.mapped import journal
from benchmarks.schema import ROOT, Model
from repo import Database, Repository, gather


class Repo(Attributes):
    """The verbs of a repository; `rows` for what are no entities."""

    async def open(self, url: str, model: Model) -> None:
        options = {"connect_args": {"timeout": TIMEOUT}} if make_url(url).get_backend_name() == "sqlite" else {}
        self.names = model.names
        self.model = journal(model)
        self.db = Database(url, pool_size=POOL, engine_options=options)
        self.journals = _repository(self.model)(self.db)
        self.columns = [getattr(self.model, name) for name in model.names]

    async def close(self) -> None:
        await self.db.close()

    async def insert_single(self, rows: Rows) -> None:
        for row in rows:
            await self.journals.add(self.model(**row))

    async def insert_batch(self, rows: Rows) -> None:
        async with self.db.transaction() as tx:
            journals = self.journals.using(tx)
            await gather(*(journals.add(self.model(**row)) for row in rows))

    async def insert_bulk(self, rows: Rows) -> None:
        await self.journals.add_many(rows)

    async def filter_large(self, level: int) -> Sequence[Any]:
        return await self.journals.all(self.model.level == level)

    async def filter_small(self, level: int, limit: int, offset: int) -> Sequence[Any]:
        return await self.journals.all(self.model.level == level, limit=limit, offset=offset)

    async def get(self, key: int) -> Any:
        return await self.journals.get_one(key)

    async def filter_dicts(self, level: int) -> Sequence[Any]:
        return await self.db.rows(select(*self.columns).where(self.model.level == level), into=dict)

    async def filter_tuples(self, level: int) -> Sequence[Any]:
        return await self.db.rows(select(*self.columns).where(self.model.level == level))

    async def update_whole(self, objects: Sequence[Any], rows: Rows) -> None:
        async with self.db.transaction() as tx:
            journals = self.journals.using(tx)
            await gather(*(journals.update(entity, **row) for entity, row in zip(objects, rows, strict=True)))

    async def update_partial(self, objects: Sequence[Any], levels: Sequence[int]) -> None:
        async with self.db.transaction() as tx:
            journals = self.journals.using(tx)
            await gather(*(journals.update(entity, level=level) for entity, level in zip(objects, levels, strict=True)))

    async def delete(self, objects: Sequence[Any]) -> None:
        async with self.db.transaction() as tx:
            journals = self.journals.using(tx)
            await gather(*(journals.delete(entity) for entity in objects))

    async def objects(self) -> Sequence[Any]:
        return await self.journals.all(self.model.level != ROOT, order_by=self.model.id)


def _repository(model: Any) -> type[Repository[Any]]:
    """A repository class for a model that is known only now."""

    class Journals(Repository[model]):
        """The rows of the benchmark."""

    return Journals


make = Repo
