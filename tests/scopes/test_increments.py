"""Concurrent transactions that read a value and write it back one higher."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select

from repo import Database, gather
from repo.errors import SerializationFailure
from repo.scopes.transaction import Transaction
from tests.scopes.models import Account, Accounts

TASKS = 10

Read = Callable[[Transaction], Awaitable[Account]]

LOCKED = select(Account).where(Account.id == 1).with_for_update()


async def plainly(tx: Transaction) -> Account:
    """Read the account as anyone would."""
    return await Accounts(tx).get_one(1)


async def locked_by_scalars(tx: Transaction) -> Account:
    """Read the account and lock its row until the transaction ends."""
    (account,) = await tx.scalars(LOCKED)
    assert isinstance(account, Account)
    return account


async def locked_by_session(tx: Transaction) -> Account:
    """The same by SQLAlchemy's session."""
    return (await tx.session.scalars(LOCKED)).one()


class Meeting:
    """Where transactions that do not wait for each other all meet once, between their read and their write."""

    def __init__(self, db: Database) -> None:
        self.size = 1 if db.dialect.one_writer else TASKS
        self.missing = self.size
        self.complete = asyncio.Event()

    async def come(self) -> None:
        """Wait for the others; who comes later than all of them goes on at once."""
        self.missing -= 1
        if self.missing <= 0:
            self.complete.set()
        await self.complete.wait()


@pytest.fixture
async def everyone(url: str, accounts: Accounts) -> AsyncIterator[Database]:
    """A `Database` that has a connection for every task, with one account in it."""
    await accounts.add(Account(owner="Ada"))
    async with Database(url, pool_size=TASKS + 1) as db:
        yield db


async def increment(db: Database, read: Read, meeting: Meeting | None = None, **options: Any) -> None:
    """Read, let the others read as well, and write."""
    async with db.transaction(**options) as tx:
        account = await read(tx)
        if meeting is not None:
            await meeting.come()
        await Accounts(tx).update(account, balance=account.balance + 1)


async def again(db: Database, meeting: Meeting) -> int:
    """The whole unit, from its read on, until it is not refused; how often it was."""
    failures = 0
    while True:
        try:
            await increment(db, plainly, meeting, isolation="SERIALIZABLE")
        except SerializationFailure:
            failures += 1
        else:
            return failures


async def balance(db: Database) -> int:
    """What the increments have come to."""
    return (await Accounts(db).get_one(1)).balance


async def test_the_plain_way(everyone: Database) -> None:
    """Where writing transactions exclude each other, read-then-write is safe; elsewhere updates are lost."""
    meeting = Meeting(everyone)
    await gather(*(increment(everyone, plainly, meeting) for _ in range(TASKS)))
    assert await balance(everyone) == (TASKS if everyone.dialect.one_writer else 1)


@pytest.mark.parametrize("read", [locked_by_scalars, locked_by_session])
async def test_a_locking_read(everyone: Database, read: Read) -> None:
    """With FOR UPDATE each transaction waits for the one before it, and no update is lost."""
    await gather(*(increment(everyone, read) for _ in range(TASKS)))
    assert await balance(everyone) == TASKS


async def test_serializable_units_that_are_done_again(everyone: Database) -> None:
    """At SERIALIZABLE, units that are done again from their read on lose nothing."""
    meeting = Meeting(everyone)
    failures = await gather(*(again(everyone, meeting) for _ in range(TASKS)))
    assert await balance(everyone) == TASKS
    assert sum(failures) >= meeting.size - 1


async def test_serializable_units_that_are_not(everyone: Database) -> None:
    """At SERIALIZABLE, of units that cannot be put in any order all but one are refused, and leave nothing."""
    meeting = Meeting(everyone)
    units = (increment(everyone, plainly, meeting, isolation="SERIALIZABLE") for _ in range(TASKS))
    errors = [error for error in await asyncio.gather(*units, return_exceptions=True) if error is not None]
    assert [type(error) for error in errors] == [SerializationFailure] * (meeting.size - 1)
    assert all(error.retryable for error in errors if isinstance(error, SerializationFailure))
    assert await balance(everyone) == TASKS - len(errors)
