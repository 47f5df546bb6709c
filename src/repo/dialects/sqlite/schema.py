"""What the database file itself says about a table's constraints.

For statements that come without metadata. SQLAlchemy's own reflection would do, but warns of each
index that it cannot reflect.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.sql.schema import SchemaItem

_NAME = r'(?:\w+|"(?:[^"]|"")+")'
_CONSTRAINT = re.compile(
    rf"CONSTRAINT\s+(?P<name>{_NAME})\s+"
    r"(?P<kind>UNIQUE|PRIMARY\s+KEY|FOREIGN\s+KEY|CHECK)\s*\((?P<inside>[^()]*)"
    rf"(?:\)\s*REFERENCES\s+(?P<other>{_NAME}))?",
    re.IGNORECASE,
)

Ask = Callable[[str], list[tuple[Any, ...]]]
"""Gives the rows of a statement."""


def described(ask: Ask, name: str) -> MetaData | None:
    """The table with its names of constraints, as far as CREATE TABLE has given them."""
    created = [sql for own, sql in ask("SELECT name, sql FROM sqlite_master WHERE type = 'table'") if own == name]
    if not created:
        return None
    columns = [Column(row[1]) for row in ask(f"PRAGMA table_info({quoted(name)})")]
    return Table(name, MetaData(), *columns, *_constraints(created[0]), *_indexes(ask, name)).metadata


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def plain(name: str) -> str:
    """A name without SQL's quotes."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _constraints(create: str) -> Iterator[SchemaItem]:
    """The constraints that CREATE TABLE names."""
    for found in _CONSTRAINT.finditer(create):
        name = plain(found["name"])
        columns = [plain(column.strip()) for column in found["inside"].split(",")]
        match found["kind"].upper()[0]:
            case "U":
                yield UniqueConstraint(*columns, name=name)
            case "P":
                yield PrimaryKeyConstraint(*columns, name=name)
            case "C":
                yield CheckConstraint("", name=name)
            case "F" if found["other"]:
                # To which columns it refers does not matter here.
                yield ForeignKeyConstraint(columns, [f"{plain(found['other'])}.{c}" for c in columns], name=name)


def _indexes(ask: Ask, table: str) -> Iterator[Index]:
    """The unique indexes that were made by CREATE INDEX, without those over expressions."""
    for _, name, unique, origin, *_ in ask(f"PRAGMA index_list({quoted(table)})"):
        if unique and origin == "c":
            columns = [row[2] for row in ask(f"PRAGMA index_info({quoted(name)})")]
            if None not in columns:
                yield Index(name, *columns, unique=True)
