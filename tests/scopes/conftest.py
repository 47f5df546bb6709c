"""The bank of the scopes' tests, with its tables."""

import pytest

from repo import Database
from tests.scopes.models import Accounts, Base, Entries


@pytest.fixture
async def accounts(db: Database) -> Accounts:
    """The accounts over the `Database` itself; there are none yet."""
    await db.create_all(Base.metadata)
    return Accounts(db)


@pytest.fixture
async def bank(db: Database, accounts: Accounts) -> Database:
    """A hundred accounts with an entry each, of which the database has counted up the keys from 1."""
    await accounts.add_many({"owner": f"owner {n}", "balance": n} for n in range(1, 101))
    await Entries(db).add_many({"account_id": n, "amount": n} for n in range(1, 101))
    return db
