"""Fixtures for the tests of programs that use `repo`; each name begins with `repo_`.

Installed as a pytest plugin by the package itself. What the fixtures do is in `repo.testing`.
"""

import pytest

from repo.testing import postgres_url


@pytest.fixture(scope="session")
def repo_postgres_url() -> str:
    """The URL of a real Postgres for this test run: `repo.testing.postgres_url()`."""
    return postgres_url()
