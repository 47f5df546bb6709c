"""Many rows by the database's bulk way: stored as SQLAlchemy's own INSERT of each would, and refused as that is."""

import itertools
from collections import UserDict, defaultdict
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
from sqlalchemy import JSON, CheckConstraint, ForeignKey, MetaData, String, UniqueConstraint, func, insert, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from repo import (
    CheckViolation,
    ConstraintViolation,
    Database,
    ForeignKeyViolation,
    NotNullViolation,
    Repository,
    UniqueViolation,
)
from repo.errors import InvalidValue
from repo.model import NAMING_CONVENTION
from tests.models import statements

MANY = 1003
"""More rows than one statement inserts, and some that are left over."""


class Base(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Lowered(TypeDecorator[str]):
    """A type whose values are changed by the database on their way in."""

    impl = String
    cache_ok = True

    def bind_expression(self, bindvalue: Any) -> Any:
        return func.lower(bindvalue)


class Doubled(TypeDecorator[int]):
    """A type whose values are changed on their way in, none for nothing."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: int | None, _: Any) -> str:
        return "none" if value is None else str(2 * value)


_numbers = itertools.count(1)


class Sample(Base):
    """Values of several origins; the columns are not in the order of the attributes."""

    __tablename__ = "samples"
    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int]
    code: Mapped[str] = mapped_column("sample_code")
    note: Mapped[str | None]
    double: Mapped[int | None] = mapped_column(Doubled)
    data: Mapped[Any] = mapped_column(JSON, nullable=True)
    same: Mapped[dict[str, Any]] = mapped_column(JSON, default={"same": True})
    first: Mapped[int] = mapped_column(default=lambda: next(_numbers))
    second: Mapped[int] = mapped_column(default=lambda: next(_numbers))
    server: Mapped[str] = mapped_column(server_default="server")
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("samples.id"))
    other_id: Mapped[int | None] = mapped_column(ForeignKey("samples.id"))
    __table_args__ = (UniqueConstraint("sample_code"), CheckConstraint("size >= 0", name="size"))


class Word(Base):
    """One column is changed by the database on its way in."""

    __tablename__ = "words"
    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str] = mapped_column(Lowered)


class Token(Base):
    """Nothing but a key that the database makes."""

    __tablename__ = "bare_tokens"
    id: Mapped[int] = mapped_column(primary_key=True)


class Samples(Repository[Sample]):
    """Samples."""


class Words(Repository[Word]):
    """Words."""


class Tokens(Repository[Token]):
    """Tokens."""


@pytest.fixture
async def samples(db: Database) -> Samples:
    """The tables, empty."""
    await db.create_all(Base.metadata)
    return Samples(db)


def row(number: int, **values: Any) -> dict[str, Any]:
    """A row."""
    return {"code": f"code {number}", "size": number, **values}


async def stored(samples: Samples, columns: str = "size, sample_code, note, double, server") -> list[tuple[Any, ...]]:
    """What is in the table, past all types."""
    return [tuple(each) for each in await samples.scope.rows(text(f"SELECT {columns} FROM samples ORDER BY size"))]


@pytest.mark.parametrize("kind", [dict, UserDict, lambda row: Sample(**row)])
async def test_many_rows_are_stored_as_one_is(samples: Samples, kind: Any) -> None:
    """However many there are, of dicts, other mappings and entities."""
    rows = [row(number, double=number, note=None if number % 2 else f"{number}") for number in range(MANY)]
    assert await samples.add_many([kind(each) for each in rows]) == MANY
    assert await stored(samples) == [
        (n, f"code {n}", None if n % 2 else f"{n}", f"{2 * n}", "server") for n in range(MANY)
    ]


async def test_what_is_not_given_is_what_a_flush_stores(samples: Samples) -> None:
    """None and nothing get the default, the type's value for None, or NULL; JSON's null is a value."""
    rows = [row(1), row(2, server=None, first=None), row(3, data=None), row(4, data=None, id=None)]
    await samples.add_many(rows)
    await samples.add_many([Sample(**row(5)), Sample(**row(6, server=None, first=None)), Sample(**row(7, data=None))])
    assert await stored(samples, "note, double, server, data IS NULL") == [
        (None, "none", "server", number not in (3, 4, 7)) for number in range(1, 8)
    ]
    assert {str(sample.same) for sample in await samples.all()} == {"{'same': True}"}


async def test_defaults_are_made_row_by_row(samples: Samples) -> None:
    """A default that is a function is called once for each row, column after column, one row after the other."""
    await samples.add_many([row(number) for number in range(MANY)])
    made = await stored(samples, "first, second")
    assert [second - first for first, second in made] == [1] * MANY
    assert [later[0] - earlier[0] for earlier, later in itertools.pairwise(made)] == [2] * (MANY - 1)


async def test_rows_that_differ_are_stored_in_their_order(samples: Samples) -> None:
    """Rows with values for other columns, other types of mapping, and entities between them are stored as they come."""
    kinds: list[Callable[[int], Any]] = [
        row,
        lambda n: {"size": n, "code": f"code {n}"},
        lambda n: row(n, server="given"),
        lambda n: defaultdict(str, row(n)),
        lambda n: Sample(**row(n)),
        lambda n: Sample(**row(n, note="entity")),
    ]
    assert await samples.add_many(kinds[n % 7 % 6](n) for n in range(MANY)) == MANY
    kept = await stored(samples, "size, server, note")
    assert kept == [
        (n, "given" if n % 7 % 6 == 2 else "server", "entity" if n % 7 % 6 == 5 else None) for n in range(MANY)
    ]
    assert sorted(await samples.scope.scalars(text("SELECT id FROM samples ORDER BY size"))) == [
        sample.id for sample in await samples.all(order_by=Sample.size)
    ]


@pytest.mark.parametrize("given", [{}, {"id": True}])
async def test_many_entities_come_back_in_order(samples: Samples, given: dict[str, Any]) -> None:
    """With `returning`, in few statements, whoever makes the keys."""
    rows = [row(n, **dict.fromkeys(given, 2 * MANY - n)) for n in range(MANY)]
    with statements(cast(Database, samples.scope)) as sent:
        added = await samples.add_many(rows, returning=True)
    assert [(sample.size, sample.code) for sample in added] == [(n, f"code {n}") for n in range(MANY)]
    assert {sample.id: sample.size for sample in added} == {sample.id: sample.size for sample in await samples.all()}
    assert len(sent) < 20


async def test_a_type_that_the_database_completes(samples: Samples) -> None:
    """A type with an expression around its values is stored by way of it."""
    await Words(samples.scope).add_many([{"word": f"Word {number}"} for number in range(MANY)])
    assert await samples.scope.scalar(text("SELECT count(*) FROM words WHERE word LIKE 'word %'")) == MANY
    assert await samples.scope.scalar(text("SELECT word FROM words ORDER BY id LIMIT 1")) == "word 0"


async def test_rows_without_a_value(samples: Samples) -> None:
    """A table of which all columns are made by the database takes rows without a value."""
    assert await Tokens(samples.scope).add_many([{}, Token(), {}]) == 3
    assert await Tokens(samples.scope).count() == 3


BREAKING: Mapping[str, tuple[dict[str, Any], type[ConstraintViolation], str, tuple[str, ...]]] = {
    "unique": ({"code": "code 0"}, UniqueViolation, "uq_samples_sample_code", ("sample_code",)),
    "check": ({"size": -1}, CheckViolation, "ck_samples_size", ()),
    "reference": ({"other_id": -9}, ForeignKeyViolation, "fk_samples_other_id_samples", ("other_id",)),
}


@pytest.mark.parametrize("broken", BREAKING)
@pytest.mark.parametrize("at", [1, MANY // 2, MANY - 1])
async def test_a_row_among_many_that_is_refused(samples: Samples, broken: str, at: int) -> None:
    """The constraint is told as for a single row, wherever it is; nothing is stored."""
    wrong, kind, constraint, columns = BREAKING[broken]
    rows = [row(n, other_id=None, parent_id=None) | (wrong if n == at else {}) for n in range(MANY)]
    with pytest.raises(kind) as raised:
        await samples.add_many(rows)
    told = raised.value
    assert (told.constraint, told.table, told.columns) == (constraint, "samples", columns)
    assert await samples.count() == 0


async def test_a_row_among_many_without_a_value(samples: Samples) -> None:
    """A column that must have a value is told, however many rows there are."""
    with pytest.raises(NotNullViolation) as raised:
        await samples.add_many([row(n) | ({"size": None} if n == MANY // 2 else {}) for n in range(MANY)])
    assert (raised.value.table, raised.value.columns) == ("samples", ("size",))


@pytest.mark.parametrize("wrong", [{"size": "secret"}, {"double": object()}, {"note": object()}, {"size": 2**80}])
async def test_a_value_among_many_that_does_not_fit(samples: Samples, wrong: dict[str, Any]) -> None:
    """It is InvalidValue, told as of a single row, and is not shown."""
    if wrong == {"size": "secret"} and samples.scope.dialect.one_writer:
        pytest.skip("feature: columns that take only values of their type")
    with pytest.raises(InvalidValue) as raised:
        await samples.add_many([row(n, note="", double=1) | (wrong if n == MANY // 2 else {}) for n in range(MANY)])
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is not None
    assert await samples.count() == 0


async def test_rows_may_refer_to_rows_of_the_same_call(samples: Samples) -> None:
    """Each row may refer to those before it."""
    await samples.add_many(row(n, id=n, parent_id=n - 1 if n else None) for n in range(MANY))
    assert await samples.count(Sample.parent_id == Sample.id - 1) == MANY - 1


async def test_a_schema_that_is_translated(db: Database, samples: Samples) -> None:
    """On an engine that translates schemas, rows go to the table that its other statements mean."""
    if db.dialect.one_writer:
        pytest.skip("feature: schemas")
    await db.execute(text("CREATE SCHEMA elsewhere"))
    async with Database(db.engine.execution_options(schema_translate_map={None: "elsewhere"})) as translated:
        await translated.create_all(Base.metadata)
        assert await Samples(translated).add_many([row(1), row(2)]) == 2
        assert await Samples(translated).count() == 2
    assert await samples.count() == 0


async def test_a_session_that_knows_its_engine_by_the_model(samples: Samples) -> None:
    """Rows go to the engine that a session uses for the model."""
    engine = samples.scope.engine if isinstance(samples.scope, Database) else None
    unused = create_async_engine(engine.url) if engine else None
    assert engine is not None
    assert unused is not None
    async with AsyncSession(bind=unused, binds={Base: engine}) as session, session.begin():
        with statements(Database(unused)) as elsewhere:
            assert await Samples(session).add_many([row(1)]) == 1
        assert await session.scalar(insert(Sample).values(**row(2)).returning(Sample.size)) == 2
    assert elsewhere == []
    assert await samples.count() == 2
