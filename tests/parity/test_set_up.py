"""How `Database` sets each database up."""

from pathlib import Path

import pytest
from sqlalchemy import MetaData, inspect, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Base, Database


class Own(DeclarativeBase):
    """A base with the types of `repo.Base`."""

    metadata = MetaData()
    type_annotation_map = Base.type_annotation_map


class Measure(Own):
    """A float."""

    __tablename__ = "measures"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float]


async def test_a_float_is_a_double(db: Database) -> None:
    """A `float` of a model on `repo.Base` has double precision on both."""
    await db.create_all(Own.metadata)
    async with db.engine.connect() as connection:
        columns = await connection.run_sync(lambda own: inspect(own).get_columns("measures"))
    assert str(columns[1]["type"]).startswith("DOUBLE")


@pytest.mark.parametrize("absolute", [True, False])
async def test_where_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, absolute: bool) -> None:
    """Three slashes begin a path from the working folder, four an absolute one."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite+aiosqlite:////{tmp_path}/app.db" if absolute else "sqlite+aiosqlite:///app.db"
    async with Database(url) as db:
        await db.ping()
    assert (tmp_path / "app.db").exists()


async def test_settings_of_the_server(url: str) -> None:
    """Just-in-time compilation is off, beside settings of the user's, unless these say otherwise."""
    for settings, jit in (({}, "off"), ({"application_name": "app"}, "off"), ({"jit": "on"}, "on")):
        async with Database(url, engine_options={"connect_args": {"server_settings": settings}}) as db:
            if not db.dialect.remote:
                pytest.skip("feature: a server with settings")
            assert await db.scalar(text("SHOW jit")) == jit
            assert await db.scalar(text("SHOW application_name")) == settings.get("application_name", "")
