"""The report as one HTML page: it needs no other file, no network and no script."""

from dataclasses import dataclass
from pathlib import Path
from string import Template

from examples.flights import chapters
from examples.flights.answers import Answers, share
from examples.flights.lanes import FAMILIES, lanes, style
from examples.flights.layout import figure, legend, minutes, percent, section
from examples.flights.markup import Markup, tag
from examples.flights.report import QUESTIONS
from examples.flights.timeline import Comparison, Run

ASSETS = Path(__file__).parent / "assets"
TITLE = "Flights out of New York"


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and how the questions were asked: for the page, never for the JSON file."""

    database: str
    """The kind of database, without its address."""
    processors: int
    """Of the computer that asked."""
    rounds: int
    """How often each way was measured; the fastest counts."""


def page(answers: Answers, comparison: Comparison, setting: Setting) -> str:
    """The whole page."""
    parts = (
        _headline(answers, comparison),
        chapters.when(answers),
        chapters.who(answers),
        chapters.where(answers),
        chapters.weather(answers),
        chapters.aircraft(answers),
        _timeline(comparison, setting),
        _method(setting, comparison),
    )
    template = Template((ASSETS / "page.html").read_text(encoding="utf-8"))
    sheet = (ASSETS / "page.css").read_text(encoding="utf-8")
    return template.substitute(title=TITLE, style=sheet, body=tag("main", *parts))


def _headline(answers: Answers, comparison: Comparison) -> Markup:
    """The figures to take away."""
    total, extent = answers.totals, answers.extent
    cards = [
        _card(f"{total.flights:,}", f"flights, {extent.first_day} to {extent.last_day}"),
        _card(percent(total.on_time_share), "of arrivals on time: less than 15 minutes late"),
        _card(f"{minutes(total.arrival_delay_mean)} min", "mean delay at arrival"),
        _card(percent(share(total.cancelled, total.flights)), f"cancelled: {total.cancelled:,} flights"),
        _card(f"{total.distance_miles / 1e6:,.0f}", "million miles scheduled"),
    ]
    if comparison.ratio:
        cards.append(_card(f"{comparison.ratio:.1f} times", "as fast, all questions asked at once", "card loud"))
    lead = f"{extent.airlines} airlines, {extent.airports:,} airports, {extent.planes:,} aircraft and "
    lead += f"{extent.weather:,} hours of weather, in {len(QUESTIONS)} questions."
    return tag("header", tag("h1", TITLE), tag("p", lead, class_="lead"), tag("div", *cards, class_="cards"))


def _card(number: str, words: str, kind: str = "card") -> Markup:
    """One figure, large."""
    return tag("div", tag("b", number), tag("span", words), class_=kind)


def _timeline(comparison: Comparison, setting: Setting) -> Markup:
    """Both runs on one axis of time."""
    slow, fast = comparison.one_at_a_time, comparison.all_at_once
    most = max(run.seconds for run in (slow, fast) if run)
    families = dict.fromkeys(FAMILIES.values())
    key = legend((family, style(family)) for family in families)
    figures = [_run("One at a time", slow, most, key)]
    if fast:
        figures.append(_run("All at once", fast, most, key))
    title = f"The timeline: {comparison.ratio:.2f} times as fast, all at once" if comparison.ratio else "The timeline"
    return section(f"{title}, on {setting.database}", *figures, name="timeline")


def _run(title: str, run: Run, most: float, key: Markup) -> Markup:
    """One run's lanes."""
    count = len({bar.lane for bar in run.bars})
    said = f"{run.seconds:.2f} seconds, over {count} connection{'s' if count > 1 else ''}. "
    said += f"The queries themselves took {run.work:.2f} seconds together. The dashed line is the end."
    return figure(title, said, key, lanes(f"{title}: each query on its connection", run, most), wide=True)


def _method(setting: Setting, comparison: Comparison) -> Markup:
    """How it was measured, and where the data is from."""
    times = "once" if setting.rounds == 1 else f"{setting.rounds} times in turn, of which the fastest counts"
    facts = {
        "How it was measured": MEASURED.format(times=times) if comparison.all_at_once else NOT_COMPARED,
        "On what": f"{setting.database}; the program ran on {setting.processors} processors.",
        "What the figures are": FIGURES,
        "Whose data": SOURCE,
    }
    entries = [tag(name, words) for title, said in facts.items() for name, words in (("dt", title), ("dd", said))]
    return tag("footer", tag("dl", *entries, class_="method"))


MEASURED = """\
Both ways ask the same questions of a snapshot. First all of them were asked once without being measured, so that
connections, statements and the database's cache were warm. Then each way was measured {times}: one at a time over one
connection, and all at once. The time is from opening the snapshot to closing it. A bar is the time from when a question
has its connection until it has its answer; its colour is the repository that asks."""

NOT_COMPARED = "The questions were asked one at a time only, so there is nothing to compare."

FIGURES = """\
Delays are minutes, and early is negative. A share on time is of the flights that arrived. Means and shares are made of
exact whole numbers and rounded once, so every database gives the same."""

SOURCE = """\
The nycflights13 data set (CC0): flights of the US Bureau of Transportation Statistics, aircraft of the Federal Aviation
Administration, weather of the airports' stations."""
