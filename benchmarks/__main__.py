"""`repo` beside the drivers and other libraries.

python3 dev.py bench [options]
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.environment import described
from benchmarks.operations import OPERATIONS
from benchmarks.progress import Progress
from benchmarks.rounds import Measured, Plan, measure
from benchmarks.schema import MODELS
from benchmarks.tables import table


def main(arguments: list[str]) -> None:
    """Measure, print tables, and write a file."""
    options = _parser().parse_args(arguments)
    plan = Plan(
        models=options.model,
        databases=options.database,
        concurrencies=options.concurrency,
        operations=options.only,
        contenders=options.contender,
        rows=options.rows,
        rounds=options.rounds,
        uvloop=options.uvloop,
    )
    before = described()
    say(f"{plan.rounds} rounds, {plan.rows} rows; {before['processors']} processors, load {before['load']}")
    progress = Progress(plan.steps)
    everything: list[Measured] = []
    for results in measure(plan, progress):
        progress.clear()
        say("")
        for line in table(results):
            say(line)
        everything += results
    after = described()
    say(f"\nload {after['load']}")
    if options.json:
        document = {"before": before, "after": after, "results": [result.as_json() for result in everything]}
        options.json.write_text(json.dumps(document, indent=1) + "\n")


def say(line: str) -> None:
    """Print a line at once, also into a file."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py bench", description="Measure repo beside others.")
    choices = {
        "model": list(MODELS),
        "database": ["postgresql", "sqlite"],
        "only": list(OPERATIONS),
        "contender": list(CONTENDERS),
    }
    for name, values in choices.items():
        parser.add_argument(f"--{name}", nargs="+", choices=values, default=values)
    parser.add_argument("--concurrency", nargs="+", type=int, default=[1, 10, 100], help="numbers of tasks")
    parser.add_argument("--rows", type=int, default=1000, help="how many in the table (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="besides the one to warm up (default: %(default)s)")
    parser.add_argument("--uvloop", action="store_true", help="on uvloop's loop instead of Python's")
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
