"""SELECTs of the user's own on the short way."""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import BindParameter, ColumnElement, Executable, Row, Select, inspect
from sqlalchemy.orm import ColumnProperty, Mapper, Session
from sqlalchemy.orm.attributes import QueryableAttribute

from repo.engine import hydration
from repo.engine.directly import Direct, Finish, Reading, Statement, stated
from repo.engine.plans import Plan, Plans, signature

T = TypeVar("T")


class Asked(NamedTuple):
    """A SELECT that can go the short way."""

    statement: Statement
    mapper: Mapper[Any] | None
    """The model, if it is of entities."""

    def scalars(self) -> Direct[list[Any]]:
        """The first column of every row."""
        finish: Finish[list[Any]] = list if self.mapper is not None else lambda rows: [row[0] for row in rows]
        return Reading(self.statement, self.mapper, finish)

    def scalar(self) -> Direct[Any]:
        """The first column of the first row."""
        if self.mapper is not None:
            return Reading(self.statement, self.mapper, lambda found: found[0] if found else None)
        return Reading(self.statement, None, lambda rows: rows[0][0] if rows else None)

    def rows(self, into: Callable[..., Any] | None) -> Direct[list[Any]] | None:
        """All rows; None as long as it is not known what their columns are called."""
        frame = self.statement.plan.frame
        if frame is None:
            return None
        wrap = self.mapper is not None

        def finish(found: Sequence[Any]) -> list[Any]:
            rows: Any = [(each,) for each in found] if wrap else found
            if into is not None:
                named = map(dict, map(zip, repeat(list(frame.metadata.keys)), rows))
                return list(named) if into is dict else [into(**values) for values in named]
            return list(frame.with_new_rows(rows)().all())

        return Reading(self.statement, self.mapper, finish)


def asked(plans: Plans | None, statement: Executable, params: Any) -> Asked | None:
    """What there is to know of a statement that can go the short way; None where it goes the long way."""
    if plans is None or params is not None or not isinstance(statement, Select):
        return None
    signed = signature(statement)
    if signed is None:
        return None
    key = ("asked", signed.key)
    plan = plans.known(key) or plans.keep(key, Select, _plan(plans, statement, signed.parameters))
    if isinstance(plan, str) or (plan.mapper is not None and hydration.is_listened_to(plan.mapper)):
        return None
    with_values = stated(plan, signed.values)
    return None if with_values is None else Asked(with_values, plan.mapper)


def _plan(plans: Plans, statement: Select[Any], parameters: Sequence[BindParameter[Any]]) -> Plan | str:
    """The plan of a SELECT, or why there is none."""
    mapper = _only_entity(statement)
    if reason := _refusal(statement, mapper):
        return reason
    plain: Any = statement
    if mapper is not None:
        attributes = [getattr(mapper.class_, each.key) for each in hydration.loaded(mapper)]
        plain = statement.with_only_columns(*attributes, maintain_column_froms=True)
    plan = plans.plan(plain, parameters)
    if isinstance(plan, Plan):
        plan.mapper = mapper
    return plan


def rows(own: Session, statement: Executable, params: Any, plan: Plan | None) -> Sequence[Row[Any]]:
    """The rows on the long way, after which it is known what their columns are called."""
    result = own.execute(statement, params)
    if plan is None:
        return result.all()
    frozen = result.freeze()
    plan.frame = frozen.with_new_rows([])
    return frozen().all()


def _only_entity(statement: Select[Any]) -> Mapper[Any] | None:
    """The model of which a SELECT yields entities, and nothing else."""
    described = statement.column_descriptions
    if len(described) != 1:
        return None
    found = inspect(described[0]["expr"], raiseerr=False)
    return found if isinstance(found, Mapper) else None


def _refusal(statement: Select[Any], mapper: Mapper[Any] | None) -> str | None:
    """Why a SELECT goes the long way; None if it does not."""
    if statement._with_options:
        return "it has options for how entities are loaded"
    if statement.get_execution_options():
        return "it has options for how it is executed"
    if mapper is not None:
        return hydration.refusal(mapper)
    if not all(_is_column(column["expr"]) for column in statement.column_descriptions):
        return "it yields more than columns"
    return None


def _is_column(found: Any) -> bool:
    """Whether what is selected is one column, by an attribute or as an expression."""
    if isinstance(found, QueryableAttribute):
        return isinstance(found.property, ColumnProperty)
    return isinstance(found, ColumnElement)
