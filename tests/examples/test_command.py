"""The command as a person runs it: from an empty database to the page, and what goes wrong.

It runs in a process of its own, but where it ends before it has done anything: processes take long to start.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url, text

from examples.flights.command import main
from examples.flights.loader import is_loaded
from examples.flights.source import FLIGHTS
from repo import Base, Database, migrations
from repo.testing import postgres_url
from tests.examples import expected

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "concurrent_report.py"
INI = ROOT / "alembic.ini"
SECRET = "hunter2-and-more"


def run(folder: Path, *options: str, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    """The command with these options, in a folder."""
    command = [sys.executable, str(script), *options]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def call(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The command with these options, in a folder, but in this process."""
    with chdir(folder), redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()) as errors:
        code = main(options)
    return subprocess.CompletedProcess(options, code, output.getvalue(), errors.getvalue())


def environment() -> dict[str, str]:
    """Nothing of what this process was told about databases and terminals."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "HOME")}
    return kept | {"PYTHONUNBUFFERED": "1"}


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2 and one line on standard error, which has these words and no password."""
    assert done.returncode == 2, done
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "Traceback" not in done.stdout
    assert SECRET not in done.stdout + done.stderr
    for word in words:
        assert word in line


@pytest.mark.timeout(600)  # three runs of a program that works for half a minute
async def test_from_nothing_to_the_page_and_again(url: str, tmp_path: Path) -> None:
    """The first run makes tables, data, page and JSON; the second finds them; interrupted, a third changes nothing."""
    first = run(tmp_path, "--database", url, "--json", "first.json", "--html", "first.html")
    assert (first.returncode, first.stderr) == (0, "")
    assert "flights: 336,776 rows" in first.stdout
    assert "times as fast" in first.stdout
    assert "</html>" in (tmp_path / "first.html").read_text()
    assert json.loads((tmp_path / "first.json").read_text()) == expected.report()

    options = ("--database", url, "--json", "second.json", "--one-at-a-time", "--connections", "3")
    second = run(tmp_path, *options)
    assert (second.returncode, second.stderr) == (0, "")
    assert "rows" not in second.stdout
    assert "times as fast" not in second.stdout
    assert (tmp_path / "report.html").exists()
    assert (tmp_path / "second.json").read_text() == (tmp_path / "first.json").read_text()

    third = interrupted(tmp_path, "Warming up: ", "--database", url, "--html", "third.html")
    assert_refused(third, "interrupted", "no report was written")
    assert not (tmp_path / "third.html").exists()


async def test_an_interrupted_load_leaves_no_rows(url: str, tmp_path: Path) -> None:
    """Ctrl-C in the middle of the load: empty tables, and the next run can load them."""
    done = interrupted(tmp_path, "planes: ", "--database", url)
    assert_refused(done, "interrupted", "nothing was loaded")
    async with Database(url) as db:
        assert not await is_loaded(db)
    assert not (tmp_path / "report.html").exists()


def interrupted(folder: Path, after: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The command, sent SIGINT when it has printed a line that begins so."""
    command = [sys.executable, str(SCRIPT), *options]
    with subprocess.Popen(
        command, cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(after):
                process.send_signal(signal.SIGINT)
                break
        output, errors = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


async def test_an_older_schema_is_brought_up_to_date(url: str, tmp_path: Path) -> None:
    """A database at an earlier revision is upgraded first; what is wrong with the files is found after that."""
    async with Database(url) as db:
        await migrations.upgrade(db, "0001", config=INI)
    assert_refused(run(tmp_path, "--database", url, script=damaged_copy(tmp_path)), "flights.csv.xz", "damaged")
    async with Database(url) as db:
        await migrations.check(db, config=INI)
        assert not await is_loaded(db)


def damaged_copy(folder: Path) -> Path:
    """The command of a copy of the project whose file of flights is cut off."""
    for name in ("examples", "migrations"):
        shutil.copytree(ROOT / name, folder / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(INI, folder / "copy")
    copy = FLIGHTS.path(folder / "copy" / "examples" / "flights" / "data")
    copy.write_bytes(copy.read_bytes()[:100_000])
    return folder / "copy" / "examples" / SCRIPT.name


async def test_a_newer_schema_is_left_alone(url: str, tmp_path: Path) -> None:
    """A revision that this code does not know is named, with what to do, and nothing is changed."""
    async with Database(url) as db, db.transaction() as tx:
        await tx.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)"))
        await tx.execute(text("INSERT INTO alembic_version VALUES ('9999')"))
    assert_refused(run(tmp_path, "--database", url), "9999", "Update this code")
    async with Database(url) as db:
        assert await db.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


async def test_tables_that_no_migration_made_are_left_alone(url: str, tmp_path: Path) -> None:
    """Tables without a revision may be anybody's: they are named, with what to do."""
    async with Database(url) as db:
        await db.create_all(Base.metadata)
    assert_refused(run(tmp_path, "--database", url), "airlines, airports, flights", "alembic stamp head")


@pytest.mark.parametrize(
    ("database", "words"),
    [
        pytest.param(f"postgresql://me:{SECRET}@127.0.0.1:1/db", ["no connection", "127.0.0.1"], id="no server"),
        pytest.param(f"postgresql://me:{SECRET}@nowhere.invalid/db", ["nowhere.invalid"], id="no host"),
        pytest.param(f"mysql://me:{SECRET}@host/db", ["mysql", "postgresql+asyncpg://"], id="no such scheme"),
        pytest.param(f"postgresql+psycopg2://me:{SECRET}@host/db", ["postgresql+asyncpg://"], id="wrong driver"),
        pytest.param("sqlite+pysqlite:///flights.db", ["sqlite+aiosqlite://"], id="driver without asyncio"),
        pytest.param("flights.db", ["sqlite+aiosqlite:///"], id="no URL"),
        pytest.param("sqlite:////proc/flights.db", ["/proc/flights.db"], id="read-only folder"),
        pytest.param("sqlite:///no/such/folder.db", ["no/such/folder.db"], id="no folder"),
    ],
)
def test_a_database_that_cannot_be_had_is_one_line(database: str, words: list[str], tmp_path: Path) -> None:
    """Whatever is wrong with a URL or behind it is said in one line, without its password."""
    assert_refused(call(tmp_path, "--database", database), *words)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    """A file of something else is not touched."""
    (tmp_path / "flights.db").write_bytes(b"dear diary" * 1000)
    assert_refused(run(tmp_path), "flights.db", "not an SQLite database")
    assert (tmp_path / "flights.db").read_bytes() == b"dear diary" * 1000


async def test_a_wrong_password_is_one_line(tmp_path: Path) -> None:
    """The server's refusal says who was refused, and no password."""
    url = make_url(postgres_url()).set(password=SECRET)
    if await accepts(url.set(drivername="postgresql").render_as_string(hide_password=False)):
        pytest.skip("password authentication: this server lets everybody in")
    assert_refused(run(tmp_path, "--database", url.render_as_string(hide_password=False)), str(url.username))


async def accepts(url: str) -> bool:
    """Whether a server lets somebody in."""
    try:
        connection = await asyncpg.connect(url)
    except asyncpg.InvalidAuthorizationSpecificationError:
        return False
    await connection.close()
    return True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["--connections", "0"], ["--connections", "'0'"], id="no connections"),
        pytest.param(["--connections", "many"], ["--connections", "'many'"], id="not a number"),
        pytest.param(["--colour"], ["--colour", "--help"], id="no such option"),
        pytest.param(["--html", "."], ["it is a folder"], id="a folder"),
        pytest.param(["--html", "no/such/report.html"], ["no/such/report.html"], id="no folder"),
        pytest.param(["--html", "/proc/report.html"], ["/proc/report.html"], id="read-only folder"),
        pytest.param(["--json", "no/such/report.json"], ["no/such/report.json"], id="no folder for JSON"),
        pytest.param(["--json", "report.html"], ["the same file"], id="one file for both"),
    ],
)
def test_options_are_checked_before_the_work(options: list[str], words: list[str], tmp_path: Path) -> None:
    """What cannot end well is refused before a database is made."""
    assert_refused(call(tmp_path, *options), *words)
    assert list(tmp_path.iterdir()) == []


def test_the_database_is_that_of_the_environment(tmp_path: Path) -> None:
    """Without --database it is DATABASE_URL."""
    command = [sys.executable, str(SCRIPT)]
    told = environment() | {"DATABASE_URL": "sqlite:///no/such/folder.db"}
    done = subprocess.run(command, cwd=tmp_path, env=told, capture_output=True, text=True, check=False)
    assert_refused(done, "no/such/folder.db")


def test_help_names_every_option(tmp_path: Path) -> None:
    """`--help` is no error."""
    done = run(tmp_path, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for option in ("--database", "--connections", "--html", "--json", "--one-at-a-time"):
        assert option in done.stdout
