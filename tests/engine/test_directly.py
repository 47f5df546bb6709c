"""The short way: what takes it, what does not, how that is told, and what of SQLAlchemy's it rests on."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, func, insert, inspect, select, text, update
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, selectinload

from repo import Database, NotFound, Repository, UniqueViolation, gather
from repo.dialects.postgresql import beginning
from repo.engine import hydration
from repo.engine.lending import _EVENTS, is_watched
from repo.engine.plans import Plan, Plans, signature
from repo.events import Event, LongWay
from repo.testing import queries
from tests.models import Document, Documents, Order, Stamped, User, Users, opened, stocked


class StampedRows(Repository[Stamped]): ...


@pytest.fixture
async def told() -> list[LongWay]:
    return []


@pytest.fixture
async def hooked(url: str, told: list[LongWay]) -> AsyncIterator[Database]:
    """The shop, in a `Database` with a hook that keeps what goes the long way."""

    def hook(given: Event) -> None:
        if isinstance(given, LongWay):
            told.append(given)

    async with Database(url, hooks=[hook]) as db:
        await stocked(db)
        yield db


@contextmanager
def executed_by_sqlalchemy() -> Iterator[list[str]]:
    """What SQLAlchemy has a driver execute about the shop, seen where it makes no difference: not by an event."""
    seen: list[str] = []
    original: Any = DefaultDialect.do_execute

    def execute(self: Any, cursor: Any, statement: str, *args: Any) -> None:
        if "users" in statement or "documents" in statement:
            seen.append(statement)
        original(self, cursor, statement, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DefaultDialect, "do_execute", execute)
        yield seen


READS: dict[str, Any] = {
    "get": lambda users: users.get(1),
    "gathered gets": lambda users: gather(*(users.get(n) for n in (1, 2, 3))),
    "get_many": lambda users: users.get_many([3, 1]),
    "all": lambda users: users.all(User.name.in_(["Ada", "Alan"]), order_by=User.name.desc(), limit=2, offset=0),
    "first": lambda users: users.first(User.orders.any()),
    "one": lambda users: users.one(User.name == "Ada"),
    "exists": lambda users: users.exists(User.age > 40),
    "count": lambda users: users.count(),
    "scalars": lambda users: users.scope.scalars(select(User).where(User.id < 3)),
    "scalar": lambda users: users.scope.scalar(select(func.max(User.age))),
}


@pytest.mark.parametrize("read", READS)
async def test_plain_reads_go_the_short_way(hooked: Database, told: list[LongWay], read: str) -> None:
    """A read of a plain model is run by the driver itself, on a `Database`, in a snapshot and in a transaction."""
    users = Users(hooked)
    expected = await READS[read](users)
    with executed_by_sqlalchemy() as executed, queries(hooked, at_most=1) as sent:
        again = await READS[read](users)
    assert (executed, len(sent), told) == ([], 1, [])
    assert names(again) == names(expected)
    async with hooked.snapshot() as snapshot, hooked.transaction(read_only=True) as tx:
        with executed_by_sqlalchemy() as executed:
            results = [await READS[read](users.using(scope)) for scope in (snapshot, tx)]
    assert executed == []
    assert [names(result) for result in results] == [names(expected)] * 2


def names(result: Any) -> Any:
    """A result by the names of the users in it."""
    if isinstance(result, list | tuple):
        return [names(each) for each in result]
    return result.name if isinstance(result, User) else result


async def test_rows_go_the_short_way(hooked: Database) -> None:
    """Rows do so from the second time on, when it is known what their columns are called."""
    statement = select(User.id, User.name, func.coalesce(User.age, 0).label("age")).order_by(User.id)
    first = await hooked.rows(statement)
    with executed_by_sqlalchemy() as executed:
        second = await hooked.rows(statement)
        dicts: list[dict[str, Any]] = await hooked.rows(statement, into=dict)
    assert executed == []
    assert first == second
    assert [row._mapping[User.name] for row in second] == [row.name for row in first]
    assert dicts == [row._asdict() for row in first]


@pytest.mark.parametrize("into", [dict, lambda **values: [*values.items()], None], ids=["dict", "function", "rows"])
async def test_rows_become_the_same(hooked: Database, into: Any) -> None:
    """What becomes of rows is the same on both ways, also of columns that have the same name, and of entities."""
    joined = select(User.id, Order.id, User.id, User.name.label("a name")).where(User.id == Order.user_id)
    plain = select(User.active, User.name, User.id).where(User.id > 1)
    for statement in (joined.order_by(User.id, Order.id), plain.order_by(User.id.desc()), plain.order_by(User.id)):
        first = await hooked.rows(statement, into=into)
        with executed_by_sqlalchemy() as executed:
            second = await hooked.rows(statement, into=into)
        assert executed == []
        assert first == second
        assert [*map(type, first)] == [*map(type, second)]
    entities = [await hooked.rows(select(User).order_by(User.id), into=into) for _ in range(2)]
    assert [[*map(type, each)] for each in entities] == [[type(entities[0][0])] * len(entities[0])] * 2


async def test_values_are_not_kept(hooked: Database) -> None:
    """A plan keeps no value of the call that it was made for."""
    users = Users(hooked)
    for name in ("Ada", "Grace", "Ada"):
        assert (await users.one(User.name == name)).name == name
        assert [user.name for user in await users.all(User.name.in_([name]))] == [name]
        assert [user.name for user in await users.all(User.name.in_([name, "x", "y"]))] == [name]
    assert await users.count(User.age.between(80, 90)) == 1
    assert await users.count(User.age.between(30, 90)) == 2


@pytest.mark.parametrize("kind", ["database", "transaction"])
async def test_writes_of_one_row_go_the_short_way(hooked: Database, told: list[LongWay], kind: str) -> None:
    """``add``, ``update`` and ``delete`` of a plain model are one statement of the driver's, also in a transaction."""
    async with opened(hooked, kind) as scope:
        users, documents = Users(scope), Documents(scope)
        with executed_by_sqlalchemy() as executed:
            ada = await users.add(User(name="Edsger"))
            assert (ada.active, ada.age) == (True, None)
            await users.update(ada, age=70)
            ada.nickname = "E"
            await users.update(ada)
            assert (await users.update(2, age=User.age + 1)).age == 86
            draft = await documents.add(Document(title="draft"))
            await documents.update(draft, title="final")
            assert draft.version == 2
            assert await documents.delete(draft)
            assert not await users.delete(99)
        found = await users.get_one(ada.id)
        assert (found.name, found.age, found.nickname) == ("Edsger", 70, "E")
    assert executed == []
    assert told == []


class Own(DeclarativeBase):
    """A base of its own."""


class Touched(Own):
    """What it gets at each change is made by Python, or is always the same."""

    __tablename__ = "touched"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    made: Mapped[int | None] = mapped_column(onupdate=lambda: 99)
    same: Mapped[int | None] = mapped_column(onupdate=42)


class TouchedRows(Repository[Touched]): ...


@pytest.mark.parametrize("kind", ["database", "transaction"])
async def test_what_a_change_makes_is_written(db: Database, kind: str) -> None:
    """``onupdate=`` holds for a change by key as for one of an entity, and what is given wins."""
    await db.create_all(Own.metadata)
    one, two = await TouchedRows(db).add_many([{"name": "a"}, {"name": "b"}], returning=True)
    async with opened(db, kind) as scope:
        rows = TouchedRows(scope)
        changed = [
            await rows.update(one.id, name="c"),
            await rows.update(two, name="d"),
            *await gather(rows.update(one.id, same=1), rows.update(two.id, name="e")),
        ]
    assert [(each.made, each.same) for each in changed[1:]] == [(99, 42), (99, 1), (99, 42)]
    assert [(each.name, each.made, each.same) for each in await TouchedRows(db).all()] == [
        ("c", 99, 1),
        ("e", 99, 42),
    ]


async def test_a_plan_makes_no_value(hooked: Database) -> None:
    """There is no plan for a statement of which SQLAlchemy makes values each time that it is executed."""
    plans = Plans(hooked.engine.dialect, ())
    assert isinstance(plans.plan(update(Touched).values(name="x"), []), str)
    assert isinstance(plans.plan(insert(Touched).values(name="x"), []), Plan)


async def test_an_upsert_through_the_database_goes_the_short_way(hooked: Database, told: list[LongWay]) -> None:
    """It is one statement of the driver's, whether the row is there or not; another unique key in the way is told."""
    users = Users(hooked)
    with executed_by_sqlalchemy() as executed, queries(hooked) as sent:
        changed = await users.upsert(User(name="Ada", age=40), on="name")
        added = await users.upsert(User(name="Edsger"), on=User.name)
    assert executed == []
    assert [statement.split()[0] for statement in sent] == ["INSERT", "INSERT"]
    assert (changed.id, changed.age, added.active, inspect(added).detached) == (1, 40, True, True)
    assert [user.age for user in await users.all(User.name.in_(["Ada", "Edsger"]))] == [40, None]
    with pytest.raises(UniqueViolation) as caught:
        await users.upsert(User(id=1, name="Kurt"), on="name")
    assert caught.value.constraint == "pk_users"
    assert told == []


async def test_a_list_goes_in_the_short_way(hooked: Database) -> None:
    """A list of rows that are alike is stored by one call of the driver's; a row that is refused is told as ever."""
    users, few = Users(hooked), [{"name": f"user {n}"} for n in range(600)]
    with executed_by_sqlalchemy() as executed:
        assert await users.add_many(few) == 600
        assert await users.add_many([User(name="one"), User(name="more")]) == 2
    assert (executed, await users.count()) == ([], 605)
    taken, told = [{"id": 9000, "name": "new"}, {"id": 1, "name": "old"}], []
    for kind in ("database", "transaction"):
        with pytest.raises(UniqueViolation) as refused:
            async with opened(hooked, kind) as scope:
                await Users(scope).add_many(taken)
        told.append(str(refused.value))
    assert told[0] == told[1]
    assert await users.count() == 605


async def test_what_a_write_finds_out_is_told_as_on_the_long_way(hooked: Database) -> None:
    """Where a row is refused, or is not there, the error is the same, and the entity is as before."""
    users = Users(hooked)
    ada, other = await users.get_one(1), await users.get_one(2)
    with pytest.raises(UniqueViolation) as caught:
        await users.update(other, name="Ada")
    assert (caught.value.constraint, caught.value.table, caught.value.columns) == ("uq_users_name", "users", ("name",))
    assert other.name == "Grace"
    new = User(name="Ada")
    with pytest.raises(UniqueViolation):
        await users.add(new)
    assert inspect(new).transient
    await users.delete(1)
    with pytest.raises(NotFound):
        await users.update(ada, age=1)
    assert ada.age == 36


async def test_what_goes_the_long_way_is_told_once(hooked: Database, told: list[LongWay]) -> None:
    """A model of which more has to be done than a statement is told to the hooks, once, with the reason."""
    for name in ("a", "b"):
        await StampedRows(hooked).add(Stamped(name=name))
    assert [(event.subject, event.reason) for event in told] == [
        ("Stamped", "seen is left to a trigger, of which RETURNING does not know")
    ]


async def test_who_listens_to_sqlalchemy_hears_everything(hooked: Database) -> None:
    """As long as somebody listens to what the engine executes, or to sessions, all goes through SQLAlchemy."""
    heard: list[str] = []

    def listen(*args: Any) -> None:
        heard.append(args[2])

    event.listen(hooked.engine.sync_engine, "before_cursor_execute", listen)
    await Users(hooked).get(1)
    await Users(hooked).all()
    assert len(heard) == 2
    event.remove(hooked.engine.sync_engine, "before_cursor_execute", listen)
    await Users(hooked).get(1)
    assert len(heard) == 2


@pytest.mark.parametrize("name", _EVENTS)
async def test_a_global_listener_is_noticed_as_long_as_it_is_there(hooked: Database, name: str) -> None:
    """Whatever an application wants to be told by all sessions, nothing goes the short way meanwhile."""

    def listen(*_: Any) -> None: ...

    assert not is_watched(hooked.engine)
    event.listen(Session, name, listen)
    try:
        assert is_watched(hooked.engine)
    finally:
        event.remove(Session, name, listen)
    assert not is_watched(hooked.engine)


async def test_a_log_is_noticed_as_long_as_it_is_kept(hooked: Database) -> None:
    """Who has SQLAlchemy log its statements gets all of them, from the moment on in which the level is changed."""
    log = logging.getLogger("sqlalchemy.engine")
    before = log.level
    assert not is_watched(hooked.engine)
    log.setLevel(logging.INFO)
    try:
        assert is_watched(hooked.engine)
    finally:
        log.setLevel(before)
    assert not is_watched(hooked.engine)


async def test_both_ways_share_a_connection(hooked: Database, url: str) -> None:
    """A call on either way takes the connection that one on the other has just given back: there is no second one."""
    made: list[object] = []
    async with Database(url) as db:
        event.listen(db.engine.sync_engine, "connect", lambda *_: made.append(_))
        for _ in range(3):
            await db.scalar(text("SELECT 1"))
            assert await Users(db).exists()
            assert await Users(db).get(1)
    assert len(made) == 1


async def test_a_global_listener_of_sessions_is_heard(hooked: Database) -> None:
    """A criterion that an application adds to every query of its sessions is added to those of repositories."""

    def narrow(state: Any) -> None:
        state.statement = state.statement.where(User.id == 1)

    event.listen(Session, "do_orm_execute", narrow)
    try:
        assert [user.id for user in await Users(hooked).all()] == [1]
    finally:
        event.remove(Session, "do_orm_execute", narrow)
    assert len(await Users(hooked).all()) == 3


async def test_entities_in_a_session_stay_what_they_are(hooked: Database) -> None:
    """In a transaction a row that was read before is the same entity, and a change that waits is written first."""
    async with hooked.transaction() as tx:
        users = Users(tx)
        ada = await users.get_one(1)
        with queries(hooked, at_most=0):
            assert await users.get(1) is ada
        assert (await users.all(User.id == 1))[0] is ada
        ada.age = 37
        assert await users.count(User.age == 37) == 1
        assert (await tx.scalars(select(User).where(User.id == 1)))[0] is ada


async def test_options_and_loads_go_the_long_way(hooked: Database) -> None:
    """What brings relationships along is SQLAlchemy's to do."""
    users = Users(hooked)
    with executed_by_sqlalchemy() as executed:
        assert len((await users.get_one(1, load=User.orders)).orders) == 2
        (ada,) = await hooked.scalars(select(User).where(User.id == 1).options(selectinload(User.orders)))
        assert len(ada.orders) == 2
    assert len(executed) >= 2


async def test_a_change_while_an_entity_is_added_is_not_lost(hooked: Database) -> None:
    """What another task sets meanwhile is a change of what was stored."""
    user = User(name="Edsger")

    async def meanwhile() -> None:
        user.age = 70

    users = Users(hooked)
    await gather(users.add(user), meanwhile())
    await users.update(user)
    assert (await users.get_one(user.id)).age == 70


def test_what_it_rests_on_is_there() -> None:
    """The parts of SQLAlchemy that are private, without which all would go the long way, are where they were."""
    statement = select(User.id).where(User.name == "Ada")
    signed = signature(statement)
    assert signed is not None
    assert signed.values == ["Ada"]
    assert hydration.can_tell(Session())
    compiled = statement.compile()
    assert all(hasattr(compiled, name) for name in ("_bind_processors", "_result_columns", "post_compile_params"))


async def test_begin_is_sent_by_what_it_rests_on(hooked: Database) -> None:
    """So is the function by which SQLAlchemy's connection to a server sends BEGIN."""
    if not hooked.dialect.remote:
        pytest.skip("feature: a BEGIN that SQLAlchemy keeps for later")
    async with hooked.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        assert hasattr(raw.dbapi_connection, beginning.BEGINS_BY)


async def test_plans_are_forgotten(hooked: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many plans are kept, and those that were not used go first."""
    plans = hooked.plans
    assert isinstance(plans, Plans)
    monkeypatch.setattr("repo.engine.plans.PLANS", 3)
    for n in range(1, 9):
        await Users(hooked).count(User.id.in_(range(n)), *[User.id > 0] * n)
    assert len(plans._kept) <= 3
