"""How many statements each verb sends: the tables in `docs/repositories.md`, compared with what is really sent."""

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Integer, event, func, select, text

from repo import Database, Repository, Scope, Stream, Transaction, gather
from repo.testing import queries
from tests.interleaved import settle
from tests.models import SCOPES, WRITING_SCOPES, User, Users, opened

DOCS = (Path(__file__).parents[1] / "docs" / "repositories.md").read_text()
ROW = re.compile(r"^\| (`.+`) \| (\d+) \| (\d+) \|", re.MULTILINE)
CALL = re.compile(r"`(.+?)`")

Case = Callable[[Users, User], Awaitable[object]]
"""A call, and a user that is stored already."""


async def whole(stream: Stream[Any]) -> None:
    """Read a stream to its end, in chunks of one."""
    async for _ in stream:
        pass


READS: Mapping[str, Case] = {
    "get(1)": lambda users, _: users.get(1),
    "get_one(1)": lambda users, _: users.get_one(1),
    "gather(get(1), get(2), get(3))": lambda users, _: gather(*(users.get(key) for key in (1, 2, 3))),
    "get_many([1, 2, 3])": lambda users, _: users.get_many([1, 2, 3]),
    "one(User.id == 1)": lambda users, _: users.one(User.id == 1),
    "one_or_none(User.id == 1)": lambda users, _: users.one_or_none(User.id == 1),
    "first()": lambda users, _: users.first(),
    "all()": lambda users, _: users.all(),
    "stream()": lambda users, _: whole(users.stream(chunk=1)),
    "exists()": lambda users, _: users.exists(),
    "count()": lambda users, _: users.count(),
    "page()": lambda users, _: users.page(),
    "page(total=True)": lambda users, _: users.page(total=True),
    "get(1, load=User.orders)": lambda users, _: users.get(1, load=User.orders),
    "all(load=[User.orders, User.team])": lambda users, _: users.all(load=[User.orders, User.team]),
    "load(user, User.orders)": lambda users, user: users.load(user, User.orders),
    "scope.scalars(select(User))": lambda users, _: users.scope.scalars(select(User)),
    "scope.scalar(select(func.count()))": lambda users, _: users.scope.scalar(select(func.count())),
    "scope.rows(select(User))": lambda users, _: users.scope.rows(select(User)),
    "scope.execute(select(User))": lambda users, _: users.scope.execute(select(User)),
    "scope.stream(select(User))": lambda users, _: whole(users.scope.stream(select(User), chunk=1)),
    "scope.page(select(User))": lambda users, _: users.scope.page(select(User)),
    "scope.page(select(User), total=True)": lambda users, _: users.scope.page(select(User), total=True),
}
WRITES: Mapping[str, Case] = {
    "add(user)": lambda users, _: users.add(User(name="new")),
    "update(user, age=5)": lambda users, user: users.update(user, age=5),
    "update(1, age=5)": lambda users, _: users.update(1, age=5),
    "update(user)": lambda users, user: users.update(user),
    "delete(user)": lambda users, user: users.delete(user),
    "delete(1)": lambda users, _: users.delete(3),
    "update_where(User.id == 1, values={...})": lambda users, _: users.update_where(User.id == 1, values={"age": 5}),
    "update_where(..., returning=True)": lambda users, _: users.update_where(
        User.active, values={"age": 5}, returning=True
    ),
    "delete_where(User.id == 1)": lambda users, _: users.delete_where(User.id == 3),
    "delete_where(..., returning=True)": lambda users, _: users.delete_where(User.id == 3, returning=True),
    "update_many([a, b, c])": lambda users, _: users.update_many({"id": key, "age": key} for key in (1, 2, 3)),
    "add_many([a, b, c])": lambda users, _: users.add_many(map(named, "abc")),
    "add_many([a, b, c], returning=True)": lambda users, _: users.add_many(map(named, "abc"), returning=True),
    'upsert(user, on="name")': lambda users, user: users.upsert(User(name=user.name, age=5), on="name"),
    'upsert_many([a, b, c], on="name")': lambda users, _: users.upsert_many(map(named, "abc"), on="name"),
    'get_or_add(stored, on="name")': lambda users, user: users.get_or_add(User(name=user.name), on="name"),
    'get_or_add(new, on="name")': lambda users, _: users.get_or_add(User(name="new"), on="name"),
}


def named(name: str) -> Mapping[str, str]:
    """A row of a user."""
    return {"name": name}


def documented(name: str) -> dict[str, int]:
    """The numbers that the tables give for a database."""
    rows = ((row[1], int(row[2 if name == "sqlite" else 3])) for row in ROW.finditer(DOCS))
    return {call: number for calls, number in rows for call in CALL.findall(calls)}


@pytest.mark.parametrize("kind", WRITING_SCOPES)
async def test_what_is_written(shop: Database, kind: str) -> None:
    """Each verb that writes sends as many statements as the docs say, through every scope."""
    sent = {call: await count(shop, kind, case) for call, case in WRITES.items()}
    told = documented(shop.dialect.name)
    assert sent == {call: number for call, number in told.items() if call in WRITES}


@pytest.mark.parametrize("kind", SCOPES)
async def test_what_is_read(shop: Database, kind: str) -> None:
    """Each verb that reads, and each statement of the user's, sends as many as the docs say, through every scope."""
    cases = {call: case for call, case in READS.items() if not call.startswith("gather") or kind in BATCHING}
    sent = {call: await count(shop, kind, case) for call, case in cases.items()}
    told = documented(shop.dialect.name)
    assert sent == {call: number for call, number in told.items() if call in sent}


BATCHING = ("database", "snapshot")
"""Where `get`s of the same turn are one statement."""


async def count(db: Database, kind: str, case: Case) -> int:
    """How many statements a call sends through a scope of this kind, on rows that are there each time."""
    await Users(db).delete_where(User.id > 2)
    user = await Users(db).add(User(id=3, name="Alan"))
    async with opened(db, kind) as scope:
        users = Users(scope)
        with queries(db) as sent:
            await case(users, user)
    return len(sent)


def test_the_tables_are_complete() -> None:
    """The docs speak of just the calls that are tried here, and of every verb."""
    tried = {**READS, **WRITES}
    assert documented("sqlite").keys() == tried.keys()
    names = {call.partition("(")[0] for call in tried}
    assert verbs(Repository) | {f"scope.{verb}" for verb in verbs(Scope) - {"perform", "share"}} <= names


def verbs(cls: type) -> set[str]:
    """The public methods of a class that are awaited."""
    return {name for name, method in inspect.getmembers(cls, inspect.iscoroutinefunction) if name[0] != "_"}


async def test_what_begins_and_ends_a_transaction(shop: Database) -> None:
    """A call that is one statement of the driver's is without BEGIN and COMMIT, and a transaction has them once."""
    users = Users(shop)
    cases: Mapping[str, tuple[Callable[[], Awaitable[object]], list[str]]] = {
        "get": (lambda: users.get(1), []),
        "exists": (lambda: users.exists(User.active), []),
        "page": (users.page, []),
        "scalars": (lambda: shop.scalars(select(User)), []),
        "add": (lambda: users.add(User(name="x")), []),
        "update": (lambda: users.update(1, age=1), []),
        "delete": (lambda: users.delete(3), []),
        "update_where": (lambda: users.update_where(User.id == 1, values={"age": 2}), ["BEGIN", "COMMIT"]),
        "update_many": (lambda: users.update_many([{"id": 1, "age": 1}]), ["BEGIN", "COMMIT"]),
        "transaction": (lambda: shop.transact(several), ["BEGIN", "COMMIT"]),
    }
    for name, (call, expected) in cases.items():
        async with around(shop) as sent:
            await call()
        assert (name, sent) == (name, expected)


async def several(tx: Transaction) -> None:
    """A transaction of three calls."""
    await Users(tx).get(1)
    await Users(tx).add(User(name="y"))
    await Users(tx).update(1, age=2)


@asynccontextmanager
async def around(db: Database) -> AsyncIterator[list[str]]:
    """What begins and ends transactions, by the drivers' own word."""
    sent: list[str] = []

    def note(statement: Any) -> None:
        word = getattr(statement, "query", statement).replace(";", " ").split()[0]
        if word in ("BEGIN", "COMMIT", "ROLLBACK"):
            sent.append(word)

    def listen(connection: Any, *_: Any) -> None:
        driver = connection.driver_connection
        if db.dialect.remote:
            driver.add_query_logger(note)
        else:
            driver._conn.set_trace_callback(note)

    event.listen(db.engine.sync_engine, "checkout", listen)
    yield sent
    event.remove(db.engine.sync_engine, "checkout", listen)
    await asyncio.sleep(0)  # asyncpg tells its loggers a moment later


async def test_exists_stops_at_the_first_row(shop: Database) -> None:
    """`exists` looks at no further row once it has found one; `count`, for comparison, looks at all."""
    await settle()
    looked_at = await counting(shop)
    looks = func.looked(User.id, type_=Integer) > 0
    assert await Users(shop).exists(looks)
    assert await looked_at() == 1
    assert await Users(shop).count(looks) == 3
    assert await looked_at() == 1 + 3


async def counting(db: Database) -> Callable[[], Awaitable[int]]:
    """Make an SQL function `looked`, which gives what it gets; how often it was called."""
    if db.dialect.remote:
        await db.execute(text("CREATE SEQUENCE looks"))
        body = "SELECT $1 + 0 * nextval('looks')::int"
        await db.execute(text(f"CREATE FUNCTION looked(int) RETURNS int VOLATILE LANGUAGE sql AS $${body}$$"))

        async def looked_at() -> int:
            return await db.scalar(text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM looks")) or 0

        return looked_at
    looks: list[int] = []

    def looked(key: int) -> int:
        looks.append(key)
        return key

    def teach(connection: Any, *_: Any) -> None:
        connection.run_async(lambda driver: driver.create_function("looked", 1, looked))

    event.listen(db.engine.sync_engine, "checkout", teach)

    async def number() -> int:
        return len(looks)

    return number
