"""Who holds the write lock of a database file, where the system tells."""

import os
from pathlib import Path

LOCKS = Path("/proc/locks")
"""Where Linux lists the locks on files: ``1: POSIX  ADVISORY  WRITE 6515 fe:00:2179492 120 120``."""

_WRITE_LOCKS = {"-shm": 120, "": 0x40000001}
"""The byte that a writer locks: of the file that goes with the database in WAL mode, or of the database itself.
Source: "WAL-mode File Format", and RESERVED_BYTE in "os.h" of SQLite."""


def writer(database: str) -> str:
    """Who writes to the database now, as the end of a sentence."""
    try:
        numbers = _holders(database)
    except (OSError, ValueError, IndexError):
        return "who has it, this system does not tell"
    if not numbers:
        return "who had it has let go by now, or is out of sight, as in another container"
    return f"{' and '.join(_named(number) for number in sorted(numbers))} has it"


def _holders(database: str) -> set[int]:
    """The numbers of the processes that hold a write lock."""
    lines = [line.split() for line in LOCKS.read_text().splitlines()]
    found = set()
    for suffix, byte in _WRITE_LOCKS.items():
        path = Path(database + suffix)
        if not path.exists():
            continue
        file = path.stat()
        name = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
        # A line with "->" is of one who waits.
        held = [f for f in lines if f[1] != "->" and f[3] == "WRITE" and f[5] == name]
        found |= {int(f[4]) for f in held if int(f[6]) <= byte and (f[7] == "EOF" or byte <= int(f[7]))}
    return found


def _named(number: int) -> str:
    """A process by its number and name."""
    if number == os.getpid():
        return f"another connection of this process ({number})"
    try:
        name = Path(f"/proc/{number}/comm").read_text(errors="replace").strip()
    except OSError:
        return f"process {number}"
    return f"process {number} ({name})"
