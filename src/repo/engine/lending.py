"""The pool's connections as the driver knows them, without those of SQLAlchemy around them.

Who asks for one connection after the other gets the one that he gave back a moment ago: it goes to the
pool only when nobody has wanted it for a few turns of the event loop.
"""

import asyncio
import logging
import time
from typing import Any

from sqlalchemy import PoolProxiedConnection, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import greenlet_spawn

from repo.engine.loop import call_in_next_turn

TURNS = 4
"""Who asks again as soon as he has an answer, by reads that are done together, does so in the third turn."""

_MADE = "repo.made"

_EVENTS = (
    *("do_orm_execute", "before_flush", "after_flush", "after_flush_postexec", "before_attach", "after_attach"),
    *("loaded_as_persistent", "transient_to_pending", "pending_to_persistent", "persistent_to_deleted"),
)
"""What a session tells of that happens on the long way only."""


def listeners(session: Session) -> int:
    """How many want to be told by a session, or by all of them."""
    return sum(len(getattr(session.dispatch, name)) for name in _EVENTS)


_OF_ALL_SESSIONS = tuple(getattr(Session().dispatch, name) for name in _EVENTS)
"""Who wants to be told by all of them, at any time: a session that nobody knows has no listeners of its own."""


def is_watched(engine: AsyncEngine) -> bool:
    """Whether somebody wants SQLAlchemy to tell what it executes and writes: a listener, or a log."""
    sync = engine.sync_engine
    watched = sync.dispatch
    return bool(
        watched.before_cursor_execute
        or watched.after_cursor_execute
        or watched.before_execute
        or watched.after_execute
        or any(_OF_ALL_SESSIONS)
        or sync.logger.isEnabledFor(logging.INFO)
    )


class Lender:
    """Lends connections of an engine's pool."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._given: list[list[PoolProxiedConnection]] = [[] for _ in range(TURNS)]
        """Those that were given back in this turn of the loop, those of the turn before, and so on."""
        self._timer: asyncio.Handle | None = None
        self._doubted: float | None = None
        """Since when older connections are not trusted any more."""
        self.out: set[PoolProxiedConnection] = set()
        """All that are out of the pool, at hand or lent."""

    def at_hand(self) -> PoolProxiedConnection | None:
        """One that was given back a moment ago, if there is one."""
        for given in self._given:
            if given:
                return given.pop()
        return None

    async def connect(self) -> PoolProxiedConnection:
        """One of the pool; the loop has heard by then what its server has said while nobody used it."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        connection = await greenlet_spawn(self._engine.pool.connect)
        self.out.add(connection)
        return connection

    def give_back(self, connection: PoolProxiedConnection) -> None:
        """Take one back that is as it was lent."""
        self._given[0].append(connection)
        if self._timer is None:
            self._timer = call_in_next_turn(self._cool)

    async def hand_in(self, connection: PoolProxiedConnection) -> None:
        """Let the pool have one back."""
        self.out.discard(connection)
        await greenlet_spawn(connection.close)

    async def throw_away(self, connection: PoolProxiedConnection) -> None:
        """Take one back that cannot be used any more."""
        self.out.discard(connection)
        await greenlet_spawn(connection.invalidate)

    def spare(self) -> None:
        """Let the pool have one that is at hand, for whoever asks it for one in another way."""
        connection = self.at_hand()
        if connection is not None:
            self._let_go([connection])

    def doubt(self) -> None:
        """Have the pool replace all that were made before now: one has proved to be dead, and others may be dying."""
        self.hand_over()
        if self._doubted is None:
            event.listen(self._engine.sync_engine, "connect", _made)
            event.listen(self._engine.sync_engine, "checkout", self._refuse_old)
        self._doubted = time.monotonic()

    def hand_over(self) -> None:
        """Let the pool have all that are at hand."""
        for given in self._given:
            self._let_go(given)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse_old(self, _: Any, record: ConnectionPoolEntry, __: Any) -> None:
        """Have the pool make another in place of one that is not trusted."""
        if self._doubted is not None and record.info.get(_MADE, 0.0) < self._doubted:
            raise DisconnectionError("another connection of the same time has proved to be dead")

    def _cool(self) -> None:
        """A turn of the loop is over."""
        oldest = self._given.pop()
        self._let_go(oldest)
        self._given.insert(0, oldest)
        self._timer = call_in_next_turn(self._cool) if any(self._given) else None

    def _let_go(self, connections: list[PoolProxiedConnection]) -> None:
        """Let the pool have all of them back, which takes no awaiting: there is nothing to be undone on them."""
        while connections:
            connection = connections.pop()
            self.out.discard(connection)
            connection.close()


def _made(_: Any, record: ConnectionPoolEntry) -> None:
    """A connection was made."""
    record.info[_MADE] = time.monotonic()
