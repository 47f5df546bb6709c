"""The samples of the tests of types."""

import pytest

from repo import Database
from tests.types.samples import Model, Samples


@pytest.fixture
async def samples(db: Database) -> Samples:
    """An empty table of samples."""
    await db.create_all(Model.metadata)
    return Samples(db)
