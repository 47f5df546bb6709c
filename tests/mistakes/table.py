"""The table of mistakes. To extend it, add an entry to one of its sections; the page of the docs is made from it."""

from typing import NamedTuple

from tests.mistakes import connections, others, rows, statements, storage, values
from tests.mistakes.entry import Mistake


class Section(NamedTuple):
    """A part of the table."""

    title: str
    about: str
    """What all its mistakes have in common."""
    mistakes: tuple[Mistake, ...]


SECTIONS: tuple[Section, ...] = (
    Section(
        "Constraints",
        "By whichever way the row comes: `add`, `add_many` (COPY on Postgres), a flush, `insert()` of one row or many, "
        "`text`, `update`; in a transaction, in a savepoint, by itself.",
        rows.MISTAKES,
    ),
    Section("Values", "Sent by the same ways, or read.", values.MISTAKES),
    Section("Statements and answers", "Through the `Database`, a transaction or a snapshot.", statements.MISTAKES),
    Section("What others do meanwhile", "In transactions and programs that run at the same time.", others.MISTAKES),
    Section("Connections", "However the database is asked.", connections.MISTAKES),
    Section("Storage", "Of the file that the database is.", storage.MISTAKES),
)
