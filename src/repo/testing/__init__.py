"""Help for the tests of programs that use `repo`: real databases, no fakes."""

from repo.testing.postgres import PostgresUnavailable, postgres_url

__all__ = ["PostgresUnavailable", "postgres_url"]
