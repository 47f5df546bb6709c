"""The verbs that read."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Generic, Self, TypeVar, cast, overload

from sqlalchemy import ScalarResult, Select, func, inspect, literal, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, Session

from repo.engine import execution, loading, lookups, versions
from repo.engine.conditions import (
    KEYS,
    Condition,
    Key,
    KeyLike,
    Order,
    by_identities,
    by_identity,
    conditions,
    identity,
    in_parts,
    mapper_of,
    metadata_of,
    not_found,
    ordering,
    terms,
)
from repo.engine.locking import Lock, Mode, locked
from repo.engine.unloaded import refuse_hidden_loads
from repo.errors import MultipleFound, NotFound, UsageError
from repo.gather import gather
from repo.pagination import Page, paging, with_key
from repo.scopes.batching import Lookup
from repo.scopes.call import Call
from repo.scopes.scope import Scope
from repo.scopes.session import SessionScope
from repo.scopes.stream import Stream

M = TypeVar("M")
T = TypeVar("T")


class Reads(Generic[M]):
    """What a repository reads. See ``Repository``."""

    model: ClassVar[type[Any]]
    """The mapped class; it comes from the type argument."""

    def __init__(self, scope: Scope | AsyncSession) -> None:
        if getattr(self, "model", None) is None:
            raise UsageError(
                "a repository is a class of its own with the model as its type argument: "
                "class Users(Repository[User]): ..."
            )
        self.scope: Scope = _as_scope(scope, type(self).__name__)
        """Where this repository's calls run."""
        refuse_hidden_loads(self._mapper)

    async def get(self, key: KeyLike, *, load: Any = None, lock: Lock | Mode | None = None) -> M | None:
        """The entity with this primary key, or None; a composite key is a tuple.

        Args:
            key: the value of the primary key, or a tuple of its values.
            load: relationships, or deferred columns, to load with it: an attribute, a path of
                attributes as a tuple, an option of SQLAlchemy, or a list of these.
            lock: inside a transaction, lock the row until it ends: ``"update"``,
                ``"no_key_update"``, ``"share"`` or a ``Lock``. What is pending is written first, and
                the row is read afresh.

        Raises:
            UsageError: there is no transaction to hold the lock.
        """
        values = identity(self._mapper, key)
        if lock is not None:
            return await self._read("get", self._finding(values, load, lock), lock)
        alone = Call("get", self._finding(values, load), metadata=metadata_of(self._mapper))
        if not lookups.shareable(self._mapper, values):
            return await self.scope.perform(alone)

        def together(keys: Sequence[Key]) -> Call[list[M | None]]:
            work = partial(lookups.find, mapper=self._mapper, select=select_of, keys=keys)
            return Call("get", work, metadata=metadata_of(self._mapper))

        def select_of(keys: Sequence[Key]) -> Select[Any]:
            return self._select(by_identities(self._mapper, keys), load=load)

        return await self.scope.look_up(Lookup((self.model, lookups.mark(load)), values, alone, together))

    async def get_one(self, key: KeyLike, *, load: Any = None, lock: Lock | Mode | None = None) -> M:
        """The entity with this primary key.

        Raises:
            NotFound: there is no such row.
        """
        entity = await self.get(key, load=load, lock=lock)
        if entity is None:
            raise not_found(self._mapper, [identity(self._mapper, key)])
        return entity

    async def get_many(self, keys: Iterable[KeyLike], *, load: Any = None, lock: Lock | Mode | None = None) -> list[M]:
        """The entities with these primary keys, in their order.

        Raises:
            NotFound: some do not exist; it lists them.
        """
        mapper = self._mapper
        wanted = [identity(mapper, key) for key in keys]
        distinct = list(dict.fromkeys(wanted))
        parts = [by_identities(mapper, part) for part in in_parts(distinct)]
        statements = [self._select(part, load=load, lock=lock) for part in parts]

        def work(own: Session) -> dict[tuple[Any, ...], M]:
            entities = [entity for statement in statements for entity in own.scalars(statement).unique()]
            return {tuple(mapper.primary_key_from_instance(entity)): entity for entity in entities}

        found = await self._read_at_once("get_many", work, len(statements), lock) if statements else {}
        if missing := [key for key in distinct if key not in found]:
            raise not_found(mapper, missing)
        return [found[key] for key in wanted]

    async def one(self, *where: Condition, load: Any = None, lock: Lock | Mode | None = None) -> M:
        """The only entity that meets the conditions.

        Raises:
            NotFound: there is none.
            MultipleFound: there are several.
        """
        entity = await self._at_most_one("one", self._select(*where, load=load, lock=lock), lock)
        if entity is None:
            raise NotFound(f"no {self.model.__name__} meets the condition")
        return entity

    async def one_or_none(self, *where: Condition, load: Any = None, lock: Lock | Mode | None = None) -> M | None:
        """The only entity that meets the conditions, or None.

        Raises:
            MultipleFound: there are several.
        """
        return await self._at_most_one("one_or_none", self._select(*where, load=load, lock=lock), lock)

    async def first(
        self, *where: Condition, order_by: Order = None, load: Any = None, lock: Lock | Mode | None = None
    ) -> M | None:
        """The first entity in the order, or None; without an order, by primary key."""
        order = ordering(self._mapper, order_by)
        statement = self._select(*where, load=load, lock=lock).order_by(*order).limit(1)
        return await self._read("first", lambda own: own.scalars(statement).unique().first(), lock)

    async def all(
        self,
        *where: Condition,
        order_by: Order = None,
        limit: int | None = None,
        offset: int | None = None,
        load: Any = None,
        lock: Lock | Mode | None = None,
    ) -> list[M]:
        """Every entity that meets the conditions; without an order, by primary key.

        Args:
            where: SQLAlchemy expressions over the model's own table; all of them must hold.
            order_by: an expression or a list of them. NULL sorts as the largest value.
            limit: at most so many.
            offset: without so many at the beginning.
            load: relationships to load with them, as for ``get``.
            lock: lock them inside a transaction, as for ``get``.
        """
        _check_part(limit=limit, offset=offset)
        order = ordering(self._mapper, order_by)
        statement = self._select(*where, load=load, lock=lock).order_by(*order).limit(limit).offset(offset)
        return await self._read("all", lambda own: list(own.scalars(statement).unique()), lock)

    async def page(
        self,
        *where: Condition,
        order_by: Order = None,
        limit: int = 50,
        after: str | None = None,
        before: str | None = None,
        total: bool = False,
        load: Any = None,
        lock: Lock | Mode | None = None,
    ) -> Page[M]:
        """Some of the entities that meet the conditions, with cursors for those after and before.

        Rows that come or go between two pages make no other row appear twice or not at all.

        Args:
            where: as for ``all``.
            order_by: an expression or a list of them, to which the primary key is added. NULL
                sorts as the largest value.
            limit: at most so many, at least 1.
            after: ``next`` of another page of this order.
            before: ``previous`` of another page of this order; the items are in the order, too.
            total: whether to count, by a further statement, what meets the conditions.
            load: relationships to load with them, as for ``get``.
            lock: lock them inside a transaction, as for ``get``.

        Raises:
            InvalidCursor: a cursor is not one of this order.
        """
        mapper = self._mapper
        order = with_key(terms(mapper, order_by), mapper.primary_key, mapper.tables)
        wanted = paging(self.scope.dialect, order, str(mapper), limit=limit, after=after, before=before)
        statement = wanted.statement(self._select(*where, load=load, lock=lock))

        async def read() -> Page[M]:
            rows = await self._read("page", lambda own: list(own.execute(statement).unique()), lock)
            return wanted.page([row[0] for row in rows], [row[1:] for row in rows])

        if not total:
            return await read()
        page, count = await gather(read(), self.count(*where))
        return replace(page, total=count)

    def stream(
        self,
        *where: Condition,
        order_by: Order = None,
        load: Any = None,
        chunk: int = 1000,
    ) -> Stream[M]:
        """The entities one after another, read from the database ``chunk`` at a time.

        Raises:
            UsageError: collections are loaded by a JOIN, which would have to be read as a whole.
        """
        if chunk < 1:
            raise UsageError(f"chunk must be at least 1, not {chunk}")
        order = ordering(self._mapper, order_by)
        statement = self._select(*where, load=load).order_by(*order)

        def start(own: Session) -> ScalarResult[M]:
            try:
                return own.scalars(statement, execution_options={"yield_per": chunk})
            except InvalidRequestError as error:
                raise UsageError(
                    f"{self.model.__name__} cannot be streamed with collections that are loaded by a JOIN: "
                    "load them by load=selectinload(...), or by nothing at all with load=lazyload(...)"
                ) from error

        return Stream(self.scope, start, chunk=chunk, detach=self.scope.detaches)

    async def exists(self, *where: Condition) -> bool:
        """Whether at least one row meets the conditions; the database stops at the first."""
        rows = select(literal(1)).select_from(self.model).where(*conditions(self._mapper, where))
        statement = select(rows.exists())
        return await self._read("exists", lambda own: bool(own.scalar(statement)))

    async def count(self, *where: Condition) -> int:
        """How many rows meet the conditions."""
        matching = conditions(self._mapper, where)
        statement = select(func.count()).select_from(self.model).where(*matching)
        return await self._read("count", lambda own: own.scalar(statement) or 0)

    @overload
    async def load(self, entities: M, /, *paths: Any) -> M: ...
    @overload
    async def load(self, entities: Sequence[M], /, *paths: Any) -> Sequence[M]: ...

    async def load(self, entities: M | Sequence[M], /, *paths: Any) -> M | Sequence[M]:
        """Load relationships of entities that were read before; gives the same entities.

        What is loaded already stays as it is, and so do changes; nothing is written.

        Args:
            entities: one stored entity, or several.
            paths: what to load, as for ``load=`` of ``get``.

        Raises:
            NotFound: the rows of some are gone.
        """
        wanted = loading.options(self._mapper, list(paths))
        if not wanted:
            raise UsageError("load() takes the relationships to load: load(user, User.orders)")
        single = isinstance(entities, self.model)
        many = [cast(M, entities)] if single else list(cast(Sequence[M], entities))
        for entity in many:
            self._check_stored(entity)
        if many:
            await self._read_at_once(
                "load", lambda own: loading.load(own, self._mapper, many, wanted), -(-len(many) // KEYS)
            )
        return entities

    def using(self, scope: Scope | AsyncSession) -> Self:
        """The same repository, with whatever else it was made with, over another scope."""
        other = copy.copy(self)
        other.scope = _as_scope(scope, type(self).__name__)
        return other

    @property
    def _mapper(self) -> Mapper[M]:
        return mapper_of(self.model)

    def _finding(self, key: Key, load: Any, lock: Lock | Mode | None = None) -> Callable[[Session], M | None]:
        """The work that finds one row by its primary key."""
        if load is None and lock is None:
            whole = execution.polymorphic(self._mapper)
            return lambda own: own.get(self.model, key, options=whole)
        statement = self._select(by_identity(self._mapper, key), load=load, lock=lock)
        return lambda own: own.scalars(statement).unique().one_or_none()

    def _select(self, *where: Condition, load: Any = None, lock: Lock | Mode | None = None) -> Select[Any]:
        """The model's rows that meet the conditions, with relationships to load and locks to take."""
        matching = conditions(self._mapper, where)
        statement = execution.whole(self._mapper).where(*matching)
        statement = statement.options(*loading.options(self._mapper, load))
        return statement if lock is None else locked(statement, lock)

    async def _at_most_one(self, verb: str, statement: Select[Any], lock: Lock | Mode | None) -> M | None:
        two = statement.limit(2)
        entities = await self._read(verb, lambda own: list(own.scalars(two).unique()), lock)
        if len(entities) > 1:
            raise MultipleFound(
                f"more than one {self.model.__name__} meets the condition; "
                "first() takes one of several, all() takes them all"
            )
        return entities[0] if entities else None

    async def _read(self, verb: str, work: Callable[[Session], T], lock: Lock | Mode | None = None) -> T:
        """Let the scope do a piece of reading."""
        if lock is not None and not self.scope.keeps_locks:
            raise UsageError(
                f"{verb} with lock= needs a transaction that keeps the lock; here it would be gone with the "
                "call: async with db.transaction() as tx, and the repository over tx"
            )

        def flushed(own: Session) -> T:
            versions.flush(own)
            return work(own)

        locking = lock is not None
        call = Call(verb, flushed if locking else work, writes=locking, metadata=metadata_of(self._mapper))
        return await self.scope.perform(call)

    async def _read_at_once(
        self, verb: str, work: Callable[[Session], T], parts: int, lock: Lock | Mode | None = None
    ) -> T:
        """Let the scope do a piece of reading of so many statements that must see the same moment."""
        if parts == 1:
            return await self._read(verb, work, lock)
        async with self.scope.reader() as scope:
            return await self.using(scope)._read(verb, work, lock)

    def _check_stored(self, entity: Any) -> None:
        """Refuse what is no entity of the model, or was never stored."""
        self._check_model(entity)
        if inspect(entity).key is None:
            raise UsageError(f"this {self.model.__name__} was never stored; use add()")

    def _check_model(self, entity: Any) -> None:
        """Refuse an object of another class."""
        if not isinstance(entity, self.model):
            raise UsageError(f"{type(self).__name__} takes {self.model.__name__}, not {type(entity).__name__}")


def _as_scope(scope: Scope | AsyncSession, name: str) -> Scope:
    """The scope to run on; a session of the user's becomes one."""
    if isinstance(scope, AsyncSession):
        return SessionScope(scope)
    if not isinstance(scope, Scope):
        raise UsageError(
            f"{name} takes a Database, a Transaction, a Snapshot or an AsyncSession, not {type(scope).__name__}"
        )
    return scope


def _check_part(**numbers: int | None) -> None:
    """Refuse a negative limit or offset, which databases understand differently."""
    for name, number in numbers.items():
        if number is not None and number < 0:
            raise UsageError(f"{name} must not be negative, not {number}")
