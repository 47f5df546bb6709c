"""What the documents show, runs: each block of Python by itself, in an empty folder, with warnings as errors."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUICK_START = BLOCK.findall(README)[0]
QUICK_START_URL = "sqlite+aiosqlite:///app.db"
POSTGRES_URL = 'Database("postgresql+asyncpg://user:password@host/name")'
"""What stands in a block that needs Postgres, in place of the URL of a server; a test of its own runs it."""


def blocks() -> list[object]:
    """Every block of Python in the documents that runs anywhere, named by its file and line."""
    return [
        pytest.param(match[1], id=f"{path.relative_to(ROOT)}:{path.read_text().count(chr(10), 0, match.start()) + 1}")
        for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
        for match in BLOCK.finditer(path.read_text())
        if POSTGRES_URL not in match[1]
    ]


def run(code: str, folder: Path) -> str:
    """Run code as a program in this folder; what it printed."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("code", blocks())
def test_block_runs_as_printed(code: str, tmp_path: Path) -> None:
    """A reader can paste any block into a file and run it."""
    run(code, tmp_path)


def test_quick_start_runs_on_both_databases(url: str, tmp_path: Path) -> None:
    """The first block needs nothing but another URL to run on another database, and finds what it added."""
    assert QUICK_START_URL in QUICK_START
    printed = run(QUICK_START.replace(QUICK_START_URL, url), tmp_path)
    assert re.fullmatch(r"\[<.*User.*>, \[<.*User.*>\], 2\]\n", printed)


def test_readme_begins_with_the_two_commands() -> None:
    """After one sentence that says what `repo` is come the two commands, and nothing else before them."""
    title, sentence, commands, *_ = README.split("\n\n")
    assert title == "# repo"
    assert sentence.startswith("`repo` is ")
    assert re.findall(r"^python3 dev\.py (\w+)", commands, re.MULTILINE) == ["report", "test"]
