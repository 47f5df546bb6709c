"""What is stored by a unique key: never raced, and as the database has it afterwards."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncSession

from repo import Database, Repository, Scope, UniqueViolation, UsageError
from repo.engine.sources import CHUNK
from repo.errors import InvalidValue, NotNullViolation, ReadOnlyScope
from repo.testing import queries
from tests.keyed import (
    Book,
    Books,
    Contact,
    Contacts,
    Full,
    Fulls,
    Handle,
    Handles,
    Item,
    Items,
    Keyed,
    Link,
    Links,
    Moved,
    Moveds,
    Remark,
    Seat,
    Seats,
    Slot,
    Slots,
    Tag,
    Tags,
)
from tests.models import WRITING_SCOPES, Dog, Dogs, opened

AnyScope = Scope | AsyncSession


@pytest.fixture
async def keyed(db: Database) -> Database:
    """The tables, and one contact."""
    await db.create_all(Keyed.metadata)
    await Contacts(db).add(Contact(email="ada", name="Ada", visits=5))
    return db


@pytest.fixture(params=WRITING_SCOPES)
async def scope(request: pytest.FixtureRequest, keyed: Database) -> AsyncIterator[AnyScope]:
    """Each kind of scope that writes."""
    async with opened(keyed, request.param) as scope:
        yield scope


async def test_upsert_stores_what_is_not_there(scope: AnyScope) -> None:
    """A new row gets its defaults; its entity comes back complete, and the one that was given stays as it was."""
    given = Contact(email="grace")
    stored = await Contacts(scope).upsert(given, on=Contact.email)
    assert (stored.email, stored.visits, stored.status, stored.version) == ("grace", 0, "new", 1)
    assert (stored.name, stored.lower, stored.changes, stored.tag) == (None, None, "none", 0)
    assert stored.id != 1
    assert inspect(given).transient
    assert given.id is None


async def test_upsert_changes_what_was_given(scope: AnyScope) -> None:
    """Of a row that is there the columns that were given change, and those that every change makes anew."""
    stored = await Contacts(scope).upsert(Contact(email="ada", name="Ada L.", status=None), on=Contact.email)
    assert (stored.id, stored.name, stored.visits) == (1, "Ada L.", 5)
    assert stored.status == "new"  # None is what `add` takes it for: the default
    assert (stored.changes, stored.tag > 0, stored.lower, stored.version) == ("some", True, "changed", 2)
    again = await Contacts(scope).get_one(1)
    assert (again.name, again.version, again.tag) == ("Ada L.", 2, stored.tag)
    assert await Contacts(scope).count() == 1


async def test_update_chooses_the_columns_that_change(scope: AnyScope) -> None:
    """`update=` names what changes of a row that is there; a new row gets all that was given."""
    for update in ("visits", ["visits"], (Contact.visits,)):
        stored = await Contacts(scope).upsert(Contact(email="ada", name="x", visits=9), on="email", update=update)
        assert (stored.name, stored.visits) == ("Ada", 9)
    new = await Contacts(scope).upsert(Contact(email="new", name="x", visits=9), on="email", update=["visits"])
    assert (new.name, new.visits) == ("x", 9)


@pytest.mark.parametrize(
    "on", ["uq_contacts_mail", "email", Contact.email, ("email",), [Contact.email], Contact.__table__.c.mail]
)
async def test_a_unique_key_by_its_name_or_columns(keyed: Database, on: Any) -> None:
    """`on=` is the name of a unique constraint, an attribute or its name, a column, or several of these."""
    assert (await Contacts(keyed).upsert(Contact(email="ada", name="x"), on=on)).id == 1
    assert (await Contacts(keyed).get_or_add(Contact(email="ada"), on=on)).id == 1


async def test_keys_of_several_columns(scope: AnyScope) -> None:
    """Columns that are unique together are named in any order; one with a default need not be given."""
    seats = Seats(scope)
    first = await seats.upsert(Seat(hall="main", number=7, guest="Ada"), on=("hall", "number"))
    for on in (("number", "hall"), (Seat.number, "hall"), "uq_seats_hall_number"):
        assert (await seats.upsert(Seat(number=7, guest="Grace"), on=on)).id == first.id
        assert (await seats.get_or_add(Seat(number=7, guest="Alan"), on=on)).guest == "Grace"
    assert await seats.count() == 1


async def test_the_primary_key_is_a_unique_key(scope: AnyScope) -> None:
    """A row is found by its primary key as by any other; where nothing can change, it stays as it is."""
    contact = await Contacts(scope).upsert(Contact(id=1, email="lovelace", visits=6), on="id")
    assert (contact.email, contact.visits, contact.name) == ("lovelace", 6, "Ada")
    for _ in range(2):
        assert (await Tags(scope).upsert(Tag(name="red"), on="pk_tags")).name == "red"
        link = await Links(scope).upsert(Link(left=1, right=2), on=("left", "right"))
        assert (link.left, link.right) == (1, 2)
        assert await Links(scope).upsert_many([{"left": 1, "right": 2}] * 2, on=("left", "right")) == 2
    assert (await Tags(scope).count(), await Links(scope).count()) == (1, 1)


async def test_nothing_to_change_counts_no_version(scope: AnyScope) -> None:
    """An upsert that gives no more than the key leaves a row as it is, its version too."""
    contact = await Contacts(scope).upsert(Contact(email="ada"), on="email")
    assert (contact.name, contact.version, contact.changes) == ("Ada", 1, "none")


async def test_a_unique_index_over_some_rows(scope: AnyScope) -> None:
    """A partial index is named, because other rows may have the same values; they are left alone."""
    handles = Handles(scope)
    old = await handles.add(Handle(name="ada", team="x", kind="gone"))
    new = await handles.upsert(Handle(name="ada", seen=1), on="handles_live")
    same = await handles.upsert(Handle(name="ada", seen=2), on="handles_live")
    assert old.id != new.id == same.id
    assert (same.seen, (await handles.get_one(old.id)).seen) == (2, 0)
    assert (await handles.get_or_add(Handle(name="ada"), on="handles_live")).id == new.id
    rows = [{"name": "ada", "seen": 3}, {"name": "grace", "seen": 4}, {"name": "ada", "seen": 5}]
    assert await handles.upsert_many(rows, on="handles_live") == 3
    live = await handles.all(Handle.kind == "live", order_by=Handle.name)
    assert [(handle.name, handle.seen) for handle in live] == [("ada", 5), ("grace", 4)]


async def test_a_unique_index_by_an_expression(scope: AnyScope) -> None:
    """An index over expressions is named; what it finds is up to the expressions."""
    handles = Handles(scope)
    first = await handles.upsert(Handle(name="Ada", kind="gone"), on="handles_lower")
    same = await handles.upsert(Handle(name="ADA", kind="gone", seen=2), on="handles_lower", update="seen")
    assert (same.id, same.name, same.seen) == (first.id, "Ada", 2)
    assert (await handles.get_or_add(Handle(name="aDA", kind="gone", team="nobody"), on="handles_lower")).id == first.id
    other = await handles.get_or_add(Handle(name="ada", kind="gone", team="x"), on="handles_lower")
    assert other.id != first.id
    rows = [{"name": name, "kind": "gone", "seen": seen} for name, seen in (("aDA", 5), ("Grace", 6), ("GRACE", 7))]
    assert await handles.upsert_many(rows, on="handles_lower", update=Handle.seen) == 3
    read = await handles.all(Handle.team.is_(None), order_by=Handle.id)
    assert [(handle.name, handle.seen) for handle in read] == [("Ada", 5), ("Grace", 7)]


@pytest.mark.parametrize(
    ("repository", "entity", "options", "message"),
    [
        (Contacts, Contact(email="x"), {"on": "name"}, r"^Contact has no unique constraint on name, so .*; it has pk_"),
        (Contacts, Contact(email="x"), {"on": ("email", "name")}, r"^Contact has no unique constraint on email, name"),
        (Contacts, Contact(email="x"), {"on": "mial"}, r"^Contact has no .*'mial'; did you mean 'email'\?$"),
        (Contacts, Contact(email="x"), {"on": 5}, r"^on= of Contact takes .*, not int$"),
        (Contacts, Contact(email="x"), {"on": ()}, r"^on= of Contact takes .*, not nothing$"),
        (Contacts, Contact(email="x"), {"on": Contact.notes}, r"^Contact\.notes is no column"),
        (Contacts, Contact(email="x"), {"on": Seat.number}, r"^on= of Contact takes .*, not Seat\.number$"),
        (Contacts, Contact(), {"on": "email"}, r"^Contact\.email has no value, .* add\(\) stores a row without one$"),
        (Contacts, Contact(email="x"), {"on": "id"}, r"^Contact\.id has no value"),
        (Contacts, Contact(email="x", notes=[Remark()]), {"on": "email"}, r"^Contact\.notes is set, and only columns"),
        (Contacts, Seat(), {"on": "email"}, r"^Contacts takes Contact, not Seat$"),
        (Handles, Handle(name="x"), {"on": "name"}, r"unique among some rows only: .* on='handles_live'"),
        (Slots, Slot(place=1), {"on": "place"}, r"^slots_place may be checked late \(deferrable\)"),
        (Dogs, Dog(name="x"), {"on": "id"}, r"^a row of Dog is in several tables"),
    ],
)
async def test_what_cannot_be_a_conflict_is_refused(
    keyed: Database, repository: type[Repository[Any]], entity: Any, options: dict[str, Any], message: str
) -> None:
    """What is no unique key of the model, or has no value, is refused before anything is sent."""
    verbs = repository(keyed)
    with queries(keyed) as sent:
        for call in (verbs.upsert(entity, **options), verbs.get_or_add(entity, **options)):
            with pytest.raises(UsageError, match=message):
                await call
    assert sent == []


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ("nmae", r"^Contact has no attribute 'nmae'; did you mean 'name'\?$"),
        ((), r"^update= of Contact is empty.* get_or_add\(\) leaves a row that is there"),
        ("id", r"^update= of Contact must leave the primary key alone; it names id$"),
        (Contact.notes, r"^Contact\.notes is no column"),
        (5, r"^update= of Contact takes .*, not int$"),
    ],
)
async def test_what_cannot_change_is_refused(keyed: Database, update: Any, message: str) -> None:
    """`update=` names columns of the model, at least one and not its key."""
    with queries(keyed) as sent:
        for call in (
            Contacts(keyed).upsert(Contact(email="x"), on="email", update=update),
            Contacts(keyed).upsert_many([{"email": "x"}], on="email", update=update),
        ):
            with pytest.raises(UsageError, match=message):
                await call
    assert sent == []


async def test_a_stored_entity_is_refused(keyed: Database) -> None:
    """What was read is changed by `update`, which writes what was changed on it."""
    ada = await Contacts(keyed).get_one(1)
    for call in (Contacts(keyed).upsert(ada, on="email"), Contacts(keyed).get_or_add(ada, on="email")):
        with pytest.raises(UsageError, match=r"^this Contact is stored already; update\(\) is for that$"):
            await call


async def test_a_change_that_needs_its_statement_is_refused(keyed: Database) -> None:
    """A function that makes a value for each change from the statement's context cannot run in an upsert."""
    with pytest.raises(UsageError, match=r"^Moved\.by .*\(onupdate=\).* update_many\(\)$"):
        await Moveds(keyed).upsert(Moved(name="x", place="y"), on="name")
    assert (await Moveds(keyed).upsert(Moved(name="x", place="y", by="me"), on="name")).by == "me"
    assert (await Moveds(keyed).get_or_add(Moved(name="x"), on="name")).place == "y"


async def test_a_snapshot_stores_nothing(keyed: Database) -> None:
    """In a snapshot they are refused, also where a row is there."""
    async with keyed.snapshot() as snapshot:
        contacts = Contacts(snapshot)
        for call in (
            contacts.upsert(Contact(email="ada"), on="email"),
            contacts.upsert_many([{"email": "ada"}], on="email"),
            contacts.get_or_add(Contact(email="ada"), on="email"),
        ):
            with pytest.raises(ReadOnlyScope):
                await call


async def test_one_statement(keyed: Database) -> None:
    """An upsert is one statement; `get_or_add` is one where the row is there, and two where it is not."""
    sent: list[str]
    with queries(keyed) as sent:
        await Contacts(keyed).upsert(Contact(email="ada", name="x"), on="email")
        assert len(sent) == 1
        await Contacts(keyed).upsert(Contact(email="new", name="x"), on="email")
        assert len(sent) == 2
        await Contacts(keyed).upsert_many([{"email": "a"}, {"email": "b"}], on="email")
        assert len(sent) == 3
        await Contacts(keyed).get_or_add(Contact(email="ada"), on="email")
        assert len(sent) == 4
        await Contacts(keyed).get_or_add(Contact(email="newer"), on="email")
        assert len(sent) == 6


async def test_what_is_pending_goes_first(keyed: Database) -> None:
    """Inside a transaction, what is only changed so far is written first, and an entity that is known is read anew."""
    async with keyed.transaction() as tx:
        ada = await Contacts(tx).get_one(1)
        ada.visits = 50
        tx.session.add(Contact(email="pending"))
        assert await Contacts(tx).upsert(Contact(email="ada", name="new"), on="email") is ada
        assert (ada.name, ada.visits, ada.version, ada.changes) == ("new", 50, 3, "some")
        assert (await Contacts(tx).upsert(Contact(email="pending", name="x"), on="email")).version == 2
        assert await Contacts(tx).get_or_add(Contact(email="ada"), on="email") is ada
        assert await Contacts(tx).upsert_many([{"email": "ada", "name": "newer"}], on="email") == 1
        assert (ada.name, ada.version) == ("newer", 4)
        ada.name = "newest"
        await Contacts(tx).update(ada)
    assert (await Contacts(keyed).get_one(1)).name == "newest"


async def test_what_returning_does_not_give_is_read(scope: AnyScope) -> None:
    """Expressions over columns, and relationships that are always loaded, are on the entity that comes back."""
    await Tags(scope).add(Tag(name="red"))
    fulls = Fulls(scope)
    for _ in range(2):
        full = await fulls.upsert(Full(code="a", first="Ada", last="Byron", tag="red"), on="code")
        assert (full.whole, full.label and full.label.name) == ("Ada Byron", "red")
    full = await fulls.upsert(Full(code="a", first="Ada", last="Lovelace"), on="code")
    assert (full.whole, full.tag) == ("Ada Lovelace", "red")
    for code in ("a", "b"):
        assert (
            await fulls.get_or_add(Full(code=code, first="Ada", last="Lovelace"), on="code")
        ).whole == "Ada Lovelace"


async def test_models_that_share_a_table(scope: AnyScope) -> None:
    """A row of another kind is neither changed nor given: it is a UniqueViolation, as for `add`."""
    items, books = Items(scope), Books(scope)
    book = await books.upsert(Book(name="a", pages=1), on="name")
    assert (await items.upsert(Item(name="a", price=5), on="name")).id == book.id
    found = await books.upsert(Book(name="a", pages=2), on="name")
    assert (found.pages, found.kind, found.price) == (2, "book", 5)
    await items.add(Item(name="b"))


async def test_a_row_of_another_kind(keyed: Database) -> None:
    """A conflict with a row that is no row of the model is a UniqueViolation, and changes nothing."""
    await Items(keyed).add(Item(name="b", price=1))
    for call in (
        Books(keyed).upsert(Book(name="b", price=2), on="name"),
        Items(keyed).upsert(Book(name="b", price=2), on="name"),
        Books(keyed).upsert_many([{"name": "c"}, {"name": "b", "price": 2}], on="name"),
        Books(keyed).get_or_add(Book(name="b"), on="name"),
    ):
        with pytest.raises(UniqueViolation, match=r"^items has a row with the same name that ") as caught:
            await call
        assert (caught.value.constraint, caught.value.table, caught.value.columns) == (
            "uq_items_name",
            "items",
            ("name",),
        )
    assert [(item.name, item.price) for item in await Items(keyed).all()] == [("b", 1)]


async def test_get_or_add_leaves_what_is_there(scope: AnyScope) -> None:
    """A row that is there comes back unchanged; else the given one is stored, with its defaults."""
    contacts = Contacts(scope)
    ada = await contacts.get_or_add(Contact(email="ada", name="x"), on="email")
    assert (ada.id, ada.name, ada.version, ada.changes) == (1, "Ada", 1, "none")
    given = Contact(email="new", name="x")
    new = await contacts.get_or_add(given, on="email")
    assert (new.name, new.visits, new.status, new.version) == ("x", 0, "new", 1)
    assert inspect(given).transient
    assert (await contacts.get_one(new.id)).email == "new"


async def test_many_are_stored_one_after_another(scope: AnyScope) -> None:
    """Rows may differ in their columns, and may meet each other: each finds what the ones before it have left."""
    contacts = Contacts(scope)
    rows: list[Contact | dict[str, Any]] = [
        {"email": "ada", "name": "first"},
        Contact(email="new", name="second", visits=2),
        {"email": "ada", "visits": 6},
        {"email": "new", "name": "third"},
        {"visits": 3, "email": "new"},
    ]
    assert await contacts.upsert_many(rows, on="email") == 5
    ada, new = await contacts.all(order_by=Contact.email)
    assert (ada.name, ada.visits, ada.version, ada.changes) == ("first", 6, 3, "some")
    assert (new.name, new.visits, new.status, new.version) == ("third", 3, "new", 3)
    assert await contacts.upsert_many([], on="email") == 0


async def test_many_from_any_source(keyed: Database) -> None:
    """A source may be a generator, also an asynchronous one; `progress` hears the running total."""

    async def rows() -> AsyncIterator[dict[str, Any]]:
        for n in range(CHUNK + 1):
            yield {"number": n, "guest": "Ada"}

    heard: list[int] = []
    seats = Seats(keyed)
    assert await seats.upsert_many(rows(), on=("hall", "number"), progress=heard.append) == CHUNK + 1
    assert heard == [CHUNK, CHUNK + 1]
    again = ({"number": n, "guest": "Grace"} for n in range(CHUNK + 2))
    assert await seats.upsert_many(again, on=("hall", "number"), update=Seat.guest) == CHUNK + 2
    assert await seats.count(Seat.guest == "Grace", Seat.hall == "main") == CHUNK + 2


async def test_many_are_all_stored_or_none(keyed: Database) -> None:
    """An error of the source, or a row that is refused, undoes all of it."""

    def broken() -> Iterator[dict[str, Any]]:
        yield from ({"email": f"{n}"} for n in range(CHUNK + 1))
        raise LookupError("broken")

    contacts = Contacts(keyed)
    with pytest.raises(LookupError):
        await contacts.upsert_many(broken(), on="email")
    with pytest.raises(NotNullViolation):
        await Seats(keyed).upsert_many([{"number": 1, "id": 1}, {"number": 2, "id": 1}, {"id": 2}], on="id")
    assert (await contacts.count(), await Seats(keyed).count()) == (1, 0)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"email": "x"}, 5], r"^item 2 of upsert_many: Contact or a mapping is wanted, not int$"),
        ([{"email": "x"}, {"name": "x"}], r"^item 2 of upsert_many: Contact\.email has no value"),
        ([{"email": "x"}, {"email": None}], r"^item 2 of upsert_many: Contact\.email has no value"),
        ([{"email": "x", "nmae": "x"}], r"^item 1 of upsert_many: Contact has no attribute 'nmae'"),
        ({"email": "x"}, r"^upsert_many of Contact takes a list, .* not dict; upsert\(\) takes a single entity$"),
    ],
)
async def test_what_is_no_row_is_refused(keyed: Database, items: Any, message: str) -> None:
    """An item that is no row of the model is refused with its number, and nothing is stored."""
    with pytest.raises(UsageError, match=message):
        await Contacts(keyed).upsert_many(items, on="email")
    assert await Contacts(keyed).count() == 1


async def test_a_value_of_the_wrong_kind(keyed: Database) -> None:
    """A value that its column cannot take is InvalidValue, as for `add`."""
    for call in (
        Contacts(keyed).upsert(Contact(email="ada", visits=2**70), on="email"),
        Contacts(keyed).upsert_many([{"email": "ada", "visits": 2**70}], on="email"),
        Contacts(keyed).get_or_add(Contact(email="b", visits=2**70), on="email"),
    ):
        with pytest.raises(InvalidValue):
            await call
