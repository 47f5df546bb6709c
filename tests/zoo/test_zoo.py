"""Every verb over every kind of model: what SQLAlchemy can map comes back whole, and is stored as it says."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from typing import Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.orm import Session

from repo import Database, UsageError
from repo.engine import loading
from repo.engine.execution import polymorphic
from repo.errors import NotLoaded
from tests.paging import all_of
from tests.zoo.columns import COLUMNS
from tests.zoo.inheritance import INHERITANCE
from tests.zoo.keys import KEYS
from tests.zoo.pen import Pen, Rows
from tests.zoo.portraits import Key, columns, everything, expected, identity, life, pickled, portrait
from tests.zoo.relations import RELATIONS
from tests.zoo.specimen import Specimen
from tests.zoo.styles import STYLES
from tests.zoo.values import VALUES
from tests.zoo.verbs import LOADS, READS, WRITES, Verb, called

ZOO = [*KEYS, *COLUMNS, *VALUES, *INHERITANCE, *RELATIONS, *STYLES]

MISSING = {
    "sqlite": {"arrays": "SQLite has no arrays and no ranges"},
    "postgresql": {"virtual columns": "Postgres has them since 18, SQLAlchemy knows of that since 2.1"},
}


@pytest.fixture(params=ZOO, ids=[specimen.id for specimen in ZOO])
async def pen(request: pytest.FixtureRequest, zoo: Database) -> AsyncIterator[Pen]:
    """Each specimen, with three rows."""
    specimen: Specimen = request.param
    reason = MISSING[zoo.engine.dialect.name].get(specimen.feature or "")
    if reason is not None:
        pytest.skip(f"feature: {specimen.feature}; {reason}")
    metadata = specimen.mapper.registry.metadata
    async with zoo.engine.begin() as connection:
        await connection.run_sync(lambda c: metadata.create_all(c, tables=specimen.tables))
    pen = Pen(specimen, zoo)
    await pen.stock()
    yield pen
    await pen.clear()


class Trials:
    """Calls of which all are tried, and all that fail are told."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    @contextmanager
    def trial(self, name: str) -> Iterator[None]:
        """One call."""
        try:
            yield
        except Exception as error:
            error.add_note(f"by {name}")
            self.errors.append(error)

    def __enter__(self) -> "Trials":
        return self

    def __exit__(self, *_: object) -> None:
        if self.errors:
            raise ExceptionGroup("some verbs failed", self.errors)


async def test_reads_give_what_sqlalchemy_gives(pen: Pen) -> None:
    """Each read gives just the rows that it is about, as plain SQLAlchemy reads them: values, state, what is loaded."""
    with Trials() as trials:
        for scope in ("database", "transaction"):
            async with pen.over(scope) as inside:
                calls = [(None, verb) for verb in READS] + list(product(pen.specimen.load, LOADS))
                for load, verb in calls:
                    with trials.trial(f"{verb.name} {load or ''} over {scope}"):
                        await check_read(inside.loading(load), verb, detaches=scope != "transaction")


async def check_read(pen: Pen, verb: Verb, *, detaches: bool) -> None:
    result = await called(verb, pen)
    if isinstance(result, int):
        assert result == len(verb.finds)
        return
    plain = await pen.plainly(partial(plain_portraits, pen, verb))
    entities = result if isinstance(result, list) else [result]
    found = {identity(entity): portrait(entity) for entity in entities}
    if verb.name.startswith("get_many"):
        assert list(found) == [pen.keys[n] for n in verb.finds]
    for entity in entities:
        check_not_loaded(entity)
    if detaches:
        assert found == plain
        return
    for key, each in found.items():  # in a transaction an entity also has what was loaded before
        assert plain[key]["values"].items() <= each["values"].items()
        if pen.load is not None:
            assert plain[key]["related"].keys() <= each["related"].keys()


def plain_portraits(pen: Pen, verb: Verb, own: Session) -> dict[Key, Any]:
    """What plain SQLAlchemy makes of the rows that a read is about."""
    load = loading.options(pen.specimen.mapper, pen.load)
    entities = pen.read(own, *load, where=pen.is_row(*verb.finds))
    own.expunge_all()
    return {identity(entity): portrait(entity) for entity in entities}


def check_not_loaded(entity: Any) -> None:
    """What was not loaded says so by its name."""
    state = inspect(entity)
    later = {each.key for each in state.mapper.column_attrs if each.deferred}
    later |= {each.key for each in state.mapper.relationships if each.lazy != "write_only"}
    assert {name for name in state.unloaded & later if not refuses(entity, name)} == set()


def refuses(entity: Any, name: str) -> bool:
    """Whether using an attribute raises what it should; what needs no statement may be there."""
    try:
        value = getattr(entity, name)
    except NotLoaded as error:
        return str(error).startswith(f"{type(entity).__name__}.{name} was not loaded")
    return value is None or inspect(value).persistent


async def test_pages_are_the_full_sort(pen: Pen) -> None:
    """In the order of any column, in either direction, pages from both ends are what one sort of all rows gives."""
    with Trials() as trials:
        for column, direction in product(columns(pen.specimen.mapper), ("asc", "desc")):
            with trials.trial(f"page by {column.key} {direction}"):
                await check_pages(pen, column.key, direction)


async def check_pages(pen: Pen, name: str, direction: str) -> None:
    attribute = getattr(pen.specimen.model, name)
    if name in pen.specimen.unordered:
        with pytest.raises(UsageError, match=r"a page's cursor cannot keep|a page cannot be in the order of"):
            await pen.repo.page(order_by=attribute, limit=1)
        return
    by = getattr(attribute, direction)()
    found = await all_of(partial(pen.repo.page, pen.is_row(), order_by=by, limit=1), identity)
    assert list(map(identity, found)) == await pen.plainly(partial(pen.sort, by))


async def test_writes_do_what_they_say(pen: Pen) -> None:
    """Each write changes just the rows and columns that it is about, and gives entities that are as the rows are."""
    with Trials() as trials:
        for verb in WRITES:
            if (verb.sets and not pen.specimen.set) or verb.name.startswith(pen.specimen.without or "-"):
                continue
            await pen.stock()
            before = await pen.rows()
            for scope in ("transaction", "database"):
                async with pen.over(scope) as inside:
                    with trials.trial(f"{verb.name} over {scope}"):
                        await check_write(inside, verb, before)


async def check_write(pen: Pen, verb: Verb, before: Rows) -> None:
    messages = (message for name, message in pen.specimen.refused.items() if verb.name.startswith(name))
    if (message := next(messages, None)) is None:
        result = await called(verb, pen)
        check_written(pen, verb, result, before, await pen.rows())
    else:
        with pytest.raises(UsageError, match=message):
            await called(verb, pen)


def check_written(pen: Pen, verb: Verb, result: Any, before: Rows, after: Rows) -> None:
    specimen = pen.specimen
    new = [key for key in after if key not in before]
    removed, changed = ({pen.keys[n] for n in numbers} for numbers in (verb.removes, verb.changes))
    assert set(before) - set(after) == removed
    values = specimen.set if verb.sets else specimen.change
    check_added(specimen, verb, [after[key] for key in new])
    for key in before.keys() - removed:
        if key in changed:
            check_changed(specimen, before[key], after[key], {} if verb.sets else specimen.change)
        else:
            assert after[key] == before[key]
    if isinstance(result, int):
        assert result == len(verb.rows)
        return
    entities = result if isinstance(result, list) else [result]
    assert len(entities) == len(verb.rows)
    for entity in entities:
        stored = (before if verb.removes else after)[identity(entity)]
        seen = everything(entity)
        assert seen == {name: stored[name] for name in seen}
        # What was not set is not there, and is None without being loaded.
        unset = expected(inspect(entity).mapper) - seen.keys()
        assert {name: getattr(entity, name) for name in unset} == {name: stored[name] for name in unset}
        if verb.changes:
            for name in values.keys() - inspect(entity).unloaded:
                assert getattr(entity, name) == values[name]
        check_not_loaded(entity)


def check_added(specimen: Specimen, verb: Verb, rows: list[dict[str, Any]]) -> None:
    assert len(rows) == len(verb.adds)
    for n in verb.adds:
        given = specimen.row(n) if "mapping" in verb.name else everything(specimen.entity(n))
        assert any(given.items() <= row.items() for row in rows), (given, rows)


def check_changed(specimen: Specimen, before: dict[str, Any], after: dict[str, Any], values: Any) -> None:
    if not values:
        return  # which columns are behind other attributes is for the model to know
    unmoved = before.keys() - specimen.moves - values.keys()
    assert {name: after[name] for name in values} == dict(values)
    assert {name: after[name] for name in unmoved} == {name: before[name] for name in unmoved}


async def test_entities_live_on_as_those_of_sqlalchemy(pen: Pen) -> None:
    """An entity can be pickled, changed, put into a session, read again and expired as one that SQLAlchemy has read."""
    for n in range(2):
        ours = await pen.repo.get_one(pen.key(n))
        check_not_loaded(pickled(ours))
        lived = await pen.plainly(partial(live, pen, n, ours))
        assert lived == await pen.plainly(partial(live, pen, n, None))


def live(pen: Pen, n: int, entity: Any, own: Session) -> list[Any]:
    """The life of an entity, or of the one that plain SQLAlchemy reads."""
    if entity is None:
        entity = own.get(pen.specimen.model, pen.keys[n], options=polymorphic(pen.specimen.mapper))
        own.expunge_all()
    return life(own, entity, pen.specimen.change)
