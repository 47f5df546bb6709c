"""What was measured, as a file: every sample, and where it was taken."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.extras import Figure
from benchmarks.rounds import Measured


@dataclass(slots=True)
class Document:
    """A whole run."""

    before: Mapping[str, Any] = field(default_factory=dict)
    """The machine when it began."""
    after: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    operations: list[Measured] = field(default_factory=list)
    extras: list[Figure] = field(default_factory=list)

    def comparisons(self) -> Iterator[Sequence[Measured]]:
        """The operations of each model, database and number of tasks."""
        for _, group in groupby(self.operations, key=lambda each: (each.database, each.model, each.concurrency)):
            yield list(group)

    def measurements(self) -> Iterator[Sequence[Figure]]:
        """The figures of each other measurement and database."""
        for _, group in groupby(self.extras, key=lambda each: (each.extra, each.database)):
            yield list(group)

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def read(path: Path) -> Document:
    """The run that was written there."""
    found = json.loads(path.read_text())
    return Document(
        found["before"],
        found["after"],
        found["options"],
        [Measured(**each) for each in found["operations"]],
        [Figure(**each) for each in found["extras"]],
    )
