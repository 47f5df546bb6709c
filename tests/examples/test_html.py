"""The page: one file that needs no other, well-formed, with everything in it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from examples.flights.answers import Answers
from examples.flights.charts import scale
from examples.flights.layout import minutes
from examples.flights.markup import Markup, tag
from examples.flights.page import Setting, page
from examples.flights.report import QUESTIONS, ask
from examples.flights.timeline import Bar, Comparison, Run
from repo import Database
from tests.examples.few import fill

SETTING = Setting("SQLite 3.45.1", processors=2, rounds=3)


@pytest.fixture
async def answers(tmp_path: Path) -> Answers:
    """The answers that a few flights give; the page is the same whatever the database."""
    async with Database(f"sqlite:///{tmp_path / 'few.db'}") as db:
        await fill(db)
        async with db.snapshot() as snapshot:
            return await ask(snapshot)


def run(connections: int, seconds: float) -> Run:
    """A run whose questions follow each other on the connections in turn."""
    made = Run(connections, seconds=seconds)
    step = seconds / len(QUESTIONS)
    made.bars = [
        Bar(question.name, number % connections, number * step, (number + 1) * step)
        for number, question in enumerate(QUESTIONS)
    ]
    return made


def parsed(html: str) -> ElementTree.Element:
    """The page as a tree; an XML parser is stricter than any browser."""
    doctype, rest = html.split("\n", 1)
    assert doctype == "<!DOCTYPE html>"
    return ElementTree.fromstring(rest)


def test_the_page_needs_nothing_else(answers: Answers) -> None:
    """There is no script, no link to a file, no address, and nothing that a style sheet would fetch."""
    html = page(answers, Comparison(run(1, 4.0), run(3, 2.0)), SETTING)
    tree = parsed(html)
    assert {element.tag for element in tree.iter()} & {"script", "link", "img", "iframe", "object", "use"} == set()
    assert [name for element in tree.iter() for name in element.attrib if name in ("src", "href", "srcset")] == []
    assert re.search(r"url\(|@import|https?:", html) is None


def test_the_timeline_has_a_lane_for_each_connection_and_a_bar_for_each_question(answers: Answers) -> None:
    """Both ways are there, on the same axis, with every question once and the ratio above."""
    tree = parsed(page(answers, Comparison(run(1, 4.0), run(3, 2.0)), SETTING))
    timeline = section(tree, "timeline")
    slow, fast = timeline.findall(".//figure")
    for drawn, lanes in ((slow, 1), (fast, 3)):
        assert [text for text in texts(drawn) if text.startswith("connection ")] == [
            f"connection {number}" for number in range(1, lanes + 1)
        ]
        shown = [element.attrib["data-question"] for element in drawn.iter("g") if "data-question" in element.attrib]
        assert sorted(shown) == sorted(question.name for question in QUESTIONS)
    assert [text for text in texts(slow) if text.endswith(" s")] == [
        text for text in texts(fast) if text.endswith(" s")
    ]
    assert "2.00 times as fast" in "".join(timeline.itertext())


def test_without_a_comparison_there_is_one_timeline_and_no_ratio(answers: Answers) -> None:
    """Where all at once was not asked for, nothing is claimed about it."""
    tree = parsed(page(answers, Comparison(run(1, 4.0)), SETTING))
    assert len(section(tree, "timeline").findall(".//figure")) == 1
    assert "times as fast" not in "".join(tree.itertext())


def test_every_chart_says_what_it_is(answers: Answers) -> None:
    """Each figure has a title and a finding, and each chart a description for those who cannot see it."""
    tree = parsed(page(answers, Comparison(run(1, 4.0), run(3, 2.0)), SETTING))
    assert len(tree.findall(".//figure")) >= len(QUESTIONS)
    for figure in tree.findall(".//figure"):
        title, finding = figure.find("figcaption/h3"), figure.find("figcaption/p")
        assert title is not None
        assert title.text
        assert finding is not None
        assert finding.text
        charts = figure.findall("svg")
        assert charts or figure.find(".//table") is not None
        assert all(chart.attrib["role"] == "img" and chart.attrib["aria-label"] for chart in charts)


def test_names_are_text_and_not_markup(answers: Answers) -> None:
    """What a name in the database looks like is what is read on the page."""
    name = "<script>alert('x')</script> & \"Sons\""
    first, *others = answers.by_carrier
    spoiled = replace(answers, by_carrier=[replace(first, name=name), *others])
    tree = parsed(page(spoiled, Comparison(run(1, 4.0)), SETTING))
    assert tree.find(".//script") is None
    assert any(name in "".join(element.itertext()) for element in tree.iter("title"))


def section(tree: ElementTree.Element, name: str) -> ElementTree.Element:
    """A chapter of the page."""
    found = tree.find(f".//section[@id='{name}']")
    assert found is not None
    return found


def texts(element: ElementTree.Element) -> Iterator[str]:
    """The words on the charts of an element."""
    return (text.text or "" for text in element.iter("text"))


def test_text_is_escaped_and_markup_is_not() -> None:
    """A child is text unless it is `Markup`; an attribute cannot end its quotes."""
    assert tag("p", "a < b & c", Markup("<b>d</b>")) == "<p>a &lt; b &amp; c<b>d</b></p>"
    assert tag("a", title='"', class_="x", data_of=1.25) == '<a title="&quot;" class="x" data-of="1.2"></a>'


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([3.0, 21.7], [0, 5, 10, 15, 20, 25]),
        ([-4.0, 21.7], [-5, 0, 5, 10, 15, 20, 25]),
        ([0.5, None], [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        ([-3.0, -1.0], [-3, -2.5, -2, -1.5, -1, -0.5, 0]),
        ([], [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_an_axis_is_round_and_holds_zero_and_all_values(values: list[float | None], ticks: list[float]) -> None:
    """Ticks are round numbers at equal distances; the outer ones hold all values between them, and zero."""
    axis = scale(values, 0.0, 100.0)
    assert axis.ticks == pytest.approx(ticks)
    assert (axis(axis.ticks[0]), axis(axis.ticks[-1])) == pytest.approx((0.0, 100.0))


def test_numbers_are_written_for_people() -> None:
    """A minus is a minus sign, and what is not known is a dash."""
    assert (minutes(12.345), minutes(-0.5), minutes(None)) == ("12.3", "\N{MINUS SIGN}0.5", "\N{EN DASH}")
