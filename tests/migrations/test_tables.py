"""The tables that `repo` itself needs, in migrations."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData

from repo import Database, Transaction, migrations
from repo.migrations import SchemaMismatch
from tests.migrations.support import CREATE, ENV, ROOT, project, schema

WITH_OURS = ENV.replace("run(metadata)", "run(migrations.tables(metadata))")
LEFT_OUT = ENV.replace("run(metadata)", "run(metadata, include_object=lambda item, name, *_: name != 'extra')")


def with_env(folder: Path, env: str) -> Config:
    """A project with this ``env.py``."""
    config = project(folder, CREATE)
    (folder / "env.py").write_text(env)
    return config


async def work(tx: Transaction) -> int:
    """Something that happens once."""
    return tx.attempt


@pytest.mark.parametrize("project", ["example", "other"])
async def test_where_the_table_is_there_nothing_has_drifted(db: Database, tmp_path: Path, project: str) -> None:
    """A table of `repo` that ``env.py`` does not name is no difference, in the example's migrations neither."""
    config = Config(ROOT / "alembic.ini") if project == "example" else with_env(tmp_path / "other", ENV)
    await migrations.upgrade(db, config=config)
    await db.create_all(MetaData())
    await migrations.check(db, config=config)
    await db.transact(work, once="key")


async def test_a_revision_that_creates_the_table(
    db: Database, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``tables(metadata)`` the table is missed, and a revision is written that makes it as ``create_all`` does."""
    monkeypatch.setenv("DATABASE_URL", url)
    config = with_env(tmp_path / "project", WITH_OURS)
    await migrations.upgrade(db, config=config)
    with pytest.raises(SchemaMismatch, match="add_table repo_once"):
        await migrations.check(db, config=config)
    command.revision(config, "the table of once", autogenerate=True)
    await migrations.upgrade(db, config=config)
    await migrations.check(db, config=config)
    await db.transact(work, once="key")
    migrated = await described(db)
    await db.drop_all(MetaData())
    await db.create_all(MetaData())
    assert migrated == await described(db)


async def described(db: Database) -> dict[str, object]:
    """What the database says of the table."""
    async with db.engine.connect() as connection:
        return (await connection.run_sync(schema))["repo_once"]


async def test_the_users_own_choice_counts(db: Database, tmp_path: Path) -> None:
    """An ``include_object`` of the user's is asked about everything else."""
    config = with_env(tmp_path / "project", LEFT_OUT)
    await migrations.upgrade(db, config=config)
    async with db.engine.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE extra (id INTEGER)")
    await migrations.check(db, config=config)


def test_tables_gives_the_metadata_back() -> None:
    """The metadata itself is returned, with the table in it, however often it is asked for."""
    metadata = MetaData()
    assert migrations.tables(migrations.tables(metadata)) is metadata
    assert list(metadata.tables) == ["repo_once"]
