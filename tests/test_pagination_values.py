"""Pages in the order of every kind of value, and cursors that were made for another kind."""

import base64
import enum
import math
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    DateTime,
    Enum,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    String,
    Time,
    Uuid,
    asc,
    cast,
    func,
    literal_column,
    nulls_first,
    nulls_last,
    select,
    text,
    type_coerce,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column
from sqlalchemy.types import TypeDecorator

from repo import Database, Page, Repository, UsageError
from repo.cursors import Place, decode, encode
from repo.errors import InvalidCursor
from repo.testing import queries
from repo.types import UTCDateTime
from tests.paging import Ask, all_of


class Model(DeclarativeBase):
    pass


class Mood(enum.Enum):
    """In another order than that of its letters."""

    SLEEPY = "z"
    HAPPY = "a"


class Shouted(TypeDecorator[str]):
    """Changes the text on its way out."""

    impl = String
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value.upper() + "!"


class Kind(Model):
    """A column of every kind of value that a page can be sorted by."""

    __tablename__ = "kinds"
    id: Mapped[int] = mapped_column(primary_key=True)
    integer: Mapped[int | None]
    big: Mapped[int | None] = mapped_column(BigInteger().with_variant(Integer, "sqlite"))
    real: Mapped[float | None]
    exact: Mapped[Decimal | None] = mapped_column(Numeric(40, 20))
    money: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    text: Mapped[str | None]
    fixed: Mapped[str | None] = mapped_column(String(5))
    flag: Mapped[bool | None]
    mood: Mapped[Mood | None]
    plain_mood: Mapped[Mood | None] = mapped_column(Enum(Mood, native_enum=False))
    moment: Mapped[datetime | None] = mapped_column(UTCDateTime)
    naive: Mapped[datetime | None] = mapped_column(DateTime)
    day: Mapped[date | None]
    hour: Mapped[time | None]
    zoned: Mapped[time | None] = mapped_column(Time(timezone=True))
    span: Mapped[timedelta | None] = mapped_column(Interval)
    plain_span: Mapped[timedelta | None] = mapped_column(Interval(native=False))
    key: Mapped[uuid.UUID | None]
    plain_key: Mapped[uuid.UUID | None] = mapped_column(Uuid(native_uuid=False))
    blob: Mapped[bytes | None]
    shouted: Mapped[str | None] = mapped_column(Shouted)


class Kinds(Repository[Kind]):
    """Rows of every kind."""


NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
VALUES: dict[str, list[Any]] = {
    "integer": [0, -1, 2**31 - 1, -(2**31)],
    "big": [0, 2**53 + 1, 2**53, 2**63 - 1, -(2**63)],
    "real": [0.0, -0.0, 0.1 + 0.2, 0.3, math.inf, -math.inf, 1e308, 5e-324, 2.0**53],
    "exact": [Decimal(number) for number in ("0", "0.1", "0.10000000000000000001", "1E+19", "-3", "12345678901234.5")],
    "money": [Decimal(number) for number in ("0.00", "1.10", "-1.10", "1.1", "99999999.99")],
    "text": ["", "a", "A", "b", "ä", "Z", "z ", "z", "a_b", "a b", "%", "\U0001f600", "\uff5a", "1", "10", "2", "'"],
    "fixed": ["a", "ab", "a b", "B"],
    "flag": [True, False],
    "mood": list(Mood),
    "plain_mood": list(Mood),
    "moment": [NOON, NOON + TICK, NOON - TICK, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)],
    "naive": [datetime(2024, 1, 1), datetime(2024, 1, 1) + TICK, datetime(1, 1, 1), datetime(9999, 12, 31)],
    "day": [date(2024, 2, 29), date.min, date.max],
    "hour": [time(12), time(0), time(23, 59, 59, 999_999), time(12, 0, 0, 1)],
    "zoned": [time(12, tzinfo=UTC), time(12, 0, 0, 1, tzinfo=UTC)],
    "span": [timedelta(0), timedelta(days=-1), timedelta(days=400, microseconds=1), timedelta(days=30)],
    "plain_span": [timedelta(0), timedelta(days=1), timedelta(days=400, microseconds=1)],
    "key": [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID(int=2**64)],
    "plain_key": [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID(int=2**64)],
    "blob": [b"", b"\0", b"a", b"\xff\xff", b"ab"],
    "shouted": ["a", "B", "b", ""],
}


@pytest.fixture
async def kinds(db: Database) -> Kinds:
    """Rows with every value twice, and three with NULLs alone."""
    await db.create_all(Model.metadata)
    count = max(map(len, VALUES.values()))
    rows = [{name: values[n % len(values)] for name, values in VALUES.items()} for n in range(2 * count)]
    await Kinds(db).add_many([*rows, {}, {}, {}])
    return Kinds(db)


def ids_of(kinds: Kinds, **options: Any) -> Ask:
    """Pages of the rows' keys."""

    async def ask(**cursor: Any) -> Page[int]:
        page = await kinds.page(limit=9, **options, **cursor)
        return Page([kind.id for kind in page.items], page.next, page.previous)

    return ask


async def test_every_kind_of_value_is_paged_in_the_databases_order(kinds: Kinds) -> None:
    """Pages in the order of any column, upwards and downwards, have each row once, in the order of ORDER BY."""
    for attribute in (getattr(Kind, name) for name in VALUES):
        for order in (attribute.desc(), nulls_first(asc(attribute))):
            expected = [kind.id for kind in await kinds.all(order_by=[order, Kind.id])]
            assert (order, await all_of(ids_of(kinds, order_by=order))) == (order, expected)


OTHER = aliased(Kind)
EXPRESSIONS: dict[str, Any] = {
    "lower": func.lower(Kind.text),
    "length": func.length(Kind.text).desc(),
    "sum": Kind.id * 2 + Kind.id % 3,
    "division": Kind.id / 3,
    "negative": -Kind.id,
    "cast": cast(Kind.id, String).desc(),
    "case": func.coalesce(Kind.text, "m"),
    "boolean": (Kind.integer > 0).desc(),
    "null": Kind.text.is_(None),
    "several": [Kind.flag.desc(), func.lower(Kind.text), Kind.real.desc()],
    "label": func.abs(Kind.real).label("size"),
    "typed": func.nullif(Kind.integer, 0, type_=Integer),
    "coerced": type_coerce(literal_column("id % 4"), Integer),
    "subquery": select(func.count()).where(OTHER.text < Kind.text).scalar_subquery(),
    "key downwards": Kind.id.desc(),
    "twice the same": [Kind.flag, Kind.flag.desc()],
}


async def test_expressions_are_terms_like_columns(kinds: Kinds) -> None:
    """Functions, arithmetic, truth values, casts, labels and subqueries are paged as columns are."""
    collation = "NOCASE" if kinds.scope.dialect.name == "sqlite" else "C"
    for name, order in {**EXPRESSIONS, "collated": func.upper(Kind.text).collate(collation)}.items():
        terms = order if isinstance(order, list) else [order]
        expected = [kind.id for kind in await kinds.all(order_by=[*terms, Kind.id])]
        assert (name, await all_of(ids_of(kinds, order_by=order))) == (name, expected)


STORED = {
    "sqlite": [
        "UPDATE kinds SET money = 1.001 + id % 7 / 10000.0, exact = id / 3.0, real = 1",
        "UPDATE kinds SET integer = 'text' WHERE id % 5 = 0",
        "UPDATE kinds SET integer = 1.5, text = x'00ff' WHERE id % 5 = 1",
        "UPDATE kinds SET moment = '2024-01-01 00:00:00' WHERE id % 3 = 0",
        "UPDATE kinds SET moment = '2024-01-01 00:00:00.0' WHERE id % 3 = 1",
    ],
    "postgresql": [
        "UPDATE kinds SET span = CASE id % 4 WHEN 0 THEN interval '1 year' WHEN 1 THEN interval '365 days' "
        "WHEN 2 THEN interval '11 months 30 days' ELSE interval '-1 year 364 days' END",
        "UPDATE kinds SET real = 'NaN', exact = 'NaN', moment = 'infinity', naive = '-infinity' WHERE id % 3 = 0",
        "UPDATE kinds SET day = 'infinity', moment = '-infinity' WHERE id % 3 = 1",
    ],
}
"""What a database may hold although the program would read it as something else, or never write it."""


async def test_values_are_compared_as_they_are_stored(kinds: Kinds) -> None:
    """Values that come out rounded, or as another value, or that only others write, have each row once, too."""
    for statement in STORED[kinds.scope.dialect.name]:
        await kinds.scope.execute(text(statement))
    for attribute in (Kind.money, Kind.exact, Kind.real, Kind.integer, Kind.moment, Kind.naive, Kind.day, Kind.span):
        for order in (attribute, attribute.desc()):
            rows = await kinds.scope.scalars(select(Kind.id).order_by(nulls_last(order), Kind.id))
            paged = await all_of(rows_of(kinds, nulls_last(order)))
            assert paged == rows


def rows_of(kinds: Kinds, order: Any) -> Ask:
    """Pages of the keys alone: not every stored value can be read."""

    async def ask(**cursor: Any) -> Page[int]:
        page = await kinds.scope.page(select(Kind.id), order_by=order, limit=9, **cursor)
        return Page([row.id for row in page.items], page.next, page.previous)

    return ask


FORGED: list[Any] = [
    *(
        None,
        True,
        0,
        2**63 - 1,
        -(2**63),
        1.5,
        math.nan,
        -math.inf,
        "",
        "HAPPY",
        "nobody",
        "\0",
        "\uffff",
        b"",
        b"\xff",
    ),
    *(Decimal("NaN"), Decimal("-Infinity"), Decimal("1E+131072"), Decimal("1E-16384"), Decimal("sNaN"), Decimal("-0")),
    *(date.min, date.max, datetime.min, datetime.max, NOON, datetime.max.replace(tzinfo=UTC), time.max, time.min),
    *(
        time(1, tzinfo=timezone(timedelta(hours=-23))),
        time(1, tzinfo=UTC),
        timedelta.min,
        timedelta.max,
        uuid.UUID(int=1),
    ),
]


async def test_a_forged_value_is_refused_or_makes_a_page(kinds: Kinds) -> None:
    """Who makes a cursor with values of any type gets a page or InvalidCursor, and no statement fails."""
    for attribute in (getattr(Kind, name) for name in VALUES):
        page = await kinds.page(order_by=attribute, limit=1)
        assert page.next is not None
        order = base64.urlsafe_b64decode(page.next + "==")[10:18]
        assert encode(order, decode(order, page.next)) == page.next
        for values in [*((value, 1) for value in FORGED), (None, "x"), (), (1,), (1, 1, 1)]:
            cursor = encode(order, Place(values, beyond=True))
            try:
                found = await kinds.page(order_by=attribute, limit=1, after=cursor)
            except InvalidCursor:
                continue
            assert len(values) == 2
            assert len(found.items) <= 1


async def test_no_statement_is_sent_for_a_wrong_cursor(db: Database, kinds: Kinds) -> None:
    """A cursor of another order, model or kind of page, and a changed one, is refused before anything is asked."""
    page = await kinds.page(order_by=Kind.text, limit=1)
    rows = await kinds.scope.page(select(Kind.id), order_by=Kind.text, limit=1)
    assert page.next is not None
    for order in (Kind.text.desc(), Kind.text.nulls_first(), func.lower(Kind.text), [Kind.text, Kind.flag], None):
        with queries(db) as sent, pytest.raises(InvalidCursor, match=r"^this cursor was made for another"):
            await kinds.page(order_by=order, after=page.next)
        assert sent == []
    for cursor in (rows.next, page.next[:-1], page.next.swapcase(), "0" * 20_000):
        with queries(db) as sent, pytest.raises(InvalidCursor):
            await kinds.page(order_by=Kind.text, before=cursor)
        assert sent == []
    assert (await kinds.page(order_by=[Kind.text.asc().nulls_last(), Kind.id], after=page.next)).items


async def test_the_parameters_of_an_expression_are_part_of_the_order(kinds: Kinds) -> None:
    """An order by the same function of another value is another order."""
    page = await kinds.page(order_by=func.coalesce(Kind.text, "a"), limit=1)
    with pytest.raises(InvalidCursor):
        await kinds.page(order_by=func.coalesce(Kind.text, "b"), after=page.next)
    assert (await kinds.page(order_by=func.coalesce(Kind.text, "a"), after=page.next)).items


async def test_a_value_that_no_cursor_can_hold_is_refused(kinds: Kinds) -> None:
    """A term whose values are not those of its type, or too long, is refused when a cursor is needed."""
    wrong = type_coerce(Kind.id, LargeBinary)
    if kinds.scope.dialect.name != "sqlite":
        with pytest.raises(
            UsageError, match=r"^order_by has a term of the type LargeBinary\(\) that gives int: a page's"
        ):
            await kinds.page(order_by=wrong, limit=1)
    await kinds.update(1, text="x" * 20_000)
    with pytest.raises(UsageError, match=r"^a page's cursor would have \d+ characters, and 16384 is the most"):
        await kinds.page(order_by=[func.length(Kind.text).desc().nulls_last(), Kind.text], limit=1)
    assert len((await kinds.page(order_by=func.substr(Kind.text, 1, 5), limit=1)).items) == 1
