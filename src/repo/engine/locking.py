"""Row locks that a read takes, held until its transaction ends."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import Select, inspect

from repo.errors import UsageError

Mode = Literal["update", "no_key_update", "share"]


@dataclass(frozen=True, slots=True)
class Lock:
    """How a read locks the rows that it finds: ``lock=Lock("update", skip_locked=True)``.

    On a database where a writing transaction excludes all others, the transaction itself is the
    lock, and this is accepted and adds nothing.
    """

    mode: Mode = "update"
    """``"update"``, ``"no_key_update"`` (lets others refer to the row), or ``"share"``."""
    skip_locked: bool = False
    """Leave out rows that are locked by others."""
    nowait: bool = False
    """Raise ``LockTimeout`` at once where a row is locked by others."""
    of: tuple[Any, ...] = ()
    """Models whose rows are locked, where a statement joins several; empty means all."""

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise UsageError(f"a lock is one of {', '.join(get_args(Mode))}; not {self.mode!r}")
        if others := [each for each in self.of if inspect(each, raiseerr=False) is None]:
            raise UsageError(f"of= of a lock takes models, as in of=(User,); not {type(others[0]).__name__}")
        if self.skip_locked and self.nowait:
            raise UsageError("a lock either skips locked rows or refuses to wait for them, not both")


def locked(statement: Select[Any], lock: Lock | Mode) -> Select[Any]:
    """The statement with the lock; it reads afresh what the session knows already."""
    wanted = _whole(lock)
    return statement.with_for_update(
        read=wanted.mode == "share",
        key_share=wanted.mode == "no_key_update",
        skip_locked=wanted.skip_locked,
        nowait=wanted.nowait,
        of=wanted.of or None,
    ).execution_options(populate_existing=True)


def mark(lock: Lock | Mode | None) -> Hashable:
    """What is the same for the same lock, of which parts may compare to an expression."""
    if lock is None:
        return None
    wanted = _whole(lock)
    return wanted.mode, wanted.skip_locked, wanted.nowait, tuple(map(id, wanted.of))


def _whole(lock: Lock | Mode) -> Lock:
    """A lock that was given by its mode alone, with all that belongs to it."""
    return lock if isinstance(lock, Lock) else Lock(lock)
