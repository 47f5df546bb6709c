"""A throw-away Postgres that never outlives the process that asked for it.

This file is run as a program, by path, with the standard library alone:

    python server.py FOLDER_OF_THE_PROGRAMS

It makes a database folder, starts the server on a free port of the loopback interface, prints its
URL as one line, and then waits for the end of its standard input. The pipe behind that input is
held by the process that asked; however that process ends, by `exit`, Ctrl-C or `kill -9`, the
system closes the pipe, and the server is stopped and its folder removed.

As root, Postgres refuses to run: its programs are then run as `nobody`, from a copy where `nobody`
cannot reach the original.
"""

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

START_TIMEOUT = 60.0  # seconds; a start takes 0.1 s, on a machine at its limits much longer
STOP_TIMEOUT = 20.0  # seconds until a fast shutdown becomes a kill
ATTEMPTS = 5  # ports to try; another program may take the free port first
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "off",
    "full_page_writes": "off",
}


class Account(NamedTuple):
    """As whom to run a program; all None is as ourselves."""

    user: int | None = None
    group: int | None = None
    groups: tuple[int, ...] | None = None


class StartFailed(Exception):
    """The server could not be started; the message says why."""


def main(programs: Path) -> int:
    """Serve until standard input ends; 1 with a line on standard error if there is no server."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that it, too, stops the server
    folder = Path(tempfile.mkdtemp(prefix="repo-postgres-"))
    server: subprocess.Popen[bytes] | None = None
    try:
        account = _account(folder)
        programs = _reachable(programs, folder, account)
        password = _create(programs, folder, account)
        server, port = _start(programs, folder, account)
        print(f"postgresql+asyncpg://postgres:{password}@127.0.0.1:{port}/postgres", flush=True)
        sys.stdin.buffer.read()
    except (StartFailed, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if server is not None:
            _stop(server)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _account(folder: Path) -> Account:
    """As whom to run the programs, who then owns the folder: ourselves, but never root."""
    if os.geteuid() != 0:
        return Account()
    nobody = pwd.getpwnam("nobody")
    account = Account(nobody.pw_uid, nobody.pw_gid, ())
    _give(folder, account)
    return account


def _give(path: Path, account: Account) -> None:
    if account.user is not None and account.group is not None:
        os.chown(path, account.user, account.group, follow_symlinks=False)


def _reachable(programs: Path, folder: Path, account: Account) -> Path:
    """The folder of the programs, or of a copy where our account may not reach them."""
    try:
        _run([programs / "postgres", "--version"], account)
    except PermissionError:
        programs = _copy(programs, folder / "programs")
        for path in (folder / "programs", *(folder / "programs").rglob("*")):
            _give(path, account)
    return programs


def _copy(programs: Path, folder: Path) -> Path:
    """Copy the parts of `<prefix>/bin` and, of a wheel, the libraries next to its package; nothing else of `prefix`."""
    prefix, package = programs.parent, programs.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    for source in (programs, prefix / "lib", prefix / "share", libraries):
        if source.is_dir():
            shutil.copytree(source, folder / source.relative_to(package.parent), symlinks=True)
    return folder / programs.relative_to(package.parent)


def _create(programs: Path, folder: Path, account: Account) -> str:
    """Run initdb; the superuser's password, so that nobody else on this machine gets in."""
    password = secrets.token_urlsafe(16)
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    _give(secret, account)
    options = ["--auth=password", "--encoding=UTF8", "--no-locale", "--no-sync", *_cheap_passwords(programs, account)]
    _run([programs / "initdb", "-D", folder / "data", "-U", "postgres", f"--pwfile={secret}", *options], account)
    secret.unlink()
    return password


def _cheap_passwords(programs: Path, account: Account) -> list[str]:
    """Options of initdb, which knows them since 16: a connection in 4 ms instead of 12."""
    version = re.search(r"\d+", _run([programs / "postgres", "--version"], account))
    return ["-c", "scram_iterations=1"] if version and int(version[0]) >= 16 else []


def _run(command: list[str | Path], account: Account) -> str:
    """Run a program to its end; what it printed."""
    done = subprocess.run(
        command,
        user=account.user,
        group=account.group,
        extra_groups=account.groups,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StartFailed(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _start(programs: Path, folder: Path, account: Account) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server on a free port; the running server and its port."""
    log = folder / "log"
    options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    for _ in range(ATTEMPTS):
        port = _free_port()
        with log.open("wb") as output:
            server = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", "-p", str(port), *options],
                user=account.user,
                group=account.group,
                extra_groups=account.groups,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        if _wait_until_ready(server, folder / "data" / "postmaster.pid"):
            return server, port
    raise StartFailed(f"Postgres did not start: {log.read_text(errors='replace').strip()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(server: subprocess.Popen[bytes], status: Path) -> bool:
    """Read the status file as pg_ctl does; False if the server gave up, as on a taken port."""
    deadline = time.monotonic() + START_TIMEOUT
    while server.poll() is None:
        if status.exists() and "ready" in status.read_text():
            return True
        if time.monotonic() > deadline:
            _stop(server)
            raise StartFailed(f"Postgres was not ready after {START_TIMEOUT:.0f} s")
        time.sleep(0.02)
    return False


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Stop this server, and no other, by its own process id."""
    server.send_signal(signal.SIGINT)  # "fast": sessions are cut off, the server ends in order
    try:
        server.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
