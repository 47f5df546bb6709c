"""Pages against a full sort in Python: random tables with ties and NULLs, random orders, random changes between pages.

`EXAMPLES=2000 python3 dev.py test -k pagination_truth` looks deeper.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, true
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column

from repo import Database, Page, Repository

LOOK = settings(
    max_examples=int(os.environ.get("EXAMPLES", "25")),
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Model(DeclarativeBase):
    pass


class Item(Model):
    """A composite key, columns with many ties, with NULLs and without."""

    __tablename__ = "paged_items"
    x: Mapped[int] = mapped_column(primary_key=True)
    y: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int | None]
    word: Mapped[str | None]
    whole: Mapped[int]
    flag: Mapped[bool]


class Items(Repository[Item]):
    """Items."""


Row = dict[str, Any]
Key = tuple[int, str]


@dataclass(frozen=True)
class By:
    """A term of an order: how it is said in SQL, and what it is in Python; None is NULL."""

    expression: Any
    value: Callable[[Row], Any]
    descending: bool = False
    nulls: str = ""

    def term(self) -> Any:
        ordered = self.expression.desc() if self.descending else self.expression
        return {"first": ordered.nulls_first, "last": ordered.nulls_last, "": lambda: ordered}[self.nulls]()

    def nulls_first(self) -> bool:
        return self.nulls == "first" if self.nulls else self.descending

    def __repr__(self) -> str:
        return str(self.term())


def plus(row: Row) -> int | None:
    return None if row["number"] is None else row["number"] + row["whole"]


EXPRESSIONS: list[tuple[Any, Callable[[Row], Any]]] = [
    *(
        (getattr(Item, name), lambda row, name=name: row[name])
        for name in ("x", "y", "number", "word", "whole", "flag")
    ),
    (func.lower(Item.word), lambda row: row["word"] and row["word"].lower()),
    (func.upper(Item.y), lambda row: row["y"].upper()),
    (-Item.whole, lambda row: -row["whole"]),
    (Item.number + Item.whole, plus),
    (Item.number.is_(None), lambda row: row["number"] is None),
    (func.coalesce(Item.word, "m"), lambda row: "m" if row["word"] is None else row["word"]),
    (Item.whole / 2.0, lambda row: row["whole"] / 2.0),
]
NUMBERS = st.integers(-1, 2)
WORDS = st.sampled_from(["", "a", "b", "c"])
ROW = st.fixed_dictionaries(
    {
        "x": NUMBERS,
        "y": WORDS,
        "number": st.none() | NUMBERS,
        "word": st.none() | WORDS,
        "whole": NUMBERS,
        "flag": st.booleans(),
    }
)
ROWS = st.lists(ROW, max_size=12, unique_by=lambda row: (row["x"], row["y"]))
ORDERS = st.lists(
    st.builds(
        lambda pair, *how: By(*pair, *how),
        st.sampled_from(EXPRESSIONS),
        st.booleans(),
        st.sampled_from(["", "", "first", "last"]),
    ),
    max_size=3,
)


def truth(rows: Sequence[Row], order: Sequence[By]) -> list[Key]:
    """The keys of all rows in the order, by sorting once for each term from the last to the first."""
    ordered = sorted(rows, key=lambda row: (row["x"], row["y"]))
    for by in reversed(order):
        values = [row for row in ordered if by.value(row) is not None]
        nulls = [row for row in ordered if by.value(row) is None]
        values.sort(key=by.value, reverse=by.descending)  # equals keep their order, also when reversed
        ordered = [*nulls, *values] if by.nulls_first() else [*values, *nulls]
    return [(row["x"], row["y"]) for row in ordered]


class Ask(Protocol):
    """One page of what is looked at."""

    async def __call__(self, *, after: str | None = None, before: str | None = None) -> Page[Any]: ...


async def forwards(ask: Ask, after: str | None = None, change: Callable[[], Any] | None = None) -> list[Page[Any]]:
    """Every page from a cursor, or the beginning, to the end, with a change before each but the first."""
    pages = [await ask(after=after)]
    while (cursor := pages[-1].next) is not None:
        if change:
            await change()
        pages.append(await ask(after=cursor))
    return pages


async def backwards(ask: Ask, before: str | None, change: Callable[[], Any] | None = None) -> list[Page[Any]]:
    """Every page from the beginning to a cursor, asked for from its end; none where there is no cursor."""
    pages: list[Page[Any]] = []
    while before is not None:
        if change and pages:
            await change()
        pages.insert(0, await ask(before=before))
        before = pages[0].previous
    return pages


def rows_of(pages: Sequence[Page[Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row) for page in pages for row in page.items]


def keys_of(pages: Sequence[Page[Item]]) -> list[Key]:
    return [(item.x, item.y) for page in pages for item in page.items]


async def filled(db: Database, rows: Sequence[Row]) -> Items:
    """The rows and no others."""
    await db.create_all(Model.metadata)
    items = Items(db)
    await items.delete_where(true())
    await items.add_many(rows)
    return items


def asking(items: Items, order: Sequence[By], limit: int) -> Ask:
    """Pages of the items."""

    async def ask(*, after: str | None = None, before: str | None = None) -> Page[Item]:
        return await items.page(order_by=[by.term() for by in order], limit=limit, after=after, before=before)

    return ask


@LOOK
@given(rows=ROWS, order=ORDERS, limit=st.integers(1, 5))
async def test_forwards_is_backwards_is_the_truth(db: Database, rows: list[Row], order: list[By], limit: int) -> None:
    """All pages one after another, from either end, are what a sort of all rows gives; the ends have no cursor."""
    ask = asking(await filled(db, rows), order, limit)
    expected = truth(rows, order)
    pages = await forwards(ask)
    assert keys_of(pages) == expected
    assert [len(page.items) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert [page.previous is None for page in pages] == [True] + [False] * (len(pages) - 1)
    back = await backwards(ask, pages[-1].previous)
    assert keys_of([*back, pages[-1]]) == expected
    assert all(page.next is not None for page in back)


@LOOK
@given(rows=ROWS, order=ORDERS, limit=st.integers(1, 5))
async def test_a_cursor_is_a_place_between_two_rows(db: Database, rows: list[Row], order: list[By], limit: int) -> None:
    """What is before the end of a page, and what is after its beginning, is the page itself."""
    ask = asking(await filled(db, rows), order, limit)
    for page in await forwards(ask):
        if page.next is not None:
            assert keys_of([await ask(before=page.next)]) == keys_of([page])
        if page.previous is not None:
            assert keys_of([await ask(after=page.previous)]) == keys_of([page])


class Table:
    """What is in the table, and what has ever been."""

    def __init__(self, items: Items, rows: Sequence[Row]) -> None:
        self.items = items
        self.now = {(row["x"], row["y"]): row for row in rows}
        self.ever = dict(self.now)

    async def change(self, what: Row | int) -> None:
        """Add a row with a new key, or delete one by its number."""
        if isinstance(what, dict) and (key := (what["x"], what["y"])) not in self.ever:
            self.ever[key] = self.now[key] = what
            await self.items.add(Item(**what))
        elif isinstance(what, int) and what < len(self.now):
            key = list(self.now)[what]
            del self.now[key]
            await self.items.delete(key)


@LOOK
@given(
    rows=ROWS,
    order=ORDERS,
    start=st.integers(0, 6),
    changes=st.lists(st.lists(ROW | st.integers(0, 11), max_size=4), max_size=8),
    ahead=st.booleans(),
)
async def test_rows_that_come_and_go_move_no_other(
    db: Database, rows: list[Row], order: list[By], start: int, changes: list[list[Row | int]], *, ahead: bool
) -> None:
    """A row that is there all the time is seen once on the way, in its place, whatever comes and goes meanwhile."""
    items = await filled(db, rows)
    table, pending = Table(items, rows), iter(changes)

    async def change() -> None:
        for what in next(pending, []):
            await table.change(what)

    place = (await asking(items, order, start)()).next if start else None
    ask, sorted_keys = asking(items, order, 2), truth(rows, order)
    if ahead:
        pages, on_the_way = await forwards(ask, place, change), sorted_keys[start if place else 0 :]
    else:
        pages, on_the_way = await backwards(ask, place, change), sorted_keys[:start] if place else []
    seen = keys_of(pages)
    note(f"seen {seen}")
    assert seen == [key for key in truth(list(table.ever.values()), order) if key in set(seen)]
    assert set(on_the_way) & set(table.now) <= set(seen)


TERMS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=3, unique_by=lambda term: term[0])
Terms = list[tuple[int, bool]]


def with_null_largest(at: int) -> Callable[[Any], Any]:
    return lambda row: (row[at] is None, row[at])


async def check_rows(db: Database, statement: Any, terms: Terms, key: Sequence[int], rows: list[Any]) -> None:
    """Pages of a statement's rows, forwards and backwards, are these rows sorted.

    Args:
        db: where they are.
        statement: a SELECT.
        terms: its order: the number of a column, and whether it descends.
        key: the columns that tell its rows apart, in the order in which they are added.
        rows: what it selects.
    """
    columns: list[Any] = list(statement.selected_columns)
    order = [columns[at].desc() if descending else columns[at] for at, descending in terms]
    for at, descending in reversed([*terms, *((at, False) for at in key if at not in dict(terms))]):
        rows = sorted(rows, key=with_null_largest(at), reverse=descending)

    async def ask(*, after: str | None = None, before: str | None = None) -> Page[Any]:
        return await db.page(statement, order_by=order, limit=2, after=after, before=before)

    pages = await forwards(ask)
    assert rows_of(pages) == rows
    assert rows_of([*await backwards(ask, pages[-1].previous), pages[-1]]) == rows


@LOOK
@given(rows=ROWS, terms=TERMS)
async def test_groups_are_told_apart_by_what_they_are_grouped_by(db: Database, rows: list[Row], terms: Terms) -> None:
    """Groups, in the order of what they are grouped by and of aggregates, are what Python counts."""
    await filled(db, rows)
    groups: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        groups.setdefault((row["word"], row["flag"]), []).append(row["whole"])
    whole: Any = func.sum(Item.whole)
    statement = select(Item.word, Item.flag, func.count().label("n"), whole.label("total"))
    expected = [(*key, len(numbers), sum(numbers)) for key, numbers in groups.items()]
    await check_rows(db, statement.group_by(Item.word, Item.flag), terms, (0, 1), expected)


@LOOK
@given(rows=ROWS, terms=TERMS)
async def test_distinct_rows_are_told_apart_by_what_is_selected(db: Database, rows: list[Row], terms: Terms) -> None:
    """Distinct rows come once each, in the order of any of their columns."""
    await filled(db, rows)
    names = ("word", "flag", "number", "whole")
    statement = select(*(getattr(Item, name) for name in names)).distinct()
    await check_rows(db, statement, terms, range(4), list({tuple(row[name] for name in names) for row in rows}))


@LOOK
@given(rows=ROWS, terms=TERMS)
async def test_joined_rows_are_told_apart_by_both_keys(db: Database, rows: list[Row], terms: Terms) -> None:
    """Rows of an outer join, in the order of columns of both sides, with NULLs where there is no other side."""
    await filled(db, rows)
    other = aliased(Item)
    columns = (Item.word, Item.flag, other.word, other.flag, Item.x, Item.y, other.x, other.y)
    statement = select(*columns).outerjoin(other, other.number == Item.whole)
    expected = []
    for row in rows:
        others = [each for each in rows if each["number"] == row["whole"]] or [dict.fromkeys(row)]
        left = (row["word"], row["flag"])
        keys = (row["x"], row["y"])
        expected += [(*left, each["word"], each["flag"], *keys, each["x"], each["y"]) for each in others]
    await check_rows(db, statement, terms, range(4, 8), expected)
