"""Optimistic locking: whoever writes what others have changed since is told which row, and in which version it was."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from sqlalchemy import FetchedValue, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, NotFound, Repository, StaleData, Transaction, UsageError
from tests.mistakes import caught, transacted
from tests.versioned import (
    TRIGGERS,
    ByHand,
    ByHands,
    Chained,
    Chaineds,
    Counted,
    Counteds,
    Drawns,
    Letters,
    Part,
    Plain,
    Plains,
    Triggereds,
    Versioned,
)

Rows = Repository[Any]
REPOSITORIES: dict[str, tuple[type[Rows], dict[str, Any]]] = {
    "counted": (Counteds, {"id": 1}),
    "drawn": (Drawns, {"id": 1}),
    "chained": (Chaineds, {"id": 1}),
    "triggered": (Triggereds, {"id": 1}),
    "in two tables": (Letters, {"shelf": "A", "id": 1}),
}


@pytest.fixture
async def made(db: Database) -> Database:
    """A database with these tables."""
    await db.create_all(Versioned.metadata)
    for sql in TRIGGERS[db.dialect.name]:
        await db.execute(text(sql))
    return db


@dataclass(frozen=True, slots=True)
class Case:
    """One row of a model."""

    kind: type[Rows]
    names: dict[str, Any]
    """Its key, by names."""
    db: Database

    @property
    def rows(self) -> Rows:
        """The repository over the `Database`."""
        return self.kind(self.db)

    @property
    def key(self) -> Any:
        """Its key."""
        values = tuple(self.names.values())
        return values if len(values) > 1 else values[0]

    @property
    def where(self) -> list[Any]:
        """The condition for it."""
        return [getattr(self.kind.model, name) == value for name, value in self.names.items()]

    async def version(self) -> Any:
        """As it is stored now."""
        return (await self.rows.get_one(self.key)).version


@pytest.fixture(params=REPOSITORIES)
async def case(request: pytest.FixtureRequest, made: Database) -> Case:
    """A row of each model."""
    kind, names = REPOSITORIES[request.param]
    await kind(made).add(kind.model(**names, title="first"))
    return Case(kind, names, made)


async def test_every_write_makes_a_version(case: Case) -> None:
    """No way to change a row leaves its version, and what comes back has the one that is stored."""
    rows, seen = case.rows, [await case.version()]

    async def note(entity: Any = None) -> None:
        seen.append(await case.version())
        assert entity is None or entity.version == seen[-1]

    await note(await rows.update(await rows.get_one(case.key), title="a"))
    await note(await rows.update(case.key, title="b"))
    assert await rows.update_where(*case.where, values={"title": "c"}) == 1
    await note()
    (entity,) = await rows.update_where(*case.where, values={"title": "d"}, returning=True)
    await note(entity)
    assert await rows.update_many([{**case.names, "title": "e"}]) == 1
    await note()
    async with case.db.transaction() as tx:
        entity = await case.kind(tx).get_one(case.key)
        entity.title = "f"
        await case.kind(tx).update_where(*case.where, values={"title": "g"})
        await case.kind(tx).update(entity, title="h")
    await note(entity)
    assert len(set(seen)) == len(seen)


Stale = Callable[[Case, Any, Rows], Awaitable[object]]


async def _newer(case: Case, old: Any, rows: Rows) -> None:
    await rows.update(await rows.get_one(case.key), title="mine", version=old.version)


STALE: dict[str, Stale] = {
    "update of an entity": lambda case, old, rows: rows.update(old, title="mine"),
    "delete of an entity": lambda case, old, rows: rows.delete(old),
    "update by key": lambda case, old, rows: rows.update(case.key, title="mine", version=old.version),
    "update by key of nothing": lambda case, old, rows: rows.update(case.key, version=old.version),
    "update_many": lambda case, old, rows: rows.update_many([{**case.names, "title": "mine", "version": old.version}]),
    "update of a newer entity": _newer,
}


@pytest.mark.parametrize("scope", ["database", "transaction", "session"])
async def test_a_row_in_another_version_is_stale(case: Case, scope: str) -> None:
    """The error names the entity, its key and the version that was expected; nothing is written."""
    for name, verb in STALE.items():
        old = await case.rows.get_one(case.key)
        theirs = await case.rows.update(case.key, title=f"theirs, {name}")
        error = await caught(_within(case, scope, partial(verb, case, old)))
        assert type(error) is StaleData
        model = case.kind.model.__name__
        assert str(error).startswith(f"the {model} with the key {case.key!r} was changed or deleted by someone else")
        assert f"version = {old.version!r}" in str(error)
        stored = await case.rows.get_one(case.key)
        assert (stored.title, stored.version) == (theirs.title, theirs.version)
        assert theirs.version != old.version


async def _within(case: Case, scope: str, work: Callable[[Rows], Awaitable[object]]) -> None:
    """Do it through the scope of that name."""
    if scope == "database":
        await work(case.rows)
    elif scope == "transaction":
        await transacted(case.db, lambda tx: work(case.kind(tx)))
    else:
        async with AsyncSession(case.db.engine, expire_on_commit=False) as session, session.begin():
            await work(case.kind(session))


async def test_a_row_in_the_version_that_is_expected_is_written(case: Case) -> None:
    """Among new values, the version is the one in which the row is expected; it is not what is stored."""
    rows, entity = case.rows, await case.rows.get_one(case.key)
    versions = [entity.version]
    versions.append((await rows.update(case.key, title="a", version=versions[-1])).version)
    entity = await rows.get_one(case.key)
    versions.append((await rows.update(entity, title="b", version=versions[-1])).version)
    assert await rows.update_many([{**case.names, "title": "c", "version": versions[-1]}]) == 1
    versions.append(await case.version())
    assert (await rows.update(case.key, version=versions[-1])).version == versions[-1]
    assert len(set(versions)) == 4
    assert await rows.delete(await rows.get_one(case.key))
    with pytest.raises(NotFound):
        await rows.update(case.key, title="gone", version=versions[-1])


async def test_a_row_that_is_gone_is_stale_for_an_update_and_not_there_for_a_delete(case: Case) -> None:
    """Whoever wants it gone has what he wants."""
    old = await case.rows.get_one(case.key)
    await case.rows.delete(case.key)
    assert await case.rows.delete(old) is False
    with pytest.raises(StaleData, match="changed or deleted"):
        await case.rows.update(old, title="mine")


async def test_a_version_is_no_new_value(case: Case) -> None:
    """`update_where` refuses one, and says where the one that is expected belongs; a new row gets the first one."""
    rows = case.rows
    with pytest.raises(UsageError, match="put it among the conditions"):
        await rows.update_where(*case.where, values={"version": await case.version()})
    if case.kind is Triggereds:
        return  # what the database makes by a default, others may give
    other = {name: value if name == "shelf" else 2 for name, value in case.names.items()}
    first = await rows.add_many([{**other, "title": "new", "version": await case.version()}], returning=True)
    await rows.delete(first[0])
    assert await rows.add_many([{**other, "title": "new", "version": 77}]) == 1
    assert (await rows.all(*[~condition for condition in case.where[-1:]]))[0].version != 77


async def test_a_flush_tells_which_entity_is_stale(made: Database) -> None:
    """Also where the session writes by itself, and where it is another entity than the one that was given."""
    rows = Counteds(made)
    await rows.add(Counted(id=1, title="whole", parts=[Part(id=5, title="part")]))
    whole = await rows.get_one(1, load=Counted.parts)
    await made.execute(text("UPDATE parts_of_counted SET version = 9"))
    whole.title = whole.parts[0].title = "mine"
    error = await caught(rows.update(whole))
    assert str(error).startswith("the Part with the key 5 was changed or deleted by someone else")
    assert (type(error), "version = 1" in str(error), whole.title) == (StaleData, True, "mine")
    await made.execute(text("UPDATE counted SET version_number = 9"))
    for work in (_flushed, _left, _read_in_between, _deleted):
        error = await caught(transacted(made, work))
        assert str(error).startswith("the Counted with the key 1 was changed or deleted by someone else")
        assert (type(error), "version = 9" in str(error)) == (StaleData, True)


async def _overtaken(tx: Transaction) -> Counted:
    """An entity whose row has been changed behind its session."""
    entity = await Counteds(tx).get_one(1)
    await tx.session.run_sync(lambda own: own.connection().execute(text("UPDATE counted SET version_number = 10")))
    entity.title = "mine"
    return entity


async def _flushed(tx: Transaction) -> None:
    await _overtaken(tx)
    await tx.session.flush()


async def _left(tx: Transaction) -> None:
    await _overtaken(tx)


async def _read_in_between(tx: Transaction) -> None:
    await _overtaken(tx)
    await Counteds(tx).all(Counted.title == "mine")


async def _deleted(tx: Transaction) -> None:
    entity = await _overtaken(tx)
    await tx.session.delete(entity)
    await tx.session.flush()


async def test_of_several_entities_all_are_named_that_it_can_be(made: Database) -> None:
    """Where one statement writes several rows, the database does not tell which of them it has not found."""
    await Counteds(made).add_many([{"id": n, "title": "first"} for n in (1, 2, 3)])

    async def work(tx: Transaction) -> None:
        first, second, _ = await Counteds(tx).get_many([1, 2, 3])
        await tx.session.run_sync(lambda own: own.connection().execute(text("UPDATE counted SET version_number = 7")))
        first.title = second.title = "mine"
        await tx.session.flush()

    error = await caught(transacted(made, work))
    assert type(error) is StaleData
    assert str(error).startswith("a Counted with one of the keys 1, 2 was changed or deleted by someone else")


async def test_a_row_without_a_version_that_is_gone_is_not_found(made: Database) -> None:
    """A flush that finds no row for an entity says which one."""
    entity = await Plains(made).add(Plain(id=4, title="first"))
    await Plains(made).delete(4)
    with pytest.raises(NotFound, match="no Plain with the key 4"):
        await Plains(made).update(entity, title="mine")


async def test_versions_by_hand(made: Database) -> None:
    """Where nobody else makes the versions, the one among the new values is the new one; an entity's is checked."""
    rows = ByHands(made)
    mine, theirs = await rows.add(ByHand(id=1, title="first", version=1)), await rows.get_one(1)
    assert (await rows.update(theirs, title="theirs", version=2)).version == 2
    error = await caught(rows.update(mine, title="mine", version=2))
    assert (type(error), "version = 1" in str(error)) == (StaleData, True)
    assert (await rows.update(1, version=3)).version == 3
    assert await rows.update_many([{"id": 1, "version": 4}]) == 1
    assert await rows.update_where(ByHand.id == 1, values={"version": 5}) == 1
    assert (await rows.get_one(1)).version == 5


async def test_the_version_that_every_row_of_postgres_has(made: Database) -> None:
    """A system column can be the version, and nothing has to make it."""
    if made.dialect.name != "postgresql":
        pytest.skip("feature: a version that each row has by itself")

    class Base(DeclarativeBase):
        """Only this table."""

    class Xmin(Base):
        __tablename__ = "with_xmin"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        xmin: Mapped[int] = mapped_column(system=True, server_default=FetchedValue())
        __mapper_args__ = {"version_id_col": xmin, "version_id_generator": False}

    class Xmins(Repository[Xmin]):
        """Rows with their xmin."""

    await made.create_all(Base.metadata)
    await Xmins(made).add(Xmin(id=1, title="first"))
    old = await Xmins(made).get_one(1)
    theirs = await Xmins(made).update(1, title="theirs", xmin=old.xmin)
    assert theirs.xmin == (await Xmins(made).get_one(1)).xmin != old.xmin
    for stale in (Xmins(made).update(old, title="mine"), Xmins(made).update(1, title="mine", xmin=old.xmin)):
        assert f"xmin = {old.xmin}" in str(await caught(stale))
    assert await Xmins(made).delete(theirs)


async def test_versions_that_are_chained_cannot_be_upserted(made: Database) -> None:
    """The next one is made of the last one, which nobody reads there; with others, an upsert makes a new one."""
    with pytest.raises(UsageError, match="version"):
        await Chaineds(made).upsert(Chained(id=1, title="a"), on="id")
    for repository in (Counteds, Drawns, Triggereds):
        rows: Any = repository(made)
        await rows.upsert(rows.model(id=1, title="a"), on="id")
        before = (await rows.get_one(1)).version
        assert (await rows.upsert(rows.model(id=1, title="b"), on="id")).version != before
