"""What all scopes share: the protocol, and the plain statements that every scope takes."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias, TypedDict, TypeVar, TypeVarTuple, Unpack, overload

from sqlalchemy import (
    CompoundSelect,
    Executable,
    MetaData,
    Result,
    Row,
    Select,
    Table,
    TextualSelect,
    UpdateBase,
    func,
    select,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import TypedReturnsRows
from sqlalchemy.sql.visitors import iterate

from repo.dialects.base import Dialect
from repo.engine import asking, execution, together
from repo.engine.conditions import Order, order_terms
from repo.engine.directly import Direct
from repo.engine.plans import Plans
from repo.errors import UsageError
from repo.gather import gather
from repo.pagination import Page, order_of, paging
from repo.scopes.batching import Shareable
from repo.scopes.call import Call
from repo.scopes.stream import Stream
from repo.uniqueness import shape

T = TypeVar("T")
Columns = TypeVarTuple("Columns")

# What a statement gives is Select[User] and Select[str, int] to SQLAlchemy 2.1, Select[tuple[User]] and
# Select[tuple[str, int]] to 2.0. Overloads below say both; in front of them stands what matches only where nobody
# knows the columns, because 2.0's would take these for a single one.
Together = TypeVar("Together", bound=tuple[Any, ...])
Unknown = TypeVar("Unknown", bound="_Unheard")
AnyRow: TypeAlias = "Row[*tuple[Any, ...]]"
AnyResult: TypeAlias = "Result[*tuple[Any, ...]]"

Params = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


class _Unheard(tuple[Any, ...]):
    """What no column has as its type."""


class PageOptions(TypedDict, total=False):
    """The options of ``Scope.page``."""

    order_by: Order
    limit: int
    after: str | None
    before: str | None
    total: bool


class Scope(ABC):
    """Where repositories and statements run; see the table at the top of the README."""

    kind: ClassVar[str]
    """How events call it."""
    detaches: ClassVar[bool]
    """Whether entities come back without a session: there is none that outlives the call."""

    keeps_locks: ClassVar[bool] = False
    """Whether a row lock that a call takes is held after the call."""
    dialect: Dialect
    """The database's ways."""

    def writes_together(self, write: together.Write[T]) -> type[together.Several] | None:
        """How a write of one row is done together with others of its kind; None where it is done by itself."""
        return None

    @property
    def plans(self) -> Plans | None:
        """What goes the short way in this scope; None where nothing can."""
        return None

    @abstractmethod
    async def perform(self, call: Call[T]) -> T:
        """Do a piece of work by the scope's rules; repositories are built on this."""

    def share(self, shareable: Shareable[T]) -> Awaitable[T]:
        """Do a call together with others of its kind, where the scope can."""
        return self.perform(shareable.alone())

    @abstractmethod
    def unit(self) -> AbstractAsyncContextManager["Scope"]:
        """A scope in which several writes belong together: all of them happen, or none."""

    @abstractmethod
    def reader(self) -> AbstractAsyncContextManager["Scope"]:
        """A scope whose calls all run on one connection in one transaction, for reads that belong together."""

    def opened(self, stream: Stream[Any]) -> None:  # noqa: B027  # most scopes have an end that does not wait for it
        """A stream has begun to read; a scope that waits for its end has to know of it."""

    @overload
    async def scalars(self, statement: TypedReturnsRows[tuple[T, *Columns]], params: Params = None) -> list[T]: ...
    @overload
    async def scalars(self, statement: "TypedReturnsRows[T, *Columns]", params: Params = None) -> list[T]: ...
    @overload
    async def scalars(self, statement: Executable, params: Params = None) -> list[Any]: ...

    async def scalars(self, statement: Executable, params: Params = None) -> list[Any]:
        """The first column of every row: entities for ``select(User)``."""
        asked = asking.asked(self.plans, statement, params)
        direct = None if asked is None else asked.scalars()
        return await self.perform(
            self._call("scalars", statement, lambda own: list(own.scalars(statement, params)), direct)
        )

    @overload
    async def rows(self, statement: Executable, params: Params = None, *, into: Callable[..., T]) -> list[T]: ...
    @overload
    async def rows(
        self, statement: TypedReturnsRows[Unknown], params: Params = None, *, into: None = None
    ) -> list[AnyRow]: ...
    @overload
    async def rows(
        self, statement: TypedReturnsRows[Together], params: Params = None, *, into: None = None
    ) -> list[Row[Together]]: ...
    @overload
    async def rows(
        self, statement: "TypedReturnsRows[*Columns]", params: Params = None, *, into: None = None
    ) -> "list[Row[*Columns]]": ...
    @overload
    async def rows(self, statement: Executable, params: Params = None, *, into: None = None) -> list[AnyRow]: ...

    async def rows(
        self,
        statement: Executable,
        params: Params = None,
        *,
        into: Callable[..., Any] | None = None,
    ) -> list[Any]:
        """All rows; with ``into``, what it makes of each row's columns as keyword arguments."""
        asked = asking.asked(self.plans, statement, params)
        direct = None if asked is None else asked.rows(into)

        def work(own: Session) -> list[Any]:
            rows = asking.rows(own, statement, params, None if asked is None else asked.statement.plan)
            return list(rows) if into is None else [into(**row._asdict()) for row in rows]

        return await self.perform(self._call("rows", statement, work, direct))

    @overload
    async def scalar(self, statement: TypedReturnsRows[tuple[T, *Columns]], params: Params = None) -> T | None: ...
    @overload
    async def scalar(self, statement: "TypedReturnsRows[T, *Columns]", params: Params = None) -> T | None: ...
    @overload
    async def scalar(self, statement: Executable, params: Params = None) -> Any: ...

    async def scalar(self, statement: Executable, params: Params = None) -> Any:
        """The first column of the first row, or None if there is no row."""
        asked = asking.asked(self.plans, statement, params)
        direct = None if asked is None else asked.scalar()
        return await self.perform(
            self._call("scalar", statement, lambda own: own.execute(statement, params).scalar(), direct)
        )

    @overload
    async def execute(self, statement: TypedReturnsRows[Unknown], params: Params = None) -> AnyResult: ...
    @overload
    async def execute(self, statement: TypedReturnsRows[Together], params: Params = None) -> Result[Together]: ...
    @overload
    async def execute(self, statement: "TypedReturnsRows[*Columns]", params: Params = None) -> "Result[*Columns]": ...
    @overload
    async def execute(self, statement: Executable, params: Params = None) -> AnyResult: ...

    async def execute(self, statement: Executable, params: Params = None) -> AnyResult:
        """Run any statement; the result is buffered, so it can be read after the call."""
        return await self.perform(
            self._call("execute", statement, lambda own: execution.buffered(own, statement, params))
        )

    @overload
    async def page(self, statement: Select[Unknown], **options: Unpack[PageOptions]) -> Page[AnyRow]: ...
    @overload
    async def page(self, statement: Select[Together], **options: Unpack[PageOptions]) -> Page[Row[Together]]: ...
    @overload
    async def page(self, statement: "Select[*Columns]", **options: Unpack[PageOptions]) -> "Page[Row[*Columns]]": ...

    async def page(
        self,
        statement: Executable,
        *,
        order_by: Order = None,
        limit: int = 50,
        after: str | None = None,
        before: str | None = None,
        total: bool = False,
    ) -> Page[Any]:
        """Some of a statement's rows, with cursors for those after and before.

        Rows that come or go between two pages make no other row appear twice or not at all.

        Args:
            statement: a SELECT without an order of its own. It may join, group, or be distinct.
            order_by: an expression or a list of them, to which is added what tells the rows apart:
                the primary keys of the tables, what they are grouped by, or what is distinct. NULL
                sorts as the largest value.
            limit: at most so many, at least 1.
            after: ``next`` of another page of this order.
            before: ``previous`` of another page of this order; the rows are in the order, too.
            total: whether to count all rows by a further statement.

        Raises:
            InvalidCursor: a cursor is not one of this order.
            UsageError: the statement cannot be paged as it is; the message says what to write.
        """
        if not isinstance(statement, Select):
            raise UsageError(f"page() takes a select(), not {type(statement).__name__}; of others, make a subquery")
        found = shape(statement)
        order = order_of(order_terms(order_by, "order_by", "User.name"), found)
        wanted = paging(self.dialect, order, "", limit=limit, after=after, before=before)
        page = wanted.statement(statement, grouped=found.grouped)

        async def read() -> Page[Any]:
            rows, keys = await self.perform(
                self._call("page", page, lambda own: execution.keyed(own, page, len(order)))
            )
            return wanted.page(rows, keys)

        if not total:
            return await read()
        counting = select(func.count()).select_from(statement.subquery())
        first, count = await gather(read(), self.scalar(counting))
        return replace(first, total=count)

    @overload
    def stream(
        self, statement: TypedReturnsRows[Unknown], params: Params = None, *, chunk: int = 1000
    ) -> Stream[AnyRow]: ...
    @overload
    def stream(
        self, statement: TypedReturnsRows[Together], params: Params = None, *, chunk: int = 1000
    ) -> Stream[Row[Together]]: ...
    @overload
    def stream(
        self, statement: "TypedReturnsRows[*Columns]", params: Params = None, *, chunk: int = 1000
    ) -> "Stream[Row[*Columns]]": ...
    @overload
    def stream(self, statement: Executable, params: Params = None, *, chunk: int = 1000) -> Stream[AnyRow]: ...

    def stream(self, statement: Executable, params: Params = None, *, chunk: int = 1000) -> Stream[Any]:
        """The rows one after another, read from the database ``chunk`` at a time."""
        options = {"yield_per": chunk}
        return Stream(
            self,
            lambda own: own.execute(statement, params, execution_options=options),
            chunk=chunk,
            detach=self.detaches,
        )

    def _call(
        self, verb: str, statement: Executable, work: Callable[[Session], T], direct: Direct[T] | None = None
    ) -> Call[T]:
        """A call for one statement of the user's."""
        if not isinstance(statement, Executable):
            raise UsageError(
                f"{verb}() takes a statement of SQLAlchemy, such as select(User) or text('...'), "
                f"not {type(statement).__name__}"
            )
        reads = bool(getattr(statement, "is_select", False))
        writes: bool | None = bool(getattr(statement, "is_dml", False))
        about = (lambda: _metadata(statement)) if reads or writes else None
        if verb == "execute" and not writes and not reads:
            writes = None
        return Call(verb, work, writes=writes, metadata=about, repeatable=lambda: _only_reads(statement), direct=direct)


def _only_reads(statement: Any) -> bool:
    """Whether nothing in a statement can write, as a text can, or an INSERT in front of a SELECT."""
    parts = iterate(statement) if isinstance(statement, Select | CompoundSelect) else [None]
    return not any(part is None or isinstance(part, UpdateBase | TextualSelect) for part in parts)


def _metadata(statement: Any) -> MetaData | None:
    """The metadata of a statement's tables, where it has some."""
    tables = [getattr(statement, "table", None), *getattr(statement, "columns_clause_froms", ())]
    return next((table.metadata for table in tables if isinstance(table, Table)), None)
