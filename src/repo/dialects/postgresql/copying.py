"""Many rows by COPY."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Column, Connection, text

from repo.dialects.postgresql.errors import UNSENDABLE, translate
from repo.errors import InvalidValue, RepoError

_COPIES = text(
    "SELECT relkind IN ('r', 'p', 'f') AND NOT row_security_active(oid) FROM pg_class WHERE oid = to_regclass(:name)"
)

_REFUSED = ("42809", "0A000")
"""What Postgres says to a COPY that it does not take, by which nothing was done: wrong_object_type, not_supported."""


def takes(connection: Connection, table: Any) -> bool:
    """Whether COPY takes rows for a table: not for a view, nor where row-level security applies to the user."""
    name = connection.dialect.identifier_preparer.format_table(table)
    return bool(connection.scalar(_COPIES, {"name": name}))


def has_refused(error: Exception) -> bool:
    """Whether an error says that COPY does not take rows for this table."""
    return getattr(error, "sqlstate", None) in _REFUSED


async def copy_in(driver: Any, columns: Sequence[Column[Any]], parts: Iterable[Sequence[Any]]) -> None:
    """Store rows: their values, as the driver wants them, of one row after the other; some rows at a time."""
    table: Any = columns[0].table
    names = [column.name for column in columns]
    rows = chain.from_iterable(zip(*[iter(part)] * len(names), strict=True) for part in parts)
    try:
        await driver.copy_records_to_table(table.name, schema_name=table.schema, columns=names, records=rows)
    except Exception as error:
        if isinstance(error, RepoError | OSError) or translate(error) is not None:
            raise
        # Python's own error, by the driver's encoder or a type's processor: it may show the value.
        raise InvalidValue(
            f"a row's value does not fit its column's type: {type(error).__name__}; its cause says more",
            code=UNSENDABLE,
        ) from error
