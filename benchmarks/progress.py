"""A line that tells what is done now, and how long the rest may take."""

import sys
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """On a terminal it is written over itself; elsewhere there is none."""

    steps: int
    done: int = 0
    began: float = field(default_factory=time.monotonic)

    def step(self, what: str) -> None:
        """The next step begins."""
        if sys.stderr.isatty():
            passed = time.monotonic() - self.began
            left = f", {passed / self.done * (self.steps - self.done):.0f} s left" if self.done else ""
            sys.stderr.write(f"\r\x1b[K{self.done}/{self.steps}{left}: {what}")
            sys.stderr.flush()
        self.done += 1

    def clear(self) -> None:
        """Make room for other lines."""
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
