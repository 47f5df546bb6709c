"""Waiting for a lock with patience that ends, and saying who waits for what when it does."""

import asyncio
import os
import platform
import time
from collections.abc import Callable

from sqlalchemy.util import await_only

from repo.errors import LockTimeout

PAUSE = 0.1
"""Seconds between two attempts to get the lock."""


def wait_for(take: Callable[[], bool], *, lock: str, holder: Callable[[], str], timeout: float) -> None:
    """Call `take` until it returns True; `LockTimeout` after `timeout` seconds.

    It asks again and again, because a statement that waits inside the database keeps a snapshot
    there, and the holder's CREATE INDEX CONCURRENTLY would wait for that: a deadlock.

    Args:
        take: takes the lock if it is free now.
        lock: the name of the lock, for the error.
        holder: says who has the lock; called only for the error.
        timeout: seconds; 0 is one attempt.
    """
    started = time.monotonic()
    while not take():
        waited = time.monotonic() - started
        if waited >= timeout:
            raise LockTimeout(
                f"{waiter()} waited {waited:.1f} s for {lock}; {holder()}. Another process is"
                " probably migrating: let it finish, or give a longer lock_timeout."
            )
        await_only(asyncio.sleep(min(PAUSE, timeout - waited)))


def waiter() -> str:
    """This process, as the others should see it: ``migrations of process 4711 on myhost``."""
    return f"migrations of process {os.getpid()} on {platform.node()}"
