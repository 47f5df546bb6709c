"""Many processes, one migration: who waits, for how long, and what is left after an accident."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url, text

from repo import Database, migrations
from repo.errors import ConnectionLost, ForeignKeyViolation, LockTimeout
from repo.migrations import SchemaMismatch
from repo.migrations.postgresql import KEY
from tests.migrations.support import CREATE, project, schema, start

CREATE_OTHERS = "op.create_table('others', sa.Column('id', sa.Integer(), primary_key=True))"

FAMILY = """\
op.create_table("parents", sa.Column("id", sa.Integer(), primary_key=True))
op.create_table(
    "children",
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("parent", sa.Integer(), sa.ForeignKey("parents.id", ondelete="CASCADE")),
)
op.execute("INSERT INTO parents VALUES (1)")
op.execute("INSERT INTO children VALUES (1, 1)")"""


@asynccontextmanager
async def _locked(url: str) -> AsyncIterator[None]:
    """Hold the migration lock, as another process that migrates does."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        connection = sqlite3.connect(str(parsed.database), isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.close()
    else:
        plain = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        client = await asyncpg.connect(plain, server_settings={"application_name": "the other"})
        async with client.transaction():
            await client.execute("SELECT pg_advisory_xact_lock($1)", KEY)
            yield
        await client.close()


async def _tables(db: Database) -> list[str]:
    async with db.engine.connect() as connection:
        return sorted(await connection.run_sync(schema))


async def test_five_at_once_all_succeed_and_apply_each_revision_once(url: str) -> None:
    """Five `alembic upgrade head` on an empty database all exit 0; each revision runs once."""
    processes = [start(url, "upgrade", "head") for _ in range(5)]
    ended = await asyncio.gather(*(asyncio.to_thread(p.communicate) for p in processes))
    printed = "".join(output for output, _ in ended)
    assert [process.returncode for process in processes] == [0] * 5, printed
    assert [printed.count(f"-> {revision}") for revision in ("0001", "0002")] == [1, 1]


async def test_tasks_of_one_process_take_turns(db: Database, tmp_path: Path) -> None:
    """Upgrades of two databases at once in one process do not touch each other's database."""
    config = project(tmp_path / "migrations", CREATE, CREATE_OTHERS)
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'second.db'}") as second:
        await asyncio.gather(*(migrations.upgrade(d, config=config) for d in (db, second) * 3))
        assert await _tables(db) == await _tables(second) == ["others", "things"]


async def test_the_wait_is_bounded_and_says_who_waits_for_what(db: Database, url: str, tmp_path: Path) -> None:
    """After `lock_timeout` seconds the error names waiter, lock and holder; nothing was changed."""
    config = project(tmp_path / "migrations", CREATE)
    async with _locked(url):
        with pytest.raises(LockTimeout, match=r"migrations of process \d+ on .* waited 0\.\d s") as it:
            await migrations.upgrade(db, config=config, lock_timeout=0.3)
    assert str(make_url(url).database) in str(it.value)
    assert "'the other'" in str(it.value) or "SQLite does not say whose" in str(it.value)
    assert await _tables(db) == []
    await migrations.upgrade(db, config=config, lock_timeout=0)
    assert await _tables(db) == ["things"]


async def test_at_head_nobody_waits(db: Database, url: str, tmp_path: Path) -> None:
    """An upgrade and a check with nothing to do need no lock."""
    config = project(tmp_path / "migrations", CREATE)
    await migrations.upgrade(db, config=config)
    async with _locked(url):
        await migrations.upgrade(db, config=config, lock_timeout=0)
        await migrations.check(db, config=config)


async def test_a_waiting_upgrade_can_be_cancelled(db: Database, url: str, tmp_path: Path) -> None:
    """Cancelling an upgrade that waits for the lock ends it at once; the next one works."""
    config = project(tmp_path / "migrations", CREATE)
    async with _locked(url):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await migrations.upgrade(db, config=config)
    await migrations.upgrade(db, config=config)
    assert await _tables(db) == ["things"]


async def test_ctrl_c_ends_a_waiting_command_with_one_line(url: str) -> None:
    """An interrupted `alembic upgrade` says so, in one line, and has changed nothing."""
    async with _locked(url):
        with start(url, "upgrade", "head") as process:
            assert process.stdout is not None
            await asyncio.to_thread(process.stdout.readline)
            process.send_signal(signal.SIGINT)
            printed = await asyncio.to_thread(process.stdout.read)
    assert process.returncode != 0
    assert "interrupted" in printed
    assert "Traceback" not in printed


async def test_a_killed_migration_leaves_the_schema_where_it_was(db: Database, url: str, tmp_path: Path) -> None:
    """A process killed in a revision leaves nothing of its run, and no lock."""
    hang = "print('here', flush=True)\ntime.sleep(60 if 'HANG' in os.environ else 0)"
    config = project(tmp_path / "migrations", CREATE, f"{CREATE_OTHERS}\n{hang}")
    folder = tmp_path / "migrations"
    with start(url, "upgrade", "head", folder=folder, environment={"HANG": "1"}) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert await asyncio.to_thread(lambda: any("here" in line for line in lines))
        process.kill()
    assert await _tables(db) == []
    await migrations.upgrade(db, config=config, lock_timeout=5)
    assert await _tables(db) == ["others", "things"]


async def test_a_failing_revision_leaves_the_schema_where_it_was(db: Database, tmp_path: Path) -> None:
    """If one revision fails, none of the run is applied."""
    config = project(tmp_path / "migrations", CREATE, f"{CREATE_OTHERS}\n1 / 0")
    with pytest.raises(ZeroDivisionError):
        await migrations.upgrade(db, config=config)
    assert await _tables(db) == []


async def test_revisions_can_be_transactions_of_their_own(db: Database, tmp_path: Path) -> None:
    """With `transaction_per_migration` a failure still leaves a whole number of revisions."""
    config = project(tmp_path / "migrations", CREATE, f"{CREATE_OTHERS}\n1 / 0")
    env = tmp_path / "migrations" / "env.py"
    text_of_it = env.read_text().replace("run(metadata", "run(metadata, transaction_per_migration=True")
    env.write_text(text_of_it)
    with pytest.raises(ZeroDivisionError):
        await migrations.upgrade(db, config=config)
    with pytest.raises(SchemaMismatch) as found:
        await migrations.check(db, config=config)
    assert (found.value.current, await _tables(db)) in [((), []), (("1",), ["things"])]


async def test_foreign_keys_hold_through_a_migration(db: Database, tmp_path: Path) -> None:
    """A migration that leaves a row without its parent fails and is undone."""
    orphan = "op.execute('UPDATE children SET parent = 7')"
    config = project(tmp_path / "migrations", FAMILY, orphan)
    await migrations.upgrade(db, "1", config=config)
    with pytest.raises(ForeignKeyViolation):
        await migrations.upgrade(db, config=config)
    async with db.engine.connect() as connection:
        rows = await connection.execute(text("SELECT id, parent FROM children"))
        assert rows.all() == [(1, 1)]


async def test_rebuilding_a_parent_keeps_its_children(db: Database, tmp_path: Path) -> None:
    """Altering a table that others refer to with ON DELETE CASCADE deletes none of their rows."""
    alter = (
        "with op.batch_alter_table('parents') as batch:\n"
        "    batch.add_column(sa.Column('name', sa.String(), server_default='x', nullable=False))\n"
        "    batch.create_check_constraint('ck_parents_name', \"name <> ''\")"
    )
    config = project(tmp_path / "migrations", FAMILY, alter)
    await migrations.upgrade(db, config=config)
    async with db.engine.begin() as connection:
        rows = await connection.execute(text("SELECT id, parent FROM children"))
        assert rows.all() == [(1, 1)]
        await connection.execute(text("DELETE FROM parents"))
        rows = await connection.execute(text("SELECT id, parent FROM children"))
        assert rows.all() == [], "foreign keys are enforced again after a migration"


async def test_an_autocommit_block_keeps_the_lock(db: Database, url: str, tmp_path: Path) -> None:
    """An index built concurrently works on both databases, also while others wait for their turn."""
    index = (
        "with op.get_context().autocommit_block():\n"
        "    op.create_index('ix_things', 'things', ['id'], postgresql_concurrently=True)"
    )
    config = project(tmp_path / "migrations", CREATE, index, CREATE_OTHERS)
    folder = tmp_path / "migrations"
    processes = [start(url, "upgrade", "head", folder=folder) for _ in range(2)]
    await asyncio.gather(*(asyncio.to_thread(p.communicate) for p in processes))
    assert [process.returncode for process in processes] == [0, 0]
    assert await _tables(db) == ["others", "things"]
    await migrations.upgrade(db, config=config)


async def test_losing_the_lock_undoes_the_migration(db: Database, url: str, tmp_path: Path) -> None:
    """If the connection that holds the lock dies, nothing is committed: others may be at work."""
    if make_url(url).get_backend_name() != "postgresql":
        pytest.skip("a lock of its own: here the migrating transaction itself is the lock")
    kill = "op.execute(\"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
    kill += f' AND objid = {KEY & 0xFFFFFFFF}")'
    config = project(tmp_path / "migrations", CREATE, kill)
    with pytest.raises(ConnectionLost, match="migration lock"):
        await migrations.upgrade(db, config=config)
    assert await _tables(db) == []
