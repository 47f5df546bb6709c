"""What SQLAlchemy can map beyond plain columns comes back whole from every verb."""

import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import JSON, ForeignKey, String, literal_column, true
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    column_property,
    composite,
    mapped_column,
    relationship,
    selectinload,
)

from repo import Database, Repository, StaleData, UsageError
from repo.testing import queries


class Mapping(DeclarativeBase):
    """The base of the models here."""


class Owner(Mapping):
    """Brings its cars along by a JOIN."""

    __tablename__ = "owners"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    cars: Mapped[list["Car"]] = relationship(
        lazy="joined", back_populates="owner", cascade="save-update, delete, delete-orphan"
    )


class Car(Mapping):
    """Brings its owner along by a JOIN."""

    __tablename__ = "cars"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owners.id"))
    name: Mapped[str]
    owner: Mapped[Owner | None] = relationship(lazy="joined", back_populates="cars")


@dataclass
class Point:
    """Two columns as one value."""

    x: int
    y: int


class Shape(Mapping):
    """A composite, an expression, a hybrid with a setter, and a value that notices its changes."""

    __tablename__ = "shapes"
    id: Mapped[int] = mapped_column(primary_key=True)
    x: Mapped[int]
    y: Mapped[int]
    point: Mapped[Point] = composite("x", "y")
    data: Mapped[dict[str, Any] | None] = mapped_column(MutableDict.as_mutable(JSON))
    total: Mapped[int] = column_property(literal_column("x") + literal_column("y"))
    _label: Mapped[str | None] = mapped_column("label")

    @hybrid_property
    def label(self) -> str | None:
        """What is written on it."""
        return self._label

    @label.inplace.setter
    def _set_label(self, value: str | None) -> None:
        self._label = value and value.upper()


class Signed(Mapping):
    """A version that is no number."""

    __tablename__ = "signed"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[str] = mapped_column(String)
    __mapper_args__ = {"version_id_col": version, "version_id_generator": lambda _: uuid.uuid4().hex}


class Node(Mapping):
    """Refers to its own table."""

    __tablename__ = "nodes"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("nodes.id"))
    tag: Mapped[str] = mapped_column(server_default="none")
    children: Mapped[list["Node"]] = relationship()


class DataMapping(MappedAsDataclass, DeclarativeBase):
    """A base that makes dataclasses, which are compared by value and have no hash."""


class Parcel(DataMapping):
    """A dataclass."""

    __tablename__ = "parcels"
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    name: Mapped[str]
    parts: Mapped[list["Part"]] = relationship(default_factory=list, lazy="selectin")


class Part(DataMapping):
    """Another one."""

    __tablename__ = "parts"
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    parcel_id: Mapped[int | None] = mapped_column(ForeignKey("parcels.id"), default=None)
    name: Mapped[str] = mapped_column(default="part")


class Owners(Repository[Owner]):
    """Owners."""


class Cars(Repository[Car]):
    """Cars."""


class Shapes(Repository[Shape]):
    """Shapes."""


class Signatures(Repository[Signed]):
    """Signed rows."""


class Nodes(Repository[Node]):
    """Nodes."""


class Parcels(Repository[Parcel]):
    """Parcels."""


@pytest.fixture
async def made(db: Database) -> Database:
    """A database with all these tables."""
    await db.create_all(Mapping.metadata)
    await db.create_all(DataMapping.metadata)
    return db


async def test_joined_relationships_come_with_each_entity(made: Database) -> None:
    """A model that loads relationships by a JOIN has them after every verb that gives a stored entity."""
    owners = Owners(made)
    ada = await owners.add(Owner(name="Ada", cars=[Car(name="a"), Car(name="b")]))
    found = [
        await owners.get(ada.id),
        await owners.one(),
        await owners.first(),
        *await owners.get_many([ada.id]),
        *await owners.all(limit=1),
        await owners.update(ada.id, name="Lovelace"),
        *await owners.update_where(true(), values={"name": "Lovelace"}, returning=True),
    ]
    assert len(found) == 7
    assert all(each is not None and [car.name for car in each.cars] == ["a", "b"] for each in found)
    car = await Cars(made).update(ada.cars[0].id, name="c")
    assert car.owner is not None
    assert car.owner.name == "Lovelace"
    await Cars(made).delete_where(Car.name == "b")
    gone = await Cars(made).delete_where(true(), returning=True)
    assert [(each.name, each.owner and each.owner.name) for each in gone] == [("c", "Lovelace")]


async def test_joined_collections_cannot_be_streamed(made: Database) -> None:
    """A stream cannot know when a joined collection is complete, and says what to do instead."""
    await Owners(made).add(Owner(name="Ada", cars=[Car(name="a"), Car(name="b")]))
    with pytest.raises(UsageError, match=r"^Owner cannot be streamed with collections that are loaded by a JOIN"):
        async for _ in Owners(made).stream():
            pass
    streamed = [owner async for owner in Owners(made).stream(load=selectinload(Owner.cars).lazyload(Car.owner))]
    assert [car.name for car in streamed[0].cars] == ["a", "b"]


async def test_orphans_go_with_the_update_of_their_parent(made: Database) -> None:
    """What a relationship's own cascade says of a removed member holds for `update` of the entity."""
    ada = await Owners(made).add(Owner(name="Ada", cars=[Car(name="a"), Car(name="b")]))
    ada.cars.pop(0)
    await Owners(made).update(ada)
    assert [car.name for car in await Cars(made).all()] == ["b"]


async def test_composites_expressions_and_hybrids_come_back(made: Database) -> None:
    """A composite, an expression over columns, a hybrid and a mutable value are as stored after every verb."""
    shapes = Shapes(made)
    shape = await shapes.add(Shape(point=Point(1, 2), label="a", data={"a": 1}))
    assert (shape.point, shape.total, shape.label) == (Point(1, 2), 3, "A")
    assert shape.data is not None
    shape.data["b"] = 2
    await shapes.update(shape, point=Point(2, 2))
    assert (shape.x, shape.total) == (2, 4)
    stored = await shapes.get_one(shape.id)
    assert (stored.point, stored.total, stored.label, stored.data) == (Point(2, 2), 4, "A", {"a": 1, "b": 2})
    changed = await shapes.update(shape.id, point=Point(5, 6), label="b")
    assert (changed.x, changed.y, changed.total, changed.label) == (5, 6, 11, "B")
    plain = await shapes.update(shape.id, x=1)
    assert (plain.point, plain.total) == (Point(1, 6), 7)
    (many,) = await shapes.add_many([Shape(point=Point(3, 3), label="c")], returning=True)
    assert (many.point, many.total, many.label) == (Point(3, 3), 6, "C")


async def test_what_is_computed_for_many_is_read_at_once(made: Database) -> None:
    """Expressions of many rows are read by one query, when they are added and when they are changed."""
    with queries(made) as sent:
        added = await Shapes(made).add_many(({"x": n, "y": n} for n in range(50)), returning=True)
    assert [shape.total for shape in added] == [2 * n for n in range(50)]
    assert len([statement for statement in sent if statement.startswith("SELECT")]) == 1
    with queries(made) as sent:
        changed = await Shapes(made).update_where(true(), values={"y": 1}, returning=True)
    assert ({shape.total - shape.x for shape in changed}, len(changed)) == ({1}, 50)
    assert len([statement for statement in sent if statement.startswith("SELECT")]) == 2


async def test_a_version_need_not_be_a_number(made: Database) -> None:
    """Every write makes a new version by the model's own generator."""
    rows = Signatures(made)
    row = await rows.add(Signed(name="a"))
    seen = {row.version}
    seen.add((await rows.update(row.id, name="b")).version)
    await rows.update_where(true(), values={"name": "c"})
    seen.add((await rows.get_one(row.id)).version)
    await rows.update_many([{"id": row.id, "name": "d"}])
    seen.add((await rows.get_one(row.id)).version)
    await rows.add_many([{"name": "e"}])
    seen |= {each.version for each in await rows.all()}
    assert len(seen) == 5
    with pytest.raises(StaleData):
        await rows.update(row, name="late")


async def test_rows_may_refer_to_rows_before_them(made: Database) -> None:
    """Rows are stored in the order of their source, whichever columns they have: a tree can be stored from its root."""
    nodes = Nodes(made)
    await nodes.add_many([{"id": 1}, {"id": 2, "parent_id": 1, "tag": "x"}, {"id": 3, "parent_id": 2}])
    root = await nodes.get_one(1, load=(Node.children, Node.children))
    assert [[child.id for child in node.children] for node in (root, root.children[0])] == [[2], [3]]


async def test_dataclasses_are_entities(made: Database) -> None:
    """Entities that are equal by value and have no hash are told apart by what they are."""
    parcels = Parcels(made)
    first, second = await parcels.add(Parcel(name="a", parts=[Part()])), await parcels.add(Parcel(name="a"))
    first.parts.append(Part(name="more"))
    await parcels.update(first)
    assert [len(parcel.parts) for parcel in await parcels.get_many([first.id, second.id, first.id])] == [2, 0, 2]
    assert await parcels.load([first, await parcels.get_one(first.id)], Parcel.parts)
    assert await parcels.add_many([Parcel(name="b"), Parcel(name="b")]) == 2
