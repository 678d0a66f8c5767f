"""Draw prices and other series as SVG: the picture that a page has before, or without, any script.

Colours come from the page's stylesheet; only numbers, dates and escaped names go in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

WIDTH, HEIGHT = 960, 420
LEFT, RIGHT, TOP, BOTTOM = 8, 64, 12, 26
VOLUME_SHARE, GAP = 0.2, 18
MOST_DRAWN = 600

Line = tuple[str, Sequence[float | None]]


def series_svg(
    dates: Sequence[str],
    lines: Sequence[Line],
    *,
    title: str,
    volume: Sequence[float | None] | None = None,
    marks: Sequence[Mapping[str, Any]] = (),
    steps: bool = False,
    height: int = HEIGHT,
) -> SafeString:
    """Lines over a common time axis, with bars of volume below and marks on the dates of splits and dividends.

    dates: ISO, oldest first. lines: (name, value per date, None where there is none).
    Empty text for fewer than two dates.
    """
    values = [value for _, line in lines for value in line if value is not None]
    if len(dates) < 2 or not values:
        return mark_safe("")
    low, high = min(values), max(values)
    if steps:
        low = 0.0
    ticks = round_ticks(low, high)
    if steps:  # of something that is counted
        ticks = [tick for tick in ticks if tick == int(tick)]
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    plot = height - TOP - BOTTOM
    upper = plot * (1 - VOLUME_SHARE) - GAP if volume else plot
    right = WIDTH - RIGHT

    def x(index: float) -> float:
        return LEFT + (right - LEFT) * index / (len(dates) - 1)

    def y(value: float) -> float:
        return TOP + upper * (1 - (value - low) / ((high - low) or 1))

    grid = format_html_join(
        "",
        '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/><text class="tick" x="{3}" y="{4}">{5}</text>',
        ((LEFT, right, f"{y(t):.1f}", right + 8, f"{y(t) + 4:.1f}", short_number(t)) for t in ticks),
    )
    drawn = format_html_join(
        "",
        '<path class="line line-{}" d="{}"/>',
        ((number, _path(line, x, y, steps)) for number, (_, line) in enumerate(lines, 1)),
    )
    below = mark_safe("")
    if volume and (most := max((v for v in volume if v is not None), default=0.0)) > 0:
        floor = height - BOTTOM
        full = plot * VOLUME_SHARE
        bars = "".join(
            f"M{x(i):.1f} {floor}V{floor - full * value / most:.1f}" for i, value in enumerate(volume) if value
        )
        below = format_html(
            '<path class="volume" d="{}"/><text class="tick" x="{}" y="{}">{}</text>',
            bars,
            right + 8,
            f"{floor - full + 4:.1f}",
            short_number(most),
        )
    return format_html(
        '<svg class="series-chart" viewBox="0 0 {w} {h}" role="img" aria-label="{title}"><title>{title}</title>'
        "{grid}{below}{drawn}{marks}{dates}</svg>",
        w=WIDTH,
        h=height,
        title=title,
        grid=grid,
        below=below,
        drawn=drawn,
        marks=_marks(dates, marks, x, TOP + upper),
        dates=format_html_join(
            "",
            '<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>',
            ((f"{x(i):.1f}", height - 8, label) for i, label in date_labels(dates) if LEFT + 20 < x(i) < right - 8),
        ),
    )


def _path(line: Sequence[float | None], x: Any, y: Any, steps: bool) -> str:
    parts, pen = [], "M"
    for index, value in enumerate(line):
        if value is None:
            pen = "M"
            continue
        if steps and pen == "L":
            parts.append(f"H{x(index):.1f}V{y(value):.1f}")
        else:
            parts.append(f"{pen}{x(index):.1f} {y(value):.1f}")
        pen = "L"
    return "".join(parts)


def _marks(dates: Sequence[str], marks: Sequence[Mapping[str, Any]], x: Any, base: float) -> SafeString:
    """A triangle for a split, a dot for a dividend, each with its words; dividends only while they stay apart."""
    positions = {date: index for index, date in enumerate(dates)}
    shown, at = [], 0
    ordered = list(dates)
    payers = sum(1 for mark in marks if mark["split"] == 1)
    for mark in marks:
        while at + 1 < len(ordered) and ordered[at + 1] <= mark["date"]:
            at += 1
        index = positions.get(mark["date"], at)
        where = x(index)
        if mark["split"] != 1:
            shape = f"M{where - 5:.1f} {base:.1f}h10l-5 -9z"
            shown.append(("split", shape, f"{mark['date']}: split, {mark['split']:g} for 1"))
        elif payers <= 80:
            shape = f"M{where - 2.5:.1f} {base - 3:.1f}a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0 -5 0"
            shown.append(("dividend", shape, f"{mark['date']}: dividend of {mark['dividend']:g}"))
    return format_html_join("", '<path class="mark mark--{}" d="{}"><title>{}</title></path>', shown)


def round_ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers inside [low, high], about `wanted` of them."""
    span = (high - low) or abs(high) or 1.0
    rough = span / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    found = [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return found or [low, high]


def date_labels(dates: Sequence[str], most: int = 8) -> list[tuple[int, str]]:
    """(position, label) where a new year begins; months, or days, where there are too few of those."""
    for length in (4, 7, 10, 13):
        starts = [at + 1 for at, (one, other) in enumerate(pairwise(dates)) if one[:length] != other[:length]]
        if len(starts) >= 3:
            break
    every = max(1, math.ceil(len(starts) / most))
    return [(at, dates[at][:length].replace("T", " ") + (":00" if length == 13 else "")) for at in starts[::every]]


def short_number(value: float) -> str:
    """12500 -> 12.5k, as labels have little room; with the letters of qfp.tearsheet.drawing."""
    for size, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{suffix}"
    return f"{value:.4g}"
