"""What does a chart look like in little? The first chart of a run as SVG, without axes of its own or any script.

Charts are Plotly figures that programs made, so nothing of them is trusted: only finite numbers and dates become
points, and the title is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from runner.charts import equity_curve
from runner.models import Backtest, Run
from runner.recording import Recording

WIDTH, HEIGHT, MARGIN = 480, 240, 10
MOST_POINTS, MOST_TRACES = 240, 6
PLOTLY = "application/vnd.plotly.v1+json"

Point = tuple[float, float]


def picture_of(run: Run) -> SafeString:
    """The equity curve of the run's first verified backtest, else its first chart; empty text without either."""
    backtest = Backtest.objects.filter(run=run, verified=True).order_by("position").first()
    if backtest is not None:
        return equity_curve(backtest, MOST_POINTS)
    for event in Recording(run.pk).read():
        content = event.get("data") if event.get("type") == "display" else None
        if isinstance(content, dict) and isinstance(content.get(PLOTLY), dict) and (svg := chart_svg(content[PLOTLY])):
            return svg
    return mark_safe("")


def chart_svg(figure: dict[str, Any]) -> SafeString:
    """Lines, points and bars of a Plotly figure; empty text where nothing of it can be drawn."""
    traces = [trace for trace in figure.get("data") or [] if isinstance(trace, dict)][:MOST_TRACES]
    categories: dict[str, float] = {}
    drawn = [(trace, points) for trace in traces if (points := list(_points(trace, categories)))]
    if not drawn:
        return mark_safe("")
    layout = figure.get("layout") if isinstance(figure.get("layout"), dict) else {}
    log = _inner(layout, "yaxis", "type") == "log"
    if log:
        drawn = [(trace, [(x, math.log10(y)) for x, y in points if y > 0]) for trace, points in drawn]
    every = [point for _, points in drawn for point in points]
    if not every:
        return mark_safe("")
    bars = [trace for trace, _ in drawn if trace.get("type") == "bar"]
    left, right = min(x for x, _ in every), max(x for x, _ in every)
    low, high = min(y for _, y in every), max(y for _, y in every)
    if bars:
        low, high = min(low, 0.0), max(high, 0.0)
        gap = (right - left) / max(1, len({x for x, _ in every}) - 1) or 1.0
        left, right = left - gap / 2, right + gap / 2

    def at(x: float, y: float) -> Point:
        return (
            MARGIN + (WIDTH - 2 * MARGIN) * (x - left) / ((right - left) or 1),
            HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (y - low) / ((high - low) or 1),
        )

    marks, bar_number = [], 0
    for number, (trace, points) in enumerate(drawn, 1):
        if trace.get("type") == "bar":
            path, shape = _bars(points, at, gap, bar_number, len(bars)), "bar"
            bar_number += 1
        elif "lines" in str(trace.get("mode") or "lines"):
            path, shape = "M" + "L".join("{:.1f} {:.1f}".format(*at(*point)) for point in _thinned(points)), "line"
        else:
            path, shape = "".join("M{:.1f} {:.1f}h0".format(*at(*point)) for point in _thinned(points)), "dots"
        marks.append((shape, number, path))
    zero = format_html(
        '<line class="grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/>', MARGIN, WIDTH - MARGIN, y=f"{at(left, 0)[1]:.1f}"
    )
    title = _inner(layout, "title", "text") or "Chart of the last run"
    return format_html(
        '<svg class="small-chart" viewBox="0 0 {} {}" role="img" aria-label="{title}"><title>{title}</title>{}{}</svg>',
        WIDTH,
        HEIGHT,
        zero if low <= 0 <= high and not log else "",
        format_html_join("", '<path class="{} {}-{}" d="{}"/>', ((s, s, n, path) for s, n, path in marks)),
        title=str(title)[:200],
    )


def _points(trace: dict[str, Any], categories: dict[str, float]) -> Iterable[Point]:
    ys = trace.get("y")
    if trace.get("type", "scatter") not in ("scatter", "scattergl", "bar") or not isinstance(ys, list):
        return
    given = trace.get("x")
    xs = given if isinstance(given, list) else range(len(ys))
    for x, y in zip(xs, ys, strict=False):
        place, value = _place(x, categories), _number(y)
        if place is not None and value is not None:
            yield place, value


def _place(x: Any, categories: dict[str, float]) -> float | None:
    """A number as such, a date as seconds, other text as the number of its category."""
    if isinstance(x, str):
        try:
            return datetime.fromisoformat(x).timestamp()
        except ValueError:
            return categories.setdefault(x, float(len(categories)))
    return _number(x)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Of an integer too large for a float isfinite() would raise.
    return float(value) if abs(value) < 1e300 and math.isfinite(value) else None


def _inner(layout: Any, name: str, key: str) -> Any:
    part = layout.get(name) if isinstance(layout, dict) else None
    return part.get(key) if isinstance(part, dict) else None


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    step = math.ceil(len(points) / MOST_POINTS)
    return [*points[::step], points[-1]]


def _bars(points: Sequence[Point], at: Any, gap: float, number: int, count: int) -> str:
    """One outline a bar; several series stand beside each other."""
    width = 0.8 * gap / count
    parts = []
    for x, y in points[:MOST_POINTS]:
        start = x - 0.4 * gap + number * width
        (x1, y1), (x2, y2) = at(start, 0.0), at(start + width, y)
        parts.append(f"M{x1:.1f} {y1:.1f}V{y2:.1f}H{x2:.1f}V{y1:.1f}Z")
    return "".join(parts)
