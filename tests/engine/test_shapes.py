"""Shapes of plain parts of statements, beside the cache keys of SQLAlchemy."""

from collections.abc import Callable
from datetime import datetime
from itertools import combinations_with_replacement
from typing import Any

import pytest
from sqlalchemy import (
    LABEL_STYLE_TABLENAME_PLUS_COL,
    Column,
    DateTime,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    TypeDecorator,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import aliased, load_only

from repo.engine.plans import signature
from repo.engine.shapes import plain
from tests.models import Order, User


class Uncached(TypeDecorator[str]):
    """A type that SQLAlchemy must not keep statements of."""

    impl = String
    cache_ok = False


def table(name: str = "things") -> Table:
    columns = (Column("id", Integer, primary_key=True), Column("name", String(9)), Column("at", DateTime))
    return Table(name, MetaData(), *columns, Column("odd", Uncached))


THINGS, OTHERS = table(), table()
TEXT: Any = literal(1, String)
SHARED = bindparam("shared", 1, type_=Integer, unique=True)

PLAIN: dict[str, Callable[[], Any]] = {
    "equal": lambda: User.id == 1,
    "equal to another": lambda: User.id == 2,
    "unequal": lambda: User.id != 1,
    "less": lambda: User.id < 1,
    "another column": lambda: User.name == "a",
    "another type of value": lambda: User.id == literal("a", String),
    "another length of value": lambda: User.id == literal("a", String(9)),
    "one of several": lambda: User.id.in_([1, 2]),
    "none of several": lambda: User.id.not_in([1, 2]),
    "an operator": lambda: User.name.op("~")("a"),
    "another operator": lambda: User.name.op("~*")("a"),
    "an operator with a result": lambda: User.name.bool_op("~")("a"),
    "another model": lambda: Order.id == 1,
    "table's": lambda: User.__table__.c.id == 1,
    "without the model": lambda: THINGS.c.id == 1,
    "another table of the name": lambda: OTHERS.c.id == 1,
    "written out": lambda: THINGS.c.id == bindparam(None, 1, type_=Integer, unique=True, literal_execute=True),
    "a moment": lambda: THINGS.c.at > datetime(2026, 1, 1),
    "columns": lambda: select(User.id, User.name),
    "columns otherwise": lambda: select(User.name, User.id),
    "a column twice": lambda: select(User.id, User.id),
    "fewer columns": lambda: select(User.id),
    "columns of a table": lambda: select(User.__table__.c.id, User.__table__.c.name),
    "columns of another": lambda: select(THINGS.c.id, THINGS.c.name),
    "a table": lambda: select(User.__table__),
    "entities": lambda: select(User),
    "other entities": lambda: select(Order),
    "two models": lambda: select(User.id, Order.id),
    "where": lambda: select(User.id).where(User.id == 1),
    "where another": lambda: select(User.id).where(User.id == 2),
    "where both": lambda: select(User.id).where(User.id == 1, User.name == "a"),
    "where both otherwise": lambda: select(User.id).where(User.name == "a").where(User.id == 1),
    "entities where": lambda: select(User).where(User.name == "a"),
    "ordered": lambda: select(User.id).order_by(User.id),
    "ordered by another": lambda: select(User.id).order_by(User.name),
    "ordered by both": lambda: select(User.id).order_by(User.id, User.name),
    "ordered downwards": lambda: select(User.id).order_by(User.id.desc()),
    "ordered upwards": lambda: select(User.id).order_by(User.id.asc()),
    "limited": lambda: select(User.id).limit(1),
    "limited to another": lambda: select(User.id).limit(2),
    "with an offset": lambda: select(User.id).offset(1),
    "limited with an offset": lambda: select(User.id).where(User.id > 3).limit(1).offset(2),
    "offset and limited": lambda: select(User.id).where(User.id > 3).offset(1).limit(2),
    "limited otherwise": lambda: select(User.id).limit(TEXT),
    "downwards": User.name.desc,
    "upwards": User.name.asc,
    "nothing first": User.name.nulls_first,
    "negative": lambda: -User.id,
    "another downwards": User.id.desc,
    "of another model downwards": Order.id.desc,
    "where of another model": lambda: select(User.id).where(Order.id == 1),
}
"""What has a shape of its own."""

OTHER: dict[str, Callable[[], Any]] = {
    "columns compared": lambda: User.id == Order.id,
    "an alias": lambda: aliased(User).id == 1,
    "a function": lambda: func.lower(User.name) == "a",
    "a named parameter": lambda: User.id == bindparam("n", 1),
    "either": lambda: or_(User.id == 1, User.id == 2),
    "NULL": lambda: User.name.is_(None),
    "alike": lambda: User.name.like("a%"),
    "modified": lambda: User.name.regexp_match("a", flags="i"),
    "an uncached type": lambda: THINGS.c.odd == "a",
    "attribute": lambda: User.id,
    "an uncached column": lambda: select(THINGS.c.odd),
    "a label": lambda: select(User.id.label("n")),
    "an expression": lambda: select(User.id + 1),
    "a case": lambda: select(case((User.id == 1, 2), else_=3)),
    "a cast": lambda: select(cast(User.id, String)),
    "columns of an alias": lambda: select(aliased(User).id),
    "a subquery's": lambda: select(select(User.id).subquery().c.id),
    "distinct": lambda: select(User.id).distinct(),
    "ordered by a name": lambda: select(User.id.label("n")).order_by("n"),
    "ordered by an expression": lambda: select(User.id).order_by(User.id + 1),
    "ordered in two ways": lambda: select(User.id).order_by(User.id.desc().nulls_last()),
    "an expression downwards": lambda: func.lower(User.name).desc(),
    "limited by an expression": lambda: select(User.id).limit(func.abs(1)),
    "fetched": lambda: select(User.id).fetch(1),
    "fetched in part": lambda: select(User.id).fetch(1, percent=True),
    "limited by a shared parameter": lambda: select(User.id).limit(SHARED).offset(SHARED),
    "grouped": lambda: select(User.id).group_by(User.id),
    "having": lambda: select(User.id).having(User.id == 1),
    "joined": lambda: select(User.id).join(Order, Order.user_id == User.id),
    "from": lambda: select(User.id).select_from(Order),
    "locked": lambda: select(User.id).with_for_update(),
    "prefixed": lambda: select(User.id).prefix_with("ALL"),
    "suffixed": lambda: select(User.id).suffix_with("--"),
    "hinted": lambda: select(User.id).with_statement_hint("a"),
    "labelled": lambda: select(User.id).set_label_style(LABEL_STYLE_TABLENAME_PLUS_COL),
    "with an option": lambda: select(User).options(load_only(User.id)),
    "with an execution option": lambda: select(User).execution_options(populate_existing=True),
    "correlated": lambda: select(User.id).correlate(Order),
    "a subquery as a condition": lambda: select(User.id).where(User.id == select(Order.id).scalar_subquery()),
    "a shared parameter": lambda: select(User.id).where(User.id == SHARED, User.id != SHARED),
    "added": lambda: select(User.id).add_cte(select(Order.id).cte("a")),
}
"""What only SQLAlchemy knows the shape of."""


def told(make: Callable[[], Any]) -> tuple[Any, list[Any]]:
    parameters: list[Any] = []
    return plain(make(), parameters), parameters


@pytest.mark.parametrize("name", PLAIN)
def test_plain_parts_have_a_shape(name: str) -> None:
    """Plain parts of statements have a shape, for which SQLAlchemy keeps what it did in the versions that are known."""
    shape, parameters = told(PLAIN[name])
    assert shape is not None
    part = PLAIN[name]()
    assert [value.effective_value for value in parameters] == [
        value.effective_value for value in part._generate_cache_key().bindparams
    ]
    assert hash(shape) == hash(told(PLAIN[name])[0])


@pytest.mark.parametrize("name", OTHER)
def test_other_parts_have_none(name: str) -> None:
    """What is said in any other part of a statement is not known, so it has no shape, and no parameters."""
    assert told(OTHER[name]) == (None, [])


def test_same_shapes_have_the_same_key() -> None:
    """Two plain parts have the same shape exactly if they have the same cache key."""
    made = [(each, told(each)[0], each()._generate_cache_key().key) for each in PLAIN.values()]
    for (_, one, first), (_, other, second) in combinations_with_replacement(made, 2):
        assert (one == other) == (first == second)


@pytest.mark.parametrize("name", PLAIN)
def test_shapes_stay_the_same(name: str) -> None:
    """What SQLAlchemy finds out about a part, and keeps in it, does not change its shape."""
    part = PLAIN[name]()
    shape = plain(part, [])
    part._generate_cache_key()
    part.compile()
    assert "_generate_cache_key" in vars(part)
    assert plain(part, []) == shape


@pytest.mark.parametrize("make", [*PLAIN.values()], ids=[*PLAIN])
def test_every_part_of_a_select_counts(make: Callable[[], Any]) -> None:
    """Whatever a SELECT gets that is not known takes its shape away."""
    statement = make()
    if isinstance(statement, Select):
        vars(statement)["_further"] = True
        assert plain(statement, []) is None


def test_signatures_keep_to_sqlalchemy_where_nothing_is_plain() -> None:
    """A signature is made of all parts, by their shapes or by SQLAlchemy's keys, with all of their parameters."""
    found = signature(User.id == 1, or_(User.id == 3, User.id == 4), select(User.id).where(User.id == 2))
    assert found is not None
    assert found.values == [1, 3, 4, 2]
    assert signature(THINGS.c.odd == "a") is None
