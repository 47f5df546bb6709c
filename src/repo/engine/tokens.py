"""Tokens of work that happens once: a row for each key, written by the very transaction that does the work.

Functions here take a ``Session`` and run inside SQLAlchemy's greenlet.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    Column,
    CursorResult,
    DateTime,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    delete,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from repo.model import NAMING_CONVENTION

TOKENS = Table(
    "repo_once",
    MetaData(naming_convention=NAMING_CONVENTION),
    Column("key", Text, primary_key=True),
    Column("call", String(32), nullable=False),
    Column("fingerprint", Text),
    Column("result", Text),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),  # always given in UTC
)
"""The keys of ``once=``: which call has used each, and its result as JSON."""

SWEPT = 1000
"""How many expired tokens are removed at a time."""

_INSERT = text(
    "INSERT INTO repo_once (key, call, fingerprint, expires_at) VALUES (:key, :call, :fingerprint, :expires_at)"
    " ON CONFLICT DO NOTHING"
).bindparams(*(bindparam(column.name, type_=column.type) for column in TOKENS.columns if column.name != "result"))


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a key that was used."""

    call: str
    """The call that has used it."""
    fingerprint: str | None
    result: str
    """As JSON."""


def claim(own: Session, key: str, call: str, fingerprint: str | None, keep: timedelta) -> Token | None:
    """Use a key: None if it was free, else what its first use has left.

    Where a transaction that has used the key is still running, this waits for its end.
    """
    known = select(TOKENS.c.call, TOKENS.c.fingerprint, TOKENS.c.result, TOKENS.c.expires_at <= bindparam("now"))
    while True:
        now = datetime.now(UTC)
        token = {"key": key, "call": call, "fingerprint": fingerprint, "expires_at": now + keep}
        if cast("CursorResult[Any]", own.execute(_INSERT, token)).rowcount:
            return None
        found = own.execute(known.where(TOKENS.c.key == key), {"now": now}).one_or_none()
        if found is not None and not found[3]:
            return Token(found[0], found[1], found[2])
        # It has expired, or was removed in this moment because it had.
        own.execute(delete(TOKENS).where(TOKENS.c.key == key, TOKENS.c.expires_at <= now))


def keep_result(own: Session, key: str, result: str) -> None:
    """Store what the work with this key has come to."""
    own.execute(update(TOKENS).where(TOKENS.c.key == key).values(result=result))


def sweep(own: Session) -> None:
    """Remove tokens that have expired, not all of them if there are many."""
    expired = select(TOKENS.c.key).where(TOKENS.c.expires_at <= datetime.now(UTC)).limit(SWEPT)
    own.execute(delete(TOKENS).where(TOKENS.c.key.in_(expired)))
