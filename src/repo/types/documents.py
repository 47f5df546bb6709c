"""Documents of JSON."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import JSON, ColumnElement, Dialect, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression
from sqlalchemy.types import TypeEngine

from repo.errors import InvalidValue
from repo.types.base import EQUALITIES, PortableComparator, PortableType

_PARTS = frozenset((operators.json_getitem_op, operators.json_path_getitem_op))


class _Comparator(PortableComparator, JSON.Comparator[Any]):
    """With ``["key"]``, ``.as_string()`` and so on."""

    __slots__ = ()


class Json(PortableType[Any]):
    """What JSON can hold: ``dict`` with ``str`` keys, ``list``, ``str``, numbers, ``bool`` and, inside, None.

    None itself is NULL. Stored as ``JSONB`` on Postgres and as text with sorted keys on SQLite, so that
    ``==`` compares what is said and not how. Parts are compared as what they are:
    ``Model.data["key"].as_string()``. A tuple comes out as a list, and a float from 10^16 on as the whole
    number that it is.

    Raises:
        InvalidValue: what JSON or a database cannot hold: NaN and infinities, keys that are no texts, the
            character NUL, half of a surrogate pair, other types.
        UsageError: an operator but ``==``, ``!=``, ``in_`` and ``[...]``.

        class Event(Base):
            data: Mapped[dict[str, Any]] = mapped_column(Json)
    """

    impl = JSON(none_as_null=True)
    cache_ok = True
    written = "sa.Text().with_variant(postgresql.JSONB(), 'postgresql')"
    imports = frozenset({"from sqlalchemy.dialects import postgresql"})
    comparator_factory = _Comparator
    advice = "compare the whole of it by == or !=, and its parts as what they are, by .as_string(), .as_integer() ..."

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        # SQLite makes numbers of what looks like one in a column of the type JSON, and large ones lose digits.
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else JSONB(none_as_null=True))

    def takes(self, op: Any, operands: Sequence[Any], of: ColumnElement[Any]) -> bool:
        is_part = isinstance(of, BinaryExpression) and of.operator in _PARTS
        return op in _PARTS or (op in EQUALITIES and not is_part)

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        return self if op in EQUALITIES else self.impl_instance.coerce_compared_value(op, value)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value is JSON.NULL:
            raise InvalidValue("a null of JSON instead of a document: None is NULL, and can be inside of a document")
        try:
            plain = _plain(value)
        except RecursionError:
            raise InvalidValue("a document of JSON that is nested too deep, or holds itself") from None
        return json.dumps(plain, **_COMPACT) if dialect.name == "sqlite" else plain

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return json.loads(value) if dialect.name == "sqlite" and value is not None else value


_COMPACT: dict[str, Any] = {"sort_keys": True, "ensure_ascii": False, "separators": (",", ":")}
"""As SQLite itself writes JSON, so that equal documents are equal texts."""


def _plain(value: Any) -> Any:
    """The value in the one form in which it is stored."""
    if value is None or isinstance(value, bool | int):
        return value
    convert = next((convert for kind, convert in _FORMS.items() if isinstance(value, kind)), None)
    if convert is None:
        raise InvalidValue(f"{type(value).__name__} is nothing that JSON can hold")
    return convert(value)


def _float(value: float) -> float | int:
    if not math.isfinite(value):
        raise InvalidValue("JSON holds no NaN and no infinity")
    # One database keeps such a number without saying that it was a float; and zero without a sign.
    return int(value) if abs(value) >= 1e16 else value + 0.0


def _text(value: str) -> str:
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidValue("a text in JSON with the character NUL, or with half of a surrogate pair")
    return value


def _object(value: dict[Any, Any]) -> dict[str, Any]:
    if not all(isinstance(key, str) for key in value):
        raise InvalidValue("a key in JSON that is no text")
    return {_text(key): _plain(item) for key, item in value.items()}


_FORMS: dict[type | tuple[type, ...], Callable[[Any], Any]] = {
    float: _float,
    str: _text,
    dict: _object,
    (list, tuple): lambda value: [_plain(item) for item in value],
}
