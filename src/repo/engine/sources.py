"""Where many rows come from: any iterable, read while its rows are stored, or before.

A source that has to wait for something else must not have the writers of a database wait with it.
Where only one transaction can write, such a source is read to its end before that begins.
"""

import pickle
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping
from contextlib import aclosing
from itertools import islice
from typing import IO, Any

from sqlalchemy.orm import Mapper

from repo.engine.conditions import name_of
from repo.engine.rows import Group, Intake, Shape
from repo.errors import UsageError

CHUNK = 5000
"""How many rows go to the database at a time."""

MEMORY = 4 * 1024 * 1024
"""How many bytes of rows that wait are kept in memory before there is a file."""


def check_source(mapper: Mapper[Any], source: Any, verb: str) -> None:
    """Refuse what is no source of rows, such as one row."""
    if isinstance(source, str | bytes | Mapping) or not isinstance(source, Iterable | AsyncIterable):
        raise UsageError(
            f"{verb} of {name_of(mapper)} takes a list, or anything else that gives {name_of(mapper)} or "
            f"mappings one after the other, not {type(source).__name__}; "
            f"{verb.removesuffix('_many')}() takes a single entity"
        )


async def chunks(
    source: Iterable[Any] | AsyncIterable[Any], intake: Intake, *, ahead: bool
) -> AsyncGenerator[list[Group], None]:
    """The source's items as rows, ``CHUNK`` of them at a time; an asynchronous generator is closed in the end.

    Args:
        source: gives the items.
        intake: makes rows of them.
        ahead: read an asynchronous source to its end before the first rows come.
    """
    if not isinstance(source, AsyncIterable):
        given, number = iter(source), 1
        while items := list(islice(given, CHUNK)):
            yield intake.groups(items, number)
            number += len(items)
        return
    async with aclosing(_chunks(source, intake)) as some:
        if not ahead:
            async for groups in some:
                yield groups
            return
        with tempfile.SpooledTemporaryFile(max_size=MEMORY) as file:
            spool = _Spool(file)
            async for groups in some:
                spool.put(groups)
            for groups in spool.take():
                yield groups


async def _chunks(source: AsyncIterable[Any], intake: Intake) -> AsyncGenerator[list[Group], None]:
    """The chunks of an asynchronous source."""
    items: list[Any] = []
    number = 1
    try:
        async for item in source:
            items.append(item)
            if len(items) == CHUNK:
                yield intake.groups(items, number)
                items, number = [], number + CHUNK
        if items:
            yield intake.groups(items, number)
    finally:
        if (close := getattr(source, "aclose", None)) is not None:
            await close()


class _Spool:
    """Rows that wait, in their order: the first in memory, the others in a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._shapes: list[Shape] = []
        self._kept: list[list[Group] | None] = []
        """What stays in memory; None stands for the next that is in the file."""

    def put(self, groups: list[Group]) -> None:
        """Add rows; those with a value that cannot be written stay in memory."""
        written = self._written(groups) if self._kept else None
        if written is not None:
            self._file.write(written)
        self._kept.append(groups if written is None else None)

    def take(self) -> Iterator[list[Group]]:
        """All rows, once."""
        self._file.seek(0)
        for groups in self._kept:
            yield self._read() if groups is None else groups

    def _written(self, groups: list[Group]) -> bytes | None:
        """Rows as bytes, for this process; None if a value cannot be."""
        parts = [(self._number(group.shape), group.names, group.given, _values(group)) for group in groups]
        try:
            return pickle.dumps(parts, pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, AttributeError, TypeError, RecursionError):
            return None

    def _read(self) -> list[Group]:
        """The next rows in the file."""
        parts = pickle.load(self._file)  # noqa: S301  # written by this process into a file without a name
        return [
            Group(self._shapes[shape], names, given, [dict(zip(names, row, strict=True)) for row in rows])
            for shape, names, given, rows in parts
        ]

    def _number(self, shape: Shape) -> int:
        """What stands for a shape in the file."""
        if shape not in self._shapes:
            self._shapes.append(shape)
        return self._shapes.index(shape)


def _values(group: Group) -> list[tuple[Any, ...]]:
    """The values of a group's rows, in the order of its names."""
    return [tuple([row[name] for name in group.names]) for row in group.rows]
