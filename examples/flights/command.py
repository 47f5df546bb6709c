"""The command: options, what is missing set up, the report made, and one line for whatever goes wrong."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from sqlalchemy import inspect

from examples.flights.loader import AlreadyLoaded, is_loaded, load, shown
from examples.flights.measure import Measured, Meter
from examples.flights.output import OutputError, check_writable, write
from examples.flights.page import Setting, page
from examples.flights.progress import Watch
from examples.flights.source import DataError
from examples.flights.tables import tables, timings
from examples.flights.timeline import Timeline
from repo import Base, Database, RepoError, migrations

ROOT = Path(__file__).resolve().parents[2]
DATABASE = "sqlite+aiosqlite:///flights.db"
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
FAILED = 2


class OptionError(Exception):
    """The command line makes no sense."""


class SetUpError(Exception):
    """The database is not one that the tables can be made in."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    database: str
    connections: int
    html: Path
    json: Path | None
    one_at_a_time: bool


@dataclass(slots=True)
class Stage:
    """What an interruption leaves behind."""

    left: str = "no report was written"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the report; returns the exit code, after one line on standard error if it is not 0."""
    stage = Stage()
    try:
        asyncio.run(report(parse(arguments), Console(), stage))
    except (RepoError, DataError, OutputError, OptionError, SetUpError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail(f"interrupted: {stage.left}")
    return 0


def fail(message: str) -> int:
    """Say it in one line."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return FAILED


async def report(options: Options, console: Console, stage: Stage) -> None:
    """Everything, from checking the files to writing them."""
    for file in filter(None, (options.html, options.json)):
        check_writable(file)
    watch, timeline = Watch(console), Timeline()
    async with Database(options.database, pool_size=options.connections, hooks=[watch, timeline]) as db:
        await set_up(db, console, stage)
        meter = Meter(db, timeline, watch)
        measured = await (meter.only_one_at_a_time() if options.one_at_a_time else meter.both(options.connections))
        setting = Setting(describe(db), os.cpu_count() or 1, measured.rounds)
    show(measured, console)
    write(options.html, page(measured.answers, measured.comparison, setting))
    console.print(f"Wrote {options.html}")
    if options.json:
        write(options.json, measured.answers.json())
        console.print(f"Wrote {options.json}")


async def set_up(db: Database, console: Console, stage: Stage) -> None:
    """Bring the tables up to date, and fill them if they are empty."""
    await db.ping()
    await refuse_unknown_tables(db)
    await migrations.upgrade(db, config=ROOT / "alembic.ini")
    console.print(f"Tables: up to date, on {describe(db)}")
    if not await is_loaded(db):
        stage.left = "nothing was loaded, no report was written"
        with shown(console) as progress, suppress(AlreadyLoaded):  # another program may have been faster
            await load(db, progress=progress)
    stage.left = "no report was written"


async def refuse_unknown_tables(db: Database) -> None:
    """Raise SetUpError if there are tables that a migration would have to create, and no migration made them."""
    async with db.engine.connect() as connection:
        names = set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
    ours = names & set(Base.metadata.tables)
    if ours and "alembic_version" not in names:
        raise SetUpError(
            f"the database has tables that no migration made: {', '.join(sorted(ours))}. If they are those of this "
            "example, run: alembic stamp head. If not, give another database with --database"
        )


def show(measured: Measured, console: Console) -> None:
    """Print the answers and the times."""
    for table in tables(measured.answers):
        console.print(table)
    comparison = measured.comparison
    console.print(timings(comparison))
    if comparison.all_at_once:
        console.print(
            f"All at once over {comparison.all_at_once.connections} connections: "
            f"[bold]{comparison.ratio:.2f} times as fast[/bold] as one at a time."
        )


def describe(db: Database) -> str:
    """The kind of database and its version, as people write them."""
    dialect = db.engine.dialect
    version = ".".join(str(number) for number in dialect.server_version_info or ())
    return f"{NAMES.get(dialect.name, dialect.name)} {version}".rstrip()


def parse(arguments: Sequence[str] | None) -> Options:
    """The options; raises OptionError."""
    parser = Parser(prog="concurrent_report", description="A report on every flight that left New York in 2013.")
    url = os.environ.get("DATABASE_URL") or DATABASE
    parser.add_argument("--database", metavar="URL", default=url, help=f"default: DATABASE_URL, else {DATABASE}")
    processors = min(max(os.cpu_count() or 2, 2), 8)
    parser.add_argument(
        "--connections",
        metavar="N",
        type=positive,
        default=processors,
        help=f"for asking all at once; a query keeps a processor busy, so the default is their number: {processors}",
    )
    parser.add_argument("--html", metavar="FILE", type=Path, default=Path("report.html"), help="default: report.html")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the answers as JSON")
    parser.add_argument("--one-at-a-time", action="store_true", help="ask one at a time only, and compare nothing")
    options = Options(**vars(parser.parse_args(arguments)))
    if options.json and options.json.absolute() == options.html.absolute():
        raise OptionError(f"--html and --json are the same file, {options.html}")
    return options


def positive(text: str) -> int:
    """A whole number from 1 up."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"a whole number from 1 up is needed, not {text!r}")


class Parser(argparse.ArgumentParser):
    """Raises OptionError where argparse would print several lines."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse for whatever it does not understand."""
        raise OptionError(f"{message}; see --help")
