"""The front door: what it says, what it passes on, when it sets up and when not.

Every test run goes through the real set-up. Here a small project and a stand-in for uv, which makes an empty
environment without a network, show what happens when something goes wrong.
"""

import ast
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import dev

ROOT = Path(__file__).parents[1]
UV = f"""#!/bin/sh
echo "$1" >> calls
case "$1" in
    venv) for folder; do :; done; exec "{sys.executable}" -m venv --without-pip "$folder" ;;
esac
"""
REPORT = """
import os, sys
told = {"VIRTUAL_ENV", "PYTHONPATH"} & set(os.environ)
print(sys.argv[1:], sys.prefix != sys.base_prefix, told, sys.dont_write_bytecode)
sys.exit(7)
"""


class Project:
    """A folder with `dev.py`, a report that ends with exit code 7, and a `uv` of our own on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        for name in ("dev.py", "pyproject.toml", "requirements"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        (folder / "examples").mkdir()
        (folder / "examples" / "concurrent_report.py").write_text(REPORT)
        (folder / "programs").mkdir()
        self.program("uv", UV)

    def program(self, name: str, script: str) -> Path:
        """Put a program on PATH."""
        path = self.folder / "programs" / name
        path.write_text(script)
        path.chmod(0o755)
        return path

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start `dev.py` in a session of its own."""
        path = os.pathsep.join([str(self.folder / "programs"), os.defpath])
        return subprocess.Popen(
            [sys.executable, self.folder / "dev.py", *arguments],
            cwd=self.folder,
            env={"HOME": str(self.folder), "PATH": path, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        """Run `dev.py` to its end: exit code, output, errors."""
        process = self.start(*arguments, **variables)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A small project in a fresh folder."""
    return Project(tmp_path)


def test_old_pythons_are_refused_in_one_line() -> None:
    """A Python that is too old can read the file and is told so; nothing is set up."""
    ast.parse((ROOT / "dev.py").read_text(), feature_version=(3, 7))
    code = "import runpy, sys; sys.version_info = (3, 10, 1); sys.argv = ['dev.py', 'test']; "
    code += f"runpy.run_path({str(ROOT / 'dev.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "Python 3.11 or newer is needed" in done.stderr


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--help"], 0), (["tests"], 2)])
def test_help(project: Project, arguments: list[str], code: int) -> None:
    """Without a command, and with a wrong one, it says which there are."""
    returned, output, _ = project.run(*arguments)
    assert returned == code
    assert "dev.py report" in output
    assert not project.calls.exists()


def test_report_becomes_the_program(project: Project) -> None:
    """Options and exit code are the report's own; no variable points it to another Python, or has it compile anew."""
    variables = {"VIRTUAL_ENV": "/nowhere", "PYTHONPATH": "/nowhere", "PYTHONDONTWRITEBYTECODE": "1"}
    code, output, errors = project.run("report", "--html", "a b.html", **variables)
    assert (code, errors) == (7, "")
    assert output.splitlines()[-1] == "['--html', 'a b.html'] True set() False"


def test_second_run_starts_at_once(project: Project) -> None:
    """What is set up is not set up again, until something it depends on changes."""
    project.run("report")
    first = project.calls.read_text()
    assert project.run("report")[0] == 7
    assert project.calls.read_text() == first
    (project.folder / "requirements" / "report.txt").write_text("")
    assert project.run("report")[0] == 7
    assert project.calls.read_text() == 2 * first


def test_interrupted_set_up_is_done_again(project: Project) -> None:
    """Ctrl-C during the set-up ends it with exit code 130; the next run sets up from the start."""
    os.mkfifo(project.folder / "reached")
    project.program("uv", f"{UV}\necho > reached\nexec sleep 60\n")
    process = project.start("report")
    (project.folder / "reached").read_text()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "dev.py: interrupted\n"
    assert process.returncode == 130
    project.program("uv", UV)
    assert project.run("report")[0] == 7


def test_failed_set_up_is_one_line(project: Project) -> None:
    """If neither uv nor pip can install, one line says why, and the exit code is 2."""
    project.program("uv", "#!/bin/sh\nexit 1\n")
    offline = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    code, _, errors = project.run("report", **offline)
    assert (code, errors.count("\n")) == (2, 1)
    assert "No matching distribution found" in errors


def test_every_row_runs_and_counts(project: Project) -> None:
    """All rows run even if the first fails; the last lines say how each went, and the exit code is 1."""
    code, output, _ = project.run("test")  # the environments are empty, so no row can pass
    rows = output.rpartition("\n\n")[2].splitlines()
    assert code == 1
    assert [row.split(",")[0] for row in rows] == [f"FAILED (1)  {name}" for name in (*dev.CHECKS, *[dev.TESTS] * 2)]


def test_pythons_that_do_not_run_are_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shim that refuses to run is passed over for the interpreter that it stands for."""
    shims, real = tmp_path / "shims", tmp_path / "versions" / "3.12.9" / "bin"
    shims.mkdir()
    real.mkdir(parents=True)
    for path, script in ((shims, "exit 127"), (real, "echo 3.12 /the/real/one")):
        (path / "python3.12").write_text(f"#!/bin/sh\n{script}\n")
        (path / "python3.12").chmod(0o755)
    monkeypatch.setenv("PATH", str(shims))
    monkeypatch.setattr(dev, "THIS", dev.Python("3.11", "/bin/false"))
    monkeypatch.setattr(dev, "PYTHONS", ("3.12", "3.13"))
    assert dev.find_pythons() == [dev.Python("3.12", "/the/real/one")]


def test_pins_hold_hashes_alone() -> None:
    """The requirement files name every package with its version and hashes, and no place to get it from."""
    for name in dev.PINS:
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        packages = text.replace("\\\n", "").splitlines()
        assert all(line.startswith(("#", " ")) or "--hash=sha256:" in line for line in packages)
        assert "://" not in text
