"""Models with unique keys of every kind, for the tests of what is stored by such a key."""

import itertools
from typing import Any

from sqlalchemy import ForeignKey, Index, MetaData, String, UniqueConstraint, func
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, relationship

from repo import Repository
from repo.model import NAMING_CONVENTION

_tags = itertools.count(1)


def _of_statement(context: Any) -> str:
    return type(context).__name__


class Keyed(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Contact(Keyed):
    """A unique column that is not called as its attribute is, a version, and values that every change makes anew."""

    __tablename__ = "contacts"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column("mail", unique=True)
    name: Mapped[str | None]
    visits: Mapped[int] = mapped_column(default=0)
    status: Mapped[str | None] = mapped_column(server_default="new")
    changes: Mapped[str] = mapped_column(default="none", onupdate="some")
    tag: Mapped[int] = mapped_column(default=0, onupdate=lambda: next(_tags))
    lower: Mapped[str | None] = mapped_column(onupdate=func.lower("CHANGED"))
    version: Mapped[int] = mapped_column()
    notes: Mapped[list["Remark"]] = relationship()
    __mapper_args__ = {"version_id_col": version}


class Remark(Keyed):
    """What refers to a contact."""

    __tablename__ = "remarks"
    id: Mapped[int] = mapped_column(primary_key=True)
    contact_id: Mapped[int] = mapped_column(ForeignKey(Contact.id))


class Seat(Keyed):
    """Two columns that are unique together, one of them with a default."""

    __tablename__ = "seats"
    id: Mapped[int] = mapped_column(primary_key=True)
    hall: Mapped[str] = mapped_column(default="main")
    number: Mapped[int]
    guest: Mapped[str | None]
    __table_args__ = (UniqueConstraint("hall", "number"),)


class Handle(Keyed):
    """Unique among some rows only, and by an expression."""

    __tablename__ = "handles"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    team: Mapped[str | None]
    kind: Mapped[str] = mapped_column(default="live")
    seen: Mapped[int] = mapped_column(default=0)


LIVE = Handle.kind == "live"
Index("handles_live", Handle.name, unique=True, sqlite_where=LIVE, postgresql_where=LIVE)
Index("handles_lower", func.lower(Handle.name), func.coalesce(Handle.team, "nobody"), Handle.kind, unique=True)


class Elsewhere(DeclarativeBase):
    """For a table that not every database can have; it is never created."""


class Slot(Elsewhere):
    """A constraint that may be checked late, by which no conflict can be resolved."""

    __tablename__ = "slots"
    id: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[int]
    __table_args__ = (UniqueConstraint("place", name="slots_place", deferrable=True, initially="DEFERRED"),)


class Tag(Keyed):
    """Nothing but a key."""

    __tablename__ = "tags"
    name: Mapped[str] = mapped_column(primary_key=True)


class Link(Keyed):
    """Nothing but a key of two columns."""

    __tablename__ = "links"
    left: Mapped[int] = mapped_column(primary_key=True)
    right: Mapped[int] = mapped_column(primary_key=True)


class Full(Keyed):
    """An expression over columns, which RETURNING does not give, and a relationship that is always loaded."""

    __tablename__ = "fulls"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    first: Mapped[str] = mapped_column()
    last: Mapped[str] = mapped_column()
    tag: Mapped[str | None] = mapped_column(ForeignKey(Tag.name))
    label: Mapped[Tag | None] = relationship(lazy="joined")
    whole: Mapped[str] = column_property(first + " " + last)


class Item(Keyed):
    """The base of models in one table."""

    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str] = mapped_column(unique=True)
    price: Mapped[int | None]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "item"}


class Book(Item):
    """Its rows are those of one kind."""

    pages: Mapped[int | None]
    __mapper_args__ = {"polymorphic_identity": "book"}


class Moved(Keyed):
    """A value made for each change by a function that wants the statement, which an upsert does not have."""

    __tablename__ = "moved"
    name: Mapped[str] = mapped_column(String, primary_key=True)
    place: Mapped[str | None]
    by: Mapped[str | None] = mapped_column(onupdate=_of_statement)


class Contacts(Repository[Contact]):
    """Contacts."""


class Seats(Repository[Seat]):
    """Seats."""


class Handles(Repository[Handle]):
    """Handles."""


class Slots(Repository[Slot]):
    """Slots."""


class Tags(Repository[Tag]):
    """Tags."""


class Links(Repository[Link]):
    """Links."""


class Fulls(Repository[Full]):
    """Fulls."""


class Items(Repository[Item]):
    """Items of any kind."""


class Books(Repository[Book]):
    """Books."""


class Moveds(Repository[Moved]):
    """What was moved."""
