"""Draw an equity curve and its drawdown as SVG: the picture of a backtest that needs no script.

Colours come from the page (CSS classes and custom properties); only numbers and dates we made ourselves go in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from qfp.figures import signed
from qfp.tearsheet.drawing import date_ticks
from qfp.tearsheet.hours import NEVER, Closed

from marketdata.charts import round_ticks, short_number
from runner.figures import moments, thinned
from runner.models import Backtest

LEFT, RIGHT, TOP, GAP, BOTTOM = 8, 64, 12, 34, 26
DRAWDOWN_SHARE = 0.28
MOST_DATES = 8


def equity_svg(
    dates: Sequence[str],
    equity: Sequence[float],
    width: int = 960,
    height: int = 360,
    title: str = "",
    closed: Closed = NEVER,
) -> SafeString:
    """An SVG of equity (upper part) over drawdown (lower part), sharing the time axis.

    dates: ISO dates, oldest first. equity: account value per date, in currency, same length, two or more values.
    closed: hours that the time axis leaves out. Empty text where there are fewer values, or what is no date.
    """
    points = [(date, float(value)) for date, value in zip(dates, equity, strict=True) if math.isfinite(float(value))]
    if len(points) < 2:
        return mark_safe("")
    try:
        seconds = moments([date for date, _ in points]).astype("datetime64[s]").astype(float)
    except ValueError:
        return mark_safe("")
    across = closed.open_time(seconds).tolist()
    values = [value for _, value in points]
    below, peak = [], -math.inf
    for value in values:
        peak = max(peak, value)
        below.append(value / peak - 1 if peak > 0 else 0.0)

    plot_width = width - LEFT - RIGHT
    plot_height = height - TOP - GAP - BOTTOM
    upper_height = plot_height * (1 - DRAWDOWN_SHARE)
    lower_top = TOP + upper_height + GAP
    lower_height = plot_height * DRAWDOWN_SHARE

    low, high = min(values), max(values)
    ticks = round_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    deepest = min(below) or -0.01

    def x(open_time: float) -> float:
        return LEFT + plot_width * (open_time - across[0]) / ((across[-1] - across[0]) or 1)

    def y(value: float) -> float:
        return TOP + upper_height * (1 - (value - low) / ((high - low) or 1))

    def y_below(value: float) -> float:
        return lower_top + lower_height * (value / deepest)

    line = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in zip(across, values, strict=True))
    depth = " ".join(f"{x(at):.1f},{y_below(value):.1f}" for at, value in zip(across, below, strict=True))
    right = LEFT + plot_width
    grid = format_html_join(
        "",
        '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/><text class="tick" x="{3}" y="{4}">{5}</text>',
        ((LEFT, right, f"{y(t):.1f}", right + 8, f"{y(t) + 4:.1f}", short_number(t)) for t in ticks),
    )
    ticks_across = date_ticks(seconds[0], seconds[-1], MOST_DATES, closed)
    when = format_html_join(
        "",
        '<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>',
        (
            (f"{at:.1f}", height - 8, "start" if at < LEFT + 24 else "middle", text)
            for at, text in ((x(float(closed.open_time(moment))), text) for moment, text in ticks_across)
        ),
    )
    sentence = title or _sentence(points, min(below))
    return format_html(
        '<svg class="equity-chart" viewBox="0 0 {w} {h}" role="img" aria-label="{title}">'
        "<title>{title}</title>{grid}"
        '<line class="grid" x1="{left}" x2="{right}" y1="{zero}" y2="{zero}"/>'
        '<polygon class="drawdown" points="{left},{zero} {depth} {right},{zero}"/>'
        '<text class="tick" x="{label}" y="{zero_label}">0 %</text>'
        '<text class="tick" x="{label}" y="{deep_label}">{deep} %</text>'
        '<polyline class="equity" fill="none" points="{line}"/>{when}</svg>',
        w=width,
        h=height,
        title=sentence,
        grid=grid,
        left=LEFT,
        right=right,
        zero=f"{lower_top:.1f}",
        depth=depth,
        label=right + 8,
        zero_label=f"{lower_top + 4:.1f}",
        deep_label=f"{lower_top + lower_height:.1f}",
        deep=f"\u2212{-100 * deepest:.0f}",
        line=line,
        when=when,
    )


def equity_curve(backtest: Backtest, points: int) -> SafeString:
    """The stored curve of a backtest with at most so many points, its deepest fall among them."""
    dates, equity = backtest.chart.get("dates", []), backtest.chart.get("equity", [])
    picks = thinned(np.asarray(equity), points)
    shown = [dates[i] for i in picks], [equity[i] for i in picks]
    return equity_svg(*shown, 720, 400, backtest.description, _closed(backtest.chart.get("closed", [])))


def _closed(stored: Sequence[Mapping[str, Any]]) -> Closed:
    """From what runner.figures.chart() keeps."""
    pairs = sorted(
        (start, start + each["dvalue"] / 1000)
        for each in stored
        for start in np.array(each["values"], dtype="datetime64[s]").astype(float).tolist()
    )
    return Closed(*np.array(pairs).T) if pairs else NEVER


def _sentence(points: Sequence[tuple[str, float]], deepest: float) -> str:
    (first, start), (last, end) = points[0], points[-1]
    return (
        f"Equity went from {signed(start, 0)} on {first[:10]} to {signed(end, 0)} on {last[:10]}; "
        f"the worst fall was {-100 * deepest:.1f} %."
    )
