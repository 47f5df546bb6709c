"""The verbs that store by a unique key."""

from collections.abc import Callable
from typing import Any, cast

from sqlalchemy.orm import Session

from repo.bound import M
from repo.engine import upserting
from repo.writes import Source, Writes


class Upserts(Writes[M]):
    """What a repository stores by a unique key. See ``Repository``.

    The database itself decides whether a row is there, so nothing can come in between: of any
    number of callers at once, one adds the row and the others find it.
    """

    async def upsert(self, entity: M, *, on: Any, update: Any = None) -> M:
        """Store an entity, or change the row that has the same unique key: its entity, as it is stored now.

        The entity that was given stays as it is. Only columns are stored, no relationships. A new
        row gets its defaults; one that is changed gets what ``onupdate=`` makes, and a new version,
        which is not checked.

        Args:
            entity: a new one, with values in the columns of ``on``.
            on: a unique key of the model: the name of a constraint or an index, an attribute or its
                name, or a tuple of these. An index over some rows, or over expressions, goes by name.
            update: the columns to change if the row is there: an attribute or its name, or several.
                None means all that were given but those of ``on`` and the primary key.

        Raises:
            UsageError: the model has no such key; nothing was sent.
            UniqueViolation: a row of another unique key is in the way, or one that this repository
                does not reach.
        """
        self._check_model(entity)
        how = upserting.plan(self._reach(), self.scope.dialect, on, update)
        group = how.intake().group(entity)
        direct = None if self.scope.keeps_locks else upserting.short(self.scope.plans, how, group)
        statement = None if direct is not None else upserting.statement(how, group, finds=True)

        def work(own: Session) -> Any:
            long = upserting.statement(how, group, finds=True) if statement is None else statement
            return upserting.store(own, how, group, long)

        stored: M = await self._write("upsert", how.reach, work, direct)
        return stored

    async def upsert_many(
        self,
        source: Source[M],
        *,
        on: Any,
        update: Any = None,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Store many, each as ``upsert`` does, one after another: how many. All of them, or none.

        Args:
            source: entities or mappings, as for ``add_many``; they may differ in what they give.
            on: as for ``upsert``.
            update: as for ``upsert``.
            progress: called with the number of rows stored so far, after each chunk.

        Raises:
            UsageError: the model has no such key; or an item is no row with values in it.
            UniqueViolation: as for ``upsert``.
        """
        how = upserting.plan(self._reach(), self.scope.dialect, on, update)
        return await self._store_all(
            source, how.intake(), lambda chunk, own: upserting.store_many(own, how, chunk.groups), progress
        )

    async def get_or_add(self, entity: M, *, on: Any) -> M:
        """The entity of the row that has the same unique key, or else of this one, which is stored.

        A row that is there is not changed. The entity that was given stays as it is.

        Args:
            entity: a new one, with values in the columns of ``on``.
            on: as for ``upsert``.

        Raises:
            UsageError: the model has no such key; nothing was sent.
            UniqueViolation: as for ``upsert``.
        """
        self._check_model(entity)
        how = upserting.plan(self._reach(), self.scope.dialect, on)
        group = how.intake().group(entity)
        return cast(M, await self._write("get_or_add", how.reach, lambda own: upserting.get_or_add(own, how, group)))
