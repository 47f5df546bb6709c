"""What may be a condition, an order, a key and a name of a model."""

import uuid
from datetime import date
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    String,
    TypeDecorator,
    and_,
    column,
    exists,
    false,
    func,
    literal_column,
    select,
    text,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column

from repo import UsageError
from repo.engine.conditions import check_names, conditions, identity, mapper_of, ordering
from repo.errors import InvalidValue
from tests.models import Animal, Colour, Dog, Line, Order, Ship, Team, User

OTHER = aliased(User)
NOBODY: Any = None


@pytest.mark.parametrize(
    "condition",
    [
        User.name == "Ada",
        User.name.in_(["Ada"]),
        User.active,
        ~User.active,
        and_(User.id > 1, User.nickname.is_(None)),
        User.team.has(Team.name == "Sailors"),
        User.orders.any(Order.total > 5),
        User.team == NOBODY,
        User.team_id.in_(select(Team.id)),
        exists().where(Team.id == User.team_id),
        User.age > select(func.avg(OTHER.age)).scalar_subquery(),
        literal_column("1") == 1,
        func.is_even(User.id),
        column("anything", Boolean),
        true(),
        false(),
    ],
)
def test_an_expression_over_the_models_own_table_is_a_condition(condition: Any) -> None:
    """Whatever says true or false of the model's rows is a condition; other tables may stand in subqueries."""
    assert len(conditions(mapper_of(User), [condition])) == 1


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (User.name is not None, r"not bool: a Python comparison was evaluated before it could become SQL"),
        (False, r"not bool: .* sqlalchemy\.true\(\) says all rows$"),
        (None, r"not NoneType: write an expression such as User\.id == \.\.\.$"),
        ("name = 'Ada'", r"not str: write an expression"),
        (text("name = 'Ada'"), r"not TextClause: write an expression"),
        (func, r"not _FunctionGenerator: write an expression"),
        (User, r"not \w+: write an expression"),
        (Team.name == "Sailors", r"^a condition of User names teams\.name, a table that is not the model's"),
        (User.team_id == Team.id, r"names teams\.id, .* \.has\(\) or \.any\(\)"),
        (OTHER.name == "Ada", r"names name of an alias of users, a table that"),
        (User.team, r"names teams\.id"),
        (User.name, r"^users\.name alone is no condition of User: compare it to something"),
        (User.age, r"^users\.age alone is no condition of User"),
    ],
)
def test_what_is_no_condition_is_refused(condition: Any, message: str) -> None:
    """A Python value, another table and a column that is neither true nor false are refused, each with a reason."""
    with pytest.raises(UsageError, match=message):
        conditions(mapper_of(User), [true(), condition])


def test_a_subclass_table_is_no_part_of_its_base() -> None:
    """A query of the base does not join the tables of its subclasses, so they are other tables; the reverse is fine."""
    with pytest.raises(UsageError, match=r"names dogs\.breed"):
        conditions(mapper_of(Animal), [Dog.breed == "Poodle"])
    assert conditions(mapper_of(Dog), [Dog.breed == "Poodle", Dog.name == "Rex", Animal.name == "Rex"])
    assert conditions(mapper_of(Ship), [Ship.masts > 1, Ship.name == "Victory"])


@pytest.mark.parametrize("order", ["name", text("name"), User.name.key, 1])
def test_an_order_is_an_expression(order: Any) -> None:
    """A name is refused as an order: it would be SQL that nobody has checked."""
    for given in (order, [User.id, order]):
        with pytest.raises(UsageError, match=r"^order_by of User takes expressions such as User\.id"):
            ordering(mapper_of(User), given)


@pytest.mark.parametrize("order", [Team.name, User.team, OTHER.name.desc()])
def test_an_order_is_over_the_models_own_table(order: Any) -> None:
    """An order by another table would pair each row with each of its rows."""
    with pytest.raises(UsageError, match=r"^order_by of User names (teams\.|name of an alias)"):
        ordering(mapper_of(User), order)


@pytest.mark.parametrize(
    ("model", "key", "message"),
    [
        (User, None, "the key of User is id; got None"),
        (User, (1, 2), "the key of User is id; got 2 values"),
        (User, (), "the key of User is id; got 0 values"),
        (Line, 1, r"the key of Line is a tuple \(order, position\); got 1 value"),
        (Line, (1, None), r"the key of Line is a tuple \(order, position\); got None in it"),
        (Line, (1, 2, 3), r"the key of Line is a tuple \(order, position\); got 3 values"),
        (User, User(name="x"), r"the key of User is id; got an entity of User"),
    ],
)
def test_a_key_has_as_many_values_as_the_model_says(model: type[Any], key: Any, message: str) -> None:
    """A key that is None, too short, too long or an entity is refused with the shape that is wanted."""
    with pytest.raises(UsageError, match=f"^{message}$"):
        identity(mapper_of(model), key)


def test_keys_are_tuples() -> None:
    """A key is a tuple of its values, also where it is only one."""
    assert identity(mapper_of(User), 1) == (1,)
    assert identity(mapper_of(Line), (1, 2)) == (1, 2)


class Own(DeclarativeBase):
    """Only the tables of this module."""


class Packed(TypeDecorator[int]):
    """A type that makes a number of whatever it is given."""

    impl = Integer
    cache_ok = True


class Keyed(Own):
    """A key of each kind."""

    __tablename__ = "keyed"
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    word: Mapped[str] = mapped_column(String(5), primary_key=True)
    mark: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    colour: Mapped[Colour] = mapped_column(primary_key=True)
    packed: Mapped[int] = mapped_column(Packed, primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)


def test_a_key_has_the_type_of_its_column() -> None:
    """A number, a text and a UUID are of no other type; what other types take is theirs to say."""
    mapper, mark = mapper_of(Keyed), uuid.uuid4()
    for key in ((True, "w", mark, Colour.RED, object(), date.max), (2**70, "", mark, "RED", "x", "2024-01-01")):
        assert identity(mapper, key) == key
    with pytest.raises(InvalidValue, match=r"^the key of User \(id\) is of type int; got str$"):
        identity(mapper_of(User), "1")
    for wrong in (("1", "w", mark), (1.0, "w", mark), (1, 2, mark), (1, b"w", mark), (1, "w", str(mark))):
        with pytest.raises(InvalidValue, match=r"is of type int and str and UUID and object"):
            identity(mapper, (*wrong, Colour.RED, 1, date.max))


def test_an_unknown_name_is_refused_with_the_one_that_was_meant() -> None:
    """A name that the model does not have is refused; a near one is suggested."""
    check_names(mapper_of(User), ["name", "team_id"])
    with pytest.raises(UsageError, match=r"^User has no attribute 'nmae'; did you mean 'name'\?$"):
        check_names(mapper_of(User), ["id", "nmae"])
    with pytest.raises(UsageError, match=r"^User has no attribute 'zzz'$"):
        check_names(mapper_of(User), ["zzz"])


def test_a_class_that_is_not_mapped_is_refused() -> None:
    """A model is a mapped class."""
    with pytest.raises(UsageError, match=r"is not a mapped class of SQLAlchemy$"):
        mapper_of(int)
