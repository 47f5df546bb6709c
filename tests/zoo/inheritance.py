"""Classes that share tables, columns or code."""

import enum
from typing import Any

from sqlalchemy import ForeignKey, String, case, func
from sqlalchemy.orm import (
    Mapped,
    column_property,
    declared_attr,
    mapped_column,
    relationship,
)

from tests.zoo.specimen import SEVERAL_TABLES, Specimen, Zoo


class Person(Zoo):
    """Columns in tables of their own, to three levels, one with relationships of its own."""

    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    boss_id: Mapped[int | None] = mapped_column(ForeignKey("managers.id", use_alter=True))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}


class Engineer(Person):
    """Two tables."""

    __tablename__ = "engineers"
    id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), primary_key=True)
    language: Mapped[str | None]
    hours: Mapped[int] = mapped_column(server_default="40")
    __mapper_args__ = {"polymorphic_identity": "engineer"}


class Manager(Person):
    """Two tables, whose key has another name in the second."""

    __tablename__ = "managers"
    manager_id: Mapped[int] = mapped_column("id", ForeignKey("people.id", ondelete="CASCADE"), primary_key=True)
    level: Mapped[int]
    reports: Mapped[list[Person]] = relationship(foreign_keys=Person.boss_id, order_by=Person.id)
    __mapper_args__ = {"polymorphic_identity": "manager", "inherit_condition": manager_id == Person.id}


class Director(Manager):
    """Three tables."""

    __tablename__ = "directors"
    director_id: Mapped[int] = mapped_column(ForeignKey("managers.id", ondelete="CASCADE"), primary_key=True)
    shares: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "director"}


class Part(enum.Enum):
    """What kind of part it is."""

    PLAIN = 1
    WHEEL = 2
    ROUND = 3


class Piece(Zoo):
    """All in one table; the kind is an enumeration, and a version counts."""

    __tablename__ = "pieces"
    id: Mapped[int] = mapped_column(primary_key=True)
    part: Mapped[Part] = mapped_column()
    name: Mapped[str]
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"polymorphic_on": part, "polymorphic_identity": Part.PLAIN, "version_id_col": version}


class Wheel(Piece):
    """A column of its own in the table of all."""

    spokes: Mapped[int | None]
    __mapper_args__ = {"polymorphic_identity": Part.WHEEL}


class RoundWheel(Wheel):
    """A third level; its column comes with every query of the base."""

    radius: Mapped[int | None] = mapped_column(use_existing_column=True)
    __mapper_args__ = {"polymorphic_identity": Part.ROUND, "polymorphic_load": "inline"}


class Document(Zoo):
    """Brings the tables of its subclasses along by itself."""

    __tablename__ = "zoo_documents"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[int]
    name: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": 0, "with_polymorphic": "*"}


class Letter(Document):
    """Its address is in a table of its own."""

    __tablename__ = "letters"
    id: Mapped[int] = mapped_column(ForeignKey("zoo_documents.id"), primary_key=True)
    address: Mapped[str | None]
    __mapper_args__ = {"polymorphic_identity": 1}


class Account(Zoo):
    """What an account is follows from a column's value; nothing is only an account."""

    __tablename__ = "zoo_accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int] = mapped_column()
    name: Mapped[str]
    __mapper_args__ = {
        "polymorphic_on": case((balance < 0, "debt"), else_="wealth"),
        "polymorphic_abstract": True,
    }


class Debt(Account):
    """Less than nothing."""

    __mapper_args__ = {"polymorphic_identity": "debt"}


class Wealth(Account):
    """More than nothing."""

    limit: Mapped[int | None]
    __mapper_args__ = {"polymorphic_identity": "wealth"}


class HasName:
    """Columns for any model, in their order."""

    name: Mapped[str] = mapped_column(String(50), sort_order=-1)

    @declared_attr
    def length(cls) -> Mapped[int]:
        """An expression over a column of the class that it is mixed into."""
        return column_property(func.length(cls.name))


class Stamped(Zoo):
    """A base without a table."""

    __abstract__ = True
    changes: Mapped[int] = mapped_column(default=0, onupdate=1)

    @declared_attr.directive
    def __tablename__(cls) -> str:
        return f"mixed_{cls.__name__.lower()}"

    @declared_attr
    def owner_id(cls) -> Mapped[int | None]:
        """A foreign key of each class."""
        return mapped_column(ForeignKey("people.id"))

    @declared_attr
    def owner(cls) -> Mapped[Person | None]:
        """A relationship of each class."""
        return relationship(Person, foreign_keys=f"{cls.__name__}.owner_id")


class Mixed(HasName, Stamped):
    """Columns and relationships from mixins."""

    id: Mapped[int] = mapped_column(primary_key=True)


def _person(n: int) -> Any:
    base = {"name": f"name {n}"}
    kinds = (
        lambda: Person(**base),
        lambda: Engineer(**base, language="python" if n % 2 else None),
        lambda: Manager(**base, level=n),
        lambda: Director(**base, level=n, shares=n),
    )
    return kinds[n % 4]()


def _piece(n: int) -> Any:
    base = {"name": f"name {n}"}
    return (Piece(**base), Wheel(**base, spokes=n), RoundWheel(**base, spokes=n, radius=n))[n % 3]


NEW = {"name": "new"}
ABSTRACT = r"^item 1 of add_many: Account is abstract.* give entities of its subclasses$"

INHERITANCE = [
    Specimen(model=Person, refused=SEVERAL_TABLES, row=lambda n: {"name": f"name {n}"}, make=_person, change=NEW),
    Specimen(
        model=Engineer,
        refused=SEVERAL_TABLES,
        row=lambda n: {"name": f"name {n}", "language": "c"},
        change={"name": "new", "language": "d", "hours": 1},
    ),
    Specimen(
        model=Manager,
        refused=SEVERAL_TABLES,
        row=lambda n: {"name": f"name {n}", "level": n},
        make=lambda n: _person(2 + n % 2),
        change={"name": "new", "level": 99},
        load=[Manager.reports],
    ),
    Specimen(
        model=Director,
        refused=SEVERAL_TABLES,
        row=lambda n: {"name": f"name {n}", "level": n, "shares": n},
        change={"level": 99, "shares": 1000},
        load=[Director.reports],
    ),
    Specimen(model=Piece, row=lambda n: {"name": f"n {n}"}, make=_piece, change=NEW, moves=frozenset({"version"})),
    Specimen(
        model=Wheel,
        row=lambda n: {"name": f"n {n}", "spokes": n},
        make=lambda n: _piece(1 + n % 2),
        change={"name": "new", "spokes": 100},
        moves=frozenset({"version"}),
    ),
    Specimen(
        model=Document,
        refused=SEVERAL_TABLES,
        row=lambda n: {"name": f"name {n}"},
        make=lambda n: Letter(name=f"name {n}", address="a") if n % 2 else Document(name=f"name {n}"),
        change=NEW,
    ),
    Specimen(
        model=Account,
        row=lambda n: {"balance": n, "name": f"name {n}"},
        make=lambda n: Wealth(balance=n, name="w", limit=n) if n % 2 else Debt(balance=-n - 1, name="d"),
        change=NEW,
        refused={"add_many, mappings": ABSTRACT, "add_many, returning, mappings": ABSTRACT},
    ),
    Specimen(
        model=Mixed,
        row=lambda n: {"name": f"name {n}", "owner_id": 1},
        change=NEW,
        moves=frozenset({"changes", "length"}),
        before=lambda: [Person(id=1, name="owner")],
        load=[Mixed.owner],
    ),
]
