"""Models that refer to others, or to themselves, in every way that there is."""

from typing import Any

from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Table
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.orderinglist import ordering_list
from sqlalchemy.orm import (
    Mapped,
    WriteOnlyMapped,
    attribute_keyed_dict,
    mapped_column,
    relationship,
)

from tests.zoo.specimen import Specimen, Zoo


class Node(Zoo):
    """A tree, from both sides."""

    __tablename__ = "zoo_nodes"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("zoo_nodes.id"))
    parent: Mapped["Node | None"] = relationship(back_populates="children", remote_side="Node.id")
    children: Mapped[list["Node"]] = relationship(back_populates="parent", order_by="Node.id")


class Eager(Zoo):
    """A tree that brings its next level along by itself."""

    __tablename__ = "eager_nodes"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("eager_nodes.id"))
    children: Mapped[list["Eager"]] = relationship(lazy="selectin", join_depth=2, order_by="Eager.id")
    parent: Mapped["Eager | None"] = relationship(lazy="joined", join_depth=1, remote_side="Eager.id", viewonly=True)


membership = Table(
    "memberships",
    Zoo.metadata,
    Column("student_id", ForeignKey("students.id", ondelete="CASCADE"), primary_key=True),
    Column("club_id", ForeignKey("clubs.id"), primary_key=True),
)


class Club(Zoo):
    """One side of many to many."""

    __tablename__ = "clubs"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    students: Mapped[set["Student"]] = relationship(secondary=membership, back_populates="clubs")


class Student(Zoo):
    """Many to many by a table; many to many by an object of its own, with a proxy over it; one to one."""

    __tablename__ = "students"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    clubs: Mapped[list[Club]] = relationship(secondary=membership, back_populates="students", order_by=Club.id)
    marks: Mapped[list["Mark"]] = relationship(
        back_populates="student", cascade="all, delete-orphan", order_by="Mark.course_id"
    )
    courses: AssociationProxy[list["Course"]] = association_proxy("marks", "course")
    locker: Mapped["Locker | None"] = relationship(back_populates="student")
    by_course: Mapped[dict[int, "Mark"]] = relationship(
        collection_class=attribute_keyed_dict("course_id"), viewonly=True
    )
    history: WriteOnlyMapped["Mark"] = relationship(viewonly=True)


class Course(Zoo):
    """What students get marks for."""

    __tablename__ = "courses"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


class Mark(Zoo):
    """An association object: its key is that of both sides."""

    __tablename__ = "marks"
    student_id: Mapped[int] = mapped_column(ForeignKey("students.id", ondelete="CASCADE"), primary_key=True)
    course_id: Mapped[int] = mapped_column(ForeignKey("courses.id"), primary_key=True)
    mark: Mapped[int]
    student: Mapped[Student] = relationship(back_populates="marks")
    course: Mapped[Course] = relationship()
    remarks: Mapped[list["Remark"]] = relationship(
        order_by="Remark.position", collection_class=ordering_list("position")
    )


class Remark(Zoo):
    """Refers by a composite foreign key."""

    __tablename__ = "remarks"
    id: Mapped[int] = mapped_column(primary_key=True)
    student_id: Mapped[int | None]
    course_id: Mapped[int | None]
    position: Mapped[int] = mapped_column(default=0)
    __table_args__ = (
        ForeignKeyConstraint(["student_id", "course_id"], ["marks.student_id", "marks.course_id"], ondelete="CASCADE"),
    )


class Locker(Zoo):
    """The other side of one to one."""

    __tablename__ = "lockers"
    id: Mapped[int] = mapped_column(primary_key=True)
    student_id: Mapped[int] = mapped_column(ForeignKey("students.id", ondelete="CASCADE"), unique=True)
    student: Mapped[Student] = relationship(back_populates="locker")


class Strict(Zoo):
    """Refuses to load what was not asked for, in SQLAlchemy's own words."""

    __tablename__ = "strict"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    club_id: Mapped[int] = mapped_column(ForeignKey("clubs.id"))
    club: Mapped[Club] = relationship(lazy="raise")


def _named(n: int) -> dict[str, Any]:
    return {"name": f"name {n}"}


NEW = {"name": "new"}

RELATIONS = [
    Specimen(
        model=Node,
        row=lambda n: {"name": f"name {n}", "parent_id": 1_000_000},
        change=NEW,
        before=lambda: [Node(id=1_000_000, name="root")],
        load=[Node.parent, Node.children, (Node.parent, Node.children)],
    ),
    Specimen(
        model=Eager,
        row=lambda n: {"name": f"name {n}", "parent_id": 1_000_000},
        change=NEW,
        before=lambda: [Eager(id=1_000_000, name="root")],
        load=[(Eager.parent, Eager.children)],
    ),
    Specimen(
        model=Student,
        row=_named,
        make=lambda n: Student(name=f"name {n}", marks=[Mark(course_id=1, mark=n)], locker=Locker()),
        change=NEW,
        before=lambda: [Course(id=1, title="a")],
        load=[Student.clubs, (Student.marks, Mark.course), Student.locker, Student.by_course],
    ),
    Specimen(
        model=Mark,
        row=lambda n: {"student_id": 1, "course_id": n + 1, "mark": n},
        change={"mark": 6},
        before=lambda: [Student(id=1, name="s"), *(Course(id=n, title="c") for n in range(1, 12))],
        load=[Mark.student, Mark.course, (Mark.student, Student.clubs), Mark.remarks],
    ),
    Specimen(
        model=Strict,
        row=lambda n: {"name": f"name {n}", "club_id": 1},
        change=NEW,
        before=lambda: [Club(id=1, name="club")],
        load=[Strict.club, (Strict.club, Club.students)],
    ),
]
