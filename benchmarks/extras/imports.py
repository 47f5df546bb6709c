"""What an import costs a program that starts."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec

from benchmarks.extras import Setting, Way

IMPORTS = {
    "nothing": "pass",
    "sqlalchemy": "import sqlalchemy.orm, sqlalchemy.ext.asyncio",
    "repo": "import repo",
    "advanced_alchemy": "import advanced_alchemy.repository",
    "tortoise": "import tortoise",
    "piccolo": "import piccolo.table, piccolo.columns",
}


class Imports:
    """A new process each time, and the first one does not count: files are in memory then."""

    sizes: Sequence[int] = (1,)

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def rounds(self, size: int) -> int:
        """As many as were asked for."""
        return self.setting.rounds

    async def ways(self, size: int) -> list[Way]:
        """Of the libraries that are there."""
        there = {name: code for name, code in IMPORTS.items() if name == "nothing" or find_spec(name)}
        return [self._way(name, code) for name, code in there.items()]

    def _way(self, name: str, code: str) -> Way:
        async def run() -> int:
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
            return await process.wait()

        return Way(name, run, 0, "sqlalchemy")


@asynccontextmanager
async def opened(setting: Setting) -> AsyncIterator[Imports]:
    """Nothing to open."""
    yield Imports(setting)
