"""Which constraint it was: SQLite says its columns, or its name, or nothing at all.

The rest is looked up in the metadata. SQLite's messages are English on every machine.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from repo.dialects.sqlite.schema import plain

_MESSAGE = re.compile(r"[A-Z ]+ constraint failed: (?P<what>.+)", re.DOTALL)
_INDEX = re.compile(r"index '(?P<name>.+)'", re.DOTALL)
_STATEMENT = re.compile(
    r"\s*(?P<verb>INSERT|REPLACE|UPDATE|DELETE)(?P<either>\s+OR\s+\w+)?(\s+INTO|\s+FROM)?"
    r'\s+(?:\w+\.|"[^"]+"\.)?(?P<table>\w+|"(?:[^"]|"")+")',
    re.IGNORECASE,
)


class ForeignKey(NamedTuple):
    """A foreign key by the table and the columns that refer to the other table."""

    table: str
    columns: tuple[str, ...]


def kind(error: BaseException) -> str:
    """SQLite's name of the error, which for ON DELETE RESTRICT says that a trigger has refused the row; "" if none."""
    name: str = getattr(error, "sqlite_errorname", "")
    restricts = name == "SQLITE_CONSTRAINT_TRIGGER" and str(error) == "FOREIGN KEY constraint failed"
    return "SQLITE_CONSTRAINT_FOREIGNKEY" if restricts else name


def describe(
    code: str,
    message: str,
    metadata: MetaData | None,
    statement: str | None,
    foreign_key: ForeignKey | None,
) -> dict[str, Any]:
    """The constraint's name, table and columns, as far as they can be known.

    Args:
        code: SQLite's name of the error.
        message: what SQLite said.
        metadata: where to look.
        statement: what was executed.
        foreign_key: the one that was found to be violated.
    """
    tables = list(metadata.tables.values()) if metadata is not None else []
    if code == "SQLITE_CONSTRAINT_FOREIGNKEY":
        return _foreign_key(metadata, statement, foreign_key)
    found = _MESSAGE.fullmatch(message)
    what = found["what"] if found else ""
    if code == "SQLITE_CONSTRAINT_CHECK":
        return _check(tables, what, statement)
    index = _INDEX.fullmatch(what)
    if index is not None:
        owner = next((t.name for t in tables if any(i.name == index["name"] for i in t.indexes)), None)
        return _fields(index["name"], owner or written(statement), ())
    named = _named(tables, what) if code != "SQLITE_CONSTRAINT_NOTNULL" else None
    return _fields(named, *_columns(what))


def written(statement: str | None) -> str | None:
    """The name of the table that a statement writes to."""
    found = _STATEMENT.match(statement or "")
    return plain(found["table"]) if found else None


def suspects(metadata: MetaData | None, statement: str | None) -> list[ForeignKeyConstraint]:
    """The foreign keys that a statement may have violated, in the order of their creation."""
    found = _STATEMENT.match(statement or "")
    name = written(statement)
    tables = [] if metadata is None else [t for t in metadata.tables.values() if t.name == name]
    if found is None or len(tables) != 1:
        return []
    verb = found["verb"].upper()
    own = [] if verb == "DELETE" else _in_order(tables[0])
    # Of these, only OR REPLACE deletes rows, to which others may refer.
    plain_insert = verb == "INSERT" and not (found["either"] or "").upper().endswith("REPLACE")
    return own if plain_insert else [*own, *_referring(tables[0], {tables[0]})]


def _referring(table: Table, seen: set[Table]) -> Iterator[ForeignKeyConstraint]:
    """The foreign keys that refer to the table, or to one to which a change of it cascades."""
    for other in table.metadata.tables.values():
        for foreign_key in _in_order(other):
            if foreign_key.elements[0].target_fullname.rpartition(".")[0] != table.fullname:
                continue
            yield foreign_key
            if (foreign_key.ondelete or foreign_key.onupdate) and other not in seen:
                yield from _referring(other, seen | {other})


def _in_order(table: Table) -> list[ForeignKeyConstraint]:
    """A table's foreign keys, always in the same order."""
    return sorted(table.foreign_key_constraints, key=_names)


def _foreign_key(metadata: MetaData | None, statement: str | None, foreign_key: ForeignKey | None) -> dict[str, Any]:
    """The foreign key that was found, or the only one that it can have been."""
    if foreign_key is None:
        possible = list(dict.fromkeys(suspects(metadata, statement)))
        if len(possible) != 1:
            return _fields(None, None, ())
        foreign_key = ForeignKey(possible[0].table.name, _names(possible[0]))
    for table in metadata.tables.values() if metadata is not None else ():
        for candidate in table.foreign_key_constraints:
            if (table.name, _names(candidate)) == foreign_key:
                return _fields(candidate.name, *foreign_key)
    return _fields(None, *foreign_key)


def _check(tables: list[Table], what: str, statement: str | None) -> dict[str, Any]:
    """A check by its name; of one that has none, SQLite says the expression instead."""
    name = written(statement)
    checks = [(t.name, c.name) for t in tables for c in t.constraints if isinstance(c, CheckConstraint)]
    owners = [table for table, check in checks if check == what]
    if not owners:
        return _fields(None, name, ())
    return _fields(what, name if name in owners or len(owners) > 1 else owners[0], ())


def _named(tables: list[Table], what: str) -> object:
    """The name of the primary key, unique constraint or unique index of ``t.a, t.b``."""
    names = {
        candidate.name for table in tables for candidate in _unique(table) if _said(table, _names(candidate)) == what
    }
    # Two indexes may differ only in their WHERE.
    return names.pop() if len(names) == 1 else None


def _unique(table: Table) -> Iterator[PrimaryKeyConstraint | UniqueConstraint | Index]:
    """Whatever keeps rows of the table apart."""
    yield from (c for c in table.constraints if isinstance(c, PrimaryKeyConstraint | UniqueConstraint))
    yield from (index for index in table.indexes if index.unique)


def _columns(what: str) -> tuple[str | None, tuple[str, ...]]:
    """The table and the columns of ``t.a, t.b``."""
    pairs = [part.rpartition(".") for part in what.split(", ")]
    return pairs[0][0] or None, tuple(column for _, _, column in pairs if column)


def _said(table: Table, columns: tuple[str, ...]) -> str:
    """How SQLite's message calls the columns of a table."""
    return ", ".join(f"{table.name}.{column}" for column in columns)


def _names(constraint: Any) -> tuple[str, ...]:
    return tuple(column.name for column in constraint.columns)


def _fields(constraint: object, table: str | None, columns: tuple[str, ...]) -> dict[str, Any]:
    # A constraint that has no name may have a symbol in its place.
    return {"constraint": str(constraint) if isinstance(constraint, str) else None, "table": table, "columns": columns}
