import gc
import weakref
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from repo import Database, NotFound, UniqueViolation, gather
from tests.scopes.models import Account, Accounts


@pytest.fixture
async def session(db: Database, accounts: Accounts) -> AsyncIterator[AsyncSession]:
    """A session as an application makes it."""
    async with AsyncSession(db.engine, expire_on_commit=False) as made:
        yield made


async def test_the_owner_commits(session: AsyncSession, accounts: Accounts) -> None:
    """Repositories write through a session of the user's, and leave the commit to its owner."""
    await Accounts(session).add(Account(owner="Ada"))
    assert await accounts.count() == 0
    await session.commit()
    assert await accounts.count() == 1


async def test_calls_run_in_call_order(session: AsyncSession) -> None:
    """Gathered calls of several repositories on one session are serial, in call order."""
    one, other = Accounts(session), Accounts(session)
    calls = [one.add(Account(owner=f"{n}")) if n % 2 else other.count() for n in range(40)]
    results = await gather(*calls)
    assert [r for r in results if isinstance(r, int)] == list(range(20))


async def test_errors_are_translated(session: AsyncSession, accounts: Accounts) -> None:
    """What fails through a repository is an error of `repo`; the session stays SQLAlchemy's."""
    await accounts.add(Account(owner="Ada"))
    mine = Accounts(session)
    with pytest.raises(NotFound):
        await mine.get_one(99)
    with pytest.raises(UniqueViolation):
        await mine.add(Account(owner="Ada"))
    await session.rollback()
    assert await mine.count() == 1


async def test_add_many_is_all_or_nothing(session: AsyncSession, accounts: Accounts) -> None:
    """A verb of several statements undoes itself alone when it fails."""
    mine = Accounts(session)
    await mine.add(Account(owner="Ada"))
    with pytest.raises(UniqueViolation):
        await mine.add_many([{"owner": "Grace"}, {"owner": "Ada"}])
    await session.commit()
    assert [a.owner for a in await accounts.all()] == ["Ada"]


async def test_streams(session: AsyncSession) -> None:
    """A stream over a session lets its body call repositories on the same session."""
    mine = Accounts(session)
    await mine.add_many([{"owner": f"{n}"} for n in range(6)])
    assert [await mine.count() async for _ in mine.stream(chunk=2)] == [6] * 6


async def test_the_session_is_freed(db: Database, accounts: Accounts) -> None:
    """A repository's queue does not keep a session alive."""
    made = AsyncSession(db.engine)
    await Accounts(made).count()
    await made.close()
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None
