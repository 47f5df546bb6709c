"""Keys that the database makes: whether one is ever given again."""

from sqlalchemy import MetaData, true
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, Repository


class Base(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData()


class Ticket(Base):
    """Counted as the database counts by itself."""

    __tablename__ = "tickets"
    id: Mapped[int] = mapped_column(primary_key=True)


class Receipt(Base):
    """Counted so that no number comes twice."""

    __tablename__ = "receipts"
    id: Mapped[int] = mapped_column(primary_key=True)
    __table_args__ = {"sqlite_autoincrement": True}


class Tickets(Repository[Ticket]):
    """Tickets."""


class Receipts(Repository[Receipt]):
    """Receipts."""


async def test_the_key_of_a_row_that_was_deleted(db: Database) -> None:
    """The key of the last row is given again on SQLite, unless its table counts by AUTOINCREMENT."""
    await db.create_all(Base.metadata)
    for keys, again in (Tickets(db), db.dialect.one_writer), (Receipts(db), False):
        first = (await keys.add(keys.model())).id
        await keys.delete_where(true())
        assert ((await keys.add(keys.model())).id == first) is again


async def test_the_key_of_a_row_that_was_rolled_back(db: Database) -> None:
    """The key of a row that was rolled back is given again on SQLite, and missing on Postgres."""
    await db.create_all(Base.metadata)
    async with db.transaction() as tx:
        lost = (await Tickets(tx).add(Ticket())).id
        await tx.rollback()
    assert (await Tickets(db).add(Ticket())).id - lost == (0 if db.dialect.one_writer else 1)
