"""`repo` beside the drivers and other libraries: python3 dev.py bench [options]."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks import extras
from benchmarks.charts import bars, lines
from benchmarks.contenders import CONTENDERS
from benchmarks.databases import opened
from benchmarks.documents import Document, read
from benchmarks.environment import described
from benchmarks.extras import EXTRAS, Figure, Setting
from benchmarks.operations import OPERATIONS
from benchmarks.progress import Progress
from benchmarks.rounds import Plan, measure
from benchmarks.schema import MODELS, Model
from benchmarks.tables import OURS, Comparison, extra_lines

LEAST = 100
"""So many rows are needed for a limit of 20 within a level."""


def main(arguments: list[str]) -> int:
    """Measure, or read what was measured; print tables, and write files. 1 if a contender has failed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.rows < LEAST:
        parser.error(f"--rows must be at least {LEAST}")
    document = show(read(options.read), options.clock) if options.read else run(options)
    if options.json:
        document.write(options.json)
    if options.svg:
        draw(document, options.svg)
    return int(any(result.errors for result in document.operations))


def run(options: argparse.Namespace) -> Document:
    """Measure everything that was asked for; each table is printed as soon as it is complete."""
    operations = [name for name in options.only if name in OPERATIONS]
    others = [name for name in options.only if name in EXTRAS]
    plan = Plan(
        models=options.model,
        databases=options.database,
        concurrencies=options.concurrency,
        operations=operations,
        contenders=options.contender,
        rows=options.rows,
        rounds=options.rounds,
        uvloop=options.uvloop,
    )
    kept = {name: value for name, value in vars(options).items() if name not in ("json", "svg", "read", "clock")}
    document = Document(before=described(), options=kept)
    _say([f"{plan.rounds} rounds, {plan.rows} rows, load {document.before['load']}"])
    progress = Progress(plan.steps)
    for results in measure(plan, progress) if operations else ():
        progress.clear()
        _say(["", *Comparison(results, options.clock).lines()])
        document.operations += results
    for name in others:
        for figures in _other(name, options):
            _say(["", *extra_lines(figures, options.clock)])
            document.extras += figures
    document.after = described()
    _say(["", f"load {document.after['load']}"])
    return document


def _other(name: str, options: argparse.Namespace) -> Iterable[list[Figure]]:
    """Another measurement, on each database."""
    databases = EXTRAS[name].databases
    for database in databases if databases == ("",) else options.database:
        progress = Progress(1)
        progress.step(f"{name}, {database}".rstrip(", "))
        if not database:
            figures = extras.measure(name, Setting(database, "", options.rounds, options.most, options.uvloop))
        else:
            with opened(database) as store:
                store.create(Model("simple"))
                setting = Setting(database, store.url, options.rounds, options.most, options.uvloop)
                figures = extras.measure(name, setting)
        progress.clear()
        yield figures


def show(document: Document, clock: str) -> Document:
    """Print the tables of a run."""
    for results in document.comparisons():
        _say([*Comparison(results, clock).lines(), ""])
    for figures in document.measurements():
        _say([*extra_lines(figures, clock), ""])
    return document


def draw(document: Document, folder: Path) -> None:
    """Two charts, or what there is of them."""
    folder.mkdir(parents=True, exist_ok=True)
    comparisons = [Comparison(results) for results in document.comparisons()]
    ours = [comparison for comparison in comparisons if OURS in comparison.contenders]
    if ours:
        (folder / "operations.svg").write_text(bars(ours))
    growing = [figures for figures in document.measurements() if len({figure.size for figure in figures}) > 1]
    if growing:
        (folder / "growth.svg").write_text(lines(growing))


def _say(words: Iterable[str]) -> None:
    """Print lines at once, also into a file."""
    sys.stdout.write("".join(f"{line}\n" for line in words))
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py bench", description="Measure repo beside others.")
    choices = {
        "only": ([*OPERATIONS, *EXTRAS], "what to measure"),
        "model": (list(MODELS), "tables"),
        "database": (["postgresql", "sqlite"], "databases"),
        "contender": (list(CONTENDERS), "those that are compared at the eleven operations"),
    }
    for name, (values, meaning) in choices.items():
        help_ = f"{meaning}; all by default: {', '.join(values)}"
        parser.add_argument(f"--{name}", nargs="+", choices=values, default=values, metavar="NAME", help=help_)
    parser.add_argument("--concurrency", nargs="+", type=int, default=[1, 10, 100], help="numbers of tasks")
    parser.add_argument("--rows", type=int, default=1000, help="how many in the table (default: %(default)s)")
    parser.add_argument(
        "--most",
        type=int,
        default=1_000_000,
        help="the most rows or calls of anything else than the operations (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="besides the one to warm up (default: %(default)s)")
    parser.add_argument("--uvloop", action="store_true", help="on uvloop's loop instead of Python's")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="what the tables show")
    parser.add_argument("--json", type=Path, help="write every sample to this file")
    parser.add_argument("--svg", type=Path, help="draw charts into this folder")
    parser.add_argument("--read", type=Path, help="measure nothing: show and draw what such a file has")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
