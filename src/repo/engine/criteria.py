"""Criteria of a SELECT that hold for aliases, too, and with which entities can be pickled.

Two private names of SQLAlchemy's ``LoaderCriteriaOption`` stand here and nowhere else. By
``_traverse_internals`` it finds a statement in its cache: without, it compiles those with criteria
anew each time. What ``_resolve_where_criteria`` gives is not asked of an alias that is joined by a
condition: without, such a join reads what it should not. Tests notice both.
"""

from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import LoaderCriteriaOption, UserDefinedOption

from repo.engine.rules import of_alias


class Criteria(LoaderCriteriaOption):
    """A condition for the rows of a model, wherever in a SELECT they are read."""

    inherit_cache = False
    _traverse_internals = getattr(LoaderCriteriaOption, "_traverse_internals", None)  # type: ignore[assignment]  # declared otherwise

    def __init__(self, model: type[Any], where: ColumnElement[bool]) -> None:
        super().__init__(model, where, include_aliases=True)

    def __reduce__(self) -> tuple[Any, ...]:
        # Entities keep it for what they load later; elsewhere that is nothing.
        return UserDefinedOption, ()

    def _resolve_where_criteria(self, ext_info: Any) -> ColumnElement[bool]:
        condition = super()._resolve_where_criteria(ext_info)
        return of_alias(ext_info.mapper, condition, ext_info.entity) if ext_info.is_aliased_class else condition
