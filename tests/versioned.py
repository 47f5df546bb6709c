"""Models with versions of each kind."""

import uuid

from sqlalchemy import FetchedValue, ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from repo import Repository


class Versioned(DeclarativeBase):
    """The base of the models here."""


class Counted(Versioned):
    """The version is a number that SQLAlchemy counts up."""

    __tablename__ = "counted"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    version: Mapped[int] = mapped_column("version_number")
    parts: Mapped[list["Part"]] = relationship()
    __mapper_args__ = {"version_id_col": version}


class Part(Versioned):
    """What hangs on a counted row, and is counted by itself."""

    __tablename__ = "parts_of_counted"
    id: Mapped[int] = mapped_column(primary_key=True)
    counted_id: Mapped[int | None] = mapped_column(ForeignKey(Counted.id))
    title: Mapped[str]
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}


class Drawn(Versioned):
    """The version is drawn anew each time."""

    __tablename__ = "drawn"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    version: Mapped[uuid.UUID] = mapped_column()
    __mapper_args__ = {"version_id_col": version, "version_id_generator": lambda _: uuid.uuid4()}


class Chained(Versioned):
    """The next version is made of the last one, and of nothing else."""

    __tablename__ = "chained"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version, "version_id_generator": lambda last: (last or 0) + 10}


class Triggered(Versioned):
    """The database itself makes the versions, by a trigger."""

    __tablename__ = "triggered"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    version: Mapped[int] = mapped_column(server_default="1", server_onupdate=FetchedValue())
    __mapper_args__ = {"version_id_col": version, "version_id_generator": False}


class Paper(Versioned):
    """The base of models in tables of their own, with a key of two columns."""

    __tablename__ = "papers"
    shelf: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "paper", "version_id_col": version}


class Letter(Paper):
    """Its columns are in two tables, of which the other has the version."""

    __tablename__ = "letters"
    __table_args__ = (ForeignKeyConstraint(["shelf", "id"], ["papers.shelf", "papers.id"]),)
    shelf: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    __mapper_args__ = {"polymorphic_identity": "letter"}


class ByHand(Versioned):
    """Whoever changes a row gives it its new version."""

    __tablename__ = "by_hand"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version, "version_id_generator": False}


class Plain(Versioned):
    """Has no version."""

    __tablename__ = "plain"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


class Plains(Repository[Plain]):
    """Plain rows."""


class Counteds(Repository[Counted]):
    """Counted rows."""


class Drawns(Repository[Drawn]):
    """Drawn rows."""


class Chaineds(Repository[Chained]):
    """Chained rows."""


class Triggereds(Repository[Triggered]):
    """Triggered rows."""


class Letters(Repository[Letter]):
    """Letters."""


class ByHands(Repository[ByHand]):
    """Rows whose versions are given."""


TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER next_version AFTER UPDATE ON triggered WHEN NEW.version = OLD.version BEGIN "
        "UPDATE triggered SET version = OLD.version + 1 WHERE id = NEW.id; END",
    ),
    "postgresql": (
        "CREATE FUNCTION next_version() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.version := OLD.version + 1; RETURN NEW; END $$",
        "CREATE TRIGGER next_version BEFORE UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION next_version()",
    ),
}
