"""Values that do not fit where they go, and statements that make no sense."""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import select, true, update

from repo import Transaction
from repo.errors import InvalidValue
from tests.mistakes import Libraries, Mood, Paint, Paints
from tests.mistakes.entry import Bench, Fine, Mistake, Told, mistake
from tests.mistakes.rows import change, rows

STORED = Fine("it is stored")


def told(*codes: str | None, cause: tuple[str, ...] = ("sqlite3", "asyncpg", "builtins")) -> Told:
    """An `InvalidValue`; where a value is found out before it is sent, Python's own error is the cause."""
    return Told(InvalidValue, codes, cause=cause)


async def _stream(bench: Bench) -> None:
    async for _ in Paints(bench.db).stream():
        pass


async def _session(tx: Transaction) -> None:
    await tx.session.get(Paint, 102)


def _by_key(key: Any) -> tuple[Callable[[Transaction], Awaitable[object]], ...]:
    """The verbs that take a key."""
    return (
        lambda tx: Paints(tx).get(key),
        lambda tx: Paints(tx).get_one(key),
        lambda tx: Paints(tx).get_many([101, key]),
        lambda tx: Paints(tx).update(key, size=1),
        lambda tx: Paints(tx).update_many([{"id": key, "size": 1}]),
        lambda tx: Paints(tx).delete(key),
    )


MISTAKES: tuple[Mistake, ...] = (
    mistake(
        "a text that is too long for its column",
        *rows("paints", {"name": "x" * 21}),
        change(lambda tx: Paints(tx).update(101, name="x" * 21)),
        sqlite=STORED,
        postgresql=told("22001"),
    ),
    mistake(
        "a number that is too large for its column",
        *rows("paints", {"size": 2**40}),
        change(lambda tx: Paints(tx).update(101, size=2**40)),
        change(lambda tx: Paints(tx).update_where(true(), values={"size": 2**40})),
        sqlite=STORED,
        postgresql=told("22000"),
    ),
    mistake(
        "a number of more than 64 bits",
        *rows("paints", {"size": 2**70}),
        sqlite=told(None),
        postgresql=told("22000"),
    ),
    mistake(
        "a decimal with more digits than its column has",
        *rows("paints", {"price": 1234}),
        sqlite=STORED,
        postgresql=told("22003"),
    ),
    mistake(
        "a text where a number is expected",
        *rows("paints", {"size": "abc"}),
        sqlite=STORED,
        postgresql=told("22000"),
    ),
    mistake(
        "an object of a class that no column can hold",
        *rows("paints", {"name": object()}),
        sqlite=told(None),
        postgresql=told("22000"),
    ),
    mistake(
        "a text with half a surrogate pair",
        *rows("paints", {"name": "\ud800"}),
        sqlite=told(None),
        postgresql=told("22000"),
    ),
    mistake(
        "a text with a zero character",
        *rows("paints", {"name": "a\0"}),
        sqlite=STORED,
        postgresql=told("22021"),
    ),
    mistake(
        "a member of another enumeration in an `Enum` column",
        *rows("paints", {"colour": Mood.RED}),
        *rows("paints", {"shade": Mood.RED}),
        change(lambda tx: Paints(tx).update(101, colour=Mood.RED)),
        change(lambda tx: Paints(tx).update_where(true(), values={Paint.colour: Mood.RED})),
        change(lambda tx: Paints(tx).update_many([{"id": 101, "colour": Mood.RED}])),
        change(lambda tx: Paints(tx).all(Paint.colour == Mood.RED)),
        sqlite=told(None),
        postgresql=told(None, "22000"),
    ),
    mistake(
        "a value that the `Enum` of its column does not know, read",
        change(lambda tx: Paints(tx).get(102)),
        change(lambda tx: Paints(tx).all()),
        change(lambda tx: tx.scalars(select(Paint))),
        change(lambda tx: tx.rows(select(Paint.shade))),
        change(lambda tx: tx.execute(select(Paint))),
        change(lambda tx: tx.execute(update(Paint).values(size=1).returning(Paint.shade))),
        change(lambda tx: Paints(tx).update(102, size=1)),
        change(_session),
        _stream,
        sqlite=told(None),
        postgresql=told(None),
    ),
    mistake(
        "a key of another type",
        *(change(work) for key in ("1", 1.0, b"1") for work in _by_key(key)),
        change(lambda tx: Libraries(tx).get(("a", 1))),
        sqlite=told(None, cause=()),
        postgresql=told(None, cause=()),
    ),
)
