"""Pages by key: in every scope, at their ends, of any statement, and what is refused."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import asc, delete, desc, func, select, text, union
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from repo import Database, Page, Repository, Scope, UsageError
from repo.errors import InvalidCursor
from repo.testing import queries
from tests.models import (
    SCOPES,
    Dog,
    Dogs,
    Line,
    Lines,
    Order,
    Orders,
    Team,
    User,
    Users,
    opened,
    stocked,
)
from tests.paging import all_of

AnyScope = Scope | AsyncSession


@pytest.fixture
async def shop(db: Database) -> Database:
    """Two teams, three users, two orders with two lines each."""
    return await stocked(db)


@pytest.fixture(params=SCOPES)
async def scope(request: pytest.FixtureRequest, shop: Database) -> AsyncIterator[AnyScope]:
    """Each kind of scope over the shop."""
    async with opened(shop, request.param) as scope:
        yield scope


async def test_pages_in_every_scope(scope: AnyScope) -> None:
    """Every scope gives the same pages of entities and of rows, counts on demand, and has cursors for both sides."""
    users = Users(scope)
    first = await users.page(order_by=User.age, limit=2, total=True)
    assert ([user.name for user in first.items], first.previous, first.total) == (["Ada", "Grace"], None, 3)
    second = await users.page(order_by=User.age, limit=2, after=first.next)
    assert ([user.name for user in second.items], second.next, second.total) == (["Alan"], None, None)
    again = await users.page(order_by=User.age, limit=2, before=second.previous)
    assert ([user.name for user in again.items], again.previous) == (["Ada", "Grace"], None)
    rows = users.scope
    statement = select(User.name, Order.total).join(User.orders)
    page = await rows.page(statement, order_by=Order.total.desc(), limit=1, total=True)
    assert ([row._asdict() for row in page.items], page.total) == ([{"name": "Ada", "total": 50}], 2)
    rest = await rows.page(statement, order_by=Order.total.desc(), limit=1, after=page.next)
    assert ([row.total for row in rest.items], rest.next) == ([5], None)


async def test_a_page_is_one_statement_and_its_total_another(shop: Database) -> None:
    """A page asks once, for one row more than it gives; a total is one more statement, over the same rows."""
    users = Users(shop)
    for total, count in ((False, 1), (True, 2)):
        with queries(shop) as sent:
            page = await users.page(User.name.like("A%"), limit=1, total=total)
        assert (len(sent), page.total) == (count, 2 if total else None)
        with queries(shop) as sent:
            await shop.page(select(User.name), limit=1, total=total)
        assert len(sent) == count


async def test_an_exact_page_has_no_next(shop: Database) -> None:
    """A page that just holds the rest is the last one, and one of more than all is the only one."""
    assert (await Users(shop).page(limit=3)).next is None
    assert await Users(shop).page(User.id > 99, total=True) == Page([], None, None, 0)
    page = await Users(shop).page(limit=100)
    assert (len(page.items), page.next, page.previous) == (3, None, None)


async def test_conditions_may_change_between_pages(shop: Database) -> None:
    """A cursor is a place in the order; which rows are looked at is said anew with each page."""
    page = await Users(shop).page(order_by=User.name, limit=1)
    rest = await Users(shop).page(User.age.is_not(None), order_by=User.name, after=page.next)
    assert [user.name for user in rest.items] == ["Grace"]


async def test_what_is_left_when_the_rest_has_gone(shop: Database) -> None:
    """A page after which all was deleted is empty and leads back to what is left; so does one before which it was."""
    users = Users(shop)
    page = await users.page(limit=2)
    await users.delete_where(User.id > 2)
    empty = await users.page(limit=2, after=page.next)
    assert (empty.items, empty.next) == ([], None)
    assert empty.previous is not None
    assert [user.id for user in (await users.page(limit=2, before=empty.previous)).items] == [1, 2]
    second = await users.page(limit=1, after=(await users.page(limit=1)).next)
    await users.delete_where(User.id < 2)
    empty = await users.page(limit=1, before=second.previous)
    assert (empty.items, empty.previous) == ([], None)
    assert [user.id for user in (await users.page(limit=1, after=empty.next)).items] == [2]


async def test_the_row_at_a_cursor_may_go(shop: Database) -> None:
    """A cursor needs no row at its place."""
    users = Users(shop)
    page = await users.page(order_by=User.name, limit=1)
    await users.delete_where(User.name == "Ada")
    assert [user.name for user in (await users.page(order_by=User.name, after=page.next)).items] == ["Alan", "Grace"]


async def test_relationships_are_loaded_with_a_page(shop: Database) -> None:
    """`load=` works as elsewhere, also by a JOIN, which makes several rows of one entity."""
    for load in (User.orders, joinedload(User.orders), [User.orders, (User.team)]):
        first = await Users(shop).page(order_by=User.name, limit=1, load=load)
        assert [(user.name, len(user.orders)) for user in first.items] == [("Ada", 2)]
        second = await Users(shop).page(order_by=User.name, limit=2, after=first.next, load=load)
        assert [(user.name, len(user.orders)) for user in second.items] == [("Alan", 0), ("Grace", 0)]
        back = await Users(shop).page(order_by=User.name, limit=2, before=second.previous, load=load)
        assert [(user.name, len(user.orders)) for user in back.items] == [("Ada", 2)]


async def test_a_page_takes_locks_in_a_transaction(shop: Database) -> None:
    """`lock=` locks the page's rows, and needs a transaction."""
    async with shop.transaction() as tx:
        assert [user.id for user in (await Users(tx).page(limit=2, lock="update")).items] == [1, 2]
    with pytest.raises(UsageError, match=r"^page with lock= needs a transaction"):
        await Users(shop).page(limit=2, lock="update")


async def test_composite_keys_and_inheritance(shop: Database) -> None:
    """All columns of a composite key are appended; a subclass is paged by columns of both of its tables."""
    lines = await all_of(lambda **cursor: entities(Lines(shop), order_by=Line.position.desc(), limit=1, **cursor))
    assert lines == [(1, 2), (2, 2), (1, 1), (2, 1)]
    await Dogs(shop).add_many([{"name": name, "breed": breed} for name, breed in ("aX", "bX", "cY")])
    dogs = await all_of(lambda **cursor: entities(Dogs(shop), order_by=[Dog.breed, Dog.name], limit=1, **cursor))
    assert dogs == [(1,), (2,), (3,)]


async def entities(repository: Repository[Any], **options: Any) -> Page[Any]:
    """A page with the keys in place of the entities."""
    page = await repository.page(**options)
    keys = [tuple(getattr(each, name) for name in KEYS[type(each)]) for each in page.items]
    return Page(keys, page.next, page.previous)


KEYS = {Line: ("order", "position"), Dog: ("id",)}


async def test_a_write_of_the_same_transaction_is_seen(shop: Database) -> None:
    """In a transaction a page has what was added to the session before."""
    async with shop.transaction() as tx:
        tx.session.add(User(id=9, name="Barbara"))
        assert [user.id for user in (await Users(tx).page(order_by=User.id.desc(), limit=1)).items] == [9]


async def test_the_order_is_what_all_says(shop: Database) -> None:
    """Without an order a page is by primary key; a term that is the key itself is not added again."""
    with queries(shop) as sent:
        await Users(shop).page(order_by=[User.name, User.id.desc()])
    assert sent[0].count("users.id DESC") == 1
    assert "users.id ASC" not in sent[0]


NAMES = select(User.name).subquery()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            select(User).limit(5),
            r"with LIMIT, OFFSET or FETCH that would change the rows themselves: make it a subquery",
        ),
        (select(User.id, func.row_number().over()), r"^a page adds a condition, and with a window function that would"),
        (select(func.count(User.id)), r"with an aggregate without GROUP BY that would change"),
        (select(User).order_by(User.name), r"^a page has the order that order_by= says: leave \.order_by\(\) out"),
        (select(NAMES), r"^nothing tells the rows of this statement apart, .* add \.distinct\(\) or \.group_by\(\)"),
        (union(select(User.id), select(Team.id)), r"^page\(\) takes a select\(\), not CompoundSelect; .* a subquery$"),
        (text("SELECT 1"), r"^page\(\) takes a select\(\), not TextClause"),
        (delete(User), r"^page\(\) takes a select\(\), not Delete"),
        ("SELECT 1", r"^page\(\) takes a select\(\), not str"),
    ],
)
async def test_a_statement_that_cannot_be_paged_is_refused(shop: Database, statement: Any, message: str) -> None:
    """What a further condition would change, or of which no row can be told from others, is refused with what to do."""
    with queries(shop) as sent, pytest.raises(UsageError, match=message):
        await shop.page(statement, limit=5)
    assert sent == []


async def test_what_was_refused_works_as_the_message_says(shop: Database) -> None:
    """As a subquery, what has a LIMIT, a window function or is a UNION is paged; without a key, when it is distinct."""
    ranked = select(User.id, func.row_number().over(order_by=User.name).label("rank")).subquery()
    limited = select(User.id, User.name).order_by(User.id.desc()).limit(2).subquery()
    both = union(select(User.name), select(Team.name)).subquery()
    cases: list[tuple[Any, Any, list[Any]]] = [
        (select(ranked), ranked.c.rank.desc(), [(2, 3), (3, 2), (1, 1)]),
        (select(limited), limited.c.name, [(3, "Alan"), (2, "Grace")]),
        (select(both), None, [("Ada",), ("Alan",), ("Analysts",), ("Grace",), ("Sailors",)]),
        (select(NAMES).distinct(), NAMES.c.name.desc(), [("Grace",), ("Alan",), ("Ada",)]),
        (
            select(User.name, ranked.c.rank).join(ranked, ranked.c.id == User.id),
            ranked.c.rank,
            [("Ada", 1), ("Alan", 2), ("Grace", 3)],
        ),
    ]
    for statement, order, expected in cases:

        async def ask(statement: Any = statement, order: Any = order, **cursor: Any) -> Page[Any]:
            page = await shop.page(statement, order_by=order, limit=1, **cursor)
            return Page([tuple(row) for row in page.items], page.next, page.previous)

        assert await all_of(ask) == expected


async def test_a_distinct_page_is_in_the_order_of_what_is_selected(shop: Database) -> None:
    """With DISTINCT, an order by something else would bring back rows that are the same."""
    with pytest.raises(UsageError, match=r"^with DISTINCT, order_by takes what is selected, .*: users\.age is not$"):
        await shop.page(select(User.name).distinct(), order_by=User.age)


@pytest.mark.parametrize(
    "order", ["name", "name; DROP TABLE users", text("name"), desc("name"), asc("name; DROP TABLE users"), 1, User]
)
async def test_an_order_is_no_text(shop: Database, order: Any) -> None:
    """A name, or any other text, is refused as an order, also inside of `desc()`, by every page: it would be SQL."""
    with queries(shop) as sent:
        for given in (order, [User.id, order]):
            with pytest.raises(UsageError, match=r"^order_by of User takes expressions such as User\.id or .*, not "):
                await Users(shop).page(order_by=given)
            with pytest.raises(UsageError, match=r"^order_by takes expressions such as User\.name or .*, not "):
                await shop.page(select(User), order_by=given)
            with pytest.raises(UsageError, match=r"^order_by of User takes expressions"):
                await Users(shop).all(order_by=given)
    assert sent == []


async def test_a_term_of_no_known_type_is_refused(shop: Database) -> None:
    """What SQLAlchemy knows no type of has to say it, as values in cursors are checked by type."""
    with pytest.raises(UsageError, match=r"^nothing says of which type score\(users\.id\) is, .* type_=Integer"):
        await Users(shop).page(order_by=func.score(User.id))
    with pytest.raises(UsageError, match=r"^a page cannot be in the order of .*, a window function"):
        await Users(shop).page(order_by=func.rank().over(order_by=User.name))
    with pytest.raises(UsageError, match=r"^order_by of User names teams\.name, a table that is not the model's"):
        await Users(shop).page(order_by=Team.name)


async def test_a_page_has_a_limit_and_one_cursor(shop: Database) -> None:
    """A page of nothing, and one with two cursors, is refused."""
    for limit in (0, -1):
        with pytest.raises(UsageError, match=rf"^limit of a page must be at least 1, not {limit}$"):
            await Users(shop).page(limit=limit)
    page = await Users(shop).page(limit=1)
    with pytest.raises(UsageError, match=r"^a page is either after= a cursor or before= one, not both$"):
        await Users(shop).page(after=page.next, before=page.next)
    with pytest.raises(InvalidCursor):
        await Users(shop).page(after="")


async def test_an_index_serves_a_page(shop: Database) -> None:
    """A page by columns that cannot be NULL is read from its place on in an index of them, not from the start."""
    on_sqlite = shop.dialect.name == "sqlite"
    await shop.execute(text("CREATE INDEX by_user ON orders (user_id, total, id)"))
    await shop.execute(text("CREATE INDEX by_both ON orders (user_id ASC, total DESC, id ASC)"))
    for order in ([Order.user_id, Order.total], [Order.user_id, Order.total.desc()]):
        page = await Orders(shop).page(order_by=order, limit=1)
        with queries(shop) as sent:
            await Orders(shop).page(order_by=order, limit=1, after=page.next)
        # Plans need no values: any will do for the parameters.
        plan = await explained(shop, re.sub(r"\?|\$\d+(::\w+)?", "1", sent[0]))
        assert re.search(r"SEARCH orders USING .*INDEX by_" if on_sqlite else r"Index Cond: .*(user_id|ROW)", plan)
        assert "SORT" not in plan.upper()
        assert "TEMP B-TREE" not in plan


async def explained(db: Database, statement: str) -> str:
    """How the database would run the statement, if it had much to read."""
    async with db.transaction() as tx:
        if db.dialect.name == "sqlite":
            return "\n".join(row.detail for row in await tx.rows(text(f"EXPLAIN QUERY PLAN {statement}")))
        for setting in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
            await tx.execute(text(f"SET LOCAL {setting} = off"))
        return "\n".join(await tx.scalars(text(f"EXPLAIN {statement}")))
