"""What the event loop is about to run.

asyncio does not tell, so this module, and no other, looks at a private attribute of its loops. One that
has none, such as uvloop's, is taken to have more to run; a test notices where asyncio's has none.
"""

import asyncio
from collections import deque


def has_more_to_run(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether other code may be ready to run in this turn of the loop.

    Where tasks begin as soon as they are made (``asyncio.eager_task_factory``), those that follow are not
    there yet.
    """
    ready: object = getattr(loop, "_ready", None)
    return not isinstance(ready, deque) or bool(ready) or loop.get_task_factory() is not None
