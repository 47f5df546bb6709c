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
    """A hundred accounts, numbered from 1, with an entry each."""
    await accounts.add_many({"id": n, "owner": f"owner {n}", "balance": n} for n in range(1, 101))
    await Entries(db).add_many({"id": n, "account_id": n, "amount": n} for n in range(1, 101))
    return db
