"""Decimal numbers."""

from collections.abc import Sequence
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from typing import Any, ClassVar

from sqlalchemy import BigInteger, ColumnElement, Dialect, Integer, Numeric, String
from sqlalchemy.sql import functions, operators
from sqlalchemy.types import TypeEngine

from repo.errors import ConfigurationError, InvalidValue
from repo.types.base import COMPARISONS, PortableType, kind_of

_EXACT = Context(prec=2000, traps=[Inexact, InvalidOperation])
"""Nothing is rounded in it, whatever the program's own context says; sums have more digits than a column may have."""

_ARITHMETIC = frozenset((operators.add, operators.sub, operators.mul, operators.neg))


class ExactDecimal(PortableType[Decimal]):
    """A decimal number with a fixed number of places: ``Decimal`` or ``int`` goes in, ``Decimal`` comes out.

    Stored as ``NUMERIC`` on Postgres. SQLite has no decimals: there, up to 18 digits are stored as a whole
    number of the smallest unit (9.99 with two places is 999), so that comparisons, orders, ``+``, ``-``,
    products with whole numbers, ``sum``, ``min`` and ``max`` are exact. More digits are stored as a text that
    sorts as the number does, and only compare; other operators are refused. What SQLite computes without
    knowing the type, as in a ``text`` or a CHECK constraint, it computes of what is stored.

    Args:
        precision: how many digits there are, at most 1000.
        scale: how many of them are behind the point.

    Raises:
        InvalidValue: a value with more digits or places, a ``float``, NaN or an infinity; what the
            database computed has more places, such as an average.
        UsageError: an operator, or an operand, for which the databases would give different results.

        class Product(Base):
            price: Mapped[Decimal] = mapped_column(ExactDecimal(12, 2))
    """

    impl: Any = Numeric
    cache_ok = True

    MOST_DIGITS: ClassVar[int] = 1000
    """As many as Postgres lets a column have."""
    COUNTED_DIGITS: ClassVar[int] = 18
    """As many as fit a whole number of 64 bits."""

    def __init__(self, precision: int, scale: int) -> None:
        if not 0 <= scale <= precision <= self.MOST_DIGITS or precision < 1:
            raise ConfigurationError(
                f"a decimal has 1 to {self.MOST_DIGITS} digits, and no more places than digits; "
                f"not {precision} and {scale}"
            )
        super().__init__(precision, scale)
        self.precision = precision
        self.scale = scale
        self._zero = Decimal(0).scaleb(-scale, _EXACT)
        self._counted = precision <= self.COUNTED_DIGITS
        if self._counted:
            self.advice = (
                "compare and add decimals of as many places, multiply by whole numbers, compute the rest in Python"
            )
        on_sqlite = "sa.BigInteger()" if self._counted else f"sa.String({precision + 1})"
        self.written = f"sa.Numeric({precision}, {scale}).with_variant({on_sqlite}, 'sqlite')"

    @property
    def python_type(self) -> type[Decimal]:
        return Decimal

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "sqlite":
            return dialect.type_descriptor(Numeric(self.precision, self.scale))
        return dialect.type_descriptor(BigInteger() if self._counted else String(self.precision + 1))

    def takes(self, op: Any, operands: Sequence[Any], of: ColumnElement[Any]) -> bool:
        if op is operators.mul:
            return self._counted and all(map(_is_whole, operands))
        known = op in COMPARISONS or (self._counted and op in _ARITHMETIC)
        return known and (self._counted or not isinstance(of, functions.sum)) and all(map(self._is_alike, operands))

    def _is_alike(self, operand: Any) -> bool:
        """Whether an operand is a value, or an expression of decimals that are stored in the same way."""
        kind = kind_of(operand)
        return kind is None or (isinstance(kind, ExactDecimal) and kind._form == self._form)

    @property
    def _form(self) -> tuple[int, int]:
        """What is the same for decimals that SQLite can compare."""
        return self.COUNTED_DIGITS if self._counted else self.precision, self.scale

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        # What a value is compared with, or added to, may be a sum of more digits than a row can have.
        return BigInteger() if op is operators.mul else ExactDecimal(*self._form)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, Decimal | int):
            raise InvalidValue(f"a decimal is given as a Decimal or an int, not as {type(value).__name__}")
        number = self._rounded(Decimal(value))
        if number is None or number.adjusted() >= self.precision - self.scale:
            raise InvalidValue(
                f"a decimal that has not at most {self.precision} digits, {self.scale} of them behind the point: "
                "round it, or let the column have more"
            )
        if dialect.name != "sqlite":
            return number
        units = int(number.scaleb(self.scale, _EXACT))
        return units if self._counted else f"{self._offset + units:0{self.precision + 1}}"

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None:
            return None
        number = self._from_sqlite(value) if dialect.name == "sqlite" else value
        # A number with fewer places gets those of the zero; one with more keeps them.
        padded = _EXACT.add(number, self._zero) if isinstance(number, Decimal) else None
        if padded is None or not padded.same_quantum(self._zero):
            raise InvalidValue(
                f"the database has computed, or holds, what is no decimal of {self.scale} places, such as an average: "
                "ask for the sum and the count, for example, and compute the rest in Python"
            )
        return padded

    def _from_sqlite(self, value: Any) -> Decimal | None:
        """The number that is stored; None for what was not stored so, such as a float."""
        if self._counted:
            units = value if isinstance(value, int) else None
        else:
            units = int(value) - self._offset if isinstance(value, str) and value.isdecimal() else None
        return None if units is None else Decimal(units).scaleb(-self.scale, _EXACT)

    def _rounded(self, number: Decimal) -> Decimal | None:
        """The number with just as many places as there are to be; None where that would change it, or it is none."""
        try:
            return number.quantize(self._zero, context=_EXACT) if number.is_finite() else None
        except DecimalException:
            return None

    @property
    def _offset(self) -> int:
        """What is added to units that are stored as text, so that negative ones sort in front."""
        return int(10**self.precision)


def _is_whole(operand: Any) -> bool:
    """Whether an operand is a whole number, or an expression of some."""
    kind = kind_of(operand)
    return isinstance(operand, int) if kind is None else isinstance(kind, Integer)
