"""The table of mistakes. To extend it, add an entry to one of its sections; the page of the docs is made from it."""

from typing import NamedTuple

from tests.mistakes import rows, values
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
)
