"""The event loop that everything of a run is measured on."""

import asyncio
from collections.abc import Callable
from importlib import import_module


def loop_factory(uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the loop; None is Python's own way."""
    if not uvloop:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory
