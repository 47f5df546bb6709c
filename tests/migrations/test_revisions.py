"""The flights' own revisions: they fit the models, keep the data, and can be undone."""

import datetime as dt
from collections.abc import AsyncIterator

import pytest
from alembic import command
from alembic.config import Config
from pytest_alembic.tests import (
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from sqlalchemy import Row, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from examples.flights.models import Flight
from repo import Database, migrations
from tests.migrations.support import ROOT, schema

__all__ = [
    "test_model_definitions_match_ddl",
    "test_single_head_revision",
    "test_up_down_consistency",
    "test_upgrade",
]

AIRLINES, AIRPORTS, FLIGHTS = (Flight.metadata.tables[t] for t in ("airlines", "airports", "flights"))
NOON = dt.datetime(2013, 1, 1, 12, tzinfo=dt.UTC)
AIRPORT = {"latitude": 40.7, "longitude": -74.2, "altitude_feet": 18, "utc_offset": -5, "dst": "A"}
FLIGHT = {
    "date": NOON.date(),
    "scheduled_arrival": 900,
    "carrier": "UA",
    "number": 15,
    "origin": "EWR",
    "destination": "IAH",
    "distance": 1400,
    "hour_at": NOON,
}


@pytest.fixture
def alembic_config() -> dict[str, str]:
    """pytest-alembic: where the migrations are."""
    return {"file": str(ROOT / "alembic.ini")}


@pytest.fixture
async def alembic_engine(url: str) -> AsyncIterator[AsyncEngine]:
    """pytest-alembic: what its tests run on."""
    engine = create_async_engine(url)
    yield engine
    await engine.dispose()


@pytest.fixture
def config(url: str, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Alembic's configuration for the test's database."""
    monkeypatch.setenv("DATABASE_URL", url)
    return Config(ROOT / "alembic.ini")


async def _load(db: Database) -> None:
    """Three flights, with all that they refer to, as the first revision has them."""
    clocks = ({"id": 1, "departure": 517, "departure_delay": 2}, {"id": 2}, {"id": 3})
    flights = [
        FLIGHT | {"departure": None, "departure_delay": None} | clock | {"scheduled_departure": at}
        for clock, at in zip(clocks, (515, 5, 2359), strict=True)
    ]
    async with db.engine.begin() as connection:
        await connection.execute(insert(AIRLINES).values(carrier="UA", name="United"))
        await connection.execute(insert(AIRPORTS).values(faa="EWR", name="Newark", **AIRPORT))
        await connection.execute(insert(FLIGHTS), flights)


async def _rows(db: Database, table: Table, *left_out: str) -> list[Row[*tuple[object, ...]]]:
    """All rows of a table, without some columns."""
    columns = [column for column in table.columns if column.name not in left_out]
    async with db.engine.connect() as connection:
        result = await connection.execute(select(*columns).order_by(*table.primary_key))
        return list(result.all())


async def _schema(db: Database) -> dict[str, dict[str, object]]:
    async with db.engine.connect() as connection:
        return await connection.run_sync(schema)


async def test_the_head_revision_is_the_same_as_the_models(db: Database, config: Config) -> None:
    """The migrated tables are those that the models would create, to the last constraint's name."""
    await migrations.upgrade(db, config=config)
    migrated = await _schema(db)
    command.downgrade(config, "base")
    async with db.engine.begin() as connection:
        await connection.run_sync(Flight.metadata.create_all)
    assert migrated == await _schema(db)
    assert sorted(migrated) == ["airlines", "airports", "flights", "planes", "weather"]


async def test_a_round_trip_leaves_the_same_schema(db: Database, config: Config) -> None:
    """Upgrade, downgrade and upgrade again ends with the schema of the first upgrade."""
    await migrations.upgrade(db, config=config)
    first = await _schema(db)
    command.downgrade(config, "base")
    assert await _schema(db) == {}
    await migrations.upgrade(db, config=config)
    assert await _schema(db) == first


async def test_data_survives_in_both_directions(db: Database, config: Config) -> None:
    """Each revision keeps every row and value of a table that holds data, up and down."""
    await migrations.upgrade(db, "0001", config=config)
    await _load(db)
    at_first, schema_at_first = await _rows(db, FLIGHTS, "hour", "minute"), await _schema(db)
    await migrations.upgrade(db, config=config)
    assert await _rows(db, FLIGHTS, "hour", "minute") == at_first
    assert [(row.hour, row.minute) for row in await _rows(db, FLIGHTS)] == [(5, 15), (0, 5), (23, 59)]
    command.downgrade(config, "0001")
    assert await _rows(db, FLIGHTS, "hour", "minute") == at_first
    assert await _schema(db) == schema_at_first
