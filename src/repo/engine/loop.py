"""The next steps of the event loop: ours, and whether there are others.

asyncio does not tell, so this module, and no other, looks at a private attribute of its loops. One that
has none, such as uvloop's, is taken to have more to run; a test notices where asyncio's has none.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from weakref import WeakSet

_OURS: WeakSet[asyncio.Handle] = WeakSet()
"""Steps that make no calls."""


def call_in_next_turn(function: Callable[[], object]) -> asyncio.Handle:
    """Have the running loop call a function, which makes no calls of a repository, when its turn is over."""
    handle = asyncio.get_running_loop().call_soon(function)
    _OURS.add(handle)
    return handle


def has_more_to_run(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether other code may be ready to run in this turn of the loop.

    Where tasks begin as soon as they are made (``asyncio.eager_task_factory``), those that follow are not
    there yet.
    """
    ready: object = getattr(loop, "_ready", None)
    if not isinstance(ready, deque) or loop.get_task_factory() is not None:
        return True
    # Other threads may add to it meanwhile.
    return len(ready) > len(_OURS) or any(handle not in _OURS for handle in ready.copy())
