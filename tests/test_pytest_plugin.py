"""The pytest plugin, as pytest finds it by the package's entry point."""

import pytest

from repo import pytest_plugin
from repo.testing import postgres_url


def test_fixture_is_the_postgres_of_the_run(repo_postgres_url: str) -> None:
    """`repo_postgres_url` is the URL that `postgres_url` gives."""
    assert repo_postgres_url == postgres_url()


def test_fixtures_are_prefixed() -> None:
    """No fixture of the plugin can hide one of the user's."""
    names = [
        name for name, value in vars(pytest_plugin).items() if isinstance(value, pytest.FixtureDef | type(fixture))
    ]
    assert names
    assert [name for name in names if not name.startswith("repo_")] == []


@pytest.fixture
def fixture() -> None:
    """An example of what pytest makes of a fixture's function."""
