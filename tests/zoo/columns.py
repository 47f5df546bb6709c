"""Columns of every kind: where their values come from, and when they are read."""

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Computed,
    Connection,
    FetchedValue,
    ForeignKey,
    Integer,
    String,
    case,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    Mapped,
    column_property,
    composite,
    deferred,
    mapped_column,
    query_expression,
    synonym,
    validates,
)

from tests.zoo.specimen import Specimen, Zoo


class Defaults(Zoo):
    """Values that Python or the database makes, at INSERT and at UPDATE."""

    __tablename__ = "defaults"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    scalar: Mapped[int] = mapped_column(default=3, onupdate=4)
    called: Mapped[str] = mapped_column(default=lambda: "made", onupdate=lambda: "made again")
    context: Mapped[str] = mapped_column(default=lambda context: context.get_current_parameters()["name"] + "!")
    expression: Mapped[int] = mapped_column(default=literal(1) + 1, onupdate=literal(2) + 1)
    subquery: Mapped[int] = mapped_column(default=select(func.count()).select_from(select(literal(1)).subquery()))
    server: Mapped[str | None] = mapped_column(server_default="server")
    both: Mapped[str] = mapped_column(default="python", server_default="server")


class Triggered(Zoo):
    """Values that triggers make, at INSERT and at UPDATE."""

    __tablename__ = "triggered"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    changes: Mapped[int] = mapped_column(server_default="0", server_onupdate=FetchedValue())
    made: Mapped[str | None] = mapped_column(server_default=FetchedValue())


TRIGGERS = {
    "postgresql": [
        "CREATE FUNCTION count_changes() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.changes := OLD.changes + 1; RETURN NEW; END $$",
        "CREATE FUNCTION fill_made() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.made := 'by trigger'; RETURN NEW; END $$",
        "CREATE TRIGGER made BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION fill_made()",
        "CREATE TRIGGER changes BEFORE UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION count_changes()",
    ],
    "sqlite": [
        "CREATE TRIGGER made AFTER INSERT ON triggered FOR EACH ROW BEGIN "
        "UPDATE triggered SET made = 'by trigger' WHERE id = NEW.id; END",
        "CREATE TRIGGER changes AFTER UPDATE OF name ON triggered FOR EACH ROW BEGIN "
        "UPDATE triggered SET changes = OLD.changes + 1 WHERE id = NEW.id; END",
    ],
}


@event.listens_for(Triggered.__table__, "after_create")
def _create_triggers(_: Any, connection: Connection, **__: Any) -> None:
    for statement in TRIGGERS[connection.dialect.name]:
        connection.exec_driver_sql(statement)


class NoEagerDefaults(Zoo):
    """Leaves what the database makes for later, so that SQLAlchemy would read it when it is used."""

    __tablename__ = "no_eager_defaults"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    made: Mapped[str] = mapped_column(server_default="made", server_onupdate=FetchedValue())
    changed: Mapped[int] = mapped_column(default=literal(1) + 1, onupdate=literal(2) + 1)
    __mapper_args__ = {"eager_defaults": False}


class ComputedColumn(Zoo):
    """Columns that the database computes from others."""

    __tablename__ = "computed_columns"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    shout: Mapped[str] = mapped_column(String, Computed("upper(name)", persisted=True))
    size: Mapped[int] = mapped_column(Integer, Computed("length(name)", persisted=True))


class VirtualColumn(Zoo):
    """A column that the database computes whenever it is read."""

    __tablename__ = "virtual_columns"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    shout: Mapped[str] = mapped_column(String, Computed("upper(name)", persisted=False))


class DeferredColumns(Zoo):
    """Columns that are read only when they are asked for."""

    __tablename__ = "deferred_columns"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column()
    text: Mapped[str] = mapped_column(deferred=True)
    notes: Mapped[str | None] = mapped_column(deferred=True, deferred_group="more")
    made: Mapped[str] = mapped_column(deferred=True, deferred_group="more", server_default="made")
    refused: Mapped[str | None] = mapped_column(deferred=True, deferred_raiseload=True)
    shout: Mapped[str] = deferred(column_property(func.upper(name)))


class Part(Zoo):
    """What a correlated subquery counts."""

    __tablename__ = "expression_parts"
    id: Mapped[int] = mapped_column(primary_key=True)
    whole_id: Mapped[int] = mapped_column(ForeignKey("expressions.number", ondelete="CASCADE"))


class Expressions(Zoo):
    """Attributes that are expressions over columns, and one that is given by each query."""

    __tablename__ = "expressions"
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column()
    length: Mapped[int] = column_property(func.length(name))
    count: Mapped[int] = column_property(
        select(func.count(Part.id)).where(Part.whole_id == number).correlate_except(Part).scalar_subquery()
    )
    given: Mapped[int | None] = query_expression()


@dataclass
class Point:
    """Two columns as one value."""

    x: int
    y: int


@dataclass(frozen=True)
class Range:
    """Two columns that may be empty."""

    low: int | None
    high: int | None


class Composites(Zoo):
    """Several columns as one value."""

    __tablename__ = "composites"
    id: Mapped[int] = mapped_column(primary_key=True)
    x: Mapped[int]
    y: Mapped[int]
    low: Mapped[int | None]
    high: Mapped[int | None]
    point: Mapped[Point] = composite("x", "y")
    span: Mapped[Range] = composite(Range, "low", "high")


class Hybrids(Zoo):
    """Attributes that are methods, with and without a setter; synonyms; checks."""

    __tablename__ = "hybrids"
    id: Mapped[int] = mapped_column(primary_key=True)
    _name: Mapped[str] = mapped_column("name")
    price: Mapped[int]
    number: Mapped[int] = synonym("price")

    @hybrid_property
    def name(self) -> str:
        """In capital letters."""
        return self._name.upper()

    @name.inplace.expression
    @classmethod
    def _upper_name(cls) -> Any:
        return func.upper(cls._name)

    @name.inplace.setter
    def _set_name(self, value: str) -> None:
        self._name = value.lower()

    @hybrid_property
    def dear(self) -> bool:
        """Whether it costs much."""
        return self.price > 100

    @dear.inplace.expression
    @classmethod
    def _dear(cls) -> Any:
        return case((cls.price > 100, True), else_=False)

    @validates("price")
    def _check_price(self, _: str, price: int) -> int:
        assert price >= 0
        return price


class Versioned(Zoo):
    """Counts its versions."""

    __tablename__ = "versioned"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[int] = mapped_column("version_id")
    __mapper_args__ = {"version_id_col": version}


class RandomVersion(Zoo):
    """A version that is no number."""

    __tablename__ = "random_versions"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[uuid.UUID] = mapped_column()
    __mapper_args__ = {"version_id_col": version, "version_id_generator": lambda _: uuid.uuid4()}


class Renamed(Zoo):
    """Attributes that are called otherwise than their columns, which have names that need quotes."""

    __tablename__ = "renamed columns"
    id: Mapped[int] = mapped_column("ID", primary_key=True)
    order: Mapped[str] = mapped_column("select")
    percent: Mapped[int] = mapped_column("100% (of:all)")
    values: Mapped[str | None] = mapped_column('with "quotes"')
    metadata_: Mapped[str | None] = mapped_column("metadata")
    key: Mapped[str | None]
    self_: Mapped[str | None] = mapped_column("self")


def _named(n: int) -> dict[str, Any]:
    return {"name": f"name {n}"}


NEW = {"name": "new"}

COLUMNS = [
    Specimen(model=Defaults, row=_named, change=NEW, moves=frozenset({"scalar", "called", "expression"})),
    Specimen(model=Triggered, row=_named, change=NEW, moves=frozenset({"changes"})),
    Specimen(model=NoEagerDefaults, row=_named, change=NEW, moves=frozenset({"made", "changed"})),
    Specimen(model=ComputedColumn, row=_named, change=NEW, moves=frozenset({"shout", "size"})),
    Specimen(model=VirtualColumn, row=_named, change=NEW, moves=frozenset({"shout"}), feature="virtual columns"),
    Specimen(
        model=DeferredColumns,
        row=lambda n: {"name": f"name {n}", "text": f"text {n}", "notes": None, "refused": "r"},
        change={"name": "new", "text": "new text"},
        moves=frozenset({"shout"}),
        load=[DeferredColumns.text, [DeferredColumns.notes, DeferredColumns.shout]],
    ),
    Specimen(
        model=Expressions,
        row=_named,
        change=NEW,
        moves=frozenset({"length"}),
        unordered=frozenset({"given"}),
        reads=[Part],
    ),
    Specimen(
        model=Composites,
        row=lambda n: {"x": n, "y": -n, "low": None, "high": None if n % 2 else n},
        make=lambda n: Composites(point=Point(n, -n), span=Range(None, None if n % 2 else n)),
        change={"y": 100, "low": 5},
        set={"point": Point(7, 8), "span": Range(1, None)},
    ),
    Specimen(
        model=Hybrids,
        row=lambda n: {"_name": f"name {n}", "price": n},
        make=lambda n: Hybrids(name=f"NAME {n}", number=n),
        change={"price": 1000},
        set={"name": "NEW", "number": 5},
    ),
    Specimen(model=Versioned, row=_named, change=NEW, moves=frozenset({"version"})),
    Specimen(model=RandomVersion, row=_named, change=NEW, moves=frozenset({"version"})),
    Specimen(
        model=Renamed,
        row=lambda n: {"order": "%(x)s :y", "percent": n, "values": None, "metadata_": "m", "key": "k", "self_": "s"},
        change={"order": "new", "values": "1", "percent": 99, "key": "key", "self_": "self", "metadata_": "n"},
    ),
]
