"""The same row, whichever verb stores it: types, defaults, None and what is missing."""

import uuid
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.ext.asyncio import AsyncSession

from repo import Database, Scope
from tests.models import WRITING_SCOPES, Colour, Everything, Everythings, opened, stocked

AnyScope = Scope | AsyncSession


@pytest.fixture(params=WRITING_SCOPES)
async def scope(request: pytest.FixtureRequest, db: Database) -> AsyncIterator[AnyScope]:
    """Each kind of scope that writes, over the tables."""
    await stocked(db)
    async with opened(db, request.param) as scope:
        yield scope


ROWS: list[dict[str, Any]] = [
    {"name": "nothing"},
    {
        "name": "all",
        "colour": Colour.BLUE,
        "data": {"a": [1, None]},
        "integers": [1, 2, 3],
        "at": datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))),
        "day": date(2024, 5, 1),
        "price": Decimal("12.50"),
        "blob": b"\x00\xff",
        "other": uuid.UUID(int=7),
        "ratio": 0.1,
        "scalar": "given",
        "made": {"given": True},
        "server": "given",
    },
    dict.fromkeys(("colour", "data", "integers", "at", "day", "price", "blob", "other", "ratio"), None)
    | {"name": "None"},
    {"name": "None for defaults", "scalar": None, "made": None, "server": None},
    {"name": "text \t\\N\n'\"", "data": {}, "integers": []},
]


def plain(entity: Any) -> dict[str, Any]:
    """An entity's columns."""
    return {attribute.key: getattr(entity, attribute.key) for attribute in inspect(entity).mapper.column_attrs}


async def test_rows_are_stored_as_add_stores_them(scope: AnyScope) -> None:
    """Types, defaults, None and what is missing come out of every verb that stores rows as they do out of `add`."""
    repository = Everythings(scope)
    nulls = select(Everything.data.is_(None), Everything.made.is_(None), Everything.integers.is_(None))
    for row in ROWS:
        keys = [uuid.UUID(int=n) for n in range(1, 8)]
        await repository.add(Everything(**row, id=keys[0]))
        await repository.add_many([row | {"id": keys[1]}])
        await repository.add_many([Everything(**row, id=keys[2])])
        (returned,) = await repository.add_many([row | {"id": keys[3]}], returning=True)
        upserted = await repository.upsert(Everything(**row, id=keys[4]), on="id")
        await repository.upsert_many([row | {"id": keys[5]}], on="id")
        added = await repository.get_or_add(Everything(**row, id=keys[6]), on="id")
        read = await repository.get_many(keys)
        stored = [plain(entity) | {"id": None} for entity in [*read, returned, upserted, added]]
        assert stored == [stored[0]] * 10
        raw = [tuple(each) for each in await scope.execute(nulls)]
        assert raw == [raw[0]] * 7
        await repository.delete_where(Everything.name == row["name"])


async def test_an_upsert_changes_a_row_to_what_add_would_store(scope: AnyScope) -> None:
    """Of a row that is there, what is given becomes what it would be in a new row, of every type."""
    repository = Everythings(scope)
    full, key = ROWS[1] | {"name": "other"}, uuid.UUID(int=1)
    for row in ROWS:
        new = plain(await repository.add(Everything(**row)))
        for upsert in (True, False):
            await repository.add(Everything(**full, id=key))
            if upsert:
                await repository.upsert(Everything(**row, id=key), on="id")
            else:
                await repository.upsert_many([row | {"id": key}], on="id")
            changed = plain(await repository.get_one(key))
            assert changed == plain(Everything(**full, id=key)) | {name: new[name] for name in [*row, "shout"]} | {
                "id": key
            }
            await repository.delete(key)
