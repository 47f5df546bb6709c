"""What a caller has left behind: a statement is stopped, wherever it is, and a connection closed."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, literal, select

from repo import Database
from repo.dialects.sqlite.driver import ClosingConnection, connect

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


async def test_what_is_opened_for_a_cancelled_caller_is_closed(tmp_path: Path) -> None:
    """A cancel while a connection is being opened leaves no open connection behind."""
    loop, arrived, may_open = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    closed: list[bool] = []

    class Slow(ClosingConnection):
        def __init__(self, *args: Any, **options: Any) -> None:
            loop.call_soon_threadsafe(arrived.set)
            may_open.wait(timeout=60)
            super().__init__(*args, **options)

        def close(self) -> None:
            super().close()
            closed.append(True)

    opening = asyncio.create_task(connect(str(tmp_path / "a.db"), factory=Slow))
    await arrived.wait()
    opening.cancel()
    await asyncio.sleep(0)
    may_open.set()
    await asyncio.wait([opening])
    assert (opening.cancelled(), closed) == (True, [True])
