"""What tells the rows of a SELECT apart, and what in them may be NULL."""

from typing import Any

import pytest
from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    UniqueConstraint,
    and_,
    cast,
    exists,
    func,
    literal,
    select,
    text,
    union,
    union_all,
    values,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, joinedload, mapped_column, relationship, with_polymorphic

from repo.uniqueness import may_be_null, shape
from tests.models import Animal, Dog, Line, Order, Team, User


class Model(DeclarativeBase):
    pass


class Parent(Model):
    __tablename__ = "parents"
    id: Mapped[int] = mapped_column(primary_key=True)
    children: Mapped[list["Child"]] = relationship(lazy="joined")


class Child(Model):
    __tablename__ = "children"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey(Parent.id))


TABLES = MetaData()
VIEW = Table("view", TABLES, Column("id", Integer), Column("name", String))
CODES = Table("codes", TABLES, Column("code", String, nullable=False), Column("name", String), UniqueConstraint("code"))
MAYBE = Table("maybe", TABLES, Column("code", String), UniqueConstraint("code"))
OTHER = aliased(User, name="other")
LOWER = func.lower(User.name).label("lower")
NAMES = select(User.name).subquery("names")
KEYED = select(User.id, User.name).subquery("keyed")
TOTALS = select(Order.user_id, func.sum(Order.total).label("total")).group_by(Order.user_id).subquery("totals")
RANKED = select(User.id, func.rank().over(order_by=User.age).label("rank")).cte("ranked")


def distinct_on() -> Select[Any]:
    """One user of each team, as each version of SQLAlchemy wants it written."""
    extension = getattr(postgresql, "distinct_on", None)
    return select(User).distinct(User.team_id) if extension is None else select(User).ext(extension(User.team_id))


DISTINCT_ON = distinct_on()


@pytest.mark.parametrize(
    ("statement", "key"),
    [
        (select(User), "users.id"),
        (select(User.name), "users.id"),
        (select(Line), "lines.order_id lines.pos"),
        (select(Dog), "animals.id"),
        (select(with_polymorphic(Animal, [Dog])), "animals.id"),
        (select(OTHER.name), "other.id"),
        (select(literal(1)), ""),
        (select(CODES), "codes.code"),
        # Joins: the side that the other one follows from is left out.
        (select(Order, User.name).join(User), "orders.id"),
        (select(User, Order.total).join(Order), "orders.id"),
        (select(Order).outerjoin(User), "orders.id"),
        (select(User).outerjoin(Order), "users.id orders.id"),
        (select(User.name, Order.total, Line).join(User.orders).join(Order.lines), "lines.order_id lines.pos"),
        (select(User).join(Order, and_(User.id == Order.user_id, Order.total > 5)), "orders.id"),
        (select(User).join(Order, User.id > Order.user_id), "users.id orders.id"),
        (select(User, Order).where(User.id == Order.user_id), "users.id orders.id"),
        (select(Order).join(User, full=True), "orders.id users.id"),
        (select(User).join(OTHER, OTHER.team_id == User.team_id), "users.id other.id"),
        (select(User).join(KEYED, KEYED.c.id == User.id), "users.id"),
        (select(User).join(TOTALS, TOTALS.c.user_id == User.id), "users.id"),
        (select(User, NAMES).join(NAMES, NAMES.c.name == User.name), None),
        # What only loads relationships along is no part of the rows.
        (select(Parent), "parents.id"),
        (select(User).options(joinedload(User.orders)), "users.id"),
        (select(User, Parent).join(User.orders).options(joinedload(User.orders)), "orders.id parents.id"),
        # Groups
        (select(User.team_id, func.count()).group_by(User.team_id), "users.team_id"),
        (select(LOWER, func.count()).group_by(LOWER, User.age), "lower(users.name) users.age"),
        (select(func.count()).select_from(User).group_by(User.name, User.age), "users.name users.age"),
        (select(User.team_id).group_by(func.rollup(User.team_id)), None),
        (select(User.team_id).group_by(func.cube(User.team_id)), None),
        (select(User.name).group_by("name"), None),
        (select(func.count(User.id)), ""),
        (select(func.count(User.id).filter(User.active)), ""),
        # Distinct rows
        (select(User).distinct(), "users.id"),
        (select(User).join(User.orders).distinct(), "users.id"),
        (select(User.name, User.team_id).distinct(), "users.name users.team_id"),
        (select(User.name, Team.id, Team.name).join(Team).distinct(), "users.name teams.id"),
        (select(LOWER).distinct(), "lower(users.name)"),
        (select(func.count().label("n")).select_from(User).group_by(User.name).distinct(), "count(*)"),
        (select(KEYED).distinct(), "keyed.id"),
        (select(NAMES).distinct(), "names.name"),
        (select(KEYED.c.id, Order.total).join(Order).distinct(), "keyed.id orders.total"),
        (DISTINCT_ON, "users.team_id"),
        # Subqueries
        (select(KEYED), "keyed.id"),
        (select(DISTINCT_ON.subquery("some")), "some.team_id"),
        (select(aliased(User, select(User).limit(3).subquery("some"))), "some.id"),
        (select(NAMES), None),
        (select(TOTALS), "totals.user_id"),
        (select(RANKED), "ranked.id"),
        (select(select(User.id).limit(3).lateral("some")), "some.id"),
        (select(select(func.count().label("n")).select_from(User).subquery("one")), ""),
        (select(select(OTHER.id).join(User, User.id == OTHER.id).subquery("some")), "some.id"),
        (select(select(OTHER.id).join(User, User.age == OTHER.age).subquery("some")), None),
        (select(union(select(User.name), select(Team.name)).subquery("both")), "both.name"),
        (select(union_all(select(User.name), select(Team.name)).subquery("both")), None),
        # Nothing to go by
        (select(VIEW), None),
        (select(MAYBE), None),
        (select(VIEW.alias("other")), None),
        (select(func.json_each("[]").table_valued("value")), None),
        (select(values(Column("x", Integer), name="some").data([(1,), (1,)])), None),
        (select(text("SELECT 1 AS x").columns(Column("x", Integer)).subquery("some")), None),
    ],
)
def test_what_tells_rows_apart(statement: Select[Any], key: str | None) -> None:
    """Primary keys of tables, the expressions of groups and the columns of distinct rows; or nothing is known."""
    found = shape(statement).key
    assert (None if found is None else " ".join(str(each) for each in found)) == key


@pytest.mark.parametrize(
    ("statement", "cut"),
    [
        (select(User).limit(1), "LIMIT, OFFSET or FETCH"),
        (select(User).offset(1), "LIMIT, OFFSET or FETCH"),
        (select(User).fetch(1), "LIMIT, OFFSET or FETCH"),
        (DISTINCT_ON, "DISTINCT ON, or another extension of its syntax,"),
        (select(User.id, func.count().over()), "a window function"),
        (select(User.id, (func.rank().over(order_by=User.id) + 1).label("x")), "a window function"),
        (select(func.max(User.id)), "an aggregate without GROUP BY"),
        (select(User.id, select(func.max(Order.id)).scalar_subquery()), ""),
        (select(User.id, exists().where(Order.user_id == User.id)), ""),
        (select(User.team_id, func.max(User.id)).group_by(User.team_id), ""),
        (select(User).where(User.id == 1).with_for_update(), ""),
    ],
)
def test_what_a_condition_would_change(statement: Select[Any], cut: str) -> None:
    """With LIMIT, a window or one row of all, a further condition would make other rows, not fewer of the same."""
    assert shape(statement).cut == cut


def test_an_order_of_its_own_is_seen() -> None:
    """A statement says whether it has an ORDER BY."""
    assert shape(select(User).order_by(User.name)).ordered
    assert not shape(select(User).order_by(User.name).order_by(None)).ordered


@pytest.mark.parametrize(
    ("statement", "expression", "null"),
    [
        (select(User), User.name, False),
        (select(User), User.age, True),
        (select(User), func.lower(User.name), False),
        (select(User), func.lower(User.nickname), True),
        (select(User), func.coalesce(User.name), True),
        (select(User), cast(User.id, String), False),
        (select(User), cast(User.age, String), True),
        (select(User), User.name.collate("C"), False),
        (select(User), User.nickname.collate("C"), True),
        (select(Order, User).join(User), User.name, False),
        (select(Order, User).outerjoin(User), User.name, True),
        (select(Order, User).outerjoin(User), Order.total, False),
        (select(Order, User).join(User, full=True), Order.total, True),
        (select(OTHER).join(User, User.id == OTHER.id), OTHER.name, False),
        (select(User).outerjoin(OTHER, OTHER.id == User.id), OTHER.name, True),
        (select(KEYED), KEYED.c.name, True),
        (select(with_polymorphic(Animal, [Dog])), Dog.breed, True),
        (select(Dog), Dog.breed, False),
    ],
)
def test_what_may_be_null(statement: Select[Any], expression: Any, null: bool) -> None:
    """A NOT NULL column of a table has no NULL, unless the table is the far side of an outer join."""
    element = expression.__clause_element__() if hasattr(expression, "__clause_element__") else expression
    assert may_be_null(element, shape(statement).solid) is null
