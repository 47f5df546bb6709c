"""What happens in between two statements of one call, or two calls."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.util import await_only

from repo import Database
from repo.engine.lending import TURNS


@contextmanager
def before(db: Database, *steps: tuple[str, Callable[[], Any]]) -> Iterator[None]:
    """Have coroutines run to their end, each right before the next statement that has its text in it."""
    pending = list(steps)

    def step(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if pending and pending[0][0] in statement:
            await_only(pending.pop(0)[1]())

    event.listen(db.engine.sync_engine, "before_cursor_execute", step)
    try:
        yield
    finally:
        event.remove(db.engine.sync_engine, "before_cursor_execute", step)
    assert pending == []


async def settle() -> None:
    """Let all other tasks go on for as far as they can by themselves, and the pool have what nobody uses."""
    for _ in range(TURNS + 1):
        await asyncio.sleep(0)
