"""Charts as inline SVG: they take their colours from the page's style, so they follow light and dark.

A chart is drawn on a canvas of its own units and scales with the page. Each has a description for those who cannot see
it, and each mark a title that a pointer shows.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from examples.flights.markup import Markup, tag

Format = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Series:
    """Values with a name, one for each category; `style` is a class of the page's style."""

    name: str
    values: Sequence[float | None]
    style: str = "one"


@dataclass(frozen=True, slots=True)
class Scale:
    """Values on a stretch of the canvas."""

    ticks: Sequence[float]
    """Rising round values, the first and the last of them at the ends of the stretch."""
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where the value is on the canvas."""
        low, high = self.ticks[0], self.ticks[-1]
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def scale(values: Sequence[float | None], start: float, end: float) -> Scale:
    """A scale that holds zero and all values."""
    known = [0.0, *(value for value in values if value is not None)]
    low, high = min(known), max(known)
    step = _step(high - low or 1.0)
    first, last = math.floor(low / step), math.ceil((high if high > low else low + 1.0) / step)
    return Scale([number * step for number in range(first, last + 1)], start, end)


def _step(span: float) -> float:
    """The round distance of about six ticks in the span."""
    rough = span / 6
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough * 0.99)


def columns(
    label: str,
    categories: Sequence[str],
    series: Sequence[Series],
    *,
    form: Format,
    unit: str,
    width: float = 540.0,
    notes: Sequence[str] = (),
) -> Markup:
    """Upright bars side by side for each category, over an axis of values; a note goes under its category."""
    left, foot = 44.0, 236.0
    up = scale([value for one in series for value in one.values], foot, 32.0)
    room = (width - left) / max(len(categories), 1)
    marks = [_rule_across(tick, up, left, width) for tick in up.ticks]
    for number, category in enumerate(categories):
        middle = left + room * (number + 0.5)
        group = [(one, one.values[number]) for one in series]
        marks += _columns(category, group, up, middle=middle, room=room, form=form, unit=unit)
        marks.append(text(middle, foot + 20, category, "middle"))
        marks.append(text(middle, foot + 37, notes[number], "note middle") if notes else Markup())
    marks.append(text(left, 12, unit, "axis"))
    return drawing(label, width, foot + (44 if notes else 28), *marks)


def _columns(
    category: str,
    group: Sequence[tuple[Series, float | None]],
    up: Scale,
    *,
    middle: float,
    room: float,
    form: Format,
    unit: str,
) -> list[Markup]:
    """The bars of one category; a single one has its value over it."""
    marks = []
    thick = min(room * 0.72 / len(group), 56.0)
    left = middle - thick * len(group) / 2
    for place, (one, value) in enumerate(group):
        if value is not None:
            said = f"{category}, {one.name}: {form(value)} {unit}"
            marks.append(_column(left + thick * place, thick, value, up, style=one.style, said=said))
            if len(group) == 1:
                marks.append(text(middle, min(up(value), up(0)) - 6, form(value), "value middle"))
    return marks


def _rule_across(tick: float, up: Scale, left: float, right: float) -> Markup:
    """A tick of an upright axis, and its line across the chart."""
    place = up(tick)
    style = "zero" if tick == 0 else "rule"
    line = tag("line", class_=style, x1=left, x2=right, y1=place, y2=place)
    return tag("g", line, text(left - 8, place + 4, f"{tick:g}", "axis end"))


def _column(left: float, thick: float, value: float, up: Scale, *, style: str, said: str) -> Markup:
    """One upright bar."""
    top, foot = sorted((up(value), up(0)))
    height = max(foot - top, 1.0)
    return tag("rect", tag("title", said), class_=style, x=left, y=top, width=max(thick - 2, 2.0), height=height, rx=2)


@dataclass(frozen=True, slots=True)
class Row:
    """A value with a name, and words to put after it."""

    name: str
    value: float | None
    note: str = ""
    style: str = "one"


def bars(label: str, rows: Sequence[Row], *, form: Format, unit: str, width: float = 540.0) -> Markup:
    """Lying bars from zero, to the left where a value is negative, with their values and notes."""
    left, line = 190.0, 26.0
    along = scale([row.value for row in rows], left + 50, width - 150)
    height = line * len(rows) + 30
    marks = [_rule_down(tick, along, height - 22) for tick in along.ticks]
    for number, row in enumerate(rows):
        top = line * number + 4
        marks.append(text(left - 8, top + 14, shorten(row.name, 26), "end"))
        if row.value is not None:
            marks.append(_bar(row, along, top, said=f"{row.name}: {form(row.value)} {unit}", form=form))
        marks.append(text(width, top + 14, row.note, "note end"))
    marks.append(text(width, height - 4, unit, "axis end"))
    return drawing(label, width, height, *marks)


def _bar(row: Row, along: Scale, top: float, *, said: str, form: Format) -> Markup:
    """One lying bar, with its value at its end."""
    value = row.value or 0.0
    left, right = sorted((along(value), along(0)))
    size = {"width": max(right - left, 1.0), "height": 18.0}
    mark = tag("rect", tag("title", said), class_=row.style, x=left, y=top, rx=2, **size)
    words = (
        text(left - 5, top + 14, form(value), "value end")
        if value < 0
        else text(right + 5, top + 14, form(value), "value")
    )
    return tag("g", mark, words)


def _rule_down(tick: float, along: Scale, foot: float) -> Markup:
    """A tick of a lying axis, and its line down the chart."""
    place = along(tick)
    line = tag("line", class_="zero" if tick == 0 else "rule", x1=place, x2=place, y1=0, y2=foot)
    return tag("g", line, text(place, foot + 16, f"{tick:g}", "axis middle"))


def stacks(label: str, categories: Sequence[str], series: Sequence[Series]) -> Markup:
    """For each category a bar of full width, cut by the series' parts of the whole."""
    width, left, line = 1120.0, 190.0, 26.0
    marks = []
    for number, category in enumerate(categories):
        top, whole = line * number + 4, sum(one.values[number] or 0 for one in series)
        marks.append(text(left - 8, top + 14, shorten(category, 26), "end"))
        place = left
        for one in series:
            part = (one.values[number] or 0) / (whole or 1)
            marks.append(_slice(place, part, width - left, top=top, one=one, category=category))
            place += part * (width - left)
    return drawing(label, width, line * len(categories) + 4, *marks)


def _slice(place: float, part: float, full: float, *, top: float, one: Series, category: str) -> Markup:
    """One part of a stacked bar, with its percentage where there is room for it."""
    thick, percent = part * full, f"{100 * part:.0f}%"
    said = tag("title", f"{category}, {one.name}: {100 * part:.1f}%")
    mark = tag("rect", said, class_=one.style, x=place, y=top, width=max(thick - 1, 0.0), height=19)
    return tag("g", mark, text(place + thick / 2, top + 14, percent, "on middle") if thick > 34 else Markup())


def heat(
    label: str,
    columns: Sequence[str],
    rows: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    form: Format,
    unit: str,
) -> Markup:
    """A table of cells, the darker the higher the value: `values[row][column]`."""
    left, cell, line = 84.0, 86.0, 44.0
    most = max((value for row in values for value in row if value is not None), default=1) or 1
    marks = [text(left + cell * (number + 0.5), 14, name, "middle") for number, name in enumerate(columns)]
    for down, name in enumerate(rows):
        marks.append(text(left - 10, line * down + 50, name, "end"))
        for across, value in enumerate(values[down]):
            if value is not None:
                said = tag("title", f"{name}, {columns[across]}: {form(value)} {unit}")
                place = {"x": left + cell * across, "y": line * down + 24, "width": cell - 3, "height": line - 3}
                marks.append(tag("rect", said, class_="heat", style=f"--heat:{value / most:.2f}", rx=3, **place))
                marks.append(text(left + cell * (across + 0.5) - 1, line * down + 50, form(value), "value middle"))
    return drawing(label, left + cell * len(columns), line * len(rows) + 26, *marks)


def drawing(label: str, width: float, height: float, *marks: Markup) -> Markup:
    """A canvas with a description."""
    box = f"0 0 {width:g} {height:g}"
    return tag("svg", *marks, viewBox=box, role="img", aria_label=label)


def text(left: float, foot: float, words: str, style: str) -> Markup:
    """Words on a canvas."""
    return tag("text", words, class_=style, x=left, y=foot)


def shorten(words: str, length: int) -> str:
    """At most so many characters, with a sign where some were left out."""
    return words if len(words) <= length else words[: length - 1].rstrip() + "…"
