"""The SQL that the bare drivers send, written once for both styles of parameters."""

from datetime import UTC, datetime
from typing import Any

from benchmarks.schema import ROOT, TABLE, Model, Values


class Statements:
    """Every statement of the benchmark for a table; the names in it are the benchmark's own."""

    table = TABLE

    def __init__(self, model: Model, dialect: str) -> None:
        place = "${}" if dialect == "postgresql" else "?{}"
        names = model.names[1:]
        columns = ", ".join(model.names)
        places = ", ".join(place.format(n + 1) for n in range(len(names)))
        changes = ", ".join(f"{name} = {place.format(n + 2)}" for n, name in enumerate(names))
        one, two, three = (place.format(n) for n in (1, 2, 3))
        read = f"SELECT {columns} FROM {TABLE}"
        self.names = model.names
        self.inserted = names
        self.defaults = {column.name: column.default for column in model.columns[2:]}
        self.insert = f"INSERT INTO {TABLE} ({', '.join(names)}) VALUES ({places}) RETURNING id"
        self.insert_many = self.insert.removesuffix(" RETURNING id")
        self.by_key = f"{read} WHERE id = {one}"
        self.of_level = f"{read} WHERE level = {one}"
        self.some_of_level = f"{read} WHERE level = {one} LIMIT {two} OFFSET {three}"
        self.all_rows = read
        self.all_but_roots = f"{read} WHERE level <> {ROOT} ORDER BY id"
        self.update = f"UPDATE {TABLE} SET {changes} WHERE id = {one}"
        self.update_level = f"UPDATE {TABLE} SET level = {two} WHERE id = {one}"
        self.delete = f"DELETE FROM {TABLE} WHERE id = {one}"

    def new(self, row: Values) -> list[Any]:
        """The values of a new row; what a library would fill in is filled in."""
        whole = {"timestamp": datetime.now(UTC), **self.defaults, **row}
        return [whole[name] for name in self.inserted]

    def whole(self, row: Values) -> list[Any]:
        """The values of a row, but for its key."""
        return [row[name] for name in self.inserted]
