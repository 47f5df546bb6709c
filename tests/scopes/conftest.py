"""The bank of the scopes' tests, with its tables."""

import pytest

from repo import Database
from tests.scopes.models import Accounts, Base


@pytest.fixture
async def accounts(db: Database) -> Accounts:
    """The accounts over the `Database` itself; there are none yet."""
    await db.create_all(Base.metadata)
    return Accounts(db)
