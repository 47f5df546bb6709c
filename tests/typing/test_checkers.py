"""What type checkers know of a user's code and what they refuse, with the SQLAlchemy that is installed."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
UNPACKS = int(version("sqlalchemy").split(".")[1]) >= 1
FILES = ("verbs.py", "statements.py", *(["unpacked.py"] if UNPACKS else []))
MISTAKES = "mistakes.py"
EXPECTED = re.compile(r"# error: (.+)$")
REPORTED = re.compile(r"^(.+?):(\d+): error: .*\[([\w-]+)\]$", re.MULTILINE)

Found = set[tuple[str, int, str]]
"""The name of a file, the number of a line, and the code of the error there."""


def mypy(*files: Path) -> Found:
    """What mypy finds; the settings are the project's."""
    output = run("mypy", "--no-pretty", "--hide-error-context", *files)
    return {(Path(name).name, int(line), code) for name, line, code in REPORTED.findall(output)}


def pyright(*files: Path) -> Found:
    """What pyright finds; its settings are those that it has by itself."""
    found = json.loads(run("pyright", "--pythonpath", sys.executable, "--outputjson", *files))
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each.get("rule", "syntax"))
        for each in found["generalDiagnostics"]
        if each["severity"] == "error"
    }


def run(checker: str, *arguments: str | Path) -> str:
    """What a type checker prints; it may have found errors, but not failed."""
    done = subprocess.run(
        [sys.executable, "-m", checker, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode in (0, 1), done.stderr) == (True, "")
    return done.stdout


@cache
def findings(checker: Callable[..., Found], folder: Path) -> Found:
    """What a checker finds in all files of this folder's tests; the mistakes are in a copy that has the right name."""
    shutil.copy(HERE / f"{MISTAKES}.txt", folder / MISTAKES)
    ours = {*FILES, MISTAKES}
    return {found for found in checker(folder / MISTAKES, *(HERE / name for name in FILES)) if found[0] in ours}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests here."""
    return tmp_path_factory.mktemp("typing")


@pytest.mark.timeout(600)  # without its cache, mypy reads all of SQLAlchemy
@pytest.mark.parametrize("checker", [mypy, pyright])
def test_types_are_known(checker: Callable[..., Found], folder: Path) -> None:
    """Each `assert_type` holds, and what is right is not refused."""
    assert {found for found in findings(checker, folder) if found[0] != MISTAKES} == set()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("checker", "rules"), [(mypy, r"[a-z-]+"), (pyright, r"report\w+")])
def test_each_mistake_is_refused(checker: Callable[..., Found], rules: str, folder: Path) -> None:
    """Just the lines that say so are refused, each with the errors that it says."""
    lines = (HERE / f"{MISTAKES}.txt").read_text().splitlines()
    codes = {number: match[1].split() for number, line in enumerate(lines, 1) if (match := EXPECTED.search(line))}
    expected = {(MISTAKES, line, code) for line, several in codes.items() for code in several}
    found = {each for each in findings(checker, folder) if each[0] == MISTAKES}
    assert found == {each for each in expected if re.fullmatch(rules, each[2])}
