"""The three tables of the benchmark, the rows in them, and what must be in them afterwards.

They are those of Tortoise's `orm-benchmarks`: a simple `journal`, one whose rows refer to others of the same table, and
a wide one. Every contender maps the same tables, which the benchmark itself makes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

TABLE = "journal"
LEVELS = (10, 20, 30, 40, 50)
ROOT = 0
"""The level of a row that others refer to."""
ROOTS = 50
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
TEXT = "Moo,Foo,Baa,Waa,Moo,Foo,Baa,Waa,Moo,Foo,Baa,Waa"
DATA: Mapping[str, Any] = {"a": 1, "b": "b", "c": [2], "d": {"e": 3}, "f": True}

Values = dict[str, Any]
"""Of one row, by the names of the columns."""

WIDE: Mapping[str, tuple[str, str, Any]] = {
    "float": ("DOUBLE PRECISION", "REAL", 2.2),
    "smallint": ("SMALLINT", "SMALLINT", 2),
    "int": ("INTEGER", "INTEGER", 2_000_000),
    "bigint": ("BIGINT", "BIGINT", 99_999_999),
    "char": ("VARCHAR(255)", "VARCHAR(255)", "value1"),
    "text": ("TEXT", "TEXT", TEXT),
    "decimal": ("NUMERIC(12, 8)", "NUMERIC(12, 8)", Decimal("2.2")),
    "json": ("JSONB", "JSON", DATA),
}
"""The kinds of the wide table's columns: the type on Postgres, the type on SQLite, the default."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its types on the two databases, and what a library fills in; a nullable one has no default."""

    name: str
    postgresql: str
    sqlite: str
    default: Any = None
    nullable: bool = False

    def ddl(self, dialect: str) -> str:
        """Its line in CREATE TABLE."""
        kind = self.postgresql if dialect == "postgresql" else self.sqlite
        return f"{self.name} {kind}{'' if self.nullable or 'KEY' in kind else ' NOT NULL'}"


def _wide() -> Iterator[Column]:
    """Four times each kind: the first and the third with a default, the others nullable."""
    for number in range(1, 5):
        for kind, (postgresql, sqlite, default) in WIDE.items():
            nullable = number % 2 == 0
            yield Column(f"col_{kind}{number}", postgresql, sqlite, None if nullable else default, nullable)


SIMPLE = (
    Column("id", "SERIAL PRIMARY KEY", "INTEGER PRIMARY KEY"),
    Column("timestamp", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP"),
    Column("level", "SMALLINT", "SMALLINT"),
    Column("text", "VARCHAR(255)", "VARCHAR(255)"),
)
PARENT = f"INTEGER REFERENCES {TABLE} (id)"
MODELS: Mapping[str, tuple[Column, ...]] = {
    "simple": SIMPLE,
    "related": (*SIMPLE, Column("parent_id", PARENT, PARENT, nullable=True)),
    "wide": (*SIMPLE, *_wide()),
}


@dataclass(frozen=True, slots=True)
class Model:
    """One of the tables, and its rows."""

    name: str

    @property
    def columns(self) -> tuple[Column, ...]:
        """In the order of the table."""
        return MODELS[self.name]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def roots(self) -> int:
        """How many rows others refer to; they come first."""
        return ROOTS if self.name == "related" else 0

    def ddl(self, dialect: str) -> list[str]:
        """The table and its indexes."""
        lines = ", ".join(column.ddl(dialect) for column in self.columns)
        indexed = ("level", "text", *(("parent_id",) if self.name == "related" else ()))
        indexes = [f"CREATE INDEX {TABLE}_{name} ON {TABLE} ({name})" for name in indexed]
        return [f"CREATE TABLE {TABLE} ({lines})", *indexes]

    def given(self, number: int, what: str) -> Values:
        """What a caller gives for a new row; the library fills in the rest."""
        values: Values = {"level": LEVELS[number % len(LEVELS)], "text": f"Insert from {what}, item {number}"}
        if self.name == "related":
            values["parent_id"] = number % ROOTS + 1
        return values

    def added(self, number: int, what: str) -> Values:
        """The row that comes of it, but for its key and its time."""
        return {column.name: column.default for column in self.columns[2:]} | self.given(number, what)

    def stored(self, count: int) -> list[Values]:
        """The rows that are there before something is read or changed, without the roots."""
        first = self.roots + 1
        return [
            {"id": first + n, "timestamp": BEGIN + timedelta(seconds=n), **self.added(n, "the benchmark")}
            for n in range(count)
        ]

    def root_rows(self) -> list[Values]:
        """The rows that others refer to."""
        rows = [self.added(n, "the roots") | {"level": ROOT, "parent_id": None} for n in range(self.roots)]
        return [{"id": n + 1, "timestamp": BEGIN, **row} for n, row in enumerate(rows)]

    def changed(self, row: Values) -> Values:
        """The row with another value in every column but the key."""
        return {name: value if name == "id" else _changed(name, value) for name, value in row.items()}


def _changed(name: str, value: Any) -> Any:
    """Another value of the same kind."""
    if name == "level":
        return next_level(value)
    if name == "parent_id":
        return value % ROOTS + 1
    match value:
        case datetime():
            return value + timedelta(days=1)
        case str():
            return f"{value} Update"
        case int() | float() | Decimal():
            return value + 1
        case dict():
            return {**value, "a": value["a"] + 1}
        case _:
            return _for_null(name)


def _for_null(name: str) -> Any:
    """A value for a column that had none."""
    return WIDE[kind_of(name)][2]


def kind_of(name: str) -> str:
    """The kind of a column of the wide table."""
    return name.removeprefix("col_").rstrip("0123456789")


def next_level(level: int) -> int:
    """The level after this one."""
    return LEVELS[(LEVELS.index(level) + 1) % len(LEVELS)]


def canonical(values: Sequence[Any]) -> tuple[Any, ...]:
    """Values in one form, however a library or a database spells them."""
    return tuple(_canonical(value) for value in values)


def _canonical(value: Any) -> Any:
    match value:
        case datetime():
            return value.replace(tzinfo=None)
        case Decimal():
            return round(float(value), 8)
        case dict():
            return json.dumps(value, sort_keys=True)
        case _:
            return value


def parsed(name: str, value: Any) -> Any:
    """What a database's own text for a value means."""
    if isinstance(value, str):
        if name == "timestamp":
            return datetime.fromisoformat(value)
        if "json" in name:
            return json.loads(value)
    if "decimal" in name and value is not None:
        return Decimal(str(value))
    return value
