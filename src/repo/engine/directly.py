"""The short way: a statement that the driver runs itself, on a connection of SQLAlchemy's pool.

SQLAlchemy builds and compiles the statement, once for each shape; the rows become entities or values
at once. What needs more than that goes the long way, by a session: which of the two is decided once
for each shape of statement and model, and told to the hooks as ``LongWay``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from sqlalchemy import BindParameter, Select, bindparam, select
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.types import TypeEngine

from repo.dialects.base import Dialect
from repo.engine import hydration
from repo.engine.conditions import Key, among, by_identity
from repo.engine.plans import Plan, Plans, signature

T = TypeVar("T")

Finish = Callable[[Sequence[Any]], T]


class NotDirectly(Exception):
    """The call has to go the long way after all; nothing has happened."""


class Statement:
    """A plan with values.

    Raises:
        Exception: a type does not take a value.
    """

    __slots__ = ("plan", "text", "values")

    def __init__(self, plan: Plan, values: Sequence[Any]) -> None:
        self.plan = plan
        self.text, self.values = plan.bound(values)


@dataclass(frozen=True, slots=True)
class Way:
    """A connection on which statements go the short way."""

    dialect: Dialect
    driver: Any
    """The driver's connection."""
    seconds: float | None = None
    """What a statement may take; None means no limit."""
    own: Session | None = None
    """The session to which entities belong that are read or written; None for none."""

    async def fetch(self, statement: Statement) -> Sequence[Any]:
        """The rows that a statement yields, with Python's values."""
        plan = statement.plan
        if plan.reading is None:
            await self._learn(statement)
        try:
            rows = await self.dialect.fetch(self.driver, statement.text, statement.values, self.seconds)
        except self.dialect.unexplained as error:
            raise NotDirectly from error
        plan.rows = len(rows)
        return plan.read(rows)

    async def fetch_many(self, statements: Sequence[Statement]) -> Sequence[Any]:
        """The rows that statements of one text yield, those of the first one first; in a transaction.

        If it has to be done the long way after all, none of them has done anything.
        """
        first, sets = statements[0], [statement.values for statement in statements]
        if first.plan.reading is None:
            await self._learn(first)
        try:
            rows = await self.dialect.fetch_many(self.driver, first.text, sets, self.seconds)
        except self.dialect.unexplained as error:
            raise NotDirectly from error
        return first.plan.read(rows)

    async def fetch_each(self, statements: Mapping[int, Statement]) -> Mapping[int, Sequence[Any] | None]:
        """The rows that each statement yields, as the driver has them, committed together; None: it has done nothing.

        Args:
            statements: each with its number, with which its row ends, if it yields one.
        """
        try:
            for statement in statements.values():
                if statement.plan.reading is None:
                    await self._learn(statement)
        except Exception:
            return dict.fromkeys(statements)
        try:
            sent = {number: (statement.text, statement.values) for number, statement in statements.items()}
            return await self.dialect.fetch_each(self.driver, sent)
        except self.dialect.unexplained:
            return dict.fromkeys(statements)

    async def _learn(self, statement: Statement) -> None:
        """Ask the driver what it calls the types of the columns that a statement yields."""
        statement.plan.learn(await self.dialect.codes(self.driver, statement.text))


class Direct(ABC, Generic[T]):
    """A call that may go the short way."""

    __slots__ = ()

    @property
    def entities(self) -> Sequence[object]:
        """The entities that it writes, which may have changes."""
        return ()

    @property
    def reads_by(self) -> Plan | None:
        """The plan of the only statement that it sends, if that is one that reads."""
        return None

    @abstractmethod
    async def run(self, way: Way) -> T:
        """Do it.

        Raises:
            NotDirectly: it has to go the long way.
        """


class Reading(Direct[T]):
    """A statement, and what is made of its rows, or of their entities.

    Args:
        statement: what is sent.
        mapper: the model of which its rows are entities; None where they are just rows.
        finish: makes the result.
        keys: those of the rows that it is about. A session that has one of them goes the long way: it
            gives what it has, or has to be told.
    """

    __slots__ = ("_finish", "_keys", "_mapper", "_statement")

    def __init__(
        self,
        statement: Statement,
        mapper: Mapper[Any] | None,
        finish: Finish[T],
        keys: tuple[Mapper[Any], Sequence[Key]] | None = None,
    ) -> None:
        self._statement = statement
        self._mapper = mapper
        self._finish = finish
        self._keys = keys

    @property
    def reads_by(self) -> Plan | None:
        return self._statement.plan

    async def run(self, way: Way) -> T:
        if way.own is not None and self._keys is not None and _has_one(way.own, *self._keys):
            raise NotDirectly
        rows = await way.fetch(self._statement)
        if self._mapper is None:
            return self._finish(rows)
        if way.own is None:
            return self._finish(hydration.hydrator(self._mapper)(rows))
        try:
            return self._finish(hydration.attached(way.own, self._mapper, rows))
        except LookupError as error:
            raise NotDirectly from error


Parameter = Callable[[TypeEngine[Any]], BindParameter[Any]]
"""Makes a parameter of a statement that is being built, for the next of its values."""


def prepared(
    plans: Plans,
    mapper: Mapper[Any],
    shape: Hashable,
    build: Callable[[Parameter], Any],
    *,
    parts: Sequence[Any] = (),
    values: Sequence[Any] = (),
    refusal: Callable[[Mapper[Any]], str | None] = hydration.refusal,
) -> Statement | None:
    """A statement about a model's rows; None where it goes the long way.

    Args:
        plans: those of the scope.
        mapper: the model's.
        shape: what makes it another statement, besides the shape of the parts.
        build: makes it, once for each shape, with a parameter for each of ``values`` in their order.
        parts: the expressions in it that have values of the caller's.
        values: those besides.
        refusal: why statements about the model go the long way, if they do.

    Raises:
        UsageError: ``build`` refuses something.
    """
    signed = signature(*parts)
    if signed is None:
        return None
    key = (shape, mapper, signed.key)
    plan = plans.known(key) or plans.keep(key, mapper.class_, refusal(mapper) or _plan(plans, build, signed.parameters))
    return stated(plan, [*signed.values, *values] if parts else values)


def _plan(plans: Plans, build: Callable[[Parameter], Any], others: Sequence[BindParameter[Any]]) -> Plan | str:
    """The plan of a statement that is built with parameters of its own, after others; or why there is none."""
    parameters: list[BindParameter[Any]] = []

    def parameter(kind: TypeEngine[Any]) -> BindParameter[Any]:
        parameters.append(bindparam(None, type_=kind, required=False))
        return parameters[-1]

    statement = build(parameter)
    return plans.plan(statement, [*others, *parameters])


def stated(plan: Plan | str, values: Sequence[Any]) -> Statement | None:
    """A plan with values; None without a plan, or where a type does not take a value, which the long way will tell."""
    try:
        return None if isinstance(plan, str) else Statement(plan, values)
    except Exception:
        return None


def selected(
    plans: Plans | None,
    mapper: Mapper[Any],
    shape: Hashable,
    select_of: Callable[[Select[Any], Parameter], Select[Any]],
    *,
    parts: Sequence[Any] = (),
    values: Sequence[Any] = (),
) -> Statement | None:
    """The SELECT of a model's columns, of which entities can be made; None where it goes the long way.

    Args:
        plans: those of the scope.
        mapper: the model's.
        shape: as for ``prepared``.
        select_of: completes the SELECT, as ``build`` of ``prepared``.
        parts: as for ``prepared``.
        values: as for ``prepared``.
    """
    if plans is None or hydration.is_listened_to(mapper):
        return None

    def build(parameter: Parameter) -> Select[Any]:
        return select_of(select(*hydration.columns(mapper)), parameter)

    return prepared(plans, mapper, ("select", shape), build, parts=parts, values=values)


def by_keys(
    plans: Plans | None,
    mapper: Mapper[Any],
    keys: Sequence[Key],
    reaching: Callable[[Select[Any], Sequence[Any]], Select[Any]],
    finish: Finish[T],
    *,
    parts: Sequence[Any] = (),
    rows: bool = False,
) -> Direct[T] | None:
    """The read of entities by their keys, in any order; None where it goes the long way.

    Args:
        plans: those of the scope.
        mapper: the model's.
        keys: the primary keys.
        reaching: adds the condition to the SELECT, and what else must hold.
        finish: makes the result of the entities.
        parts: as for ``prepared``.
        rows: whether ``finish`` takes the rows in place of entities.
    """
    columns = mapper.primary_key

    def select_of(statement: Select[Any], parameter: Parameter) -> Select[Any]:
        given = [tuple(parameter(column.type) for column in columns) for _ in keys]
        return reaching(statement, [by_identity(mapper, given[0]) if len(given) == 1 else among(columns, given)])

    values = [*chain.from_iterable(keys)]
    statement = selected(plans, mapper, len(keys), select_of, parts=parts, values=values)
    return None if statement is None else Reading(statement, None if rows else mapper, finish, (mapper, keys))


def value(
    plans: Plans | None,
    mapper: Mapper[Any],
    shape: Hashable,
    select_of: Callable[[], Select[Any]],
    finish: Callable[[Any], T],
    *,
    parts: Sequence[Any],
) -> Direct[T] | None:
    """The read of a single value; None where it goes the long way."""
    if plans is None:
        return None
    statement = prepared(plans, mapper, ("value", shape), lambda _: select_of(), parts=parts, refusal=lambda _: None)
    return None if statement is None else Reading(statement, None, lambda rows: finish(rows[0][0]))


def _has_one(own: Session, mapper: Mapper[Any], keys: Sequence[Key]) -> bool:
    """Whether a session has an entity of one of the keys."""
    return any(mapper.identity_key_from_primary_key(key) in own.identity_map for key in keys)
