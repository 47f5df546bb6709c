"""A small bank and a small shop, shared by the tests of the scopes."""

from sqlalchemy import ForeignKey, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from repo import Repository
from repo.model import NAMING_CONVENTION


class Base(DeclarativeBase):
    """A base of the application's own."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Account(Base):
    __tablename__ = "scope_accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(unique=True)
    balance: Mapped[int] = mapped_column(default=0)
    entries: Mapped[list["Entry"]] = relationship(back_populates="account")


class Entry(Base):
    __tablename__ = "scope_entries"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
    amount: Mapped[int]
    account: Mapped[Account] = relationship(back_populates="entries")


class Accounts(Repository[Account]):
    """Accounts of the bank."""


class Entries(Repository[Entry]):
    """What was paid in and out."""
