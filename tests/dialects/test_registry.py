"""Which dialect a URL belongs to."""

import pytest
from sqlalchemy import make_url

from repo import ConfigurationError
from repo.dialects import registry


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///app.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///app.db", "sqlite+aiosqlite"),
        ("postgresql://h/db", "postgresql+asyncpg"),
        ("postgresql+asyncpg://h/db", "postgresql+asyncpg"),
    ],
)
def test_a_url_without_a_driver_means_the_asynchronous_one(url: str, driver: str) -> None:
    """The rest of the URL stays as it is."""
    assert registry.resolve(url) == make_url(url).set(drivername=driver)
    assert registry.resolve(make_url(url)) == registry.resolve(url)


def test_a_dialect_is_found_by_the_name_that_sqlalchemy_gives_it() -> None:
    """Each known database has its dialect, and another one is refused with the names of the known."""
    assert {name: registry.find(name).name for name in registry.DIALECTS} == {n: n for n in ("sqlite", "postgresql")}
    with pytest.raises(ConfigurationError, match=r"'oracle'.*sqlite\+aiosqlite:// and postgresql\+asyncpg://"):
        registry.find("oracle")


def test_an_isolation_level_that_no_database_has_is_refused_at_once() -> None:
    """Every dialect accepts the four of the SQL standard, in any case, and no other name."""
    from repo.dialects.base import TransactionOptions

    assert TransactionOptions(isolation="repeatable read").isolation == "repeatable read"
    with pytest.raises(ConfigurationError, match="'SNAPSHOT' is no isolation level"):
        TransactionOptions(isolation="SNAPSHOT")
