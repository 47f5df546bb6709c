"""`repo.testing.queries`: every statement of a `Database`, however it is sent, and nothing else."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, literal, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from repo import Database, UniqueViolation, UsageError, gather
from repo.testing import queries
from tests.interleaved import settle
from tests.models import Model, Order, Orders, User, Users, opened
from tests.proxy import Proxy


async def test_statements_are_collected_in_order(shop: Database) -> None:
    """Each statement is there once, as it is sent, in the order in which it is sent."""
    with queries(shop) as sent:
        await Users(shop).get(1)
        assert len(sent) == 1
        await Users(shop).update(1, age=37)
        await shop.scalar(text("SELECT 1 AS one"))
    assert [statement.split()[0] for statement in sent] == ["SELECT", "UPDATE", "SELECT"]
    assert sent[2] == "SELECT 1 AS one"
    await Users(shop).get(1)
    assert len(sent) == 3


@pytest.mark.parametrize("kind", ["transaction", "snapshot", "session"])
async def test_what_is_around_the_statements_is_left_out(shop: Database, kind: str) -> None:
    """What begins, ends and sets up a transaction, a savepoint, a snapshot or a session is not collected."""
    with queries(shop, at_most=2) as sent:
        async with opened(shop, kind) as scope:
            await gather(Users(scope).count(), Users(scope).exists())
    assert len(sent) == 2
    with queries(shop, at_most=1) as sent:
        async with shop.transaction(
            isolation="SERIALIZABLE", statement_timeout=60, lock_timeout=60, settings={"app.tenant": "1"}
        ) as tx:
            async with tx.savepoint():
                await Users(tx).count()
            with suppress(ZeroDivisionError):
                async with tx.savepoint():
                    raise ZeroDivisionError
    assert len(sent) == 1


async def test_more_than_expected_is_told(shop: Database) -> None:
    """More statements than `at_most` are an AssertionError that lists them, without values; as many are not."""
    with queries(shop, at_most=3):
        for key in (1, 2, 3):
            await Users(shop).get(key)
    with pytest.raises(AssertionError) as told, queries(shop, at_most=3):
        for name in ("Ada", "Grace", "Alan"):
            await Users(shop).all(User.name == name)
        await shop.scalar(select(literal("x").label("x" * 1000)))
    first, second, third = str(told.value).splitlines()
    assert first == "4 statements were sent, 3 at most were expected:"
    assert second.startswith("  3 x SELECT users.id, users.name,")
    assert third.startswith("  1 x SELECT ")
    assert len(third) < 320
    assert "Grace" not in str(told.value)


async def test_an_error_in_the_block_comes_first(shop: Database) -> None:
    """An error of the block itself is passed on, whatever was sent."""
    with pytest.raises(UniqueViolation), queries(shop, at_most=0) as sent:
        await Users(shop).add(User(name="Ada"))
    assert sent[0].startswith("INSERT")


async def test_for_many_rows_at_once_it_is_one(shop: Database) -> None:
    """A statement that is executed for many rows in one go is one; executed for each of them, it is as many."""
    table = Model.metadata.tables["orders"]
    rows = [{"id": key, "user_id": 1, "total": key} for key in range(100, 150)]
    with queries(shop) as sent:
        await shop.execute(insert(table), rows)
    assert len(sent) == 1
    with queries(shop) as sent:
        for key in range(100, 150):
            await Orders(shop).get(key)
    assert len(sent) == 50


async def test_a_stream_is_one(shop: Database) -> None:
    """However many chunks are read of it, a stream is one statement; so is a batch of gets."""
    with queries(shop, at_most=1):
        assert [user.id async for user in Users(shop).stream(chunk=1)] == [1, 2, 3]
    with queries(shop, at_most=1):
        await gather(*(Users(shop).get(key) for key in range(20)))


async def test_connections_that_are_in_use_already(shop: Database) -> None:
    """Statements are collected of transactions that have begun before the block, and of those that end after it."""
    async with shop.transaction() as tx:
        await Users(tx).get(1)
        with queries(shop) as sent:
            await Users(tx).count()
            reading = shop.transaction(read_only=True)
            other = await reading.__aenter__()
            await Users(other).count()
        assert len(sent) == 2
        await Users(tx).exists()
        await Users(other).exists()
        await reading.__aexit__(None, None, None)
    assert len(sent) == 2


async def test_other_databases_are_not_collected(shop: Database, url: str) -> None:
    """What goes through another `Database` of the same server or file is not there."""
    async with Database(url) as other:
        with queries(shop, at_most=0):
            await Users(other).count()


async def test_blocks_may_be_nested(shop: Database) -> None:
    """Each of several blocks collects what is sent while it runs, whichever ends first."""
    outer, inner = queries(shop), queries(shop)
    with outer as all_of_it:
        await Users(shop).get(1)
        with inner as part:
            await Users(shop).get(2)
        await Users(shop).get(3)
    assert (len(all_of_it), len(part)) == (3, 1)
    first, second = queries(shop), queries(shop)
    one = first.__enter__()
    await Users(shop).get(1)
    two = second.__enter__()
    await Users(shop).get(2)
    first.__exit__(None, None, None)
    await Users(shop).get(3)
    second.__exit__(None, None, None)
    assert (len(one), len(two)) == (2, 2)


async def test_many_tasks_at_once(shop: Database) -> None:
    """Nothing is lost, and nothing is there twice, when all connections of the pool are busy."""
    with queries(shop) as sent:
        await gather(*(Users(shop).all(User.id == key % 3) for key in range(100)))
    assert len(sent) == 100


async def test_afterwards_nothing_is_left(shop: Database) -> None:
    """Connections and the engine are as they were before."""
    dispatch = shop.engine.sync_engine.pool.dispatch
    listeners = [len(list(getattr(dispatch, name))) for name in ("checkout", "checkin")]
    async with shop.transaction() as tx:
        driver = (await (await tx.session.connection()).get_raw_connection()).driver_connection
        before = seam(driver)
        with queries(shop):
            await Users(tx).count()
            assert seam(driver) != before
        assert seam(driver) == before
    assert [len(list(getattr(dispatch, name))) for name in ("checkout", "checkin")] == listeners


def seam(driver: Any) -> object:
    """What stands where `queries` may step between."""
    return type(driver._protocol).__name__ if hasattr(driver, "_protocol") else list(vars(driver._connection))


async def test_a_connection_that_breaks(shop: Database, proxy: Proxy) -> None:
    """A connection that breaks in the block takes nothing with it."""
    async with Database(shop.engine.url.set(port=proxy.port)) as remote:
        with queries(remote) as sent:
            await Users(remote).count()
            proxy.break_off()
            await Users(remote).count()
        assert len(sent) in (2, 3)  # the first that is sent on the broken connection may be told, too
        await Users(remote).count()


ON_POSTGRES: Mapping[str, Callable[[Any], Awaitable[object]]] = {
    "fetch": lambda driver: driver.fetch("SELECT $1::int", 1),
    "fetchrow": lambda driver: driver.fetchrow("SELECT 1"),
    "fetchval": lambda driver: driver.fetchval("SELECT 1"),
    "execute": lambda driver: driver.execute("UPDATE users SET age = 1"),
    "execute with a value": lambda driver: driver.execute("UPDATE users SET age = $1", 1),
    "executemany": lambda driver: driver.executemany("UPDATE users SET age = $1", [(1,), (2,)]),
    "fetchmany": lambda driver: driver.fetchmany("SELECT $1::int", [(1,), (2,)]),
    "a type that is new to the connection": lambda driver: driver.fetch("SELECT NULL::macaddr[]"),
    "COPY of rows": lambda driver: driver.copy_records_to_table("teams", records=[(8, "x")], columns=["id", "name"]),
    "COPY out": lambda driver: driver.copy_from_query("SELECT 1", output=Path("/dev/null")),
}


async def test_what_asyncpg_is_given_directly(shop: Database) -> None:
    """Whatever is given to the driver itself is collected, once, and what it asks on its own account is not."""
    if shop.engine.dialect.driver != "asyncpg":
        pytest.skip("feature: asyncpg")
    counts = {}
    await settle()
    async with shop.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
    for way, send in ON_POSTGRES.items():
        with queries(shop) as sent:
            async with shop.engine.connect() as connection:
                assert (await connection.get_raw_connection()).driver_connection is driver
                await send(driver)
        counts[way] = len(sent)
    assert counts == dict.fromkeys(ON_POSTGRES, 1)


async def test_what_asyncpg_has_prepared(shop: Database) -> None:
    """A prepared statement is collected each time that it is executed, and a cursor once."""
    if shop.engine.dialect.driver != "asyncpg":
        pytest.skip("feature: asyncpg")
    await settle()
    async with shop.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        prepared = await driver.prepare("SELECT generate_series(1, 100)")
    with queries(shop) as sent:
        async with shop.engine.connect() as connection:
            await prepared.fetch()
            await prepared.fetchval()
            async with driver.transaction():
                assert len([row async for row in prepared.cursor(prefetch=10)]) == 100
                cursor = await prepared.cursor()
                await cursor.fetch(5)
                await cursor.fetch(5)
    assert len(sent) == 4


async def test_what_the_server_hears(shop: Database, proxy: Proxy) -> None:
    """There are as many statements as the server is told to execute."""
    async with Database(shop.engine.url.set(port=proxy.port), pool_size=3) as remote:
        users = Users(remote)
        await gather(*(users.count() for _ in range(3)))
        proxy.heard.clear()
        with queries(remote) as sent:
            await gather(*(users.get_or_add(User(name=f"n{key}"), on=User.name) for key in range(5)))
            await users.all(load=[User.team, (User.orders, Order.lines)])
            await users.add_many([{"name": "x"}, {"name": "y"}])
            async with remote.transaction() as tx:
                await Users(tx).update(1, age=3)
            async with remote.transaction() as tx:
                await Users(tx).upsert(User(name="x"), on=User.name)
                assert len([user async for user in Users(tx).stream(chunk=1)]) == 10
        alone = [said for said in proxy.heard if said.startswith("Q ") and not said.startswith(("Q BEGIN", "Q COMMIT"))]
        assert alone == ['Q COPY "users"("name", "nickname", "age", "active", "team_id") FROM STDIN (FORMAT binary)']
        assert len(alone) + proxy.heard.count("B") == len(sent)


ON_SQLITE: Mapping[str, Callable[[Any], Any]] = {
    "execute of the connection": lambda raw: raw.execute("SELECT ?", (1,)).fetchall(),
    "execute of a cursor": lambda raw: raw.cursor().execute("SELECT 1").fetchall(),
    "executemany": lambda raw: raw.executemany("UPDATE users SET age = ?", [(1,), (2,)]),
    "executescript": lambda raw: raw.executescript("SELECT 1"),
}


async def test_what_sqlite3_is_given_directly(shop: Database) -> None:
    """Whatever is given to the connection of `sqlite3` is collected, once."""
    if shop.engine.dialect.driver != "aiosqlite":
        pytest.skip("feature: sqlite3")
    counts = {}
    for way, send in ON_SQLITE.items():
        with queries(shop) as sent:
            async with shop.engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                await driver._execute(send, driver._conn)
        counts[way] = len(sent)
    assert counts == dict.fromkeys(ON_SQLITE, 1)


async def test_an_engine_of_the_users(url: str) -> None:
    """An engine of the user's own works where its driver lets us look; where it does not, that is told at once."""
    engine = create_async_engine(url)
    try:
        async with Database(engine) as db:
            if db.dialect.remote:
                with queries(db, at_most=1) as sent:
                    await db.ping()
                assert len(sent) == 1
            else:
                with pytest.raises(UsageError, match=r"queries\(\) cannot look into the connections"), queries(db):
                    await db.ping()
            assert await db.scalar(select(literal(1))) == 1
    finally:
        await engine.dispose()
