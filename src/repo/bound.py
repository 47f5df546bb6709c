"""A repository bound to a scope, and the rows that it reaches."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

from sqlalchemy import Select, and_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.attributes import instance_state

from repo.engine import execution, loading, versions
from repo.engine.conditions import Condition, check_columns, conditions, mapper_of, metadata_of
from repo.engine.directly import Direct
from repo.engine.locking import Lock, Mode, locked
from repo.engine.plans import Plans
from repo.engine.reach import Reach, asks_others, brings_others, everything
from repo.engine.rules import Carried, Rules, Where, settled
from repo.engine.unloaded import refuse_hidden_loads
from repo.errors import UsageError
from repo.scopes.call import Call
from repo.scopes.scope import Scope
from repo.scopes.session import SessionScope

M = TypeVar("M")
T = TypeVar("T")


class Bound(Generic[M]):
    """What a repository is bound to. See ``Repository``."""

    model: ClassVar[type[Any]]
    """The mapped class; it comes from the type argument."""

    _is_scoped: ClassVar[bool] = False
    """Whether the class says which rows it reaches, or what new ones get."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        said = ("condition", "defaults", "related_condition")
        cls._is_scoped = any(getattr(cls, name) is not getattr(Bound, name) for name in said)

    def __init__(self, scope: Scope | AsyncSession) -> None:
        if getattr(self, "model", None) is None:
            raise UsageError(
                "a repository is a class of its own with the model as its type argument: "
                "class Users(Repository[User]): ..."
            )
        self.scope: Scope = _as_scope(scope, type(self).__name__)
        """Where this repository's calls run."""
        self._mapper: Mapper[M] = mapper_of(self.model)
        self._metadata = partial(metadata_of, self._mapper)
        refuse_hidden_loads(self._mapper)

    def using(self, scope: Scope | AsyncSession) -> Self:
        """The same repository, with whatever else it was made with, over another scope."""
        other = copy.copy(self)
        other.scope = _as_scope(scope, type(self).__name__)
        return other

    def condition(self) -> Condition | None:
        """What every row of this repository meets; to be overridden. None means that it reaches all rows.

        It holds for every verb and for ``select``. A column that it compares to a value
        (``Order.tenant_id == self.tenant``, ``in_``) cannot get another one through this repository;
        any other condition (``Order.deleted_at.is_(None)``) says which rows are there, no more.
        """
        return None

    def defaults(self) -> Mapping[str, Any]:
        """The values that new rows get by attribute name where they are given none; to be overridden."""
        return {}

    def related_condition(self, model: type[Any]) -> Condition | None:
        """What rows of another model meet that are loaded, or written, along with this one's; to be overridden.

        By default the parts of ``condition`` that are about columns which the other model has by the
        same names. The primary key alone, and subqueries, mean this model only.
        """
        condition = Carried(self._mapper, self._where())(mapper_of(model))
        return and_(*condition) if condition else None

    def select(self, *columns: Any) -> Select[Any]:
        """A SELECT of your own over the rows that this repository reaches: ``self.select(func.sum(Order.total))``.

        ``condition`` holds for it wherever the model comes up, aliased, joined or in a subquery of
        it; and so does ``related_condition`` for other models.

        Args:
            columns: what to select; nothing means entities of the model.
        """
        reach = self._reach()
        statement: Any = select(*columns).select_from(self.model) if columns else execution.whole(self._mapper)
        return cast(Select[Any], statement.where(*reach.where).options(*reach.options(all_models=True)))

    def _reach(self) -> Reach:
        """The rows that this repository reaches now."""
        if not self._is_scoped:
            return everything(self._mapper)
        mapper, where, defaults = self._mapper, self._where(), self.defaults()
        check_columns(mapper, defaults)

        def related(other: Mapper[Any]) -> Where:
            return _checked(other, self.related_condition(other.class_))

        is_said = type(self).related_condition is not Bound.related_condition
        return Reach(Rules(mapper, where, defaults), related if is_said else Carried(mapper, where))

    def _where(self) -> Where:
        """The repository's condition."""
        return _checked(self._mapper, self.condition())

    def _select(
        self, *where: Condition, load: Any = None, lock: Lock | Mode | None = None, reach: Reach | None = None
    ) -> Select[Any]:
        """The model's rows that meet the conditions, with relationships to load and locks to take."""
        reach = reach or self._reach()
        statement = self._filtered(execution.whole(self._mapper), where, reach)
        if self._brings_others(load):
            statement = statement.options(*reach.options(), *loading.options(self._mapper, load))
        return statement if lock is None else locked(statement, lock)

    def _brings_others(self, load: Any) -> bool:
        """Whether a SELECT of entities asks other tables, too."""
        return load is not None or brings_others(self._mapper)

    def _filtered(self, statement: Select[Any], where: Sequence[Condition], reach: Reach) -> Select[Any]:
        """The statement with conditions, those of the repository among them."""
        return statement.where(*reach.where, *reach.within(conditions(self._mapper, where)))

    def _plans(self, *expressions: Any) -> Plans | None:
        """The plans of the scope; None where a plan would keep what other models' rows must meet."""
        if self._is_scoped and (brings_others(self._mapper) or asks_others(expressions)):
            return None
        return self.scope.plans

    async def _read(
        self,
        verb: str,
        work: Callable[[Session], T],
        lock: Lock | Mode | None = None,
        direct: Direct[T] | None = None,
    ) -> T:
        """Let the scope do a piece of reading."""
        return await self.scope.perform(self._call(verb, work, lock, direct))

    def _call(
        self,
        verb: str,
        work: Callable[[Session], T],
        lock: Lock | Mode | None = None,
        direct: Direct[T] | None = None,
    ) -> Call[T]:
        """A piece of reading, before which is written what is pending if it locks."""
        if lock is None:
            return Call(verb, work, metadata=self._metadata, direct=direct)
        if not self.scope.keeps_locks:
            raise UsageError(
                f"{verb} with lock= needs a transaction that keeps the lock; here it would be gone with the "
                "call: async with db.transaction() as tx, and the repository over tx"
            )

        def flushed(own: Session) -> T:
            versions.flush(own)
            return work(own)

        return Call(verb, flushed, writes=True, metadata=self._metadata, direct=direct)

    async def _read_at_once(
        self,
        verb: str,
        work: Callable[[Session], T],
        parts: int,
        lock: Lock | Mode | None = None,
        direct: Direct[T] | None = None,
    ) -> T:
        """Let the scope do a piece of reading of so many statements that must see the same moment."""
        if parts == 1:
            return await self._read(verb, work, lock, direct)
        async with self.scope.reader() as scope:
            return await self.using(scope)._read(verb, work, lock)

    def _check_stored(self, entity: Any) -> None:
        """Refuse what is no entity of the model, or was never stored."""
        self._check_model(entity)
        if instance_state(entity).key is None:
            raise UsageError(f"this {self.model.__name__} was never stored; use add()")

    def _check_model(self, entity: Any) -> None:
        """Refuse an object of another class."""
        if not isinstance(entity, self.model):
            raise UsageError(f"{type(self).__name__} takes {self.model.__name__}, not {type(entity).__name__}")


def _checked(mapper: Mapper[Any], condition: Condition | None) -> Where:
    """What a repository says of the rows of a model, as it can stand in any statement."""
    return () if condition is None else tuple(settled(mapper, each) for each in conditions(mapper, [condition]))


def _as_scope(scope: Scope | AsyncSession, name: str) -> Scope:
    """The scope to run on; a session of the user's becomes one."""
    if isinstance(scope, AsyncSession):
        return SessionScope(scope)
    if not isinstance(scope, Scope):
        raise UsageError(
            f"{name} takes a Database, a Transaction, a Snapshot or an AsyncSession, not {type(scope).__name__}"
        )
    return scope
