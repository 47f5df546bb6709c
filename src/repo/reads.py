"""The verbs that read."""

from collections.abc import Awaitable, Hashable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast, overload

from sqlalchemy import ScalarResult, Select, literal, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session

from repo.bound import M
from repo.engine import directly, loading, locking, lookups
from repo.engine.conditions import (
    KEYS,
    Condition,
    Key,
    KeyLike,
    Order,
    by_identities,
    identity,
    in_parts,
    not_found,
    ordering,
    terms,
)
from repo.engine.locking import Lock, Mode
from repo.engine.plans import Plans
from repo.engine.reach import Reach
from repo.errors import NotFound, UsageError
from repo.finding import Finding
from repo.gather import gather
from repo.pagination import Page, paging, with_key
from repo.scopes.batching import Shareable
from repo.scopes.call import Call
from repo.scopes.stream import Stream

T = TypeVar("T")


class Reads(Finding[M]):
    """What a repository reads. See ``Repository``."""

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
        return await self._got(key, load, lock)

    async def get_one(self, key: KeyLike, *, load: Any = None, lock: Lock | Mode | None = None) -> M:
        """The entity with this primary key.

        Raises:
            NotFound: there is no such row.
        """
        entity = await self._got(key, load, lock)
        if entity is None:
            raise not_found(self._mapper, [identity(self._mapper, key)])
        return entity

    def _got(self, key: KeyLike, load: Any, lock: Lock | Mode | None) -> Awaitable[M | None]:
        """The entity with this primary key, or None."""
        values = identity(self._mapper, key)
        get = _Get(self, values, load, lock)
        return self.scope.share(get) if lookups.shareable(self._mapper, values) else self.scope.perform(get.alone())

    async def get_many(self, keys: Iterable[KeyLike], *, load: Any = None, lock: Lock | Mode | None = None) -> list[M]:
        """The entities with these primary keys, in their order.

        Raises:
            NotFound: some do not exist; it lists them.
        """
        mapper = self._mapper
        wanted = [identity(mapper, key) for key in keys]
        distinct = list(dict.fromkeys(wanted))
        parts, reach = [by_identities(mapper, part) for part in in_parts(distinct)], self._reach()
        statements = [self._select(part, load=load, lock=lock, reach=reach) for part in parts]

        def by_key(entities: Iterable[M]) -> dict[Key, M]:
            return {tuple(mapper.primary_key_from_instance(entity)): entity for entity in entities}

        def work(own: Session) -> dict[Key, M]:
            return by_key(entity for statement in statements for entity in own.scalars(statement).unique())

        direct = None
        if load is None and lock is None and len(statements) == 1:
            reaching = partial(self._filtered, reach=reach)
            direct = directly.by_keys(
                self._plans(), mapper, lookups.padded(distinct), reaching, by_key, parts=reach.where
            )
        found = await self._read_at_once("get_many", work, len(statements), lock, direct) if statements else {}
        if missing := [key for key in distinct if key not in found]:
            raise not_found(mapper, missing)
        return [found[key] for key in wanted]

    async def one(self, *where: Condition, load: Any = None, lock: Lock | Mode | None = None) -> M:
        """The only entity that meets the conditions.

        Raises:
            NotFound: there is none.
            MultipleFound: there are several.
        """
        entity = await self._find("one", where, self._at_most_one, ordered=False, limit=2, load=load, lock=lock)
        if entity is None:
            raise NotFound(f"no {self.model.__name__} meets the condition")
        return entity

    async def one_or_none(self, *where: Condition, load: Any = None, lock: Lock | Mode | None = None) -> M | None:
        """The only entity that meets the conditions, or None.

        Raises:
            MultipleFound: there are several.
        """
        return await self._find("one_or_none", where, self._at_most_one, ordered=False, limit=2, load=load, lock=lock)

    async def first(
        self, *where: Condition, order_by: Order = None, load: Any = None, lock: Lock | Mode | None = None
    ) -> M | None:
        """The first entity in the order, or None; without an order, by primary key."""
        return await self._find("first", where, _first, order_by=order_by, limit=1, load=load, lock=lock)

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
        return await self._find("all", where, list, order_by=order_by, limit=limit, offset=offset, load=load, lock=lock)

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
        mapper, reach = self._mapper, self._reach()
        order = with_key(terms(mapper, reach.order(order_by)), mapper.primary_key, mapper.tables)
        wanted = paging(self.scope.dialect, order, str(mapper), limit=limit, after=after, before=before)
        statement = wanted.statement(self._select(*where, load=load, lock=lock, reach=reach))

        async def read() -> Page[M]:
            rows = await self._read("page", lambda own: list(own.execute(statement).unique()), lock)
            return wanted.page([row[0] for row in rows], [row[1:] for row in rows])

        if not total:
            return await read()
        page, count = await gather(read(), self._count(where, reach))
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
        reach = self._reach()
        order = ordering(self._mapper, reach.order(order_by))
        statement = self._select(*where, load=load, reach=reach).order_by(*order)

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

        def statement(reach: Reach) -> Select[Any]:
            return select(self._filtered(select(literal(1)).select_from(self.model), where, reach).exists())

        return await self._value("exists", where, self._reach(), statement, bool)

    async def count(self, *where: Condition) -> int:
        """How many rows meet the conditions."""
        return await self._count(where, self._reach())

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
        if many and (gone := await self._load(many, wanted, lookups.mark(paths))):
            raise not_found(self._mapper, gone)
        return entities

    async def _load(self, entities: Sequence[M], wanted: Sequence[Any], mark: Hashable) -> list[Key]:
        """Load relationships, together with others who load the same; the keys of entities whose rows are gone."""
        load = _Load(self, entities, wanted, mark)
        if len(entities) > KEYS:
            return await self._read_at_once("load", load.one, -(-len(entities) // KEYS))
        return await self.scope.share(load)


class _Get(Shareable[M | None]):
    """The read of one row by its primary key, and of several for as many callers."""

    __slots__ = ("_load", "_lock", "_reach", "_repository", "like", "wanted")

    verb = "get"

    def __init__(self, repository: Reads[M], key: Key, load: Any, lock: Lock | Mode | None) -> None:
        self._repository = repository
        self._load = load
        self._lock: Lock | Mode | None = lock
        self._reach = reach = repository._reach()
        self.wanted = key
        if load is None and lock is None and not repository._is_scoped:
            self.like = reach  # one for all repositories of the model that have no condition
        else:
            others = repository._brings_others(load)
            self.like = ("get", repository.model, lookups.mark(load), locking.mark(lock), reach.mark(others=others))

    @property
    def _plans(self) -> Plans | None:
        """The plans for it; None where it goes the long way."""
        return None if self._load is not None or self._lock is not None else self._repository._plans()

    def alone(self) -> Call[M | None]:
        repository, reach, key = self._repository, self._reach, self.wanted
        reaching = partial(repository._filtered, reach=reach)
        direct = directly.by_keys(self._plans, repository._mapper, [key], reaching, _first, parts=reach.where)
        work = repository._finding(reach, key, self._load, self._lock)
        return repository._call("get", work, self._lock, direct)

    def together(self, wanted: Sequence[Key]) -> Call[list[M | None]]:
        repository, reach, finder = self._repository, self._reach, self._finder()
        direct = finder.direct(self._plans, wanted, partial(repository._filtered, reach=reach), reach.where)
        return repository._call("get", lambda own: finder.find(own, wanted), self._lock, direct)

    def is_known(self, own: Session) -> bool:
        return self._finder().is_known(own, self.wanted)

    def _finder(self) -> lookups.Finder:
        repository, reach, load, lock = self._repository, self._reach, self._load, self._lock
        return lookups.Finder(
            repository._mapper,
            lambda keys: repository._among(reach, keys, load, lock),
            lambda own, key: repository._finding(reach, key, load, lock)(own),
            always=load is not None or lock is not None or repository._is_scoped,
            apart=repository.scope.detaches,
        )


class _Load(Shareable[list[Key]]):
    """The loading of relationships of entities, and of those of several callers: the keys whose rows are gone."""

    __slots__ = ("_load", "_repository", "like", "size", "wanted")

    verb = "load"

    def __init__(self, repository: Reads[M], entities: Sequence[M], wanted: Sequence[Any], mark: Hashable) -> None:
        reach = repository._reach()
        loader = loading.Loader(repository._mapper, [*wanted, *reach.options()], reach.where)
        self._repository: Reads[Any] = repository
        self._load = loader.apart if repository.scope.detaches else loader.shared
        self.wanted = entities
        self.size = len(entities)
        self.like = ("load", repository.model, mark, reach.mark(others=True))

    def one(self, own: Session) -> list[Key]:
        """What is done for this caller."""
        return self._load(own, [self.wanted])[0]

    def alone(self) -> Call[list[Key]]:
        return self._repository._call("load", self.one)

    def together(self, wanted: Sequence[Sequence[Any]]) -> Call[list[list[Key]]]:
        return self._repository._call("load", lambda own: self._load(own, wanted))


def _first(found: Sequence[Any]) -> Any:
    """The first of what was found, or None."""
    return found[0] if found else None


def _check_part(**numbers: int | None) -> None:
    """Refuse a negative limit or offset, which databases understand differently."""
    for name, number in numbers.items():
        if number is not None and number < 0:
            raise UsageError(f"{name} must not be negative, not {number}")
