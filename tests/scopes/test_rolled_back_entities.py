"""Entities of a transaction that was rolled back: as they were before, so that the work can be done again."""

import gc
import weakref
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import MetaData, inspect, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, Repository, Transaction, UniqueViolation
from repo.errors import CommitOutcomeUnknown
from tests.scopes.models import Account, Accounts, Entries, Entry


class Base(DeclarativeBase):
    metadata = MetaData()


class Note(Base):
    """Has a version, and a column that the database fills."""

    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str]
    stars: Mapped[int] = mapped_column(server_default=text("3"))
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}


class Notes(Repository[Note]):
    """What was noted."""


class Stop(Exception):
    """Ends a block."""


@pytest.fixture
async def notes(db: Database) -> Notes:
    """Notes, of which there are none."""
    await db.create_all(Base.metadata)
    return Notes(db)


async def undone(db: Database, work: Callable[[Transaction], Awaitable[object]]) -> None:
    """Do the work in a transaction, and undo it."""
    with pytest.raises(Stop):
        async with db.transaction() as tx:
            await work(tx)
            raise Stop


async def test_a_new_entity_is_new_again(db: Database, notes: Notes) -> None:
    """What was added in a transaction that was rolled back has no key any more, and can be added again."""
    note = Note(words="first")
    await undone(db, lambda tx: Notes(tx).add(note))
    assert inspect(note).transient
    assert vars(note).keys() - {"_sa_instance_state"} == {"words"}
    other = await notes.add(Note(words="takes the key on a database that gives it again"))
    assert (await notes.add(note)).words == "first"
    assert (note.id != other.id, note.stars, note.version) == (True, 3, 1)
    assert await notes.count() == 2


@pytest.mark.parametrize("end", ["rollback", "commit", "session"])
async def test_however_it_was_rolled_back(db: Database, accounts: Accounts, end: str) -> None:
    """The same holds after ``tx.rollback()``, after a COMMIT that failed, and for ``tx.session``."""
    ada = Account(owner="Ada")
    if end == "rollback":
        async with db.transaction() as tx:
            await Accounts(tx).add(ada)
            await tx.rollback()
            assert inspect(ada).transient
    elif end == "commit":
        with pytest.raises(UniqueViolation):
            async with db.transaction() as tx:
                await Accounts(tx).add(ada)
                tx.session.add(Account(owner="Ada"))
    else:

        async def work(tx: Transaction) -> None:
            tx.session.add(ada)
            await tx.session.flush()

        await undone(db, work)
    assert inspect(ada).transient
    await accounts.add(ada)
    assert [account.owner for account in await accounts.all()] == ["Ada"]


async def test_what_hangs_on_it_is_new_again(db: Database, accounts: Accounts) -> None:
    """New entities that were stored along with another are as before, too."""
    ada = Account(owner="Ada", entries=[Entry(amount=1), Entry(amount=2)])
    await undone(db, lambda tx: Accounts(tx).add(ada))
    assert [vars(entry).keys() & {"id", "account_id"} for entry in ada.entries] == [set(), set()]
    assert [entry.account for entry in ada.entries] == [ada, ada]
    await accounts.add(ada)
    assert sorted(entry.amount for entry in await Entries(db).all(Entry.account_id == ada.id)) == [1, 2]


async def test_a_change_that_was_made_before_is_still_to_be_written(db: Database, notes: Notes) -> None:
    """What was changed on an entity outside of the transaction is written by the next one."""
    await notes.add(Note(words="old"))
    note = await notes.get_one(1)
    note.words = "new"
    await undone(db, lambda tx: Notes(tx).update(note))
    assert (note.words, note.version, inspect(note).modified, inspect(note).detached) == ("new", 1, True, True)
    await notes.update(note)
    assert (await notes.get_one(1)).words == "new"
    assert note.version == 2


async def test_a_change_that_was_made_inside_is_gone(db: Database, accounts: Accounts) -> None:
    """What a transaction computes of an entity and writes to it counts once, however often it is done again."""
    ada = await accounts.add(Account(owner="Ada"))

    async def by_verb(tx: Transaction) -> None:
        await Accounts(tx).update(ada, balance=ada.balance + 10)

    async def by_session(tx: Transaction) -> None:
        tx.session.add(ada)
        ada.balance += 10
        await Accounts(tx).count()

    for work in (by_verb, by_session, by_verb):
        await undone(db, work)
        assert ada.balance == 0
    async with db.transaction() as tx:
        await by_session(tx)
    assert (await accounts.get_one(ada.id)).balance == 10


async def test_an_entity_that_was_read_inside(db: Database, notes: Notes) -> None:
    """An entity that was read in the transaction is as it was before it was first written."""
    await notes.add(Note(words="old"))
    read: list[Note] = []

    async def work(tx: Transaction) -> None:
        read.append(await Notes(tx).get_one(1))
        read[0].words = "new"
        await Notes(tx).update(read[0])

    await undone(db, work)
    assert (read[0].words, read[0].version) == ("new", 1)
    await notes.update(read[0])
    assert (await notes.get_one(1)).words == "new"


async def test_an_entity_that_was_deleted(db: Database, accounts: Accounts) -> None:
    """An entity whose DELETE was undone can be written again."""
    ada = await accounts.add(Account(owner="Ada"))

    async def work(tx: Transaction) -> None:
        tx.session.add(ada)
        await tx.session.delete(ada)
        await tx.session.flush()

    await undone(db, work)
    await undone(db, lambda tx: Accounts(tx).delete(ada))
    await accounts.update(ada, balance=7)
    assert (await accounts.get_one(ada.id)).balance == 7


async def test_a_savepoint_that_was_rolled_back(db: Database, notes: Notes) -> None:
    """What was added in a savepoint can be added again in the same transaction, also where another has its key."""
    note = Note(words="first")
    async with db.transaction() as tx:
        with pytest.raises(Stop):
            async with tx.savepoint():
                async with tx.savepoint():
                    await Notes(tx).add(note)
                raise Stop
        assert inspect(note).transient
        other = await Notes(tx).add(Note(words="second"))
        await Notes(tx).add(note)
        assert note.id != other.id
    assert inspect(note).detached
    assert await notes.count() == 2


async def test_a_savepoint_that_was_released(db: Database, notes: Notes) -> None:
    """What was added in a savepoint that was released is new again when the transaction is rolled back."""
    note = Note(words="first")

    async def work(tx: Transaction) -> None:
        async with tx.savepoint():
            await Notes(tx).add(note)
        assert inspect(note).persistent

    await undone(db, work)
    assert inspect(note).transient
    await notes.add(note)


async def test_an_entity_from_outside_in_a_savepoint(db: Database, notes: Notes) -> None:
    """A change that was made before a savepoint wrote it is still to be written after that was rolled back."""
    await notes.add(Note(words="old"))
    note = await notes.get_one(1)
    note.words = "new"
    async with db.transaction() as tx:
        with pytest.raises(Stop):
            async with tx.savepoint():
                await Notes(tx).update(note)
                raise Stop
        assert (note.words, note.version) == ("new", 1)
        await Notes(tx).update(note)
    assert (await notes.get_one(1)).words == "new"


async def test_what_was_committed_stays_stored(db: Database, notes: Notes) -> None:
    """After a COMMIT an entity has its key, and counts as stored."""
    note = Note(words="first")
    async with db.transaction() as tx:
        await Notes(tx).add(note)
    assert (note.id, note.stars, inspect(note).detached) == (1, 3, True)
    await notes.update(note, words="second")


async def test_an_unknown_outcome_leaves_the_key(db: Database, accounts: Accounts) -> None:
    """Where nobody knows whether an entity is stored, it keeps the key by which that can be found out."""
    if db.dialect.one_writer:
        pytest.skip("feature: connections to a server")
    ada = Account(owner="Ada")
    with pytest.raises(CommitOutcomeUnknown):
        async with db.transaction() as tx:
            await Accounts(tx).add(ada)
            process = await tx.scalar(text("SELECT pg_backend_pid()"))
            await db.scalar(text("SELECT pg_terminate_backend(:process)"), {"process": process})
    assert await accounts.get(ada.id) is None


async def test_nothing_is_kept_alive(db: Database, notes: Notes) -> None:
    """A transaction keeps no entity that nobody else refers to, so one that adds many stays small."""
    async with db.transaction() as tx:
        kept = [weakref.ref(await Notes(tx).add(Note(words="forgotten"))) for _ in range(10)]
        gc.collect()
        assert [reference() for reference in kept] == [None] * 10
        last = await Notes(tx).get_one(10)
        last.words = "changed"
        await Notes(tx).count()
        reference = weakref.ref(last)
        del last
        gc.collect()
        assert reference() is None
