"""How is a chart drawn as SVG? The same drawing stands on the page, in the HTML file and in the PDF.

Shapes carry classes: the page colours them by its stylesheet; a drawing that stands alone brings STYLE along. Only
numbers, dates of ours and escaped names go in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np

from qfp.figures import signed
from qfp.tearsheet.charts import Chart, Trace, points
from qfp.tearsheet.hours import NEVER, Closed

__all__ = ["COLOURS", "NARROW", "STYLE", "WIDE", "coloured", "date_ticks", "svg"]

HEIGHT = 220
LEFT, TOP, BOTTOM = 10, 24, 24
MARKS = 400
DAY = 86_400
MOST_DAYS = 60  # that days are named for; beyond, months are
SIGNS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


class Sheet(NamedTuple):
    """How wide the drawing is, the room for the numbers at its right, and what fits on it: points, dates, numbers.

    More points of a line than one for two units of its width show nothing.
    """

    width: int
    margin: int
    points: int
    dates: int
    numbers: int

    @property
    def right(self) -> int:
        return self.width - self.margin


WIDE = Sheet(width=720, margin=62, points=480, dates=9, numbers=8)
NARROW = Sheet(width=340, margin=58, points=240, dates=5, numbers=4)  # a phone's: letters keep their size

Colours = Mapping[str, str]
COLOURS = {"main": "#1a5fc2", "benchmark": "#79828b", "fall": "#b0480a", "up": "#1a5fc2", "down": "#b0480a"}


def coloured(colours: Colours) -> str:
    """The rules that colour the lines, areas, bars and names of each role."""
    return "".join(
        f".ts-line.ts-{role}{{stroke:{colour}}}.ts-area.ts-{role}{{stroke:{colour};fill:{colour};fill-opacity:.22}}"
        f".ts-fill.ts-{role}{{fill:{colour};fill-opacity:.85}}.ts-text.ts-{role}{{fill:{colour}}}"
        for role, colour in colours.items()
    )


STYLE = (
    ".ts-text{font:11px Inter,system-ui,sans-serif;fill:#59636d}.ts-grid{stroke:#d9dde1;stroke-width:1}"
    ".ts-level{stroke:#79828b;stroke-width:1;stroke-dasharray:4 3}"
    ".ts-line{fill:none;stroke-width:1.5;stroke-linejoin:round}.ts-area{stroke-width:1;stroke-linejoin:round}"
    + coloured(COLOURS)
)


def svg(chart: Chart, alone: bool = False, logarithmic: bool = False, height: int = HEIGHT, sheet: Sheet = WIDE) -> str:
    """The drawing. alone: as a file of its own, with its colours, for where no stylesheet reaches it."""
    drawn = [(trace, trace.x[at], trace.y[at]) for trace, at in _drawn(chart, sheet)]
    log = logarithmic and chart.logarithmic
    low = min(float(np.nanmin(y)) for _, _, y in drawn)
    high = max(float(np.nanmax(y)) for _, _, y in drawn)
    if chart.level is not None:
        low, high = min(low, chart.level), max(high, chart.level)
    if any(trace.mode in ("bars", "area") for trace, _, _ in drawn):
        low, high = min(low, 0.0), max(high, 0.0)
    if chart.key == "exposure":
        # Held or not is 0 or 1: a line on the very edge would not be seen.
        low, high = low - 0.02, max(high, low + 0.1) + 0.02
    elif not log and not any(trace.mode in ("bars", "area") for trace, _, _ in drawn):
        low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)
    if not high > low and any(trace.role == "fall" for trace, _, _ in drawn):
        low = -0.01  # it never fell
    elif not high > low:
        low, high = low - (abs(low) * 0.01 or 1.0), high + (abs(high) * 0.01 or 1.0)
    ticks = _log_ticks(low, high) if log else [t for t in _round_ticks(low, high) if low <= t <= high]
    shortest, longest = _x_range(chart, drawn)
    right, bottom = sheet.right, height - BOTTOM

    edges = chart.closed.open_time([shortest, longest])

    def across(value: Any) -> Any:
        return LEFT + (right - LEFT) * (chart.closed.open_time(value) - edges[0]) / ((edges[1] - edges[0]) or 1)

    def up(value: Any) -> Any:
        if log:
            share = (np.log(value) - math.log(low)) / ((math.log(high) - math.log(low)) or 1)
        else:
            share = (value - low) / (high - low)
        return bottom - (bottom - TOP) * share

    parts = [_horizontal(up(tick), right, _tick_text(tick, chart.form, ticks)) for tick in ticks]
    parts += _x_axis(chart, sheet, shortest, longest, across, bottom)
    if chart.level is not None and low < chart.level < high:
        ground = f"{up(chart.level):.1f}"
        parts.append(f'<line class="ts-level" x1="{LEFT}" x2="{right}" y1="{ground}" y2="{ground}"/>')
    # The main line is drawn last, over what it is compared with.
    for trace, x, y in sorted(drawn, key=lambda each: (each[0].mode == "points", each[0].role == "main")):
        parts += _shape(trace, across(_as_numbers(x)).tolist(), up(y.astype(float)).tolist(), up(max(low, 0.0)))
    parts.append(_legend(chart))
    style = f"<style>{STYLE}</style>" if alone else ""
    space = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
    size = f' width="{sheet.width}" height="{height}"' if alone else ""
    label = _escaped(f"{chart.title}. {chart.sentence}")
    return (
        f'<svg{space} class="ts-chart" viewBox="0 0 {sheet.width} {height}"{size} role="img" aria-label="{label}">'
        f"<title>{_escaped(chart.title)}</title>{style}{''.join(parts)}</svg>"
    )


def _drawn(chart: Chart, sheet: Sheet) -> Iterator[tuple[Trace, list[int]]]:
    for trace, at in points(chart, sheet.points):
        yield trace, at if trace.mode != "points" else at[:: max(1, math.ceil(len(at) / MARKS))]


def _as_numbers(values: np.ndarray) -> np.ndarray:
    return values.astype("datetime64[s]").astype(float) if values.dtype.kind == "M" else values.astype(float)


def _x_range(chart: Chart, drawn: list[tuple[Trace, np.ndarray, np.ndarray]]) -> tuple[float, float]:
    across = [_as_numbers(x) for _, x, _ in drawn]
    low, high = float(min(x.min() for x in across)), float(max(x.max() for x in across))
    if any(trace.mode == "bars" for trace, _, _ in drawn):
        # Half a bar more on each side.
        room = (high - low) / max(1, 2 * (max(len(x) for _, x, _ in drawn) - 1)) or 1.0
        return low - room, high + room
    if any(trace.mode == "points" for trace, _, _ in drawn) and chart.x_form != "date":
        room = (high - low) * 0.02 or 0.01
        return low - room, high + room
    return low, high


def _horizontal(y: float, right: float, text: str) -> str:
    return (
        f'<line class="ts-grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="ts-text" x="{right + 6}" y="{y + 4:.1f}">{text}</text>'
    )


def _shape(trace: Trace, x: list[float], y: list[float], ground: float) -> list[str]:
    role = f"ts-{trace.role}"
    if trace.mode == "area":
        edge = f"{x[0]:.1f},{ground:.1f} {_pairs(x, y)} {x[-1]:.1f},{ground:.1f}"
        return [f'<polygon class="ts-area {role}" points="{edge}"/>']
    if trace.mode == "bars":
        width = max(0.8, (x[-1] - x[0]) / max(1, len(x) - 1) * 0.82) if len(x) > 1 else 20.0
        bars = "".join(
            f"M{a - width / 2:.1f} {ground:.1f}V{b:.1f}h{width:.1f}V{ground:.1f}z" for a, b in zip(x, y, strict=True)
        )
        return [f'<path class="ts-fill {role}" d="{bars}"/>']
    if trace.mode == "points":
        # Arrows, so that sides are not told by colour alone.
        tip = -6 if trace.role == "up" else 6
        arrows = "".join(f"M{a - 4:.1f} {b - tip / 2:.1f}h8l-4 {tip}z" for a, b in zip(x, y, strict=True))
        return [f'<path class="ts-fill {role}" d="{arrows}"/>']
    parts = (_steps(*part) if trace.mode == "steps" else part for part in _stretches(x, y))
    return [f'<polyline class="ts-line {role}" points="{_pairs(*part)}"/>' for part in parts]


def _steps(x: list[float], y: list[float]) -> tuple[list[float], list[float]]:
    """Each value until the next."""
    return [each for each in x for _ in range(2)][1:], [each for each in y for _ in range(2)][:-1]


def _stretches(x: list[float], y: list[float]) -> Iterator[tuple[list[float], list[float]]]:
    """What lies between missing values."""
    start = 0
    for at in [*(at for at, value in enumerate(y) if math.isnan(value)), len(y)]:
        if at > start:
            yield x[start:at], y[start:at]
        start = at + 1


def _pairs(x: list[float], y: list[float]) -> str:
    return ("%.1f,%.1f " * len(x) % tuple(chain.from_iterable(zip(x, y, strict=True)))).rstrip()


def _legend(chart: Chart) -> str:
    if len(chart.traces) == 1 and not chart.x_title:
        return ""
    found, at = [], float(LEFT)
    signs = {"up": "▲ ", "down": "▼ "} if any(trace.mode == "points" for trace in chart.traces) else {}
    for trace in chart.traces if len(chart.traces) > 1 else ():
        text = signs.get(trace.role, "") + trace.name
        found.append(f'<text class="ts-text ts-{trace.role}" x="{at:.0f}" y="13">{_escaped(text)}</text>')
        at += 6.6 * len(text) + 18
    return "".join(found)


# Axes --------------------------------------------------------------------------------------------------------


def _round_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    step = 10.0 ** math.floor(math.log10((high - low) / wanted))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= wanted)
    first = math.ceil(low / step - 1e-9)
    return [round(step * (first + i), 12) for i in range(math.floor((high - low) / step + 1e-9) + 2)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1,)):
        found = [10.0**e * f for e in decades for f in factors if low <= 10.0**e * f <= high]
        if len(found) <= 7:
            break
    return found if len(found) > 1 else [tick for tick in _round_ticks(low, high) if low <= tick <= high and tick > 0]


def _tick_text(value: float, form: str, ticks: list[float]) -> str:
    step = min((abs(b - a) for a, b in pairwise(ticks)), default=abs(value) or 1.0)
    if form == "percent":
        digits = max(0, -math.floor(math.log10(step * 100) + 1e-9)) if step > 0 else 0
        return f"{signed(value * 100, min(digits, 3))}\u00a0%"
    largest = max(abs(tick) for tick in ticks)
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if largest >= 10 * size or (largest >= size and size >= 1e6):
            digits = max(0, -math.floor(math.log10(step / size) + 1e-9)) if step > 0 else 0
            return f"{signed(value / size, min(digits, 2))}{letter}"
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    return signed(value, min(digits, 4))


def _x_axis(
    chart: Chart, sheet: Sheet, low: float, high: float, across: Callable[[float], float], bottom: float
) -> Iterator[str]:
    for value, text in _x_marks(chart, sheet, low, high):
        x = across(value)
        anchor = "start" if x < LEFT + 16 else "middle"
        yield f'<line class="ts-grid" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom:.1f}" y2="{bottom + 4:.1f}"/>'
        yield f'<text class="ts-text" x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="{anchor}">{text}</text>'
    if chart.x_title:
        title = _escaped(chart.x_title.lower())
        yield f'<text class="ts-text" x="{sheet.right}" y="13" text-anchor="end">across: {title}</text>'


def _x_marks(chart: Chart, sheet: Sheet, low: float, high: float) -> list[tuple[float, str]]:
    if chart.x_form != "date":
        return _number_ticks(chart, low, high, sheet.numbers)
    first = chart.traces[0]
    if first.mode == "bars" and len(first.x) <= sheet.dates:  # one for each month: days between them say nothing
        return [(float(_as_numbers(each)), str(each)[:7]) for each in first.x]
    return date_ticks(low, high, sheet.dates, chart.closed)


def _number_ticks(chart: Chart, low: float, high: float, most: int) -> list[tuple[float, str]]:
    ticks = [tick for tick in _round_ticks(low, high, most) if low <= tick <= high]
    return [(tick, _tick_text(tick, chart.x_form, ticks)) for tick in ticks]


def date_ticks(low: float, high: float, most: int, closed: Closed = NEVER) -> list[tuple[float, str]]:
    """(seconds since 1970, text) of years, months, days or hours, whichever gives a handful.

    Where hours are left out: of days on which there was a market.
    """
    if closed:
        begun = [low, *closed.within(low, high).stops.tolist()]
        days = {str(np.datetime64(int(each), "s"))[:10]: each for each in reversed(begun)}
        if 2 < len(days) <= MOST_DAYS:
            found = [(days[day], day[5:]) for day in sorted(days)[:: math.ceil(len(days) / most)]]
            # A first day of a few bars would stand in the text of the next.
            steps = np.diff(closed.open_time([moment for moment, _ in found]))
            return found[1:] if len(steps) > 1 and steps[0] < 0.7 * steps[1] else found
    found = _even_ticks(low, high, most)
    return [(moment, text) for moment, text in found if moment % DAY == 0 or not closed.holds(moment)]


def _even_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    first, last = np.datetime64(int(low), "s"), np.datetime64(int(high), "s")
    choices: list[tuple[str, int, Callable[[Any], str]]] = [
        *(("h", step, lambda moment: f"{str(moment)[11:16]}") for step in (1, 3, 6)),
        *(("D", step, lambda moment: str(moment)[5:10]) for step in (1, 2, 7)),
        *(("M", step, lambda moment: str(moment)[:7]) for step in (1, 2, 3, 6)),
        *(("Y", step, lambda moment: str(moment)[:4]) for step in (1, 2, 5, 10, 20)),
    ]
    for unit, step, write in choices:
        kind = f"datetime64[{unit}]"
        since = 1970 if unit == "Y" else 0  # so that years are round ones
        start, end = (int(moment.astype(kind).astype(int)) + since for moment in (first, last))
        first_tick = -(-start // step) * step
        if (end - first_tick) // step >= most:
            continue
        numbers = np.arange(first_tick, end + 1, step) - since
        moments = list(numbers.astype(kind).astype("datetime64[s]"))
        found = [(float(m.astype(int)), write(m)) for m in moments if low <= m.astype(int) <= high]
        if len(found) > 1:
            return found
    return [(low, str(first)[:10]), (high, str(last)[:10])]


def _escaped(text: str) -> str:
    """As html.escape() does it, which loads the names of two thousand letters first."""
    return text.translate(SIGNS)
