"""What was measured, as pictures: bars beside each other, and lines of what grows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from benchmarks.extras import EXTRAS, Figure
from benchmarks.tables import OURS, Comparison, median

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; font-size: 15px; }
.small { font-size: 11px; fill: #57606a; }
.grid { stroke: #d0d7de; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .small { fill: #8b949e; } .grid { stroke: #30363d; }
}
"""
COLOURS = ("#2563eb", "#94a3b8", "#f59e0b", "#10b981", "#a855f7")
"""The first is ours."""
LINE, BAR, LABEL, TRACK = 26, 16, 150, 420
PANEL, GAP = 250, 70


def bars(comparisons: Sequence[Comparison]) -> str:
    """The geometric mean of each contender in each comparison, as times that of `repo`; shorter is faster."""
    parts, top = [], 10
    for comparison in comparisons:
        ours = comparison.mean(OURS)
        means = {name: comparison.mean(name) / ours for name in comparison.contenders}
        parts += list(_group(comparison.title, means, top))
        top += LINE * (len(means) + 2)
    return _svg(LABEL + TRACK + 90, top, parts)


def _group(title: str, means: Mapping[str, float], top: int) -> Iterator[str]:
    """A bar for each contender, the fastest first."""
    known = sorted((value, name) for name, value in means.items() if not math.isnan(value))
    longest = max(value for value, _ in known)
    yield _text(4, top + 14, title, "title")
    for number, (value, name) in enumerate(known, 1):
        y = top + LINE * number
        width = max(TRACK * value / longest, 1)
        colour = COLOURS[0] if name == OURS else COLOURS[1]
        yield _text(LABEL - 10, y + 13, name, anchor="end")
        yield f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" rx="3" fill="{colour}"/>'
        yield _text(LABEL + width + 8, y + 13, f"{value:.2f}")
    for name in (name for name, value in means.items() if math.isnan(value)):
        yield _text(4, top + LINE * (len(known) + 1) + 8, f"{name}: not all operations succeeded", "small")


def lines(measurements: Sequence[Sequence[Figure]]) -> str:
    """Time and memory of what was measured in more than one size, on logarithmic scales."""
    parts, top, right = [], 10, 0
    for figures in measurements:
        first = figures[0]
        parts.append(_text(4, top + 14, f"{EXTRAS[first.extra].title}, {first.database}", "title"))
        seconds = {w: [(f.size, median(f.samples) * f.size / 1e6) for f in fs] for w, fs in _by_way(figures).items()}
        memory = {w: [(f.size, f.grown or 0.0) for f in fs] for w, fs in _by_way(figures).items()}
        panels = [("seconds", seconds)]
        if any(figure.grown is not None for figure in figures):
            panels.append(("MiB grown", memory))
        for number, (unit, series) in enumerate(panels):
            left = 60 + number * (PANEL + GAP)
            parts += list(_panel(left, top + 40, unit, series))
        for number, way in enumerate(seconds):
            x = 60 + len(panels) * (PANEL + GAP) - 30
            y = top + 50 + LINE * number
            parts.append(f'<rect x="{x}" y="{y - 9}" width="14" height="4" fill="{COLOURS[number]}"/>')
            parts.append(_text(x + 20, y, way))
            right = max(right, x + 230)
        top += PANEL + 100
    return _svg(right, top, parts)


def _by_way(figures: Sequence[Figure]) -> dict[str, list[Figure]]:
    ways = dict.fromkeys(figure.way for figure in figures)
    return {way: [figure for figure in figures if figure.way == way] for way in ways}


def _panel(left: int, top: int, unit: str, series: Mapping[str, Sequence[tuple[int, float]]]) -> Iterator[str]:
    """Axes with a line for each power of ten, and a curve for each way."""
    points = [point for curve in series.values() for point in curve]
    across = _scale([float(size) for size, _ in points])
    up = _scale([value for _, value in points if value > 0] or [1.0])
    yield _text(left, top - 8, unit, "small")
    for power in range(up[0], up[1] + 1):
        y = top + PANEL - PANEL * _place(10.0**power, up)
        yield f'<line class="grid" x1="{left}" x2="{left + PANEL}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(left - 6, y + 4, f"{10.0**power:g}", "small", "end")
    for power in range(across[0], across[1] + 1):
        x = left + PANEL * _place(10.0**power, across)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + PANEL}"/>'
        yield _text(x, top + PANEL + 16, f"{10**power:,}" if power < 4 else f"10^{power}", "small", "middle")
    for colour, curve in zip(COLOURS, series.values(), strict=False):
        places = [(left + PANEL * _place(n, across), top + PANEL * (1 - _place(v, up))) for n, v in curve if v > 0]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for x, y in places:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'


def _scale(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around the values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _place(value: float, scale: tuple[int, int]) -> float:
    """Where a value is on a scale, from 0 to 1."""
    return (math.log10(value) - scale[0]) / (scale[1] - scale[0])


def _text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])
