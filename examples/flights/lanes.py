"""The timeline as a chart: one lane for each connection, one bar for each question."""

from examples.flights.charts import Scale, drawing, scale, shorten, text
from examples.flights.markup import Markup, tag
from examples.flights.report import QUESTIONS
from examples.flights.timeline import Bar, Run

WIDTH, LEFT, LINE = 1120.0, 110.0, 34.0
FAMILIES = {question.name: question.repository.__name__ for question in QUESTIONS}
TITLES = {question.name: question.title for question in QUESTIONS}


def style(family: str) -> str:
    """The style of the questions of a repository: `weather` for `WeatherReports`."""
    return family.removesuffix("Reports").lower()


def lanes(label: str, run: Run, seconds: float) -> Markup:
    """The run's lanes, on an axis of so many seconds."""
    along = scale([seconds], LEFT, WIDTH - 12)
    count = max((bar.lane for bar in run.bars), default=0) + 1
    foot = LINE * count + 4
    marks = [_lane(number) for number in range(count)]
    marks += [_tick(tick, along, foot) for tick in along.ticks]
    marks += [_bar(bar, along) for bar in run.bars]
    marks.append(_end(run.seconds, along, foot))
    return drawing(label, WIDTH, foot + 22, *marks)


def _lane(number: int) -> Markup:
    """A connection's lane, empty."""
    top = LINE * number + 2
    ground = tag("rect", class_="lane", x=LEFT, y=top, width=WIDTH - LEFT, height=LINE - 4, rx=4)
    return tag("g", ground, text(LEFT - 10, top + 20, f"connection {number + 1}", "end"))


def _tick(tick: float, along: Scale, foot: float) -> Markup:
    """A moment on the axis."""
    line = tag("line", class_="rule", x1=along(tick), x2=along(tick), y1=0, y2=foot)
    return tag("g", line, text(along(tick), foot + 15, f"{tick:g} s", "axis middle"))


def _bar(bar: Bar, along: Scale) -> Markup:
    """A question's time on its connection, with its title where there is room for it."""
    left, width, top = along(bar.start), max(along(bar.end) - along(bar.start) - 1, 1.0), LINE * bar.lane + 5
    title = TITLES[bar.question]
    said = tag("title", f"{title}: {bar.end - bar.start:.3f} s, from {bar.start:.3f} s to {bar.end:.3f} s")
    mark = tag("rect", said, class_=style(FAMILIES[bar.question]), x=left, y=top, width=width, height=LINE - 10, rx=3)
    words = text(left + 5, top + 16, _label(title, width), "on")
    return tag("g", mark, words, class_="bar", data_question=bar.question)


def _label(title: str, width: float) -> str:
    """The title, or as much of it as says something in the bar's width."""
    letters = int((width - 8) / 7.4)
    return shorten(title, letters) if letters >= min(len(title), 6) else ""


def _end(seconds: float, along: Scale, foot: float) -> Markup:
    """The moment at which all was answered."""
    return tag("line", class_="zero", x1=along(seconds), x2=along(seconds), y1=0, y2=foot, stroke_dasharray="4 3")
