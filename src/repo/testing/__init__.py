"""Help for the tests of programs that use `repo`: real databases, no fakes."""

from repo.retry import instant_retries
from repo.testing.postgres import PostgresUnavailable, postgres_url
from repo.testing.statements import queries

__all__ = ["PostgresUnavailable", "instant_retries", "postgres_url", "queries"]
