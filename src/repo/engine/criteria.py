"""Criteria of a SELECT that its entities keep for what they load later, and can be pickled with.

This is the only place that names ``_traverse_internals``, by which SQLAlchemy finds a statement in its
cache. A SQLAlchemy without it compiles statements with criteria anew each time; a test notices.
"""

from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import LoaderCriteriaOption, UserDefinedOption


class Criteria(LoaderCriteriaOption):
    """A condition for the rows of a model, wherever in a SELECT they are read."""

    inherit_cache = False
    _traverse_internals = getattr(LoaderCriteriaOption, "_traverse_internals", None)  # type: ignore[assignment]

    def __init__(self, model: type[Any], where: ColumnElement[bool]) -> None:
        super().__init__(model, where, include_aliases=True)

    def __reduce__(self) -> tuple[Any, ...]:
        # SQLAlchemy's own cannot be pickled. What is elsewhere loads nothing by itself anyway.
        return UserDefinedOption, ()
