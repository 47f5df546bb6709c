"""Every verb, one line each: how it is called, and what it does to which rows."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from repo import Stream, gather
from tests.zoo.pen import Pen


@dataclass(frozen=True)
class Verb:
    """A call of a verb. Rows 0, 1 and 2 are there; later ones are new.

    It gives entities of the rows that it finds, adds, changes or removes, or their number, or True.
    """

    name: str
    call: Callable[[Pen], Any]
    _: KW_ONLY
    finds: Sequence[int] = ()
    adds: Sequence[int] = ()
    changes: Sequence[int] = ()
    removes: Sequence[int] = ()
    sets: bool = False
    """Whether it changes attributes that are no columns, too."""

    @property
    def rows(self) -> list[int]:
        """All rows that it is about."""
        return [*self.finds, *self.adds, *self.changes, *self.removes]


READS = [
    Verb("get", lambda pen: pen.repo.get(pen.key(1)), finds=[1]),
    Verb("get, gathered", lambda pen: gather(*(pen.repo.get(pen.key(n)) for n in (1, 2, 0))), finds=[1, 2, 0]),
    Verb("get_one", lambda pen: pen.repo.get_one(pen.key(2)), finds=[2]),
    Verb("get_many", lambda pen: pen.repo.get_many([pen.key(2), pen.key(0)]), finds=[2, 0]),
    Verb("one", lambda pen: pen.repo.one(pen.is_row(1)), finds=[1]),
    Verb("one_or_none", lambda pen: pen.repo.one_or_none(pen.is_row(0)), finds=[0]),
    Verb("first", lambda pen: pen.repo.first(pen.is_row(2)), finds=[2]),
    Verb("all", lambda pen: pen.repo.all(pen.is_row()), finds=[0, 1, 2]),
    Verb("all, limited", lambda pen: pen.repo.all(pen.is_row(0, 1), limit=2), finds=[0, 1]),
    Verb("page", lambda pen: _page(pen, limit=3), finds=[0, 1, 2]),
    Verb("stream", lambda pen: pen.repo.stream(pen.is_row(), chunk=10), finds=[0, 1, 2]),
    Verb("exists", lambda pen: pen.repo.exists(pen.is_row(1)), finds=[1]),
    Verb("count", lambda pen: pen.repo.count(pen.is_row()), finds=[0, 1, 2]),
]

LOADS = [
    Verb("get, load", lambda pen: pen.repo.get(pen.key(1), load=pen.load), finds=[1]),
    Verb("get_many, load", lambda pen: pen.repo.get_many([pen.key(1), pen.key(0)], load=pen.load), finds=[1, 0]),
    Verb("all, load", lambda pen: pen.repo.all(pen.is_row(), load=pen.load), finds=[0, 1, 2]),
    Verb("page, load", lambda pen: _page(pen, limit=3), finds=[0, 1, 2]),
    Verb("stream, load", lambda pen: pen.repo.stream(pen.is_row(), load=pen.load), finds=[0, 1, 2]),
    Verb("load", lambda pen: _load(pen, 0, 1, 2), finds=[0, 1, 2]),
]

WRITES = [
    Verb("add", lambda pen: pen.repo.add(pen.new(3)), adds=[3]),
    Verb("add, gathered", lambda pen: gather(*(pen.repo.add(pen.new(n)) for n in (3, 5, 4))), adds=[3, 5, 4]),
    Verb("add_many, entities", lambda pen: pen.repo.add_many([pen.alone(3), pen.alone(4)]), adds=[3, 4]),
    Verb("add_many, mappings", lambda pen: pen.repo.add_many([pen.row(5), pen.row(4)]), adds=[5, 4]),
    Verb("add_many, returning, entities", lambda pen: _added(pen, pen.alone(4), pen.alone(3)), adds=[4, 3]),
    Verb("add_many, returning, mappings", lambda pen: _added(pen, pen.row(3)), adds=[3]),
    Verb("update, key", lambda pen: pen.repo.update(pen.key(1), **pen.change), changes=[1]),
    Verb("update, entity", lambda pen: _update(pen, 0), changes=[0]),
    Verb("update, changed entity", lambda pen: _update_changed(pen, 2), changes=[2]),
    Verb("update, gathered keys", lambda pen: _updated_at_once(pen, pen.key(1), pen.key(0)), changes=[1, 0]),
    Verb("update, gathered entities", lambda pen: _entities_updated(pen, 2, 0, 1), changes=[2, 0, 1]),
    Verb("update, key, others", lambda pen: pen.repo.update(pen.key(1), **pen.others), changes=[1], sets=True),
    Verb("update_where", lambda pen: pen.repo.update_where(pen.is_row(0, 2), values=pen.change), changes=[0, 2]),
    Verb("update_where, returning", lambda pen: _updated(pen, 0, 2), changes=[0, 2]),
    Verb("update_many", lambda pen: pen.repo.update_many([pen.changed_row(2), pen.changed_row(0)]), changes=[2, 0]),
    Verb("upsert", lambda pen: pen.repo.upsert(pen.changed(1), on=pen.key_names), changes=[1]),
    Verb(
        "upsert_many",
        lambda pen: pen.repo.upsert_many([pen.changed(2), pen.changed(0)], on=pen.key_names),
        changes=[2, 0],
    ),
    Verb("get_or_add", lambda pen: pen.repo.get_or_add(pen.changed(1), on=pen.key_names), finds=[1]),
    Verb("delete, key", lambda pen: pen.repo.delete(pen.key(1)), removes=[1]),
    Verb("delete, gathered keys", lambda pen: _deleted_at_once(pen, pen.key(1), pen.key(2)), removes=[1, 2]),
    Verb("delete, gathered entities", lambda pen: _entities_deleted(pen, 2, 0), removes=[2, 0]),
    Verb("delete, entity", lambda pen: _delete(pen, 2), removes=[2]),
    Verb("delete_where", lambda pen: pen.repo.delete_where(pen.is_row(0, 1)), removes=[0, 1]),
    Verb("delete_where, returning", lambda pen: _deleted(pen, 0, 1), removes=[0, 1]),
]


async def _page(pen: Pen, limit: int) -> Any:
    return (await pen.repo.page(pen.is_row(), limit=limit, load=pen.load)).items


async def _load(pen: Pen, *numbers: int) -> Any:
    entities = await pen.repo.all(pen.is_row(*numbers))
    return await pen.repo.load(entities, *(pen.load if isinstance(pen.load, list) else [pen.load]))


async def _added(pen: Pen, *items: Any) -> Any:
    return await pen.repo.add_many(items, returning=True)


async def _update(pen: Pen, n: int) -> Any:
    return await pen.repo.update(await pen.repo.get_one(pen.key(n)), **pen.change)


async def _updated_at_once(pen: Pen, *what: Any) -> Any:
    return await gather(*(pen.repo.update(each, **pen.change) for each in what))


async def _entities_updated(pen: Pen, *numbers: int) -> Any:
    return await _updated_at_once(pen, *[await pen.repo.get_one(pen.key(n)) for n in numbers])


async def _deleted_at_once(pen: Pen, *what: Any) -> int:
    return sum(await gather(*(pen.repo.delete(each) for each in what)))


async def _entities_deleted(pen: Pen, *numbers: int) -> int:
    return await _deleted_at_once(pen, *[await pen.repo.get_one(pen.key(n)) for n in numbers])


async def _update_changed(pen: Pen, n: int) -> Any:
    entity = await pen.repo.get_one(pen.key(n))
    for name, value in pen.change.items():
        setattr(entity, name, value)
    return await pen.repo.update(entity)


async def _updated(pen: Pen, *numbers: int) -> Any:
    return await pen.repo.update_where(pen.is_row(*numbers), values=pen.change, returning=True)


async def _delete(pen: Pen, n: int) -> Any:
    return await pen.repo.delete(await pen.repo.get_one(pen.key(n)))


async def _deleted(pen: Pen, *numbers: int) -> Any:
    return await pen.repo.delete_where(pen.is_row(*numbers), returning=True)


async def called(verb: Verb, pen: Pen) -> Any:
    """What the call gives; of a stream, all of it."""
    result = verb.call(pen)
    if isinstance(result, Stream):
        return [entity async for entity in result]
    answer = await result
    return list(answer) if isinstance(answer, tuple) else answer
