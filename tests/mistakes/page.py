"""The table of mistakes as a page of the docs: run as a program, this writes it anew."""

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import fill

from tests.mistakes.entry import Fine, Mistake, Told
from tests.mistakes.table import SECTIONS

PAGE = Path(__file__).parents[2] / "docs" / "mistakes.md"

NAMES = {"sqlite": "SQLite", "postgresql": "Postgres"}

TOP = """\
<!-- Made from tests/mistakes/ by `python3 dev.py docs`, which writes it anew: change it there. -->

# Mistakes, and what they raise

Every line is a test, which makes the mistake on each database, by each way in which it can be made, and compares the
error. No message of these errors shows a value of a row or a password; each can be pickled; and its `__cause__` is the
driver's own error, where a driver has raised one. What the classes mean is in [errors.md](errors.md).

*Again* says `yes` where the error is `retryable`: the same work may succeed when it is done again from its start.
"""

COLUMNS = ("mistake", "error", "again", "constraint", "table (columns)", "code on SQLite", "code on Postgres")


def page() -> str:
    """The whole page."""
    return "\n".join((TOP, *sections()))


def sections() -> Iterator[str]:
    """Each section with its table, without the columns that would be empty."""
    for section in SECTIONS:
        lines = [line for mistake in section.mistakes for line in _lines(mistake)]
        used = [n for n in range(len(COLUMNS)) if any(line[n] for line in lines)]
        table = [COLUMNS, ("---",) * len(COLUMNS), *lines]
        rows = [" | ".join(line[n] for n in used).replace("|  |", "| |") for line in table]
        yield f"## {section.title}\n\n{fill(section.about, 120)}\n\n" + "".join(f"| {row} |\n" for row in rows)


def _lines(mistake: Mistake) -> Iterator[tuple[str, ...]]:
    """One line, or one for each database where they raise different things."""
    said = {name: told for name, told in mistake.told.items() if isinstance(told, Told)}
    for kind, again in dict.fromkeys((told.kind, told.again) for told in said.values()):
        alike = {name: told for name, told in said.items() if (told.kind, told.again) == (kind, again)}
        yield (
            mistake.what,
            f"`{kind.__name__}`",
            "yes" if again else "",
            _cell(alike, lambda told: f"`{told.constraint}`" if told.constraint else ""),
            _cell(alike, _place),
            *(_code(mistake.told[name], shown=said.get(name) in alike.values()) for name in NAMES),
        )


def _cell(alike: dict[str, Told], show: Callable[[Told], str]) -> str:
    """What is the same on all of them, or what it is on each."""
    shown = {name: show(told) for name, told in alike.items()}
    texts = set(shown.values())
    if len(texts) == 1:
        return texts.pop()
    return ", ".join(f"{text} on {NAMES[name]}" for name, text in shown.items() if text)


def _place(told: Told) -> str:
    columns = f" ({', '.join(told.columns)})" if told.columns else ""
    return f"{told.table}{columns}" if told.table else ""


def _code(told: Told | str, *, shown: bool) -> str:
    if isinstance(told, str):
        return told if isinstance(told, Fine) else f"never: {told}"
    return " or ".join(f"`{code}`" if code else "none" for code in told.codes) if shown else ""


if __name__ == "__main__":
    PAGE.write_text(page())
