"""The front door: needs nothing but Python 3.11 or newer, and sets up by itself whatever else it takes.

    python3 dev.py report [options]   run examples/concurrent_report.py with these options
    python3 dev.py test               check everything, as CI does
    python3 dev.py test --matrix      run the tests on every Python found, with the newest and the oldest dependencies
    python3 dev.py test [options]     run pytest with these options, on this Python
    python3 dev.py docs               write the page of docs/ anew that is made from the tests
    python3 dev.py bench [options]    measure `repo` beside the drivers and other libraries (see benchmarks/README.md)
    python3 dev.py pin                write requirements/ anew from pyproject.toml (needs uv)

The environments are in .venv/, one for each requirement file and Python; uv makes them where it is on PATH, else pip.
"""

from __future__ import annotations  # older Pythons must get as far as the line that refuses them

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent
PYTHONS = ("3.11", "3.12", "3.13")
CHECKS = ("ruff check .", "ruff format --check .", "mypy", "pyright")
TESTS = f"pytest --numprocesses {min(2 * (os.cpu_count() or 1), 8)}"  # half of the time they wait for a database
FAILED = "pytest --last-failed --last-failed-no-failures none"
PINS = {
    "report": "--extra postgresql --extra migrations --group build --group examples",
    "newest": "--all-extras --group build --group examples --group tests --group typing --group checks",
    "oldest": "--all-extras --group build --group examples --group tests --group typing --resolution lowest-direct",
    "benchmarks": "--all-extras --group build --group benchmarks",
}
FOREIGN = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__")  # they point to another Python
SLOW = ("PYTHONDONTWRITEBYTECODE",)  # each of the many processes would compile everything anew
OWN = {"UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "true", "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}


class Python(NamedTuple):
    """An interpreter: its version (`3.11`) and its real, absolute path."""

    version: str
    path: str


class Row(NamedTuple):
    """One check: `python -m command`, with these pins on this Python."""

    command: str
    pins: str
    python: Python


THIS = Python("{}.{}".format(*sys.version_info), os.path.realpath(sys.executable))


def main(command: str = "--help", *options: str) -> int:
    """Do what the command line says; the exit code."""
    if sys.version_info < (3, 11):
        fail(f"Python 3.11 or newer is needed; {THIS.path} is {THIS.version}")
    if command == "report":
        return become("report", str(ROOT / "examples" / "concurrent_report.py"), *options)
    if command == "test" and options not in ((), ("--matrix",)):
        os.chdir(ROOT)
        return become("newest", "-m", "pytest", *options)
    if command == "test":
        return run(matrix() if options else everything())
    if command == "docs":
        os.chdir(ROOT)
        return become("newest", "-m", "tests.mistakes.page")
    if command == "bench":
        os.chdir(ROOT)
        return become("benchmarks", "-m", "benchmarks", *options)
    if command == "pin":
        return pin()
    print(__doc__)
    return 0 if command in ("--help", "-h") else 2


def everything() -> list[Row]:
    """What CI runs: every check, and the tests on the newest of everything and on the oldest of everything."""
    pythons = find_pythons()
    checks = [Row(command, "newest", pythons[-1]) for command in CHECKS]
    return [*checks, Row(TESTS, "newest", pythons[-1]), Row(TESTS, "oldest", pythons[0])]


def matrix() -> list[Row]:
    """The tests on every Python with both sets of pins."""
    return [Row(TESTS, pins, python) for python in find_pythons() for pins in ("newest", "oldest")]


def find_pythons() -> list[Python]:
    """The supported Pythons on this machine, oldest first; a program on PATH counts only if it really runs."""
    found = (next(filter(None, (probe(version, path) for path in candidates(version))), None) for version in PYTHONS)
    return [python for python in found if python] or [THIS]


def candidates(version: str) -> Iterator[str]:
    """Where this Python may be: here, on PATH, next to the shims of a version manager on PATH."""
    yield THIS.path
    yield f"python{version}"
    for folder in map(Path, os.get_exec_path()):
        if folder.name == "shims":
            yield from map(str, sorted(folder.parent.glob(f"versions/*/bin/python{version}")))


def probe(version: str, program: str) -> Python | None:
    """Ask a program which Python it is; None unless it is this version."""
    question = "import os, sys; print('%d.%d' % sys.version_info[:2], os.path.realpath(sys.executable))"
    try:
        done = subprocess.run([program, "-c", question], env=clean(), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    python = Python(*done.stdout.strip().split(" ", 1))
    return python if python.version == version else None


def run(rows: Sequence[Row]) -> int:
    """Run every row, even after a failure; the last lines say how each went. 1 if any failed.

    Tests that fail beside others are run once more, one at a time.
    """
    summary, codes = [], []
    for row in rows:
        title = f"{row.command}, {row.pins} dependencies, Python {row.python.version}"
        print(f"\n=== {title}", flush=True)
        folder, began = environment(row.pins, row.python), time.monotonic()
        code, result = call(folder, "-m", *row.command.split()), "passed"
        if code == 1 and row.command == TESTS:
            # A busy machine is no reason to refuse a change, but one that the last lines must tell of.
            print(f"\n=== what has failed once more, by itself: {title}", flush=True)
            code, result = call(folder, "-m", *FAILED.split()), "passed, some tests only by themselves"
        codes.append(code)
        result = f"FAILED ({code})" if code else result
        summary.append(f"{result}  {title}, {time.monotonic() - began:.0f} s")
    print("", *summary, sep="\n", flush=True)
    return int(any(codes))


def call(folder: Path, *arguments: str) -> int:
    """Run Python to its end. Ctrl-C reaches it without us; we end only after it has cleaned up."""
    received: list[int] = []

    def remember(number: int, _frame: Any) -> None:
        received.append(number)
        if number == signal.SIGTERM:
            process.terminate()

    with subprocess.Popen([folder / "bin" / "python", *arguments], cwd=ROOT, env=clean(folder)) as process:
        signal.signal(signal.SIGINT, remember)
        signal.signal(signal.SIGTERM, remember)
    if received:
        raise SystemExit(128 + received[0])
    return process.returncode


def become(pins: str, *arguments: str) -> NoReturn:
    """Turn this process into Python in that environment: signals and the exit code are the program's own."""
    folder = environment(pins, THIS)
    python = str(folder / "bin" / "python")
    os.execve(python, [python, *arguments], clean(folder))


def clean(folder: Path | None = None) -> dict[str, str]:
    """The variables for a program, of which nothing points to another Python; `folder` comes first on its PATH."""
    variables = {name: value for name, value in os.environ.items() if name not in FOREIGN + SLOW} | OWN
    if folder:
        variables["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        variables["MYPY_CACHE_DIR"] = str(ROOT / ".mypy_cache" / folder.name)  # one for each, or they undo each other's
    return variables


def environment(pins: str, python: Python) -> Path:
    """The folder of the environment for these pins and this Python, made anew if anything it depends on changed."""
    requirements, folder = ROOT / "requirements" / f"{pins}.txt", ROOT / ".venv" / f"{pins}-{python.version}"
    parts = [requirements.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), f"{python} {ROOT}".encode()]
    wanted, stamp = hashlib.sha256(b"".join(parts)).hexdigest(), folder / "complete"

    def complete() -> bool:
        return stamp.exists() and stamp.read_text() == wanted and (folder / "bin" / "python").exists()

    if complete():
        return folder
    folder.parent.mkdir(exist_ok=True)
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another dev.py may be making the same environment
        if not complete():
            print(f"Setting up {folder.relative_to(ROOT)} (once, less than a minute) ...", flush=True)
            stamp.unlink(missing_ok=True)
            make(folder, python, requirements)
            stamp.write_text(wanted)
    return folder


def make(folder: Path, python: Python, requirements: Path) -> None:
    """Make the environment in the first way that works; what the programs said is kept in a file next to it."""
    with Path(f"{folder}.log").open("w+") as log:
        for venv, install in ways(str(folder / "bin" / "python"), python.path):
            shutil.rmtree(folder, ignore_errors=True)
            pinned = [*install, "--quiet", "--require-hashes", "--requirement", str(requirements)]
            own = [*install, "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
            if all(succeeds(step, log) for step in ([*venv, str(folder)], pinned, own)):
                return
        log.seek(0)
        reason = log.read().strip().rpartition("\n")[2]
        hint = "; install python3-venv or uv" if "No module named pip" in reason else ""
        fail(f"cannot set up {folder}: {reason}{hint} (all of it is in {log.name})")


def ways(inside: str, python: str) -> Iterator[tuple[list[str], list[str]]]:
    """How to make an environment and how to install into it, best first."""
    uv = shutil.which("uv")
    if uv:
        yield [uv, "venv", "--python", python], [uv, "pip", "install", "--python", inside]
    if succeeds([python, "-c", "import ensurepip; ensurepip.version()"], subprocess.DEVNULL):
        yield [python, "-m", "venv"], [inside, "-m", "pip", "install"]
    else:  # Debian without python3-venv
        yield [python, "-m", "venv", "--without-pip"], [python, "-m", "pip", "--python", inside, "install"]


def succeeds(command: Sequence[str], output: Any) -> bool:
    """Whether a program ends with exit code 0."""
    done = subprocess.run(command, cwd=ROOT, env=clean(), stdout=output, stderr=output, check=False)
    return done.returncode == 0


def pin() -> int:
    """Resolve pyproject.toml for every platform and supported Python; no address and no path is written."""
    uv = shutil.which("uv") or fail("pin needs uv on PATH")
    for name, options in PINS.items():
        command = [uv, "pip", "compile", "pyproject.toml", "--output-file", f"requirements/{name}.txt", "--quiet"]
        command += ["--upgrade", "--universal", "--generate-hashes", "--python-version", PYTHONS[0]]
        command += ["--custom-compile-command", "python3 dev.py pin", *options.split()]
        if not succeeds(command, None):
            return 1
    return 0


def fail(reason: str) -> NoReturn:
    """End with one line and exit code 2."""
    print(f"dev.py: {reason}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except OSError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("dev.py: interrupted", file=sys.stderr)
        sys.exit(130)
