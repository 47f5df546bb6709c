"""The verbs that write."""

from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from functools import partial
from typing import Any, Literal, TypeVar, overload

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from repo.bound import M
from repo.engine import bulk, changes, entities, storing, versions
from repo.engine.border import About
from repo.engine.conditions import (
    Condition,
    KeyLike,
    check_names,
    conditions,
    identity,
    new_values,
    not_found,
)
from repo.engine.directly import Direct
from repo.engine.plans import Plans
from repo.engine.reach import Reach
from repo.engine.rows import Intake
from repo.engine.sources import CHUNK, Chunk, check_source, chunks
from repo.engine.together import ByItself, Several, Together
from repo.engine.writing import RowWrite
from repo.errors import UsageError
from repo.reads import Reads
from repo.scopes.batching import Shareable
from repo.scopes.call import Call
from repo.scopes.scope import Scope

T = TypeVar("T")

Source = Iterable[M | Mapping[str, Any]] | AsyncIterable[M | Mapping[str, Any]]


class Writes(Reads[M]):
    """What a repository writes. See ``Repository``."""

    async def add(self, entity: M) -> M:
        """Store a new entity; the same object comes back with its key and the defaults.

        New entities on its relationships are stored with it. If it fails, they all are as before.

        Raises:
            ConstraintViolation: the database refuses the row.
            UsageError: it is stored already; ``update`` is for that.
        """
        self._check_model(entity)
        entities.refuse_stored(entity)
        stored: M = await self._write_row("add", storing.add(self.scope.plans, self._reach(), entity))
        return stored

    @overload
    async def add_many(
        self,
        source: Source[M],
        *,
        returning: Literal[False] = False,
        progress: Callable[[int], object] | None = None,
    ) -> int: ...
    @overload
    async def add_many(
        self,
        source: Source[M],
        *,
        returning: Literal[True],
        progress: Callable[[int], object] | None = None,
    ) -> list[M]: ...

    async def add_many(
        self,
        source: Source[M],
        *,
        returning: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> int | list[M]:
        """Store many new rows by the database's shortest way: all of them, or none.

        Args:
            source: entities or mappings of attribute names to values; a list, a generator or an
                asynchronous generator, which may be longer than memory. It is read as it is stored;
                an asynchronous one, where only one transaction can write at a time, is read to its
                end before that begins. Only columns are stored, no relationships.
            returning: give the stored entities, in the order of the source, instead of a number.
                They are new objects; entities of the source stay as they are.
            progress: called with the number of rows stored so far, after every few thousand.

        Raises:
            ConstraintViolation: the database refuses a row.
            UsageError: an item is neither an entity of the model nor a mapping of its attributes.
        """
        mapper, dialect, intake = self._mapper, self.scope.dialect, Intake(self._reach(), "add_many")
        if not returning:
            return await self._store_all(
                source, intake, lambda chunk, own: bulk.add(own, dialect, chunk), progress, bulk.Load
            )
        stored: list[M] = []

        def add(chunk: Chunk, own: Session) -> None:
            stored.extend(bulk.add_returning(own, dialect, mapper, chunk.groups))

        await self._store_all(source, intake, add, progress)
        return stored

    async def update(self, entity_or_key: M | KeyLike, /, **values: Any) -> M:
        """Change one row, and give its entity.

        Of an entity, what was changed on it before is written as well, with its version checked;
        if that fails, it is as before. An entity on which nothing was changed is not written.

        Args:
            entity_or_key: a stored entity, or a primary key.
            values: new values by attribute name. A version among them is the one in which the row is
                expected, unless the model leaves its versions to whoever writes.

        Raises:
            NotFound: there is no such row any more.
            StaleData: someone else changed the row since the entity was read, or since it had the
                version that is expected.
            ConstraintViolation: the database refuses the row.
        """
        check_names(self._mapper, values)
        reach = self._reach()
        if isinstance(entity_or_key, self.model):
            self._check_stored(entity_or_key)
            written: M = await self._write_row("update", storing.change(self.scope.plans, reach, entity_or_key, values))
            return written
        key = identity(self._mapper, entity_or_key)
        reach.own.check(values)
        changed: M | None = await self._write_row("update", storing.change_by_key(self.scope.plans, reach, key, values))
        if changed is None:
            raise not_found(self._mapper, [key])
        return changed

    @overload
    async def update_where(
        self, *where: Condition, values: Mapping[Any, Any], returning: Literal[False] = False
    ) -> int: ...
    @overload
    async def update_where(self, *where: Condition, values: Mapping[Any, Any], returning: Literal[True]) -> list[M]: ...

    async def update_where(
        self,
        *where: Condition,
        values: Mapping[Any, Any],
        returning: bool = False,
    ) -> int | list[M]:
        """Change every row that meets the conditions: how many, or with ``returning`` the entities.

        Args:
            where: SQLAlchemy expressions over the model's own table; all of them must hold.
            values: new values, or expressions over the row's old ones, by attribute or its name.
            returning: give the changed entities, in no order, instead of a number.

        Raises:
            UsageError: there is no condition; ``sqlalchemy.true()`` says all rows.
        """
        reach = self._reach()
        matching = self._required(where, "update_where", reach)
        named = new_values(self._mapper, values)
        versions.refuse_new(self._mapper, named)
        reach.own.check(named)
        return await self._write(
            "update_where", reach, lambda own: changes.update_where(own, reach, matching, named, returning=returning)
        )

    async def update_many(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Change many rows, each by the primary key that it holds: how many. All of them, or none.

        The rows are locked first, a thousand keys at a time and in the order of the keys; then they
        are changed, all those together that name the same columns.

        Args:
            rows: mappings of attribute names to values, the key among them. A version among them
                is the one in which the row is expected.

        Raises:
            NotFound: a row does not exist.
            StaleData: a row does not have the version that is expected.
        """
        given = list(rows)
        if not given:
            return 0
        reach = self._reach()
        async with self.scope.unit() as unit:
            return await self.using(unit)._write("update_many", reach, lambda own: bulk.update(own, reach, given))

    async def delete(self, entity_or_key: M | KeyLike, /) -> bool:
        """Delete one row by one DELETE: whether it was there.

        What refers to the row is up to the database: its foreign keys cascade, set NULL or refuse.

        Raises:
            ForeignKeyViolation: other rows refer to it.
            StaleData: the entity has a version, and someone else changed the row since.
        """
        plans, reach = self.scope.plans, self._reach()
        if not isinstance(entity_or_key, self.model):
            return await self._write_row("delete", storing.delete(plans, reach, identity(self._mapper, entity_or_key)))
        self._check_stored(entity_or_key)
        return await self._write_row("delete", storing.delete_entity(plans, reach, entity_or_key))

    @overload
    async def delete_where(self, *where: Condition, returning: Literal[False] = False) -> int: ...
    @overload
    async def delete_where(self, *where: Condition, returning: Literal[True]) -> list[M]: ...

    async def delete_where(self, *where: Condition, returning: bool = False) -> int | list[M]:
        """Delete every row that meets the conditions: how many, or the entities that there were.

        Raises:
            UsageError: there is no condition; ``sqlalchemy.true()`` says all rows.
            ForeignKeyViolation: other rows refer to one of them.
        """
        reach = self._reach()
        matching = self._required(where, "delete_where", reach)
        return await self._write(
            "delete_where", reach, lambda own: changes.delete_where(own, reach, matching, returning=returning)
        )

    async def _store_all(
        self,
        source: Source[M],
        intake: Intake,
        store: Callable[[Chunk, Session], None],
        progress: Callable[[int], object] | None,
        load: Callable[[Plans, Chunk], Direct[None]] | None = None,
    ) -> int:
        """Store all of a source or nothing, the short way where that is ``load``: how many."""
        check_source(self._mapper, source, intake.verb)
        unit: AbstractAsyncContextManager[Scope] = nullcontext(self.scope)
        plans = None
        # Where each call is all or nothing by itself, one is enough for what it takes; nothing can fail after it.
        if self.scope.detaches and isinstance(source, list | tuple) and len(source) <= CHUNK and progress is None:
            source = tuple(source)  # which does not grow meanwhile
            plans = self.scope.plans
        else:
            unit = self.scope.unit()
        count = 0
        async with aclosing(chunks(source, intake, ahead=self.scope.dialect.one_writer)) as given:
            chunk = await anext(given, None)
            if chunk is None:
                return 0
            async with unit as scope:
                inside = self.using(scope)
                while chunk is not None:
                    direct = None if load is None or plans is None else load(plans, chunk)
                    await inside._write(intake.verb, intake.reach, partial(store, chunk), direct)
                    count += chunk.count
                    if progress is not None:
                        progress(count)
                    chunk = await anext(given, None)
        return count

    def _required(self, where: Sequence[Condition], verb: str, reach: Reach) -> tuple[ColumnElement[bool], ...]:
        """The conditions of a verb that must not be called without one."""
        if not where:
            raise UsageError(
                f"{verb} without a condition would reach every {self.model.__name__}; "
                "if that is meant, say sqlalchemy.true()"
            )
        return reach.within(conditions(self._mapper, where))

    async def _write(self, verb: str, reach: Reach, work: Callable[[Session], T], direct: Direct[T] | None = None) -> T:
        """Let the scope do a piece of writing, which reads nothing out of reach along with it."""

        def kept(own: Session) -> T:
            with reach.kept(own):
                return work(own)

        return await self.scope.perform(Call(verb, kept, writes=True, metadata=self._metadata, direct=direct))

    async def _write_row(self, verb: str, write: RowWrite[T]) -> T:
        """Let the scope write one row; its entity is as before also if the COMMIT fails."""
        together = self.scope.writes_together(write) if write.is_short else None
        shared = _Shared(verb, write, self.model, self._metadata, together or Together)
        try:
            if together is not None:
                try:
                    return await self.scope.share(shared)
                except ByItself:
                    pass
            return await self.scope.perform(shared.alone())
        except Exception:
            write.restore()
            raise
        finally:
            write.is_given_up = True


class _Shared(Shareable[T]):
    """The write of a row, which may be done together with others."""

    __slots__ = ("_metadata", "_together", "like", "verb", "wanted", "writes")

    def __init__(
        self, verb: str, write: RowWrite[T], model: type[Any], metadata: About, together: type[Several]
    ) -> None:
        self.verb = verb
        self.like = (verb, model)
        self.wanted = write
        self.writes = write.row
        self._metadata = metadata
        self._together = together

    def alone(self) -> Call[T]:
        write = self.wanted
        direct = write if write.is_short else None
        return Call(self.verb, write.work, writes=True, metadata=self._metadata, direct=direct)

    def together(self, wanted: Sequence[RowWrite[T]]) -> Call[list[T]]:
        writes = self._together(wanted)
        return Call(self.verb, writes.work, writes=True, metadata=self._metadata, direct=writes)
