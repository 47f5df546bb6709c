"""A unit that happens exactly once, whoever asks for it, and whatever becomes of its COMMIT."""

import contextlib
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from repo.engine import tokens
from repo.engine.tokens import Token
from repo.errors import (
    AfterCommitFailed,
    CommitOutcomeUnknown,
    ConnectionLost,
    InvalidStatement,
    KeyReused,
    RepoError,
    UsageError,
)
from repo.events import Hook
from repo.retry import Once, Retry
from repo.scopes.call import Call
from repo.scopes.transaction import Transaction
from repo.scopes.units import Begin, Unit, Work, worded

T = TypeVar("T")

RESOLVING = 10
"""How often it is tried, at least, to find out whether a COMMIT has happened."""


@dataclass(frozen=True, slots=True)
class _Open(Generic[T]):
    """An attempt of which nobody knows whether it was committed."""

    tx: Transaction
    result: T
    error: CommitOutcomeUnknown


class OnceUnit(Unit[T]):
    """A unit that happens once, however often it is called, and whatever becomes of its COMMIT.

    Its transaction begins by inserting a token for the key, which is committed with all the rest. So
    the token tells whether a COMMIT has happened of which the answer was lost: the next attempt
    inserts it again, which waits for a COMMIT that is still on its way, and either finds it there, or
    goes on in the place of the one that was lost.
    """

    def __init__(self, once: Once, begin: Begin, work: Work[T], retry: Retry, hooks: Sequence[Hook]) -> None:
        super().__init__(begin, work, retry, hooks)
        once.replayed = None
        self._once = once
        self._id = uuid.uuid4().hex
        self._open: _Open[T] | None = None
        self._looks = 0  # for the outcome of the attempt that is open

    def _transaction(self) -> Transaction:
        if self._open is None:
            return super()._transaction()
        # The server may take long to notice that it lost us, and keep the token locked until then.
        return self._begin(max(self.retry.within - self._elapsed(), 1.0))

    async def _attempt(self, tx: Transaction) -> T:
        done: list[T] = []
        try:
            async with tx:
                found = await self._claim(tx)
                if found is None:
                    await self._do_again(tx)
                    done.append(await self._do(tx))
                else:
                    await tx.rollback()
        except AfterCommitFailed as error:
            error.result = done[0] if done else None
            raise
        except CommitOutcomeUnknown as error:
            if done:
                self._open, self._looks = _Open(tx, done[0], error), 0
            raise
        result = done[0] if found is None else await self._found(found)
        self._once.replayed = self.replayed
        return result

    async def _claim(self, tx: Transaction) -> Token | None:
        """Insert the token: None, or what is there."""
        once = self._once

        def work(own: Session) -> Token | None:
            return tokens.claim(own, once.key, self._id, once.fingerprint, once.keep)

        try:
            return await tx.perform(Call("once", work, writes=True))
        except InvalidStatement as error:
            raise InvalidStatement(
                f"the key of once= cannot be stored. Is the table {tokens.TOKENS.name} there? db.create_all makes it, "
                f"and so does a migration whose env.py says run(tables(metadata)). {error}",
                code=error.code,
            ) from error.__cause__

    async def _do_again(self, tx: Transaction) -> None:
        """The token was free: an attempt that was open has not happened, and this is the next."""
        lost = self._forget_open()
        if lost is None:
            return
        if self.attempts >= self.retry.attempts:
            await tx.rollback()
            raise ConnectionLost(
                "the connection broke during COMMIT, which has not happened: nothing is stored", code=lost.error.code
            ) from lost.error.__cause__
        self.attempts += 1

    async def _do(self, tx: Transaction) -> T:
        """Do the work, and store its result with the token."""
        result = await self._call(tx)
        stored = self._as_json(result)
        if tx.is_open:
            work = partial(tokens.keep_result, key=self._once.key, result=stored)
            await tx.perform(Call("once", work, writes=True))
        return result

    async def _found(self, token: Token) -> T:
        """The result of the one time that it has happened."""
        if token.call == self._id and self._open is not None:
            lost, self._open = self._open, None
            try:
                await lost.tx._resolve()
            except AfterCommitFailed as error:
                error.result = lost.result
                raise
            return lost.result
        self._forget_open()
        if token.fingerprint != self._once.fingerprint:
            raise KeyReused(
                f"the key {self._once.key!r} was used before for something else, as its fingerprint tells. "
                "Use a key for one thing only, and the same fingerprint whenever that is tried again"
            )
        self.replayed = True
        result: T = json.loads(token.result)
        return result

    def _forget_open(self) -> _Open[T] | None:
        """An attempt that was open has not happened: its entities are as they were before."""
        lost, self._open = self._open, None
        if lost is not None:
            lost.tx._give_up()
        return lost

    def _as_json(self, result: T) -> str:
        """The result as it is stored, from which exactly the same must come back."""
        try:
            stored = json.dumps(result, allow_nan=False)
            same = json.loads(stored) == result
        except (TypeError, ValueError, RecursionError) as error:
            raise self._no_json(str(error)) from None
        if not same:
            raise self._no_json("a tuple would come back as a list, and a key of a dict as a text")
        return stored

    def _no_json(self, why: str) -> UsageError:
        return UsageError(
            f"{self.name} was called with once=, so what it returns is stored as JSON, which is not possible: {why}. "
            "Nothing was committed. Return None, texts, numbers, and lists and dicts of them, such as an entity's key"
        )

    def _wait(self, error: Exception) -> float | None:
        lost = self._open
        if lost is None:
            return super()._wait(error)
        # To know what has happened is worth more than the number of attempts.
        self._looks += 1
        if self._looks > max(RESOLVING, self.retry.attempts) or not (error is lost.error or self.retry.after(error)):
            return None
        return self.retry.next_wait(self._looks, self._elapsed())

    def _last(self, error: Exception) -> Exception:
        if self._open is None or error is self._open.error:
            return error
        self._open.error.add_note(f"it could not be found out: {worded(error)}")
        return self._open.error


class Sweeper:
    """Has expired tokens removed, now and then, by those who use others."""

    EVERY = 60.0
    """Seconds after which it is time again."""
    USES = 100
    """Tokens after which it is time again; each sweep removes several times as many."""

    def __init__(self) -> None:
        self._due = 0.0
        self._uses = 0

    async def sweep(self, begin: Begin) -> None:
        """Remove some, if it is time; that it fails is of no importance to who wants to do something else."""
        self._uses += 1
        now = time.monotonic()
        if now < self._due and self._uses < self.USES:
            return
        self._due, self._uses = now + self.EVERY, 0
        with contextlib.suppress(RepoError):
            async with begin(None) as tx:
                await tx.perform(Call("once", tokens.sweep, writes=True))
