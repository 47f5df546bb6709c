"""A connection that breaks at COMMIT, again and again: nothing is lost, and nothing is done twice."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from repo import ConnectionLost, Database, Once, RepoError, Retry, Transaction, gather
from repo.errors import CommitOutcomeUnknown
from repo.events import AttemptFailed, Event
from tests.scopes.models import Accounts, Entries, Entry
from tests.scopes.proxy import Fate, proxied
from tests.scopes.transfers import ACCOUNTS, BALANCE, PATIENT, assert_done_once, transfer

CUTS = 200
TASKS = 4
PROCESSES = 4
KEYS = 25
FIRST = 1_000_000


class Cutter:
    """Breaks every other COMMIT, in turn before, while and after the server does it."""

    def __init__(self, cuts: int) -> None:
        self.left = cuts
        """How many cuts it is to make yet."""
        self.gone = False
        """Whether nothing comes through any more after the first cut."""
        fates = (Fate.BEFORE, Fate.PASS, Fate.DURING, Fate.PASS, Fate.AFTER, Fate.PASS)
        self.fates: Iterator[Fate] = itertools.cycle(fates)
        self._cut = False

    def __call__(self, query: bytes) -> Fate:
        if self.gone and self._cut:
            return Fate.BEFORE
        if not query.startswith(b"COMMIT") or not self.left:
            return Fate.PASS
        fate = next(self.fates)
        self.left -= fate is not Fate.PASS
        self._cut = self._cut or fate is not Fate.PASS
        return fate


@pytest.fixture
async def bank(db: Database, accounts: Accounts) -> Database:
    """Ten accounts."""
    await accounts.add_many({"owner": f"{n}", "balance": BALANCE} for n in range(ACCOUNTS))
    return db


@pytest.fixture
async def around(url: str, bank: Database) -> AsyncIterator[tuple[str, Cutter]]:
    """The bank's URL through a proxy that breaks connections at COMMIT."""
    if bank.dialect.one_writer:
        pytest.skip("feature: connections to a server")
    async with proxied(url) as (made, proxy):
        proxy.judge = cutter = Cutter(CUTS)
        yield made, cutter


async def settled(db: Database, cutter: Cutter) -> None:
    """Have one transfer done without a cut, and with it what is done once in a while."""
    cutter.left = 0
    await db.transact(transfer, FIRST, once="first")


async def until_cut(cutter: Cutter, one: Callable[[int], Awaitable[object]]) -> None:
    """Do it for one number after another, several at a time, until the last cut was made."""
    numbers = itertools.count()

    async def some() -> None:
        while cutter.left:
            await one(next(numbers))

    await gather(*(some() for _ in range(TASKS)))


async def test_every_outcome_is_told_as_it_is(around: tuple[str, Cutter], bank: Database) -> None:
    """With 200 cuts, what was acknowledged is there once, and what was reported to have failed is not there."""
    url, cutter = around
    acknowledged: set[int] = set()
    unknown: set[int] = set()
    failed: set[int] = set()

    async def one(number: int) -> None:
        try:
            acknowledged.add(await db.transact(transfer, number, retry=PATIENT))
        except CommitOutcomeUnknown:
            unknown.add(number)
        except RepoError:
            failed.add(number)

    async with Database(url, pool_size=TASKS) as db:
        await until_cut(cutter, one)
    assert len(unknown) == CUTS
    there = {entry.amount for entry in await Entries(bank).all()}
    assert acknowledged <= there <= acknowledged | unknown
    assert unknown - there
    assert unknown & there
    await assert_done_once(bank, there)


async def test_with_once_no_outcome_is_unknown(around: tuple[str, Cutter], bank: Database) -> None:
    """With ``once=`` and the same cuts every call succeeds; each transfer is done once, with all that follows it."""
    url, cutter = around
    events: list[Event] = []
    asked: list[int] = []
    followed: list[int] = []
    onces: list[Once] = []

    async def follow(number: int) -> None:
        followed.append(number)

    async def work(tx: Transaction, number: int) -> int:
        tx.after_commit(follow, number)
        return await transfer(tx, number)

    async def one(number: int) -> None:
        onces.append(once := Once(f"{number}"))
        asked.append(await db.transact(work, number, once=once, retry=PATIENT))

    async with Database(url, pool_size=TASKS, hooks=[events.append]) as db:
        await until_cut(cutter, one)
    await assert_done_once(bank, set(asked))
    assert sorted(followed) == sorted(asked)
    assert {once.replayed for once in onces} == {False}
    failures = [e.error for e in events if isinstance(e, AttemptFailed)]
    lost = sum(isinstance(error, CommitOutcomeUnknown) for error in failures)
    assert CUTS - 20 < lost <= CUTS  # some cuts were of transactions that remove old keys


async def test_entities_whose_commit_was_lost(around: tuple[str, Cutter], bank: Database) -> None:
    """Entities from outside are stored once, and know it, whichever way their COMMIT was lost."""
    url, cutter = around
    cutter.left = 9
    entries: list[Entry] = []

    async def work(tx: Transaction, entry: Entry) -> int:
        return (await Entries(tx).add(entry)).id

    async def one(number: int) -> None:
        entries.append(entry := Entry(account_id=1, amount=number))
        assert await db.transact(work, entry, once=f"{number}", retry=PATIENT) == entry.id

    async with Database(url) as db:
        await until_cut(cutter, one)
    stored = {entry.id: entry.amount for entry in await Entries(bank).all()}
    assert stored == {entry.id: entry.amount for entry in entries}
    await Entries(bank).update(entries[0], amount=-1)


async def ask(url: str) -> tuple[int | None, str]:
    """Let another process ask for each transfer twice: its exit code, and what it complained of."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.scopes.transfers", url, str(KEYS)), stderr=asyncio.subprocess.PIPE
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, said.decode()


async def test_several_processes(bank: Database, url: str) -> None:
    """4 processes that ask for each key twice end with every transfer done exactly once."""
    assert await gather(*(ask(url) for _ in range(PROCESSES))) == ((0, ""),) * PROCESSES
    await assert_done_once(bank, set(range(KEYS)))


async def test_several_processes_whose_commits_are_lost(around: tuple[str, Cutter], bank: Database) -> None:
    """The same holds where every other COMMIT is cut."""
    url, cutter = around
    assert await gather(*(ask(url) for _ in range(PROCESSES))) == ((0, ""),) * PROCESSES
    await assert_done_once(bank, set(range(KEYS)))
    assert cutter.left < CUTS


@pytest.mark.parametrize("attempts", [1, 2])
async def test_a_lost_commit_is_found_out_about_after_the_last_attempt(
    around: tuple[str, Cutter], bank: Database, attempts: int
) -> None:
    """After the last attempt it is still found out what became of it: the result, or an error that is sure."""
    url, cutter = around
    outcomes: list[object] = []
    async with Database(url) as db:
        await settled(db, cutter)
        for number, fate in enumerate([Fate.BEFORE, Fate.AFTER]):
            cutter.fates = itertools.repeat(fate)
            cutter.left = attempts
            try:
                outcomes.append(await db.transact(transfer, number, once=f"{number}", retry=Retry(attempts=attempts)))
            except RepoError as error:
                outcomes.append(type(error))
    assert outcomes == [ConnectionLost, 1]
    await assert_done_once(bank, {1, FIRST})


async def test_an_outcome_that_cannot_be_found_out(around: tuple[str, Cutter], bank: Database) -> None:
    """Where the server does not come back in time, the outcome stays unknown, and the error tells why."""
    url, cutter = around
    async with Database(url) as db:
        await settled(db, cutter)
        cutter.fates, cutter.left, cutter.gone = itertools.repeat(Fate.DURING), 1, True
        with pytest.raises(CommitOutcomeUnknown) as caught:
            await db.transact(transfer, 1, once="key", retry=Retry(within=1.0))
    assert "it could not be found out: Connect" in "".join(caught.value.__notes__)
