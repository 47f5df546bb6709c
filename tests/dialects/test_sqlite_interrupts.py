"""A statement whose caller has gone is stopped, wherever it is."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, literal, select

from repo import Database
from repo.dialects.sqlite.driver import ClosingConnection

ROWS = 20_000_000
"""SQLite takes seconds to count them."""


async def test_a_statement_that_had_not_begun_when_it_was_cancelled_is_stopped_when_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel that comes before the connection's thread has begun the statement stops it all the same."""
    loop, arrived, may_begin = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    completed: list[int] = []
    numbers = select(literal(1).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < ROWS))
    counting = select(func.noted(func.count(numbers.c.n)))

    def wait(connection: Any, *args: Any) -> Any:
        loop.call_soon_threadsafe(arrived.set)
        may_begin.wait()
        return super(ClosingConnection, connection).execute(*args)

    async with Database(f"sqlite+aiosqlite:///{tmp_path}/a.db") as db:
        event.listen(
            db.engine.sync_engine,
            "connect",
            lambda connection, _: connection.create_function("noted", 1, completed.append),
        )
        await db.ping()
        event.listen(db.engine.sync_engine, "invalidate", lambda *_: may_begin.set())
        with monkeypatch.context() as patched:
            patched.setattr(ClosingConnection, "execute", wait, raising=False)
            running = asyncio.create_task(db.scalar(counting))
            await arrived.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
    assert not completed
