"""The `alembic` command in the project's folder: its commands, and its errors in one line."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.config import main
from sqlalchemy import URL, make_url

from repo import Database, migrations
from repo.testing import postgres_url
from tests.migrations.support import CREATE, ROOT, alembic, project


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("upgrade head", "-> 0002"),
        ("current", "0002 (head)"),
        ("check", "No new upgrade operations detected"),
        ("history", "0001 -> 0002 (head)"),
        ("upgrade head --sql", "CREATE TABLE flights"),
        ("downgrade base", "0001 -> "),
    ],
)
async def test_a_command_needs_nothing_but_a_url(db: Database, url: str, arguments: str, expected: str) -> None:
    """Each command of a working day runs in the project's folder with DATABASE_URL only."""
    start = "0001" if arguments == "upgrade head" else "head"
    await migrations.upgrade(db, start, config=ROOT / "alembic.ini")
    code, printed = await asyncio.to_thread(alembic, url, *arguments.split())
    assert code == 0, printed
    assert expected in printed


def test_without_a_url_it_is_a_file_in_the_working_folder(tmp_path: Path) -> None:
    """The default database is flights.db where the command runs."""
    code, printed = alembic(None, "-c", str(ROOT / "alembic.ini"), "upgrade", "head", folder=tmp_path)
    assert code == 0, printed
    with sqlite3.connect(tmp_path / "flights.db") as connection:
        assert connection.execute("SELECT * FROM alembic_version").fetchall() == [("0002",)]
    connection.close()


def test_an_error_is_one_line() -> None:
    """A command that cannot work prints one line on all its streams, and its exit code is not 0."""
    code, printed = alembic("postgresql://127.0.0.1:1/app", "upgrade", "head")
    assert code != 0
    assert len(printed.strip().splitlines()) == 1
    assert "FAILED" in printed


def _change(**parts: Any) -> Callable[[URL], str]:
    """A URL that is right but for these parts."""
    return lambda right: right.set(**parts).render_as_string(hide_password=False)


WRONG: dict[str, tuple[Callable[[URL], str], str]] = {
    "nobody listens": (_change(host="127.0.0.1", port=1), "127.0.0.1"),
    "no such user": (_change(username="nobody_here", password="hunter2"), "nobody_here"),
    "no such database": (_change(database="nowhere"), "nowhere"),
    "unknown scheme": (_change(drivername="mysql", password="hunter2"), "mysql"),
    "a wrong driver": (_change(drivername="postgresql+psycopg2"), "postgresql+asyncpg"),
    "no URL": (lambda right: "hunter2", "not a database URL"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_error_names_what_is_wrong_and_no_password(
    case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot work is named, in one line without a traceback and without a password."""
    wrong, expected = WRONG[case]
    monkeypatch.setenv("DATABASE_URL", wrong(make_url(postgres_url())))
    with pytest.raises(SystemExit) as ended:
        main(["-c", str(ROOT / "alembic.ini"), "upgrade", "head"], prog="alembic")
    printed = "".join(capsys.readouterr())
    assert ended.value.code != 0
    assert len(printed.strip().splitlines()) == 1
    assert expected in printed
    assert "hunter2" not in printed


async def test_a_database_of_newer_code_is_refused(db: Database, url: str, tmp_path: Path) -> None:
    """A revision that is not among the migrations is explained in one line."""
    await migrations.upgrade(db, config=project(tmp_path / "newer", CREATE))
    code, printed = await asyncio.to_thread(alembic, url, "current")
    assert code != 0
    assert "newer code" in printed
    assert "Traceback" not in printed
