"""Async repositories over SQLAlchemy: many queries at once, safely.

A tour of it::

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Users(Repository[User]): ...

    async with Database("sqlite+aiosqlite:///app.db") as db:
        await db.create_all(Base.metadata)
        users = Users(db)                              # each call commits by itself
        await gather(users.get(1), users.count())      # in parallel, bounded by the pool
        async with db.transaction() as tx:             # all together, or not at all
            await Users(tx).add(User(name="Ada"))
        async with db.snapshot() as snap:              # in parallel, and all see one moment
            await gather(Users(snap).count(), Users(snap).all(limit=10))
"""

from repo.database import Database
from repo.engine.locking import Lock
from repo.errors import (
    CheckViolation,
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    ConstraintViolation,
    ForeignKeyViolation,
    MultipleFound,
    NotFound,
    NotNullViolation,
    RepoError,
    StaleData,
    TransactionFailed,
    UniqueViolation,
    UsageError,
)
from repo.gather import gather
from repo.model import Base
from repo.pagination import Page
from repo.repository import Repository
from repo.retry import Once, Retry
from repo.scopes.scope import Scope
from repo.scopes.snapshot import Snapshot
from repo.scopes.stream import Stream
from repo.scopes.transaction import Transaction

__all__ = [
    "Base",
    "CheckViolation",
    "ConfigurationError",
    "ConnectFailed",
    "ConnectionLost",
    "ConstraintViolation",
    "Database",
    "ForeignKeyViolation",
    "Lock",
    "MultipleFound",
    "NotFound",
    "NotNullViolation",
    "Once",
    "Page",
    "RepoError",
    "Repository",
    "Retry",
    "Scope",
    "Snapshot",
    "StaleData",
    "Stream",
    "Transaction",
    "TransactionFailed",
    "UniqueViolation",
    "UsageError",
    "gather",
]
