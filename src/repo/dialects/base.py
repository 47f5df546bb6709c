"""What `repo` asks of a database: one class per database, the same methods in the same order."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, TypedDict

from sqlalchemy import URL, Column, ColumnElement, Connection, MetaData, Table
from sqlalchemy import Dialect as SQLAlchemyDialect
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import TypeEngine

from repo.errors import ConfigurationError, RepoError

ISOLATION_LEVELS = ("READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionOptions:
    """How a transaction begins.

    Raises:
        ConfigurationError: there is no such isolation level, or a time is none.
    """

    isolation: str | None = None
    """The isolation level by its SQL name; None means the database's default."""
    read_only: bool = False
    statement_timeout: float | None = None
    """Seconds that a statement may take; infinity means no limit, None the database's own."""
    lock_timeout: float | None = None
    """Seconds to wait for a lock that others have; infinity means no limit, None the database's own."""
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Run-time settings for the length of the transaction, for databases that have them."""

    def __post_init__(self) -> None:
        if self.isolation is not None and self.isolation.upper() not in ISOLATION_LEVELS:
            known = ", ".join(ISOLATION_LEVELS)
            raise ConfigurationError(f"{self.isolation!r} is no isolation level: write one of {known}")
        check_seconds("statement_timeout", self.statement_timeout)
        check_seconds("lock_timeout", self.lock_timeout)


class TransactionArguments(TypedDict, total=False):
    """The options of ``Database.transaction``."""

    isolation: str | None
    read_only: bool
    statement_timeout: float | None
    lock_timeout: float | None
    settings: Mapping[str, str] | None


def check_seconds(name: str, value: object) -> None:
    """Refuse what is neither None nor a time to wait."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0):
        return
    raise ConfigurationError(f"{name} is a number of seconds above 0, or None; not {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How ``Database`` makes an engine for a URL."""

    url: URL
    options: Mapping[str, Any]
    """Arguments of ``sqlalchemy.ext.asyncio.create_async_engine``."""
    dispose: Callable[[], None] = lambda: None
    """Called when the engine is disposed of."""


class Dialect(ABC):
    """One database's ways. Methods that take a ``Connection`` run inside SQLAlchemy's greenlet."""

    name: ClassVar[str]
    """The name that SQLAlchemy gives the database."""
    drivers: ClassVar[tuple[str, ...]]
    """The drivers that `repo` knows, by SQLAlchemy's names; the first is the default."""
    one_writer: ClassVar[bool]
    """Whether writing transactions exclude each other, so that they should queue in process."""
    remote: ClassVar[bool]
    """Whether it is a server that answers, and so may fall silent."""
    unexplained: ClassVar[tuple[type[Exception], ...]] = ()
    """Errors of the driver by which a statement has done nothing, and of which only its repetition will tell why."""
    returns_in_order: ClassVar[bool]
    """Whether RETURNING gives rows as they were stored, if their keys count up, and SQLAlchemy does not know it.

    To be sure of the order, it would send a statement for each row.
    """
    streams_in: ClassVar[bool]
    """Whether ``copy`` takes further rows while the database stores the first."""

    @abstractmethod
    def settings(self, url: URL) -> EngineSettings:
        """How to make an engine for the URL, whose driver is set.

        Raises:
            ConfigurationError: the URL is not one of this database.
        """

    @abstractmethod
    def configure(self, engine: AsyncEngine) -> None:
        """Prepare an engine that ``Database`` has made: listeners and the like."""

    @abstractmethod
    def autocommit(self, connection: Connection) -> None:
        """Let each statement on the connection stand for itself, without BEGIN and COMMIT."""

    @abstractmethod
    def begin(self, connection: Connection, options: TransactionOptions) -> None:
        """Begin a transaction."""

    @abstractmethod
    async def has_begun(self, connection: Connection) -> bool:
        """Whether the driver is in the transaction that was begun on a connection; it may begin now."""

    @abstractmethod
    def end(self, connection: Connection, options: TransactionOptions) -> None:
        """Undo what ``begin`` set on the connection, after COMMIT or ROLLBACK."""

    @abstractmethod
    def limited(self, connection: Connection, seconds: float | None, *, begun: bool) -> AbstractContextManager[None]:
        """A block in which a statement that runs longer is stopped: ``StatementTimeout``.

        Args:
            connection: it stays usable, unless the statement was a write in a transaction.
            seconds: infinity and None mean no limit.
            begun: whether ``begin`` was told the same limit.
        """

    @abstractmethod
    async def fetch(
        self, driver: Any, text: str, values: Sequence[Any], seconds: float | None
    ) -> Sequence[Sequence[Any]]:
        """Run one statement by the driver's connection itself: all rows that it yields.

        Args:
            driver: the connection.
            text: the statement.
            values: what is sent with it.
            seconds: after which it is stopped with ``StatementTimeout``; infinity and None mean no limit.
        """

    @abstractmethod
    async def fetch_many(
        self, driver: Any, text: str, sets: Sequence[Sequence[Any]], seconds: float | None
    ) -> Sequence[Sequence[Any]]:
        """Run one statement with several sets of values, in a transaction: all rows that it yields, in this order.

        One trip to the database, however many there are. If it raises one of ``unexplained``, none has
        done anything.

        Args:
            driver: as for ``fetch``.
            text: the statement.
            sets: what is sent with it, each time.
            seconds: as for ``fetch``; where the database itself does not know it, for all of them.
        """

    @abstractmethod
    async def fetch_each(
        self, driver: Any, statements: Mapping[int, tuple[str, Sequence[Any]]]
    ) -> Mapping[int, Sequence[Any] | None]:
        """Run statements that have nothing to do with each other, and commit them together.

        One trip to the database for those of the same text. If it raises, nobody knows what they have done.

        Args:
            driver: as for ``fetch``; in no transaction.
            statements: each by its text and what is sent with it. A row that one yields ends with its number.

        Returns:
            The rows that each yields; None for one that has done nothing, because it or another has failed.
        """

    async def adds_unhindered(self, driver: Any, table: Table) -> bool:
        """Whether rows get into a table, with keys that nobody chooses, without waiting for others who write."""
        return True

    @abstractmethod
    async def codes(self, driver: Any, text: str) -> Sequence[Any]:
        """By what codes the driver calls the types of a statement's columns; nothing where it knows none."""

    @abstractmethod
    def pin(
        self,
        connections: Sequence[Connection],
        options: TransactionOptions,
        *,
        joinable: bool,
        guard: Connection | None = None,
    ) -> str | None:
        """Begin a read-only transaction on each connection, all of which see one moment.

        Args:
            connections: at least one; none is in a transaction.
            options: how each transaction begins.
            joinable: whether other connections may want to ``join`` later.
            guard: a further connection, for stopping writers meanwhile after ``NotPinned``.

        Returns:
            What ``join`` needs, or None where nobody can join.

        Raises:
            NotPinned: concurrent writes kept them from seeing the same moment. They are as before.
        """

    @abstractmethod
    def join(self, connection: Connection, options: TransactionOptions, token: str) -> None:
        """Begin a read-only transaction that sees the moment of the token's connections."""

    @abstractmethod
    def recover(self, connection: Connection) -> None:
        """Make a pinned connection usable again after a statement on it has failed."""

    @abstractmethod
    def copy(
        self,
        connection: Connection,
        columns: Sequence[Column[Any]],
        parts: Iterable[Sequence[Any]],
    ) -> bool:
        """Insert rows by the database's bulk way; False where that does not take them, and none was asked for.

        Args:
            connection: in a transaction.
            columns: some of a table, in its order.
            parts: their values as the driver wants them, of one row after the other; some rows at a time.
        """

    @abstractmethod
    async def load(self, driver: Any, columns: Sequence[Column[Any]], values: Sequence[Any]) -> bool:
        """Insert rows as ``copy`` does, by the driver's connection itself, in a transaction of their own.

        False where the table does not take them, and none was stored.

        Args:
            driver: as for ``fetch``; in no transaction.
            columns: some of a table, in its order.
            values: theirs as the driver wants them, of one row after the other.
        """

    @abstractmethod
    def insert(self, model: Any) -> Any:
        """SQLAlchemy's INSERT into a model that can say what becomes of a conflict (ON CONFLICT)."""

    @abstractmethod
    def holds(self, kind: TypeEngine[Any], value: object) -> bool:
        """Whether a value of the driver's can be compared in the database with those of a type."""

    @abstractmethod
    def exact(self, element: ColumnElement[Any]) -> ColumnElement[Any]:
        """What to read so that the driver's value, given back, is equal to the expression."""

    def words(self, element: ColumnElement[Any]) -> str:
        """The expression in words that are the same in every process."""
        compiled = element.compile(dialect=self.syntax)
        values = sorted((name, repr(value)) for name, value in compiled.params.items())
        return f"{compiled} {values}"

    @cached_property
    def syntax(self) -> SQLAlchemyDialect:
        """SQLAlchemy's dialect, for what is asked of it without a connection."""
        return URL.create(f"{self.name}+{self.drivers[0]}").get_dialect()()

    @abstractmethod
    def translate(self, error: BaseException, metadata: MetaData | None) -> RepoError | None:
        """What the driver's error means; None if it is not an error of this database."""


class NotPinned(Exception):
    """Several connections could not be made to see one moment, because of concurrent writes."""
