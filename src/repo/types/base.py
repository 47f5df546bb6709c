"""What the types have in common: which operators they take, and how a revision writes them."""

from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn, TypeVar

from sqlalchemy import ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.selectable import SelectBase
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from repo.errors import UsageError

T = TypeVar("T")

EQUALITIES = frozenset(
    (
        *(operators.eq, operators.ne, operators.in_op, operators.not_in_op),
        *(operators.is_, operators.is_not, operators.is_distinct_from, operators.is_not_distinct_from),
    )
)
COMPARISONS = EQUALITIES | frozenset(
    (
        *(operators.lt, operators.le, operators.gt, operators.ge, operators.between_op, operators.not_between_op),
        *(operators.asc_op, operators.desc_op, operators.nulls_first_op, operators.nulls_last_op),
        operators.distinct_op,
    )
)


class PortableComparator(TypeDecorator.Comparator[Any]):
    """The operators of an expression; those that would differ are refused."""

    __slots__ = ()

    def operate(self, op: Any, *other: Any, **options: Any) -> Any:
        return super().operate(op, *self._checked(op, other), **options)

    def reverse_operate(self, op: Any, other: Any, **options: Any) -> Any:
        return super().reverse_operate(op, *self._checked(op, [other]), **options)

    def _checked(self, op: Any, operands: Sequence[Any]) -> Sequence[Any]:
        """The operands, if the type takes them."""
        kind: Any = self.type
        if kind.takes(op, operands, self.expr):
            return operands
        error = UsageError(
            f"{getattr(op, '__name__', op)} of {type(kind).__name__} with such an operand is not the same on every "
            f"database: {kind.advice}; or, where one database is enough, say by type_coerce() which of its types it is"
        )
        if op not in (operators.eq, operators.ne):
            raise error
        # SQLAlchemy itself compares columns so, to find one in a list.
        return [_Refused(error)]


class PortableType(TypeDecorator[T]):
    """The base of the types of this package."""

    __abstract__ = True
    cache_ok = True

    comparator_factory: Any = PortableComparator
    advice: str = "compare them, and compute the rest in Python"
    """What to do in place of an operator that is refused."""
    written: str
    """How a revision of alembic writes the type: as what the databases see, so that it needs no import of ``repo``."""
    imports: ClassVar[frozenset[str]] = frozenset()
    """What a revision imports for it, besides what every revision does."""

    def takes(self, op: Any, operands: Sequence[Any], of: ColumnElement[Any]) -> bool:
        """Whether an operator gives the same on every database.

        Args:
            op: one of ``sqlalchemy.sql.operators``.
            operands: what stands beside the expression, values or expressions.
            of: the expression, which is of this type.
        """
        return op in COMPARISONS


def kind_of(operand: Any) -> TypeEngine[Any] | None:
    """The type of an expression or of what a subquery selects; None for a value, and where it is not known."""
    element = operand.__clause_element__() if hasattr(operand, "__clause_element__") else operand
    if isinstance(element, SelectBase):
        element = element.scalar_subquery()
    kind = element.type if isinstance(element, ColumnElement) else None
    return None if isinstance(kind, NullType) else kind


class _Refused(ColumnElement[Any]):
    """An operand with which no statement can be sent."""

    inherit_cache = False

    def __init__(self, error: UsageError) -> None:
        self.error = error


@compiles(_Refused)
def _refuse(element: _Refused, *_: Any, **__: Any) -> NoReturn:
    raise element.error
