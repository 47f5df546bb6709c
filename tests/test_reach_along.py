"""What SQLAlchemy reads and writes along with a repository's rows is in its reach, too."""

import pickle
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import pytest
from sqlalchemy import Column, ForeignKey, MetaData, Table, func, insert, select, text, true
from sqlalchemy.event import listen
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    aliased,
    column_property,
    immediateload,
    joinedload,
    lazyload,
    mapped_column,
    relationship,
    selectinload,
    subqueryload,
)

from repo import Database, Repository, Scope, UsageError
from repo.model import NAMING_CONVENTION
from tests.models import SCOPES, WRITING_SCOPES, opened

AnyScope = Scope | AsyncSession


class Base(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Firm(Base):
    """A tenant."""

    __tablename__ = "firms"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="")


holders = Table(
    "holders",
    Base.metadata,
    Column("person_id", ForeignKey("people.id"), primary_key=True),
    Column("badge_id", ForeignKey("badges.id"), primary_key=True),
)


class Task(Base):
    """What a person does."""

    __tablename__ = "tasks"
    id: Mapped[int] = mapped_column(primary_key=True)
    firm_id: Mapped[int] = mapped_column(ForeignKey("firms.id"))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    cost: Mapped[int] = mapped_column(default=1)


class Badge(Base):
    """What several people hold."""

    __tablename__ = "badges"
    id: Mapped[int] = mapped_column(primary_key=True)
    firm_id: Mapped[int] = mapped_column(ForeignKey("firms.id"))


class Person(Base):
    """Brings along, with each SELECT, what others ask for."""

    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    firm_id: Mapped[int] = mapped_column(ForeignKey("firms.id"))
    name: Mapped[str] = mapped_column(unique=True)
    stamp: Mapped[int] = mapped_column(server_default="7", onupdate=func.abs(-8))
    boss_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    firm: Mapped[Firm] = relationship()
    boss: Mapped["Person | None"] = relationship(back_populates="team", remote_side="Person.id")
    team: Mapped[list["Person"]] = relationship(
        back_populates="boss", lazy="joined", join_depth=1, order_by="Person.id"
    )
    tasks: Mapped[list[Task]] = relationship(lazy="selectin", order_by=Task.id)
    badges: Mapped[list[Badge]] = relationship(secondary=holders, lazy="immediate", order_by=Badge.id)


Person.cost = column_property(
    select(func.sum(Task.cost)).where(Task.person_id == Person.id).correlate_except(Task).scalar_subquery()
)

M = TypeVar("M")


class OfFirm(Repository[M]):
    """The rows of one firm."""

    def __init__(self, scope: AnyScope, firm: int) -> None:
        super().__init__(scope)
        self.firm = firm

    def condition(self) -> Any:
        return self.model.firm_id == self.firm

    def defaults(self) -> dict[str, Any]:
        return {"firm_id": self.firm}


class People(OfFirm[Person]):
    """People of a firm."""


class Tasks(OfFirm[Task]):
    """Tasks of a firm."""


class AllPeople(Repository[Person]):
    """Everybody."""


class AllTasks(Repository[Task]):
    """All tasks."""


@pytest.fixture
async def house(db: Database) -> Database:
    """Ada (1) of firm 1 and Grace (2) of firm 2, who is in Ada's team, as is Alan (3) of firm 1.

    Each has a task and a badge of each of both firms: the odd numbers belong to firm 1.
    """
    await db.create_all(Base.metadata)
    async with db.transaction() as tx:
        await tx.execute(insert(Firm), [{"id": n} for n in (1, 2)])
        rows = [(1, 1, "Ada", None), (2, 2, "Grace", 1), (3, 1, "Alan", 1)]
        await tx.execute(insert(Person), [{"id": i, "firm_id": f, "name": n, "boss_id": b} for i, f, n, b in rows])
        pairs = [(n, 2 - n % 2, (n + 1) // 2) for n in range(1, 7)]
        await tx.execute(insert(Task), [{"id": i, "firm_id": f, "person_id": p} for i, f, p in pairs])
        await tx.execute(insert(Badge), [{"id": i, "firm_id": f} for i, f, _ in pairs])
        await tx.execute(insert(holders), [{"badge_id": i, "person_id": p} for i, _, p in pairs])
        if db.engine.dialect.name == "postgresql":
            for table in ("people", "tasks", "badges", "firms"):
                await tx.execute(text(f"SELECT setval('{table}_id_seq', 100)"))
    return db


@pytest.fixture(params=SCOPES)
async def scope(request: pytest.FixtureRequest, house: Database) -> AsyncIterator[AnyScope]:
    """Each kind of scope."""
    async with opened(house, request.param) as scope:
        yield scope


@pytest.fixture(params=WRITING_SCOPES)
async def writing(request: pytest.FixtureRequest, house: Database) -> AsyncIterator[AnyScope]:
    """Each kind of scope that writes."""
    async with opened(house, request.param) as scope:
        yield scope


def brought(person: Person) -> list[Any]:
    """What came along with a person."""
    return [
        [task.id for task in person.tasks],
        [badge.id for badge in person.badges],
        [each.name for each in person.team],
        person.__dict__["cost"],
    ]


ADA = [[1], [1], ["Alan"], 1]
"""What comes along with Ada for firm 1."""


async def test_what_a_model_always_loads(scope: AnyScope) -> None:
    """What the mapping itself loads with each SELECT is the tenant's, whichever verb reads."""
    people = People(scope, 1)
    read = [
        await people.get(1),
        (await people.get_many([1]))[0],
        await people.one(Person.name == "Ada"),
        await people.first(Person.name == "Ada"),
        (await people.all())[0],
        (await people.page()).items[0],
    ]
    async with people.stream(load=selectinload(Person.team)) as stream:
        read += [person async for person in stream][:1]
    assert [brought(person) for person in pickle.loads(pickle.dumps(read))] == [ADA] * 7


async def test_what_a_write_brings_along(writing: AnyScope) -> None:
    """What a written row's entity brings along is the tenant's, too."""
    people = People(writing, 1)
    assert brought(await people.update(1, name="Ada L.")) == ADA
    assert brought((await people.update_where(Person.id == 1, values={"name": "Ada M."}, returning=True))[0]) == ADA
    assert brought(await people.upsert(Person(name="Ada M.", boss_id=None), on="name")) == ADA
    assert brought(await people.get_or_add(Person(name="Ada M."), on="name")) == ADA
    ada = await people.get_one(1)
    await people.update(ada, name="Ada")
    assert (brought(ada), ada.stamp) == (ADA, 8)
    assert brought((await people.delete_where(Person.name == "none", returning=True) or [ada])[0]) == ADA
    added = await people.add_many([{"name": "Alonzo", "boss_id": 1}], returning=True)
    assert (added[0].firm_id, brought(added[0])) == (1, [[], [], [], None])


async def test_every_way_to_load(scope: AnyScope) -> None:
    """Each of SQLAlchemy's loaders keeps to the tenant."""
    people = People(scope, 1)
    for loader in (selectinload, joinedload, subqueryload, immediateload):
        options = [loader(Person.tasks), loader(Person.badges), loader(Person.team).options(loader(Person.tasks))]
        ada = await people.get_one(1, load=[*options, lazyload(Person.boss)])
        assert brought(ada) == ADA, loader
        assert [task.id for task in ada.team[0].tasks] == [5]


async def test_what_is_loaded_later(scope: AnyScope) -> None:
    """So does `load`, and so does what an entity in a session loads by itself."""
    people = People(scope, 1)
    ada = await people.get_one(1, load=[lazyload(Person.tasks), lazyload(Person.team)])
    assert brought(await people.load(ada, Person.tasks, Person.team)) == ADA
    if isinstance(scope, AsyncSession):
        scope.expire(ada, ["badges"])
        assert [badge.id for badge in await scope.run_sync(lambda _: ada.badges)] == [1]


async def test_a_statement_with_criteria_is_compiled_once(house: Database) -> None:
    """What a repository adds to a statement does not keep SQLAlchemy from finding it in its cache."""
    hits: list[str] = []

    def note(*event: Any) -> None:
        hits.append(event[4].cache_hit.name)

    listen(house.engine.sync_engine, "before_cursor_execute", note)
    other, names = aliased(Person), []
    for firm in (1, 2):
        statement = People(house, firm).select(other.name).join(other, true()).distinct()
        names.append(sorted(await house.scalars(statement)))
    assert names == [["Ada", "Alan"], ["Grace"]]
    assert hits == ["CACHE_MISS", "CACHE_HIT"]


async def test_what_is_replaced(writing: AnyScope) -> None:
    """A collection that is replaced loses what the repository reaches; the rest of it stays."""
    people = People(writing, 1)
    await people.update(1, tasks=[Task()], team=[])
    everyone = await AllTasks(people.scope).all(Task.person_id == 1, order_by=Task.id)
    assert [(task.id == 2, task.firm_id) for task in everyone] == [(True, 2), (False, 1)]
    assert (await AllPeople(people.scope).get_one(2)).boss_id == 1
    assert (await AllPeople(people.scope).get_one(3)).boss_id is None


async def test_a_tenant_by_a_relationship(writing: AnyScope) -> None:
    """A row does not get another tenant by a relationship either."""
    people = People(writing, 1)
    one, two = [await people.scope.scalar(select(Firm).where(Firm.id == n)) for n in (1, 2)]
    ada = await people.get_one(1)
    for call in (
        people.add(Person(name="x", firm=two)),
        people.add(Person(name="x", firm=Firm())),
        people.update(ada, firm=two),
        people.update(1, firm=two),
        people.update(1, firm=None),
    ):
        with pytest.raises(UsageError, match=r"firm_id cannot get another value"):
            await call
    assert (await people.add(Person(name="x", firm=one))).firm_id == 1
    assert await AllPeople(people.scope).count(Person.firm_id == 2) == 1
