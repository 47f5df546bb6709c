"""Models written in every style: dataclasses, imperative mappings, classes with a constructor of their own."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, func, inspect
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    column_property,
    deferred,
    mapped_column,
    reconstructor,
    registry,
    relationship,
)

from tests.zoo.specimen import SEVERAL_TABLES, Specimen, Zoo

plain = registry(metadata=MetaData())


class DataZoo(MappedAsDataclass, DeclarativeBase, kw_only=True):
    """A base of dataclasses, which are compared by value and have no hash."""


class DataBox(DataZoo):
    """A dataclass with defaults, a key that is not in its constructor, and a collection."""

    __tablename__ = "data_boxes"
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    name: Mapped[str]
    size: Mapped[int] = mapped_column(default=3)
    made: Mapped[str] = mapped_column(init=False, server_default="made")
    label: Mapped[str | None] = mapped_column(init=False, insert_default=func.upper("label"))
    note: Mapped[str | None] = mapped_column(default=None, deferred=True)
    things: Mapped[list["DataThing"]] = relationship(default_factory=list, order_by="DataThing.id")


class DataThing(DataZoo):
    """What is in a box."""

    __tablename__ = "data_things"
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    name: Mapped[str] = mapped_column(default="thing")
    box_id: Mapped[int | None] = mapped_column(ForeignKey("data_boxes.id", ondelete="CASCADE"), default=None)


@plain.mapped
@dataclass
class Decorated:
    """A dataclass first, mapped later."""

    __table__ = Table(
        "decorated",
        plain.metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String(50), nullable=False),
        Column("size", Integer),
    )
    name: str
    size: int | None = None
    id: int | None = field(init=False, default=None)


class Imperative:
    """A plain class whose columns are named elsewhere."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.made_by_init = True


_imperative = Table(
    "imperative",
    plain.metadata,
    Column("imp_id", Integer, primary_key=True),
    Column("imp_name", String(50), nullable=False),
    Column("imp_text", String(50), nullable=False, server_default="text"),
)
plain.map_imperatively(
    Imperative,
    _imperative,
    column_prefix="_",
    properties={
        "id": _imperative.c.imp_id,
        "name": _imperative.c.imp_name,
        "text": deferred(_imperative.c.imp_text),
        "length": column_property(func.length(_imperative.c.imp_name)),
    },
)


class Constructed(Zoo):
    """A constructor with arguments of its own, which must not be called for a stored row."""

    __tablename__ = "constructed"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]

    def __init__(self, first: str, last: str) -> None:
        super().__init__(name=f"{first} {last}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constructed) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __bool__(self) -> bool:
        return False


class Reconstructed(Zoo):
    """Does something whenever a row becomes an object."""

    __tablename__ = "reconstructed"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]

    @reconstructor
    def _note(self) -> None:
        self.seen = f"seen {self.name}"


_left = Table("left_halves", Zoo.metadata, Column("id", Integer, primary_key=True), Column("name", String(50)))
_right = Table(
    "right_halves",
    Zoo.metadata,
    Column("left_id", ForeignKey("left_halves.id", ondelete="CASCADE"), primary_key=True),
    Column("size", Integer),
)


class Halves(Zoo):
    """A class over two tables that belong together."""

    __table__ = _left.join(_right)
    id: Mapped[int] = column_property(_left.c.id, _right.c.left_id)
    name: Mapped[str | None]
    size: Mapped[int | None]


def _named(n: int) -> dict[str, Any]:
    return {"name": f"name {n}"}


NEW = {"name": "new"}

STYLES = [
    Specimen(
        model=DataBox,
        row=_named,
        make=lambda n: DataBox(name="same name", size=n, things=[DataThing(), DataThing()]),
        change=NEW,
        load=[DataBox.things, DataBox.note],
    ),
    Specimen(model=Decorated, row=_named, make=lambda n: Decorated("same name", n), change={"name": "new", "size": 5}),
    Specimen(
        model=Imperative,
        row=_named,
        make=lambda n: Imperative(f"name {n}"),
        change=NEW,
        moves=frozenset({"length"}),
        load=[inspect(Imperative).attrs["text"].class_attribute],
    ),
    Specimen(model=Constructed, row=_named, make=lambda n: Constructed("name", str(n)), change=NEW),
    Specimen(model=Reconstructed, row=_named, change=NEW),
    Specimen(
        model=Halves,
        refused=SEVERAL_TABLES,
        row=lambda n: {"name": f"name {n}", "size": n},
        change={"name": "new", "size": 100},
    ),
]
