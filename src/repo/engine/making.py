"""The engine of a `Database`: made from a URL, or given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from repo.dialects import registry
from repo.dialects.base import Dialect
from repo.errors import ConfigurationError

_POOLING = {
    *("async_creator", "creator", "execution_options", "isolation_level", "pool", "pool_reset_on_return", "poolclass"),
}
"""Options of which only SQLAlchemy knows what they mean for a connection; so is the argument ``async_creator_fn``."""


@dataclass(frozen=True, slots=True)
class Made:
    """An engine, and what is to be known of it."""

    engine: AsyncEngine
    dialect: Dialect
    is_ours: bool
    """Whether it was made here, and so is closed here."""
    is_plain: bool
    """Whether its connections are as the dialect sets them up, so that the driver can be used directly."""
    dispose: Callable[[], None] = lambda: None
    """Called after it was closed."""


def given(engine: AsyncEngine) -> Made:
    """An engine of the user's, which is used as it is."""
    return Made(engine, registry.find(engine.dialect.name), is_ours=False, is_plain=False)


def create(url: str | URL, pool_size: int, options: Mapping[str, Any]) -> Made:
    """An engine of our own; the user's options win, argument by argument.

    Raises:
        ConfigurationError: the URL or an option makes no sense.
    """
    resolved = registry.resolve(url)
    dialect = registry.find(resolved.get_backend_name())
    settings = dialect.settings(resolved)
    connect_args = _merged(settings.options["connect_args"], options.get("connect_args", {}))
    merged = {
        "poolclass": AsyncAdaptedQueuePool,
        "pool_size": pool_size,
        "max_overflow": 0,
        **settings.options,
        **options,
        "connect_args": connect_args,
    }
    try:
        engine = create_async_engine(settings.url, **merged)
    except (ArgumentError, TypeError, ValueError, ModuleNotFoundError) as error:
        settings.dispose()
        raise ConfigurationError(f"the engine cannot be made: {error}") from error
    dialect.configure(engine)
    plain = not _POOLING & options.keys() and "async_creator_fn" not in options.get("connect_args", {})
    return Made(engine, dialect, is_ours=True, is_plain=plain, dispose=settings.dispose)


def _merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Both sets of arguments; where both have a mapping, what is in both of them."""
    both = {
        name: {**ours[name], **value}
        for name, value in theirs.items()
        if isinstance(value, Mapping) and isinstance(ours.get(name), Mapping)
    }
    return {**ours, **theirs, **both}
