"""Texts that want to be SQL, in every place that takes a text: they are values, or refused before anything is asked."""

import base64
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, ForeignKey, MetaData, UniqueConstraint, desc, func, select, text, type_coerce
from sqlalchemy import String as Text
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedColumn, mapped_column, relationship

from repo import (
    Database,
    ForeignKeyViolation,
    Lock,
    Once,
    Page,
    RepoError,
    Repository,
    Transaction,
    UniqueViolation,
    gather,
)
from repo.cursors import Place, encode
from repo.errors import ConfigurationError, ConnectFailed, InvalidCursor
from repo.testing import queries
from tests.models import Lines, Model, User, Users

ATTACKS = (
    *("'; DROP TABLE users; --", '"; DROP TABLE users; --', "1; DROP TABLE users", "1) ; DELETE FROM users; --"),
    *("1 OR 1=1", "' OR ''='", "name FROM users; --", "users.name; --", "name, (SELECT 1)", "*", "1", ""),
    *(":id", "%(id)s", "%s", "$1", "?", "\\'; DROP TABLE users; --", "$$; DROP TABLE users; $$", "name -- ", "/**/"),
    *("name\n; DROP TABLE users", "ünï ' \" ` [ ]", "{users}", "{}", "\u2019 OR 1=1", "x" * 5000),
)
NAMES = ("Ada", "Grace", "Alan")

Call = Callable[[Any, Any], Awaitable[object]]
"""What is tried with a `Database` and a text."""


async def whole(stream: Any) -> list[Any]:
    """All that a stream gives."""
    return [each async for each in stream]


def as_text(it: str) -> Any:
    """SQL as it is, which only whole statements may be."""
    return text(it)


async def within(db: Database, call: Callable[[Transaction], Awaitable[object]], **options: Any) -> object:
    """Do something in a transaction with these options."""
    async with db.transaction(**options) as tx:
        return await call(tx)


async def ask(tx: Transaction) -> object:
    """A small question."""
    return await Users(tx).count()


REFUSED: Mapping[str, Call] = {
    "get": lambda db, it: Users(db).get(it),
    "get_one": lambda db, it: Users(db).get_one(it),
    "get_many": lambda db, it: Users(db).get_many([1, it]),
    "get by a composite key": lambda db, it: Lines(db).get((it, 1)),
    "update": lambda db, it: Users(db).update(it, age=1),
    "delete": lambda db, it: Users(db).delete(it),
    "update_many by key": lambda db, it: Users(db).update_many([{"id": it, "age": 1}]),
    "a condition": lambda db, it: Users(db).all(it),
    "a condition as text": lambda db, it: Users(db).count(as_text(it)),
    "the condition of delete_where": lambda db, it: Users(db).delete_where(it),
    "the condition of update_where": lambda db, it: Users(db).update_where(it, values={"age": 1}),
    "order_by of all": lambda db, it: Users(db).all(order_by=it),
    "order_by of first": lambda db, it: Users(db).first(order_by=[User.name, it]),
    "order_by of stream": lambda db, it: whole(Users(db).stream(order_by=it)),
    "order_by of page": lambda db, it: Users(db).page(order_by=it),
    "order_by by a name": lambda db, it: Users(db).all(order_by=desc(it)),
    "order_by as text": lambda db, it: Users(db).all(order_by=as_text(it)),
    "order_by of a scope's page": lambda db, it: db.page(select(User), order_by=it),
    "order_by of a scope's page by a name": lambda db, it: db.page(select(User), order_by=desc(it)),
    "after": lambda db, it: Users(db).page(after=it),
    "before": lambda db, it: Users(db).page(before=it),
    "after of a scope's page": lambda db, it: db.page(select(User), after=it),
    "load of get": lambda db, it: Users(db).get(1, load=it),
    "load of all": lambda db, it: Users(db).all(load=[User.orders, it]),
    "a path of load": lambda db, it: Users(db).all(load=(User.orders, it)),
    "load": lambda db, it: Users(db).load(User(id=1, name="Ada"), it),
    "lock": lambda db, it: within(db, lambda tx: Users(tx).get(1, lock=it)),
    "the mode of Lock": lambda db, it: within(db, lambda tx: Users(tx).all(lock=Lock(it))),
    "of in Lock": lambda db, it: within(db, lambda tx: Users(tx).all(lock=Lock(of=(it,)))),
    "on of upsert": lambda db, it: Users(db).upsert(User(name="x"), on=it),
    "on of upsert_many": lambda db, it: Users(db).upsert_many([{"name": "x"}], on=(User.name, it)),
    "on of get_or_add": lambda db, it: Users(db).get_or_add(User(name="x"), on=it),
    "update of upsert": lambda db, it: Users(db).upsert(User(name="x", age=1), on=User.name, update=it),
    "update of upsert_many": lambda db, it: Users(db).upsert_many([{"name": "x"}], on="name", update=["age", it]),
    "a name in update": lambda db, it: Users(db).update(1, **{it: 1}),
    "a name in update_where": lambda db, it: Users(db).update_where(User.id == 1, values={it: 1}),
    "a name in update_many": lambda db, it: Users(db).update_many([{"id": 1, it: 1}]),
    "a name in add_many": lambda db, it: Users(db).add_many([{"name": "x", it: 1}]),
    "a name in add_many, returning": lambda db, it: Users(db).add_many([{"name": "x", it: 1}], returning=True),
    "a name in upsert_many": lambda db, it: Users(db).upsert_many([{"name": "x", it: 1}], on="name"),
    "scalars": lambda db, it: db.scalars(it),
    "scalar": lambda db, it: db.scalar(it),
    "rows": lambda db, it: db.rows(it),
    "execute": lambda db, it: db.execute(it),
    "a scope's stream": lambda db, it: whole(db.stream(it)),
    "a scope's page": lambda db, it: db.page(it),
    "isolation": lambda db, it: within(db, ask, isolation=it),
    "isolation of transact": lambda db, it: db.transact(ask, isolation=it),
    "statement_timeout": lambda db, it: within(db, ask, statement_timeout=it),
    "lock_timeout": lambda db, it: within(db, ask, lock_timeout=it),
}


async def test_what_is_refused(shop: Database) -> None:
    """Where a text is no value, nothing is sent, and an error of `repo` says so."""
    passed = []
    for place, call in REFUSED.items():
        for attack in (*ATTACKS, "\0", "\ud800"):
            with queries(shop) as sent, pytest.raises(RepoError):
                await call(shop, attack)
            passed += [(place, attack, statement) for statement in sent]
    assert passed == []
    assert {user.name for user in await Users(shop).all()} == set(NAMES)


class Base(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData()


class Tag(Base):
    """What has a text for its key."""

    __tablename__ = "tags"
    name: Mapped[str] = mapped_column(primary_key=True)
    note: Mapped[str | None]


class Tags(Repository[Tag]):
    """Tags."""


async def test_what_is_a_value(shop: Database) -> None:
    """A value is stored and found as it is, by every verb, and is in no statement."""
    await shop.create_all(Base.metadata)
    with queries(shop) as sent:
        for attack in ATTACKS:
            await by_key(Tags(shop), attack)
            await by_name(Users(shop), attack)
            assert await shop.scalar(text("SELECT CAST(:it AS TEXT)"), {"it": attack}) == attack
            assert await shop.scalar(select(func.coalesce(type_coerce(attack, Text), "x"))) == attack
    assert [(attack, each) for attack in ATTACKS for each in set(sent) if len(attack) > 4 and attack in each] == []
    assert {user.name for user in await Users(shop).all()} == set(NAMES)


async def by_key(tags: Tags, it: str) -> None:
    """Store, find, change and delete a row by this key."""
    assert await tags.get(it) is None
    assert (await tags.add(Tag(name=it, note=it))).name == it
    found = await gather(tags.get(it), tags.get(it), tags.get("nobody"))
    assert [each and each.note for each in found] == [it, it, None]
    assert [each.name for each in await tags.get_many([it, it])] == [it, it]
    assert (await tags.update(it, note=it * 2)).note == it * 2
    assert await tags.update_many([{"name": it, "note": it}]) == 1
    assert await tags.delete(it)


async def by_name(users: Users, it: str) -> None:
    """Store, find, change and delete rows by this value."""
    name = f"{it}!"
    assert await users.add_many([{"name": name, "nickname": it}]) == 1
    assert (await users.add_many([{"name": f"{it}?", "nickname": it}], returning=True))[0].nickname == it
    assert [user.name for user in await users.all(User.name == name, User.nickname.in_([it]))] == [name]
    assert await users.count(User.nickname.startswith(it, autoescape=True)) >= 2
    assert await users.update_where(User.name == name, values={User.nickname: f"{it}{it}"}) == 1
    assert (await users.upsert(User(name=name, nickname=it), on="name")).nickname == it
    assert (await users.get_or_add(User(name=name), on=User.name)).nickname == it
    assert await users.upsert_many([{"name": name, "nickname": "x"}], on="uq_users_name") == 1
    assert [user.nickname async for user in users.stream(User.name == name)] == ["x"]
    seen: list[str] = []
    cursor: str | None = None
    while not seen or cursor is not None:
        order = [User.name == name, User.name]
        page = await users.page(User.nickname.is_not(None), order_by=order, limit=1, after=cursor)
        seen, cursor = [*seen, *(user.name for user in page.items)], page.next
    assert sorted(seen) == sorted({"Ada", "Alan", name, f"{it}?"})
    assert await users.delete_where(User.name.in_([name, f"{it}?"])) == 2


async def once(tx: Transaction, it: str) -> str:
    """Work that happens once."""
    return it


async def test_what_is_a_name_to_us(shop: Database) -> None:
    """The key of `once=`, its fingerprint and the settings of a transaction are taken as they are."""
    for attack in filter(None, ATTACKS):
        named = Once(attack, fingerprint=attack)
        assert [await shop.transact(once, attack, once=named) for _ in range(2)] == [attack, attack]
        assert named.replayed
        if shop.dialect.remote:
            async with shop.transaction(settings={"app.attack": attack}) as tx:
                assert await tx.scalar(text("SELECT current_setting('app.attack')")) == attack
            with pytest.raises(RepoError):
                await within(shop, ask, settings={attack: "x"})
            async with shop.snapshot(settings={"app.attack": attack}) as snapshot:
                assert await snapshot.scalar(text("SELECT current_setting('app.attack')")) == attack
    assert {user.name for user in await Users(shop).all()} == set(NAMES)


async def test_what_is_part_of_a_url(shop: Database, tmp_path: Path) -> None:
    """A URL's parts name a file or a database, or are refused; a part that is unknown is."""
    url = shop.engine.url
    for attack in filter(None, ATTACKS[:-1]):
        with pytest.raises(ConfigurationError):
            Database(url.set(query={attack: "x"}))
        with pytest.raises(ConfigurationError):
            Database(URL.create(attack, database="x"))
        if shop.dialect.remote:
            for wrong in (url.set(database=attack), url.set(username=attack)):
                async with Database(wrong) as other:
                    with pytest.raises(ConnectFailed):
                        await other.ping()
        else:
            async with Database(url.set(database=str(tmp_path / attack.replace("/", "|")))) as other:
                await other.create_all(Model.metadata)
                assert await Users(other).count() == 0
    assert {user.name for user in await Users(shop).all()} == set(NAMES)


_KEY: MappedColumn[int] = mapped_column('i"d; --', primary_key=True)


class Odd(Base):
    """Its names are what nobody would choose."""

    __tablename__ = "od\"d '; DROP TABLE users; --"
    id: Mapped[int] = _KEY
    name: Mapped[str] = mapped_column("na'me; DROP TABLE users")
    colon: Mapped[int | None] = mapped_column("a:b %d %")
    question: Mapped[int | None] = mapped_column("? $1 [x] `y`")
    parent_id: Mapped[int | None] = mapped_column('par.ent")', ForeignKey(_KEY.column, name='fk"; --'))
    children: Mapped[list["Odd"]] = relationship()
    __table_args__ = (UniqueConstraint("na'me; DROP TABLE users", name='uq"; DROP TABLE users'),)


class Odds(Repository[Odd]):
    """Odd rows."""


async def test_odd_names_of_a_mapping(shop: Database) -> None:
    """Names of tables, columns and constraints may be anything: they are quoted, and errors still know them."""
    await shop.create_all(Base.metadata)
    odds = Odds(shop)
    await odds.add(Odd(id=1, name="a", colon=1, question=1))
    assert await odds.add_many([{"id": 2, "name": "b", "parent_id": 1}, {"id": 3, "name": "c", "colon": 2}]) == 2
    assert (await odds.add_many([{"id": 4, "name": "d", "question": 2}], returning=True))[0].question == 2
    assert (await odds.update(1, colon=5, question=6)).colon == 5
    assert await odds.update_where(Odd.question == 6, values={Odd.question: Odd.colon + 2}) == 1
    assert await odds.update_many([{"id": 3, "colon": 8, "question": 9}]) == 1
    assert (await odds.upsert(Odd(name="a", colon=11), on=Odd.name)).question == 7
    assert await odds.upsert_many([{"name": "a", "colon": 12}], on='uq"; DROP TABLE users') == 1
    assert (await odds.get_or_add(Odd(name="a"), on="name")).colon == 12
    (first, *_), other = await gather(odds.all(load=Odd.children, order_by=Odd.colon), odds.get_many([1, 2]))
    assert [each.name for each in (await odds.load(other[0], Odd.children)).children] == ["b"]
    assert first.colon == 8
    order = [Odd.colon, Odd.name]
    page = await odds.page(order_by=order, limit=1)
    assert page.next is not None
    assert [each.name for each in (await odds.page(order_by=order, after=page.next)).items] == ["a", "b", "d"]
    with pytest.raises(UniqueViolation) as twice:
        await odds.add(Odd(id=5, name="a"))
    named = (twice.value.constraint, twice.value.table, twice.value.columns)
    assert named == ('uq"; DROP TABLE users', Odd.__tablename__, ("na'me; DROP TABLE users",))
    with pytest.raises(ForeignKeyViolation) as refers:
        await odds.add(Odd(id=5, name="e", parent_id=99))
    assert refers.value.constraint == 'fk"; --'
    assert (refers.value.table, refers.value.columns) == (Odd.__tablename__, ('par.ent")',))
    with pytest.raises(ForeignKeyViolation):
        await odds.delete(1)
    assert await odds.delete_where(Odd.question.is_not(None), Odd.id > 1) == 2
    assert {user.name for user in await Users(shop).all()} == set(NAMES)


async def test_a_changed_cursor_asks_nothing(shop: Database) -> None:
    """A cursor of which any byte is another is refused before anything is sent, by pages of entities and of rows."""
    order = [User.age, User.name]
    users, rows = (await Users(shop).page(order_by=order, limit=1)).next, (await shop.page(select(User), limit=1)).next
    assert users is not None
    assert rows is not None
    with queries(shop, at_most=0):
        for changed in changes(users):
            with pytest.raises(InvalidCursor):
                await Users(shop).page(order_by=order, after=changed)
        for changed in changes(rows):
            with pytest.raises(InvalidCursor):
                await shop.page(select(User), before=changed)
    assert (await Users(shop).page(order_by=order, after=users)).items


def changes(cursor: str) -> list[str]:
    """The cursor with each of its bytes changed: in each bit, and in all of them."""
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    flips = [(at, flip) for at in range(len(raw)) for flip in (*(1 << bit for bit in range(8)), 255)]
    changed = (raw[:at] + bytes([raw[at] ^ flip]) + raw[at + 1 :] for at, flip in flips)
    return [base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in changed]


async def test_a_forged_cursor_gives_a_right_page_or_none(shop: Database) -> None:
    """Who knows how cursors are made gets the page at the place that they name, or InvalidCursor and no statement."""
    chance = random.Random(20240101)
    users = Users(shop)
    await users.delete_where(User.id > 0)
    ages = [chance.choice([None, *range(-3, 4)]) for _ in range(30)]
    await users.add_many({"id": key, "name": str(key), "age": age} for key, age in enumerate(ages, 1))
    truth = sorted(((age, key) for key, age in enumerate(ages, 1)), key=ranks)
    cursor = (await users.page(order_by=User.age, limit=1)).next or ""
    order = base64.urlsafe_b64decode(cursor + "==")[10:18]
    right = 0
    for _ in range(500):
        values = tuple(chance.choice(GUESSES)(chance) for _ in range(chance.choice((1, 2, 2, 2, 2, 2, 2, 3))))
        place = Place(values, beyond=chance.random() < 0.5)
        backwards = chance.random() < 0.5
        with queries(shop) as sent:
            try:
                page = await at(users, encode(order, place), backwards=backwards)
            except InvalidCursor:
                assert sent == []
                continue
        right += 1
        assert [(user.age, user.id) for user in page.items] == expected(truth, place, backwards=backwards), place
    assert 100 < right < 500


GUESSES: tuple[Callable[[random.Random], Any], ...] = (
    *(lambda chance: chance.randint(-4, 32),) * 8,
    lambda chance: chance.randint(-(2**63), 2**63 - 1),
    lambda chance: chance.choice([None, "", "x", "'; DROP TABLE users; --", b"1", True]),
    lambda chance: chance.uniform(-4, 32),
)
"""What somebody might write into a cursor."""


async def at(users: Users, cursor: str, *, backwards: bool) -> Page[User]:
    """The page on this side of a place."""
    if backwards:
        return await users.page(order_by=User.age, limit=5, before=cursor)
    return await users.page(order_by=User.age, limit=5, after=cursor)


def ranks(values: tuple[Any, ...]) -> list[tuple[int, Any]]:
    """Values as they are ordered: numbers, texts, bytes where there are such, and at the end NULL."""
    return [(0, value) if isinstance(value, int | float) else (_RANKS[type(value)], value or 0) for value in values]


_RANKS = {str: 1, bytes: 2, type(None): 3}


def expected(truth: list[tuple[Any, ...]], place: Place, *, backwards: bool) -> list[tuple[Any, ...]]:
    """The five rows behind a place, or before it."""
    here = ranks(place.values)
    before = [row for row in truth if ranks(row) < here or (place.beyond and ranks(row) == here)]
    return before[-5:] if backwards else truth[len(before) :][:5]
