"""Where many rows come from: any iterable, read while its rows are stored, or before.

A source that has to wait for something else must not have the writers of a database wait with it.
Where only one transaction can write, such a source is read to its end before that begins.
"""

import pickle
import tempfile
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping
from contextlib import aclosing
from itertools import islice
from typing import IO, Any

from sqlalchemy.orm import Mapper

from repo.engine.conditions import name_of
from repo.engine.rows import Group, Intake, Shape
from repo.errors import UsageError

CHUNK = 5000
"""How many rows are made ready at a time."""

STATEMENT = 50_000
"""How many rows a statement is given at most that takes further rows while it runs."""

PATIENCE = 0.1
"""Seconds after which a source is too slow to be read while a statement runs, whose time may be limited."""

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


class Chunk:
    """Rows of a source that are ready, and others that may be taken with them.

    Args:
        groups: the rows that are ready.
    """

    def __init__(self, groups: Iterable[Group]) -> None:
        self.groups = deque(groups)
        """Whoever stores them takes them from here."""
        self.count = sum(group.count for group in self.groups)
        """How many rows there were."""
        self.failure: Exception | None = None
        """The error of the source that has ended the chunk."""
        self.parts: Iterator[list[Group]] = iter(())
        """Gives the others."""

    def more(self) -> None:
        """Make further rows ready, of a source that gives them at once; none where there are no more, or enough.

        What is being stored meanwhile is not to be interrupted, so an error of the source is kept.
        """
        if self.count >= STATEMENT:
            return
        start = time.monotonic()
        try:
            groups = next(self.parts, [])
        except Exception as error:
            self.failure = error
            return
        if time.monotonic() - start > PATIENCE:
            self.parts = iter(())
        self.groups.extend(groups)
        self.count += sum(group.count for group in groups)


async def chunks(
    source: Iterable[Any] | AsyncIterable[Any], intake: Intake, *, ahead: bool
) -> AsyncGenerator[Chunk, None]:
    """The source's items as rows, some of them at a time; an asynchronous generator is closed in the end.

    Args:
        source: gives the items.
        intake: makes rows of them.
        ahead: read an asynchronous source to its end before the first rows come.
    """
    if not isinstance(source, AsyncIterable):
        for chunk in _chunks(_parts(source, intake)):
            yield chunk
        return
    async with aclosing(_later(source, intake)) as parts:
        if not ahead:
            async for groups in parts:
                yield Chunk(groups)
            return
        with tempfile.SpooledTemporaryFile(max_size=MEMORY) as file:
            spool = _Spool(file)
            async for groups in parts:
                spool.put(groups)
            for groups in spool.take():
                yield Chunk(groups)


def _chunks(parts: Iterator[list[Group]]) -> Iterator[Chunk]:
    """The chunks of a source that gives its rows at once."""
    while True:
        start = time.monotonic()
        chunk = Chunk(next(parts, ()))
        if not chunk.count:
            return
        if time.monotonic() - start < PATIENCE:
            chunk.parts = parts
        yield chunk
        if chunk.failure is not None:
            raise chunk.failure


def _parts(source: Iterable[Any], intake: Intake) -> Iterator[list[Group]]:
    """The rows of a source, ``CHUNK`` of them at a time, of which nothing is kept."""
    given, number = iter(source), 1
    while groups := intake.groups(list(islice(given, CHUNK)), number):
        number += CHUNK
        yield groups
        del groups


async def _later(source: AsyncIterable[Any], intake: Intake) -> AsyncGenerator[list[Group], None]:
    """The rows of an asynchronous source, ``CHUNK`` of them at a time."""
    items: list[Any] = []
    number = 1
    try:
        async for item in source:
            items.append(item)
            if len(items) == CHUNK:
                groups, items = intake.groups(items, number), []
                number += CHUNK
                yield groups
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
        parts = [(self._number(group.shape), group.names, group.given, group.count, group.values) for group in groups]
        try:
            return pickle.dumps(parts, pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, AttributeError, TypeError, RecursionError):
            return None

    def _read(self) -> list[Group]:
        """The next rows in the file."""
        parts = pickle.load(self._file)  # noqa: S301  # written by this process into a file without a name
        return [Group(self._shapes[shape], *fields) for shape, *fields in parts]

    def _number(self, shape: Shape) -> int:
        """What stands for a shape in the file."""
        if shape not in self._shapes:
            self._shapes.append(shape)
        return self._shapes.index(shape)
