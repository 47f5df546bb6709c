"""What the chapters of the page are made of: figures with a finding, legends, tables, and how to say a number."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from examples.flights.markup import Markup, tag

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
AIRPORTS = {"EWR": "Newark", "JFK": "Kennedy", "LGA": "LaGuardia"}

T = TypeVar("T")


DASH = "\N{EN DASH}"


def minutes(value: float | None) -> str:
    """Minutes to a tenth; a dash where nothing is known."""
    return DASH if value is None else f"{value:.1f}".replace("-", "\N{MINUS SIGN}")


def percent(value: float | None) -> str:
    """Percent to a tenth; a dash where nothing is known."""
    return DASH if value is None else f"{value:.1f}%"


def figure(title: str, finding: str, *content: Markup, wide: bool = False) -> Markup:
    """A chart or a table, with what it is and what it says."""
    head = tag("figcaption", tag("h3", title), tag("p", finding, class_="say"))
    return tag("figure", head, *content, class_="wide" if wide else "part")


def section(title: str, *figures: Markup, name: str, across: int = 2) -> Markup:
    """Figures side by side under a heading."""
    return tag("section", tag("h2", title), tag("div", *figures, class_=f"grid of{across}"), id=name)


def legend(entries: Iterable[tuple[str, str]]) -> Markup:
    """Names, each with the style that stands for it."""
    items = (tag("li", _swatch(style), name) for name, style in entries)
    return tag("ul", *items, class_="legend")


def _swatch(style: str) -> Markup:
    """A small square of the style's colour."""
    square = tag("rect", class_=style, width=12, height=12, rx=2)
    return tag("svg", square, viewBox="0 0 12 12", aria_hidden="true")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, left: int) -> Markup:
    """A table whose first `left` columns are words and the others numbers."""

    def cells(name: str, words: Sequence[str]) -> Markup:
        said = (tag(name, word, class_="left" if number < left else "number") for number, word in enumerate(words))
        return tag("tr", *said)

    body = tag("tbody", *(cells("td", row) for row in rows))
    return tag("div", tag("table", tag("thead", cells("th", heads)), body), class_="scroll")


def extremes(rows: Iterable[T], value: Callable[[T], float | None]) -> tuple[T, T] | None:
    """The rows with the lowest and with the highest value; None where no row has one."""
    known = sorted(((number, row) for row in rows if (number := value(row)) is not None), key=lambda pair: pair[0])
    return (known[0][1], known[-1][1]) if known else None
