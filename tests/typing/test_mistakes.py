"""What a type checker must refuse."""

import re
from pathlib import Path

import pytest

api = pytest.importorskip("mypy.api", reason="feature: the type checker, which only the newest environment has")

HERE = Path(__file__).parent
EXPECTED = re.compile(r"# error: ([\w-]+)$")
REPORTED = re.compile(r"mistakes\.py:(\d+): error: .*\[([\w-]+)\]$")


@pytest.mark.timeout(600)  # without its cache, the checker reads all of SQLAlchemy
def test_each_mistake_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mypy refuses just the lines that say so, each with the error that it says."""
    lines = (HERE / "mistakes.py.txt").read_text().splitlines()
    expected = [(number, found[1]) for number, line in enumerate(lines, 1) if (found := EXPECTED.search(line))]
    file = tmp_path / "mistakes.py"
    file.write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(HERE.parents[1])
    output, problems, _ = api.run([str(file), "--no-pretty", "--hide-error-context"])
    assert problems == ""
    assert sorted((int(m[1]), m[2]) for line in output.splitlines() if (m := REPORTED.search(line))) == expected
