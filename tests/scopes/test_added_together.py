"""Rows that are added at once through a `Database` where several may write: together, unless somebody could wait."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from datetime import date
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    Numeric,
    String,
    UniqueConstraint,
    inspect,
    select,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import CheckViolation, Database, NotNullViolation, Repository, gather
from repo.engine import unhindered
from repo.errors import CommitOutcomeUnknown, InvalidStatement
from repo.events import CallEnded, Event

user: ContextVar[str] = ContextVar("user", default="nobody")


class Own(DeclarativeBase):
    """A base of this module's own."""

    metadata = MetaData()


class Theirs(DeclarativeBase):
    """Another, of what only a database has where several may write."""

    metadata = MetaData()


class Line(Own):
    """A line of a journal: no other row has to do with it."""

    __tablename__ = "journal_lines"
    __table_args__ = (CheckConstraint("words <> 'never'", name="sayable"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str] = mapped_column(String(20))
    by: Mapped[str] = mapped_column(default=user.get)


class Remark(Own):
    """It refers to a line."""

    __tablename__ = "journal_remarks"
    id: Mapped[int] = mapped_column(primary_key=True)
    line_id: Mapped[int] = mapped_column(ForeignKey("journal_lines.id"))


class Named(Own):
    """Its name is its own."""

    __tablename__ = "journal_named"
    __table_args__ = (UniqueConstraint("name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Indexed(Own):
    """Likewise, by an index."""

    __tablename__ = "journal_indexed"
    __table_args__ = (Index("journal_indexed_name", "name", unique=True),)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Span(Theirs):
    """Its end may be a date that Python does not have; and the driver is asked for the type of its price."""

    __tablename__ = "journal_spans"
    id: Mapped[int] = mapped_column(primary_key=True)
    days: Mapped[int]
    name: Mapped[str | None]
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2), server_default=text("1.5"))
    end: Mapped[date] = mapped_column(Computed("DATE '9999-01-01' + days"))


class Chosen(Theirs):
    """Its key is what Python says."""

    __tablename__ = "journal_chosen"
    name: Mapped[str] = mapped_column(primary_key=True, default=user.get)


class Natural(Theirs):
    """The key of its table is another than the model's."""

    __tablename__ = "journal_natural"
    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Identity())
    __mapper_args__ = {"primary_key": [number]}


class Drawn(Theirs):
    """Its key is drawn at random."""

    __tablename__ = "journal_drawn"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)


class Lines(Repository[Line]): ...


class Remarks(Repository[Remark]): ...


class Nameds(Repository[Named]): ...


class Indexeds(Repository[Indexed]): ...


class Spans(Repository[Span]): ...


class Choices(Repository[Chosen]): ...


class Naturals(Repository[Natural]): ...


class Drawns(Repository[Drawn]): ...


@pytest.fixture
async def calls() -> list[CallEnded]:
    """The calls that were made."""
    return []


@pytest.fixture
async def journal(url: str, calls: list[CallEnded]) -> AsyncIterator[Database]:
    """The tables, in a `Database` that notes its calls."""

    def tell(event: Event) -> None:
        if isinstance(event, CallEnded):
            calls.append(event)

    async with Database(url, hooks=[tell]) as db:
        await db.create_all(Own.metadata)
        await Lines(db).add(Line(words="the first"))
        calls.clear()
        yield db


async def words(db: Database) -> list[str]:
    """What the lines say, but for the first."""
    return await db.scalars(select(Line.words).where(Line.id > 1).order_by(Line.id))


async def test_they_are_one_call(journal: Database, calls: list[CallEnded]) -> None:
    """Rows of a table with which no other row has to do are added by one call, in call order."""
    lines = await gather(*(Lines(journal).add(Line(words=f"line {n}")) for n in range(50)))
    assert [line.words for line in lines] == [f"line {n}" for n in range(50)]
    assert [line.id for line in lines] == list(range(2, 52))
    assert (len(calls), journal.stats.batches) == (1, 1)
    assert await words(journal) == [f"line {n}" for n in range(50)]


async def test_columns_that_differ(journal: Database) -> None:
    """Rows of which not all give the same columns are all stored, each as it says."""
    lines = [Line(words="a"), Line(words="b", by="Ada"), Line(words="c"), Line(words="d", by="Grace")]
    assert await gather(*map(Lines(journal).add, lines)) == tuple(lines)
    assert [(line.words, line.by) for line in await Lines(journal).all(Line.id > 1, order_by=Line.words)] == [
        ("a", "nobody"),
        ("b", "Ada"),
        ("c", "nobody"),
        ("d", "Grace"),
    ]


async def test_who_is_refused_is_alone_with_it(journal: Database) -> None:
    """A row that the database, or the driver, does not take is the error of its caller; the others are stored once."""
    given = [Line(words="a"), Line(words="never"), Line(words="b"), Line(words=None), Line(words="c")]
    added = await asyncio.gather(*map(Lines(journal).add, given), return_exceptions=True)
    assert [type(each) for each in added] == [Line, CheckViolation, Line, NotNullViolation, Line]
    assert [inspect(line).transient for line in given] == [False, True, False, True, False]
    assert sorted(await words(journal)) == ["a", "b", "c"]


async def test_what_the_driver_does_not_take(journal: Database) -> None:
    """A value that no column can have is the error of its caller; the others are stored once."""
    given = [Line(words="a"), Line(words="half \ud800"), Line(words="b")]
    added = await asyncio.gather(*map(Lines(journal).add, given), return_exceptions=True)
    assert [isinstance(each, Exception) for each in added] == [False, True, False]
    assert sorted(await words(journal)) == ["a", "b"]


async def test_each_is_made_where_it_was_asked_for(journal: Database, calls: list[CallEnded]) -> None:
    """Defaults see the context variables of the task that adds."""

    async def add(name: str) -> Line:
        user.set(name)
        return await Lines(journal).add(Line(words=name))

    added = await gather(*map(add, ("Ada", "Grace", "Alan")))
    assert [line.by for line in added] == ["Ada", "Grace", "Alan"]
    assert len(calls) == 1


@pytest.fixture
async def several(journal: Database, calls: list[CallEnded]) -> Database:
    """The tables where several may write at once."""
    if journal.dialect.one_writer:
        pytest.skip("feature: concurrent writing transactions")
    await journal.create_all(Theirs.metadata)
    calls.clear()
    return journal


@pytest.mark.parametrize("what", ["foreign key", "unique", "index", "key", "chosen", "natural"])
async def test_what_the_model_says(several: Database, calls: list[CallEnded], what: str) -> None:
    """Rows that others may have something to do with are added by themselves: references, and what must be unique."""
    makers = {
        "foreign key": lambda n: Remarks(several).add(Remark(line_id=1)),
        "unique": lambda n: Nameds(several).add(Named(name=f"{n}")),
        "index": lambda n: Indexeds(several).add(Indexed(name=f"{n}")),
        "key": lambda n: Lines(several).add(Line(id=100 + n, words="with a key")),
        "chosen": lambda n: Choices(several).add(Chosen(name=f"{n}")),
        "natural": lambda n: Naturals(several).add(Natural(name=f"{n}")),
    }
    await gather(*map(makers[what], range(5)))
    assert len(calls) == 5


@pytest.mark.parametrize(
    "ddl",
    [
        "CREATE UNIQUE INDEX only_there ON journal_lines (words)",
        "ALTER TABLE journal_lines ADD CONSTRAINT only_there EXCLUDE USING btree (words WITH =)",
        "ALTER TABLE journal_lines ADD CONSTRAINT only_there FOREIGN KEY (id) REFERENCES journal_lines (id)",
        "CREATE TRIGGER only_there BEFORE INSERT ON journal_lines FOR EACH ROW "
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE only_there AS ON INSERT TO journal_lines DO ALSO NOTIFY written",
        None,
    ],
)
async def test_what_the_database_says(several: Database, calls: list[CallEnded], ddl: str | None) -> None:
    """So are rows of a table of which only the database knows such a thing; it is asked once."""
    if ddl is not None:
        await several.execute(text(ddl))
    db = several.independent()
    calls.clear()
    added = await asyncio.gather(*(Lines(db).add(Line(words=f"{n}")) for n in range(5)), return_exceptions=True)
    first = len(calls)
    calls.clear()
    await asyncio.gather(*(Lines(db).add(Line(words=f"{n + 5}")) for n in range(5)), return_exceptions=True)
    if ddl is None:
        assert (first, len(calls)) == (1, 1)
    else:
        # The trigger takes no INSERT; that is told to everybody, as it is to who adds by himself.
        assert (first, len(calls), len(added)) == (6, 5, 5)


async def test_what_python_chooses(several: Database, calls: list[CallEnded]) -> None:
    """Rows whose keys are drawn at random are added together, and others of which Python makes the key are not."""

    async def choose(name: str) -> Chosen:
        user.set(name)
        return await Choices(several).add(Chosen())

    drawn = await gather(*(Drawns(several).add(Drawn()) for _ in range(5)))
    assert ({row.id for row in drawn}, len(calls)) == ({*await several.scalars(select(Drawn.id))}, 1)
    calls.clear()
    await gather(*map(choose, "abc"))
    assert len(calls) == 3


async def test_what_a_migration_says(
    several: Database, calls: list[CallEnded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is asked again after a while, as a migration may have made an index."""
    monkeypatch.setattr(unhindered, "ASKED", 0.0)
    await gather(*(Lines(several).add(Line(words=f"a {n}")) for n in range(3)))
    await several.execute(text("CREATE UNIQUE INDEX only_there ON journal_lines (words)"))
    calls.clear()
    await gather(*(Lines(several).add(Line(words=f"b {n}")) for n in range(3)))
    assert len(calls) == 4
    await several.execute(text("DROP INDEX only_there"))
    calls.clear()
    await gather(*(Lines(several).add(Line(words=f"c {n}")) for n in range(3)))
    assert len(calls) == 1


async def test_what_comes_back_and_cannot_be_read(several: Database) -> None:
    """Where the driver cannot read what the database has made, everybody is told, and every row is stored once."""
    added = await asyncio.gather(*(Spans(several).add(Span(days=n)) for n in (2, 1000, 3)), return_exceptions=True)
    assert [type(each) for each in added] == [ValueError] * 3
    assert await several.scalars(select(Span.days).order_by(Span.id)) == [2, 1000, 3]


async def test_a_statement_that_cannot_be_prepared(several: Database) -> None:
    """Where the driver cannot be asked for the types of a statement, each caller has an error of his own."""
    await several.execute(text("ALTER TABLE journal_spans DROP COLUMN name"))
    added = await asyncio.gather(*(Spans(several).add(Span(days=n)) for n in range(3)), return_exceptions=True)
    assert [type(each) for each in added] == [InvalidStatement] * 3
    assert len({*map(id, added)}) == 3


async def test_statements_that_take_turns(several: Database) -> None:
    """Rows that give other columns in turn are as many transactions as there are statements."""
    await gather(*(Spans(several).add(Span(days=n, **({"price": 2} if n % 2 else {}))) for n in range(20)))
    assert await several.scalar(text("SELECT count(DISTINCT xmin::text) FROM journal_spans")) == 2
    assert await several.scalars(select(Span.days).where(Span.price == Decimal("1.5")).order_by(Span.id)) == [
        *range(0, 20, 2)
    ]


async def test_nobody_waits_for_the_lock_of_another(several: Database) -> None:
    """A row that waits for what somebody else has locked keeps no other row waiting."""
    await Lines(several).add(Line(words="the second"))
    db = several.independent()
    async with several.transaction() as tx:
        await Lines(tx).get(1, lock="update")
        waiting, other = (asyncio.create_task(Remarks(db).add(Remark(line_id=n))) for n in (1, 2))
        async with asyncio.timeout(30):
            await other
        assert not waiting.done()
    await waiting
    assert await Remarks(several).count() == 2


async def test_a_connection_that_breaks(several: Database) -> None:
    """Where the connection breaks meanwhile, everybody is told that nobody knows what has happened."""
    await several.execute(
        text(
            "CREATE FUNCTION die(words text) RETURNS boolean LANGUAGE sql AS "
            "$$ SELECT words <> 'last' OR pg_terminate_backend(pg_backend_pid()) $$"
        )
    )
    await several.execute(text("ALTER TABLE journal_lines ADD CHECK (die(words))"))
    given = [Line(words="a"), Line(words="last"), Line(words="b")]
    added = await asyncio.gather(*map(Lines(several).add, given), return_exceptions=True)
    assert [type(each) for each in added] == [CommitOutcomeUnknown] * 3
    assert all(inspect(line).transient for line in given)
    assert await words(several) == []
    await gather(*(Lines(several).add(Line(words=f"{n}")) for n in range(3)))
    assert len(await words(several)) == 3
