"""How a repository finds rows, one way or the other."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Integer, Select, func, select
from sqlalchemy.orm import Session

from repo.bound import Bound, M
from repo.engine import directly, execution
from repo.engine.conditions import Condition, Key, as_terms, by_identities, by_identity, ordering
from repo.engine.locking import Lock, Mode
from repo.engine.reach import Reach
from repo.errors import MultipleFound

T = TypeVar("T")

_INTEGER = Integer()


class Finding(Bound[M]):
    """What a repository finds rows by. See ``Repository``."""

    async def _count(self, where: Sequence[Condition], reach: Reach) -> int:
        """How many rows meet the conditions."""

        def statement(reach: Reach) -> Select[Any]:
            return self._filtered(select(func.count()).select_from(self.model), where, reach)

        return await self._value("count", where, reach, statement, int)

    def _finding(
        self, reach: Reach, key: Key, load: Any, lock: Lock | Mode | None = None
    ) -> Callable[[Session], M | None]:
        """The work that finds one row by its primary key."""
        if load is None and lock is None and not self._is_scoped:
            whole = execution.polymorphic(self._mapper)
            return lambda own: own.get(self.model, key, options=whole)
        statement = self._select(by_identity(self._mapper, key), load=load, lock=lock, reach=reach)
        return lambda own: own.scalars(statement).unique().one_or_none()

    def _among(self, reach: Reach, keys: Sequence[Key], load: Any, lock: Lock | Mode | None) -> Select[Any]:
        """The rows with these keys. Whoever locks several locks them in the same order, and nobody in a circle."""
        statement = self._select(by_identities(self._mapper, keys), load=load, lock=lock, reach=reach)
        return statement if lock is None else statement.order_by(*self._mapper.primary_key)

    async def _find(
        self,
        verb: str,
        where: Sequence[Condition],
        finish: Callable[[Sequence[Any]], T],
        *,
        order_by: Any = None,
        ordered: bool = True,
        limit: int | None = None,
        offset: int | None = None,
        load: Any = None,
        lock: Lock | Mode | None = None,
    ) -> T:
        """What is made of the entities that meet the conditions."""
        bounds = {name: number for name, number in (("limit", limit), ("offset", offset)) if number is not None}
        reach = self._reach()

        def completed(statement: Select[Any], numbers: Iterable[Any]) -> Select[Any]:
            statement = statement.order_by(*ordering(self._mapper, reach.order(order_by))) if ordered else statement
            for name, number in zip(bounds, numbers, strict=True):
                statement = getattr(statement, name)(number)
            return statement

        direct = None
        if load is None and lock is None:
            expressions = [*where, *as_terms(order_by)]
            short = directly.selected(
                self._plans(*expressions),
                self._mapper,
                (ordered, len(reach.where), len(where), *bounds),
                lambda columns, parameter: completed(
                    self._filtered(columns, where, reach), [parameter(_INTEGER) for _ in bounds]
                ),
                parts=[*reach.where, *expressions],
                values=[*bounds.values()],
            )
            direct = None if short is None else directly.Reading(short, self._mapper, finish)

        def statement() -> Select[Any]:
            return completed(self._select(*where, load=load, lock=lock, reach=reach), bounds.values())

        made = None if direct is not None else statement()

        def work(own: Session) -> T:
            return finish(list(own.scalars(statement() if made is None else made).unique()))

        return await self._read(verb, work, lock, direct)

    async def _value(
        self,
        verb: str,
        where: Sequence[Condition],
        reach: Reach,
        statement: Callable[[Reach], Select[Any]],
        finish: Callable[[Any], T],
    ) -> T:
        """What is made of the single value that a statement about the conditions yields."""
        direct = directly.value(
            self._plans(*where),
            self._mapper,
            (verb, len(where)),
            lambda: statement(reach),
            finish,
            parts=(*reach.where, *where),
        )
        made = None if direct is not None else statement(reach)
        return await self._read(
            verb, lambda own: finish(own.scalar(statement(reach) if made is None else made)), direct=direct
        )

    def _at_most_one(self, entities: Sequence[M]) -> M | None:
        """The only entity, or None."""
        if len(entities) > 1:
            raise MultipleFound(
                f"more than one {self.model.__name__} meets the condition; "
                "first() takes one of several, all() takes them all"
            )
        return entities[0] if entities else None
