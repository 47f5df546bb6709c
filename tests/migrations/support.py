"""Alembic as a user runs it, projects made for one test, and what a database looks like."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alembic.config import Config
from sqlalchemy import Connection, Inspector, inspect

ROOT = Path(__file__).parents[2]
"""The project, whose migrations are those of the flights."""

INI = """\
[alembic]
script_location = %(here)s
path_separator = os
"""

ENV = """\
from sqlalchemy import Column, Integer, MetaData, Table

from repo import migrations

metadata = MetaData()
Table("things", metadata, Column("id", Integer, primary_key=True))
migrations.run(metadata)
"""

REVISION = """\
import os
import time

import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {previous!r}


def upgrade():
    {up}


def downgrade():
    {down}
"""

CREATE = "op.create_table('things', sa.Column('id', sa.Integer(), primary_key=True))"
DROP = "op.drop_table('things')"


def project(folder: Path, *ups: str) -> Config:
    """A migrations folder with one revision, `1`, `2`, ..., for each body of `upgrade()`."""
    versions = folder / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text(INI)
    (folder / "env.py").write_text(ENV)
    shutil.copy(ROOT / "migrations" / "script.py.mako", folder)
    for number, up in enumerate(ups, 1):
        previous = str(number - 1) if number > 1 else None
        text = REVISION.format(
            revision=str(number),
            previous=previous,
            up=up.replace("\n", "\n    "),
            down=DROP if up == CREATE else "pass",
        )
        (versions / f"{number}.py").write_text(text)
    return Config(folder / "alembic.ini")


def start(
    url: str | None, *arguments: str, folder: Path = ROOT, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """The `alembic` command, running; in the project's folder or another."""
    variables = {**os.environ, **(environment or {})}
    variables.pop("DATABASE_URL", None)
    if url is not None:
        variables["DATABASE_URL"] = url
    return subprocess.Popen(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def alembic(url: str | None, *arguments: str, folder: Path = ROOT) -> tuple[int, str]:
    """The exit code of an `alembic` command, and all that it printed."""
    process = start(url, *arguments, folder=folder)
    output, _ = process.communicate()
    return process.returncode, output


def schema(connection: Connection) -> dict[str, dict[str, Any]]:
    """All that the database tells about its tables, in an order of its own."""
    inspector = inspect(connection)
    return {table: _table(inspector, table) for table in inspector.get_table_names() if table != "alembic_version"}


def _table(inspector: Inspector, table: str) -> dict[str, Any]:
    columns = {
        column["name"]: (repr(column["type"]), column["nullable"], column["default"])
        for column in inspector.get_columns(table)
    }
    return {
        "columns": columns,
        "primary key": inspector.get_pk_constraint(table),
        "foreign keys": _named(inspector.get_foreign_keys(table)),
        "unique": _named(inspector.get_unique_constraints(table)),
        "checks": _named(inspector.get_check_constraints(table)),
        "indexes": _named(inspector.get_indexes(table)),
    }


def _named(items: Any) -> list[tuple[str, str]]:
    """Constraints or indexes by their names."""
    return sorted((str(item["name"]), repr(sorted(item.items()))) for item in items)
