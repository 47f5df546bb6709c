"""Writes of one row each: one by itself, or several by one trip to the database."""

from abc import abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from repo.engine.directly import Direct, NotDirectly, Statement, Way
from repo.engine.flushing import guard_of
from repo.errors import ConfigurationError, MultipleFound, NotFound, RepoError, UsageError

T = TypeVar("T")

_NOTHING: Any = object()


class Write(Direct[T]):
    """A write of one row, which is done once."""

    __slots__ = ()

    row: Hashable
    """Which row, or entity, it is about."""
    context: Context
    """The context variables of the task that asked for it."""
    is_given_up: bool
    """Whether nobody waits for it any more."""

    @property
    def may_go_along(self) -> bool:
        """Whether it may be committed with others of the model also where several write at once, as far as is known."""
        return False

    async def goes_along(self, way: Way) -> bool:
        """Whether it is so, for which the database may have to be asked."""
        return False

    @abstractmethod
    def work(self, own: Session) -> T:
        """Do it the long way, by a session."""

    def restore(self) -> None:
        """Put back what was written the long way, after all, and did not stay."""
        return

    @abstractmethod
    def ready(self, own: Session | None, number: int | None) -> Statement | None:
        """The statement that does it the short way, if it takes one; nothing is done if this fails.

        Args:
            own: the session to which the entity belongs, or will; None for none.
            number: what its row ends with, if it yields one.

        Raises:
            NotDirectly: it has to go the long way.
        """

    @abstractmethod
    def finish(self, row: Sequence[Any] | None) -> T:
        """The result, by the row that has come, if one has.

        Raises:
            NotDirectly: it has to go the long way.
        """

    def undo(self) -> None:
        """Put back what was done to be ready."""
        return

    async def run(self, way: Way) -> T:
        statement = self.ready(way.own, None)
        try:
            rows: Sequence[Any] = ()
            if statement is not None:
                with _guarded(way.own, self.entities):
                    rows = await way.fetch(statement)
            return self.finish(rows[0] if rows else None)
        except BaseException:
            self.undo()
            raise


class Several(Direct[list[Any]]):
    """Several writes: for each its result, or the error that is its own.

    What runs of a caller's, such as the default of a column, sees the context variables of its own task.

    Args:
        writes: no two are about the same row, or entity.
    """

    __slots__ = ("_outcomes", "_writes")

    def __init__(self, writes: Sequence[Write[Any]]) -> None:
        self._writes = writes
        self._outcomes = [_NOTHING] * len(writes)

    @property
    def entities(self) -> Sequence[object]:
        return [entity for write in self._writes for entity in write.entities]

    @abstractmethod
    def work(self, own: Session) -> list[Any]:
        """The same, the long way, for those that are not done yet."""

    def _left(self) -> list[int]:
        """The numbers of those that have no outcome yet."""
        return [number for number, outcome in enumerate(self._outcomes) if outcome is _NOTHING]


class Together(Several):
    """Several writes of a transaction.

    Those whose statements have the same text are sent as one, with a set of values for each. A number
    among the values comes back with the row, so that it is known whose it is, and which has found none.
    What has to go the long way goes there by ``work``, after those that have not.
    """

    __slots__ = ()

    async def run(self, way: Way) -> list[Any]:
        ready: dict[int, Statement | None] = {}
        try:
            self._make_ready(way.own, ready)
            sent = [(number, statement) for number, statement in ready.items() if statement is not None]
            with _guarded(way.own, self.entities):
                for _, group in groupby(sent, key=lambda each: each[1].text):
                    await self._send(way, dict(group))
            for number in ready.keys() - dict(sent).keys():
                self._finish(number, None)
        finally:
            for number in self._left():
                if number in ready:
                    self._writes[number].undo()
        if self._left():
            raise NotDirectly
        return self._outcomes

    def work(self, own: Session) -> list[Any]:
        for number in self._left():
            write = self._writes[number]
            try:
                self._outcomes[number] = write.work(own)
            except Exception as error:
                if is_failure(own, error) or (isinstance(error, SQLAlchemyError) and not isinstance(error, RepoError)):
                    raise
                self._outcomes[number] = error
        return self._outcomes

    def _make_ready(self, own: Session | None, ready: dict[int, Statement | None]) -> None:
        """Make all of them ready; one that cannot be has its error."""
        for number, write in enumerate(self._writes):
            try:
                ready[number] = write.context.run(write.ready, own, number)
            except NotDirectly:
                raise
            except Exception as error:
                self._outcomes[number] = error

    async def _send(self, way: Way, group: dict[int, Statement]) -> None:
        """Send those whose statements have the same text."""
        rows = await way.fetch_many([*group.values()])
        found = {row[-1]: row for row in rows}
        for number in group:
            self._finish(number, found.get(number))

    def _finish(self, number: int, row: Sequence[Any] | None) -> None:
        """Have one of them give its result."""
        write = self._writes[number]
        with suppress(NotDirectly):
            self._outcomes[number] = write.context.run(write.finish, row)


class ByItself(Exception):
    """A write has to be done by itself; nothing has happened."""


class Committed(Several):
    """Several writes that have nothing to do with each other, but that they are committed together.

    The outcome of one that cannot be done so is ``ByItself``.
    """

    __slots__ = ()

    async def run(self, way: Way) -> list[Any]:
        if not (way.dialect.one_writer or await self._go_along(way)):
            return self._rest_by_itself()
        ready = self._all_ready()
        sent = {number: statement for number, statement in ready.items() if statement is not None}
        try:
            found = await way.fetch_each(sent) if sent else {}
        except BaseException:
            for number in ready:
                self._writes[number].undo()
            raise
        for number, statement in ready.items():
            write = self._writes[number]
            try:
                self._outcomes[number] = write.context.run(_result, write, statement, found.get(number, ()))
            except Exception as error:
                write.undo()
                self._outcomes[number] = _own(error)
        return self._rest_by_itself()

    async def _go_along(self, way: Way) -> bool:
        """Whether nobody else who writes would wait for them; if that fails, each finds out by itself."""
        try:
            return await self._writes[0].goes_along(way)
        except Exception:
            return False

    def work(self, own: Session) -> list[Any]:
        return self._rest_by_itself()

    def _all_ready(self) -> dict[int, Statement | None]:
        """The statements of those for which somebody waits; one that cannot be made ready has its error."""
        ready: dict[int, Statement | None] = {}
        for number, write in enumerate(self._writes):
            if not write.is_given_up:
                try:
                    ready[number] = write.context.run(write.ready, None, number)
                except Exception as error:
                    self._outcomes[number] = _own(error)
        return ready

    def _rest_by_itself(self) -> list[Any]:
        """All outcomes; those that have none yet are to be done by themselves."""
        for number in self._left():
            self._outcomes[number] = ByItself()
        return self._outcomes


def _result(write: Write[T], statement: Statement | None, rows: Sequence[Any] | None) -> T:
    """The result of a write by the rows that its statement yields; None: it has failed."""
    if rows is None:
        raise NotDirectly
    read = rows if statement is None else statement.plan.read(rows)
    return write.finish(read[0] if read else None)


def _own(error: Exception) -> Exception:
    """What is told to the caller of one of several writes."""
    return ByItself() if isinstance(error, NotDirectly) else error


def is_failure(own: Session, error: Exception) -> bool:
    """Whether an error means that a statement of a transaction has failed; NotFound, say, is only an answer."""
    if not own.is_active:
        return True  # a flush stopped half-way, by whatever error
    if isinstance(error, (UsageError, ConfigurationError)):
        return error.code is not None
    return isinstance(error, RepoError) and not isinstance(error, (NotFound, MultipleFound))


@contextmanager
def _guarded(own: Session | None, entities: Iterable[object]) -> Iterator[None]:
    """A block in which nobody may change the entities that are written."""
    if own is None or not entities:
        yield
        return
    guard = guard_of(own)
    guard.begin(entities)
    try:
        yield
    finally:
        guard.end()
