"""When to do a whole unit of work again, and how long to wait before that."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from repo.errors import AfterCommitFailed, CommitOutcomeUnknown, ConfigurationError, RepoError

_random = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often ``Database.transact`` tries, for how long, and after which errors.

    Between two attempts it waits for a random time, whose upper bound doubles each time, so that
    those who were in each other's way do not meet again.

    Raises:
        ConfigurationError: a number makes no sense.
    """

    attempts: int = 10
    """How often it tries at most; 1 means that it does not try again."""
    within: float = 30.0
    """Seconds after the beginning in which a further attempt may begin; one that runs is not stopped."""
    wait: float = 0.02
    """The upper bound of the first wait, in seconds."""
    longest_wait: float = 2.0
    """The upper bound of every wait, in seconds."""
    also: tuple[type[Exception], ...] = ()
    """Further errors after which it tries again, such as ``StaleData`` of what was read inside."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigurationError(f"attempts of a Retry is at least 1, not {self.attempts}")
        for name in ("within", "wait", "longest_wait"):
            if not getattr(self, name) >= 0:
                raise ConfigurationError(f"{name} of a Retry is a number of seconds, not {getattr(self, name)}")

    def after(self, error: BaseException) -> bool:
        """Whether the same work may succeed when it is done again after this error."""
        if isinstance(error, BaseExceptionGroup):
            return all(map(self.after, error.exceptions))
        if isinstance(error, AfterCommitFailed | CommitOutcomeUnknown):
            return False  # it is done, or may be
        return isinstance(error, self.also) or (isinstance(error, RepoError) and error.retryable)

    def next_wait(self, failures: int, elapsed: float) -> float | None:
        """Seconds to wait after so many failures in so many seconds; None where that would be too long."""
        bound = min(self.longest_wait, self.wait * 2.0 ** min(failures - 1, 60))
        wait = _random.uniform(0, bound)
        return wait if elapsed + wait <= self.within else None


class Once:
    """Work that is to happen exactly once: the key by which it is known, for ``Database.transact``.

        once = Once(request.headers["Idempotency-Key"], fingerprint=sha256(body).hexdigest())
        payment = await db.transact(pay, order, once=once)
        status = 200 if once.replayed else 201

    Args:
        key: names the work, for everybody who uses the database.
        fingerprint: tells what the work is about; the same key with another one is refused.
        keep: how long the result is kept, at least. Afterwards the key may be used anew, so it must
            be longer than anyone tries.

    Raises:
        ConfigurationError: the key is empty, or ``keep`` is no time.
    """

    def __init__(self, key: str, fingerprint: str | None = None, keep: timedelta = timedelta(days=7)) -> None:
        if not key:
            raise ConfigurationError(f"a key of once= is a text that is not empty, not {key!r}")
        if keep <= timedelta(0):
            raise ConfigurationError(f"keep of once= is a time above 0, not {keep}")
        self.key = key
        self.fingerprint = fingerprint
        self.keep = keep
        self.replayed: bool | None = None
        """Whether the last call with this object gave the result of an earlier one; None before its end."""

    def __repr__(self) -> str:
        return f"Once({self.key!r}, replayed={self.replayed})"


_instant: list[bool] = []
"""Not empty where waits are left out."""


@contextmanager
def instant_retries() -> Iterator[None]:
    """Inside of the block nothing waits between two attempts of ``Database.transact``, in the whole process.

    For tests, where it is in ``repo.testing``.
    """
    _instant.append(True)
    try:
        yield
    finally:
        _instant.pop()


async def pause(seconds: float) -> None:
    """Wait, unless a test does not want to."""
    await asyncio.sleep(0 if _instant else seconds)
