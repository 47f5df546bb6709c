"""Pages by key: pure functions of a SELECT, its order and a place in it.

A page begins where the one before has ended: at the values of its last row, not at a number of rows.
So rows that come or go between two pages move no other row from one to the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    Float,
    FromClause,
    Numeric,
    Select,
    String,
    Time,
    UnaryExpression,
    and_,
    bindparam,
    false,
    nulls_first,
    nulls_last,
    or_,
    true,
    tuple_,
    type_coerce,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, ColumnClause, Over
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine, UserDefinedType

from repo.cursors import Place, decode, digest, encode
from repo.errors import InvalidCursor, UsageError
from repo.uniqueness import Key, Shape, among, bare, has_window, may_be_null

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of the items of an order, and how to ask for those beside them."""

    items: list[T]
    """In the order that was asked for, by ``after`` as well as by ``before``."""
    next: str | None
    """For ``after=``: what follows; None where nothing does."""
    previous: str | None
    """For ``before=``: what comes before; None where nothing does."""
    total: int | None = None
    """How many items all pages have together, if it was asked for."""


class Values(Protocol):
    """What a database knows of values that come out of it and are compared there later."""

    name: ClassVar[str]

    def words(self, element: ColumnElement[Any]) -> str:
        """The expression in words that are the same in every process."""
        ...

    def holds(self, kind: TypeEngine[Any], value: object) -> bool:
        """Whether a value can be compared with those of this type."""
        ...

    def exact(self, element: ColumnElement[Any]) -> ColumnElement[Any]:
        """What to read so that the value, given back, is equal to the expression."""
        ...


class _Raw(UserDefinedType[Any]):
    """A value as it comes from the driver and goes there, without conversion and without a cast.

    Conversions lose something: SQLite gives a stored number back with as many digits as the type
    of its column says. Without a cast, Postgres takes a parameter for what it is compared with.
    """

    cache_ok = True


_RAW = _Raw()


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One term of an order."""

    element: ColumnElement[Any]
    kind: TypeEngine[Any]
    descending: bool
    nulls_first: bool
    nullable: bool

    def clause(self) -> ColumnElement[Any]:
        """For ORDER BY. Where there can be no NULL, nothing is said of it, so that any index will do."""
        # By the element's own operators, which its type may refuse.
        ordered: ColumnElement[Any] = self.element.desc() if self.descending else self.element.asc()
        if self.nullable:
            ordered = nulls_first(ordered) if self.nulls_first else nulls_last(ordered)
        return ordered

    def reversed(self) -> "Term":
        """The same term for reading backwards."""
        return replace(self, descending=not self.descending, nulls_first=not self.nulls_first)


def term(expression: ColumnElement[Any], solid: Iterable[FromClause]) -> Term:
    """A term from what a user gave for it; NULL is the largest value unless it says otherwise.

    Args:
        expression: with ``desc()``, ``nulls_first()`` and so on, or without.
        solid: tables of which no row is made up of NULLs by an outer join.
    """
    descending, element = False, bare(expression)
    first: bool | None = None
    while isinstance(element, UnaryExpression) and element.modifier in _MODIFIERS:
        if element.modifier in _NULLS:
            first = element.modifier is operators.nulls_first_op
        else:
            descending = element.modifier is operators.desc_op
        element = bare(element.element)
    return Term(
        element=element,
        kind=_kind(element),
        descending=descending,
        nulls_first=descending if first is None else first,
        nullable=may_be_null(element, solid),
    )


_NULLS = (operators.nulls_first_op, operators.nulls_last_op)
_MODIFIERS = (*_NULLS, operators.asc_op, operators.desc_op)


def _kind(element: ColumnElement[Any]) -> TypeEngine[Any]:
    """The type of an expression, also for common functions of which SQLAlchemy does not know it."""
    if not isinstance(element.type, NullType):
        return element.type
    if isinstance(element, BinaryExpression) and element.operator is operators.collate:
        return _kind(element.left)
    if isinstance(element, Over):
        return _kind(element.element)
    if isinstance(element, ColumnClause) and element not in element.base_columns:
        return next(_kind(bare(inside)) for inside in element.base_columns)
    name = element.name if isinstance(element, FunctionElement) else ""
    known = (kind for kind, names in _FUNCTIONS.items() if name in names.split())
    return next(known, element.type)


_FUNCTIONS: dict[TypeEngine[Any], str] = {
    String(): "lower upper trim ltrim rtrim btrim substr substring replace left right initcap lpad rpad reverse md5",
    Numeric(): "length instr strpos ascii abs round floor ceil ceiling sign sqrt power mod avg row_number ntile",
    DateTime(): "date_trunc",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """One page that is asked for."""

    values: Values
    terms: tuple[Term, ...]
    order: bytes
    limit: int
    place: Place | None
    backwards: bool

    def statement(self, select: Select[Any], *, grouped: bool = False) -> Select[Any]:
        """The SELECT of the page's rows and one more, with the values for its cursors behind each.

        Args:
            select: all rows.
            grouped: whether it has a GROUP BY.
        """
        terms = tuple(each.reversed() for each in self.terms) if self.backwards else self.terms
        exact = (self.values.exact(each.element) for each in self.terms)
        keys = [type_coerce(element, _RAW).label(f"repo_{number}") for number, element in enumerate(exact)]
        page = select.add_columns(*keys).order_by(*(each.clause() for each in terms)).limit(self.limit + 1)
        if self.place is None:
            return page
        inclusive = self.place.beyond is self.backwards
        condition = _after(terms, self.place.values, inclusive=inclusive)
        return page.having(condition) if grouped else page.where(condition)

    def page(self, rows: Sequence[T], keys: Sequence[Sequence[Any]], total: int | None = None) -> Page[T]:
        """The page, of what the statement has given.

        Raises:
            UsageError: a value cannot be kept in a cursor.
        """
        more = len(rows) > self.limit
        step = -1 if self.backwards else 1
        items, ends = list(rows[: self.limit])[::step], keys[: self.limit][::step]
        before, behind = self.place is not None, more
        if self.backwards:
            before, behind = behind, before
        return Page(
            items=items,
            next=self._cursor(ends[-1] if ends else None, beyond=True) if behind else None,
            previous=self._cursor(ends[0] if ends else None, beyond=False) if before else None,
            total=total,
        )

    def _cursor(self, key: Sequence[Any] | None, *, beyond: bool) -> str:
        """A cursor beside the row; where there is none any more, the one that was given."""
        if key is None and self.place is not None:
            return encode(self.order, self.place)
        values = tuple(key or ())
        for each, value in zip(self.terms, values, strict=True):
            if value is not None and not self.values.holds(each.kind, value):
                raise UsageError(
                    f"order_by has a term of the type {each.kind!r} that gives {type(value).__name__}: a page's "
                    "cursor cannot keep it. Cast it to a number or a text, or say by type_coerce() what it is"
                )
        return encode(self.order, Place(values, beyond))


def paging(
    values: Values,
    terms: Sequence[Term],
    about: str,
    *,
    limit: int,
    after: str | None,
    before: str | None,
) -> Paging:
    """A page of an order that tells all rows apart.

    Args:
        values: the database's ways.
        terms: the order.
        about: what besides the order makes a cursor one of these, such as the model's name.
        limit: how many items, at least 1.
        after: a cursor; the page begins behind its place.
        before: a cursor; the page ends there.

    Raises:
        InvalidCursor: a cursor was not made for this order, or cannot be compared with its values.
        UsageError: no limit, two cursors, or a term that cannot be compared.
    """
    if limit < 1:
        raise UsageError(f"limit of a page must be at least 1, not {limit}")
    if after is not None and before is not None:
        raise UsageError("a page is either after= a cursor or before= one, not both")
    for each in terms:
        _check(each)
    cursor = before if after is None else after
    words = (f"{values.words(each.element)} {each.descending:d}{each.nulls_first:d}" for each in terms)
    order = digest("\n".join((values.name, about, *words)))
    place = None if cursor is None else decode(order, cursor)
    if place is not None:
        _check_place(values, terms, place)
    backwards = before is not None
    return Paging(values=values, terms=tuple(terms), order=order, limit=limit, place=place, backwards=backwards)


def with_key(terms: Sequence[Term], key: Key, solid: Iterable[FromClause]) -> list[Term]:
    """The order with what tells rows apart at its end, if it is not in it already."""
    named = [each.element for each in terms]
    return [*terms, *(term(element, solid) for element in key if not among(element, named))]


def order_of(given: Sequence[ColumnElement[Any]], found: Shape) -> list[Term]:
    """The order of a SELECT's rows that tells them all apart.

    Raises:
        UsageError: it cannot be paged as it is; the message says what to write.
    """
    if found.cut:
        raise UsageError(
            f"a page adds a condition, and with {found.cut} that would change the rows themselves: make it a subquery, "
            "as in rows = statement.subquery() and page(select(rows), order_by=rows.c.name)"
        )
    if found.ordered:
        raise UsageError("a page has the order that order_by= says: leave .order_by() out of the statement")
    if found.key is None:
        raise UsageError(
            "nothing tells the rows of this statement apart, so rows could be lost between two pages: select from "
            "tables with a primary key (for a view, say primary_key=True at a Column of its Table), have a subquery "
            "select the primary keys of its tables, or add .distinct() or .group_by()"
        )
    terms = with_key([term(each, found.solid) for each in given], found.key, found.solid)
    unselected = [each for each in terms if found.distinct is not None and not among(each.element, found.distinct)]
    if unselected:
        raise UsageError(
            "with DISTINCT, order_by takes what is selected, and expressions as the same object: "
            f"{unselected[0].element} is not"
        )
    return terms


def _check(each: Term) -> None:
    """Refuse a term of which nobody knows the values, or that cannot be in a condition."""
    if isinstance(each.kind, NullType):
        raise UsageError(
            f"nothing says of which type {each.element} is, so a page's cursor cannot keep its values: write "
            "func.score(User.id, type_=Integer), for example, or type_coerce(..., Integer)"
        )
    if not _plain(each.kind).hashable:
        raise UsageError(
            f"a page cannot be in the order of {each.element}: a cursor cannot keep its values, which are lists or "
            "documents; order by a part, as in Event.data['number'].as_integer()"
        )
    if has_window(each.element):
        raise UsageError(f"a page cannot be in the order of {each.element}, a window function: select it in a subquery")


def _plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type under what converts its values."""
    while isinstance(kind, TypeDecorator):
        kind = kind.impl_instance
    return kind


def _check_place(values: Values, terms: Sequence[Term], place: Place) -> None:
    """Refuse a cursor whose values are not of the types of the order."""
    matching = len(place.values) == len(terms) and all(
        value is None or values.holds(each.kind, value) for each, value in zip(terms, place.values, strict=True)
    )
    if not matching:
        raise InvalidCursor("this cursor has values that the terms of order_by cannot have; begin again without it")


def _after(terms: Sequence[Term], values: Sequence[Any], *, inclusive: bool) -> ColumnElement[bool]:
    """The condition for rows after these values in the order, or, if inclusive, at them."""
    if _compare_as_rows(terms, values):
        row = tuple_(*(type_coerce(each.element, _RAW) for each in terms))
        return _beyond(terms[0], row, tuple_(*map(_bound, values)), inclusive=inclusive)
    *leading, last = zip(terms, values, strict=True)
    condition = _compared(*last, inclusive=inclusive)
    # From the last term to the first: at its value or beyond it; and beyond it, or what the later terms say.
    # The first half by itself bounds the scan of an index, which an OR cannot.
    for each, value in reversed(leading):
        beyond = _compared(each, value, inclusive=False)
        condition = and_(_compared(each, value, inclusive=True), or_(beyond, condition))
    return condition


def _compare_as_rows(terms: Sequence[Term], values: Sequence[Any]) -> bool:
    """Whether (a, b) > (1, 2) says it: one direction, and no NULL, with which a row cannot be compared."""
    directions = {each.descending for each in terms}
    return len(terms) > 1 == len(directions) and None not in values and not any(each.nullable for each in terms)


def _compared(each: Term, value: Any, *, inclusive: bool) -> ColumnElement[bool]:
    """The condition that a term is beyond a value, or at it."""
    element = type_coerce(each.element, _RAW)
    if value is None:
        if each.nulls_first:
            return true() if inclusive else element.is_not(None)
        return element.is_(None) if inclusive else false()
    beyond = _beyond(each, element, _bound(value), inclusive=inclusive)
    return or_(beyond, element.is_(None)) if each.nullable and not each.nulls_first else beyond


def _beyond(each: Term, left: Any, right: Any, *, inclusive: bool) -> ColumnElement[bool]:
    """The comparison in a term's direction."""
    if each.descending:
        compared: ColumnElement[bool] = left <= right if inclusive else left < right
    else:
        compared = left >= right if inclusive else left > right
    return compared


def _bound(value: Any) -> ColumnElement[Any]:
    """A value as a parameter: a number or a moment of its own type, as others of the kind compare with it."""
    if isinstance(value, datetime | time):
        zone = value.tzinfo is not None
        kind: TypeEngine[Any] = DateTime(timezone=zone) if isinstance(value, datetime) else Time(timezone=zone)
    else:
        kind = _KINDS.get(type(value), _RAW)
    return bindparam(None, value, type_=kind, unique=True)


_KINDS: dict[type, TypeEngine[Any]] = {int: BigInteger(), float: Float(), Decimal: Numeric(), date: Date()}
