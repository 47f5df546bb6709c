"""How the questions are getting on, while they are asked: a live table on a terminal, else a line for each pass."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from examples.flights.report import QUESTIONS
from repo.events import CallEnded, CallStarted, Event

ACROSS = 3


class Watch:
    """A hook that shows which questions are asked, and which are answered after how many seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._title = ""
        self._asked: set[str] = set()
        self._answered: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Take note of a question that is asked or answered."""
        name = event.task.rpartition(".")[2]
        if isinstance(event, CallStarted):
            self._asked.add(name)
        elif isinstance(event, CallEnded) and event.error is None:
            self._answered[name] = event.at - (event.connected or event.started)
        if self._live is not None:
            self._live.update(self._table())

    @contextmanager
    def watching(self, title: str) -> Iterator[None]:
        """Show one pass over all questions: from here to the end of the block."""
        self._title, self._asked, self._answered = title, set(), {}
        began = time.perf_counter()
        if self._console.is_terminal:
            try:
                with Live(self._table(), console=self._console, transient=True) as self._live:
                    yield
            finally:
                self._live = None
        else:
            yield
        seconds = time.perf_counter() - began
        self._console.print(f"{title}: {len(QUESTIONS)} questions in {seconds:.2f} s")

    def _table(self) -> Table:
        """Each question with its state."""
        table = Table(title=self._title, title_justify="left", show_header=False, box=None)
        cells = [self._cell(question.name, question.title) for question in QUESTIONS]
        for start in range(0, len(cells), ACROSS):
            table.add_row(*cells[start : start + ACROSS])
        return table

    def _cell(self, name: str, title: str) -> str:
        """One question's state."""
        if name in self._answered:
            return f"[green]✓ {title} {self._answered[name]:.2f} s[/green]"
        return f"[yellow]… {title}[/yellow]" if name in self._asked else f"[dim]  {title}[/dim]"
