"""What does the page of a sweep show? Its trials as a heat map, lines and tables, and what to go on with."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import redis
from django.core.cache import cache
from django.db.models import Count
from qfp.figures import percent, signed
from qfp.sweeps.plateau import Plateau, plateau
from qfp.sweeps.trial import Trial as Tried

from runner.claims.fields import one_line
from runner.models import Run, Sweep
from runner.overfitting import Days, of_sweep, tried_in, window_of
from runner.sweeps.form import OBJECTIVES

__all__ = ["Cell", "Heat", "SweepResults", "WalkRow", "score_text", "walk_rows"]

MOST_ON_AXIS = 40  # values; of more, neighbouring ones share a cell
LEVELS = 10
MOST_LINES = 300
LARGEST = 1e9  # growth in one window that is told
WIDTH, HEIGHT, MARGIN = 720, 250, 56
TOP, BOTTOM = 56, 208  # ends of the axes
BELOW = 40  # a histogram, for its words
# Looking for the plateau takes the square of the number of trials: of few it is done each time, and of many only when
# no more are coming.
FEW, MOST_LIVE = 300, 3_000


@dataclass
class Cell:
    """One field of the heat map: the best of the trials in it."""

    number: int | None = None
    text: str = ""
    level: int = 0
    count: int = 0
    failed: str = ""
    marks: list[str] = field(default_factory=list)


@dataclass
class Heat:
    x: str
    y: str
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]
    sentence: str
    low: str = ""
    high: str = ""


@dataclass
class SweepResults:
    """A sweep as it stands now. live: whether its run goes on."""

    sweep: Sweep
    live: bool = False
    tried: list[Tried] = field(default_factory=list)

    @classmethod
    def of(cls, sweep: Sweep, live: bool) -> SweepResults:
        return cls(sweep, live, tried_in(sweep, blocks=False))

    @cached_property
    def names(self) -> list[str]:
        """Of the parameters that were tried, numbers first. What the sweep is about, its box has told."""
        space = self.sweep.about.get("space")
        first = self.tried[0].params if self.tried else {}
        names = list(space) if isinstance(space, dict) and space else list(first)
        return sorted(names, key=lambda name: type(first.get(name)) not in (int, float))

    @property
    def objective(self) -> str:
        name = str(self.sweep.about.get("objective", ""))
        return OBJECTIVES.get(name, name)

    @property
    def maximize(self) -> bool:
        return self.sweep.about.get("maximize") is not False

    @cached_property
    def scored(self) -> list[Tried]:
        """Best first."""
        sign = -1 if self.maximize else 1
        return sorted((each for each in self.tried if math.isfinite(each.score)), key=lambda each: sign * each.score)

    @property
    def failed(self) -> list[Tried]:
        return [each for each in self.tried if each.error]

    @property
    def peak(self) -> Tried | None:
        return self.scored[0] if self.scored else None

    @cached_property
    def plateau(self) -> Plateau | None:
        if not self.tried or (self.live and len(self.tried) > MOST_LIVE):
            return None
        if len(self.tried) <= FEW:
            return plateau(self.tried, self.maximize)
        key = f"plateau-median:{self.sweep.pk}:{len(self.tried)}"
        with suppress(redis.RedisError):  # without it, it is looked for again
            if (kept := cache.get(key)) is not None:
                return Plateau(**kept)
        found = plateau(self.tried, self.maximize)
        if found is not None:
            with suppress(redis.RedisError):
                cache.set(key, asdict(found), 3600)
        return found

    @cached_property
    def overfitting(self) -> dict[str, Any] | None:
        """None while trials are still coming."""
        return None if self.live or not self.tried else of_sweep(self.sweep)

    def trial(self, number: int | None) -> Tried | None:
        return next((each for each in self.tried if each.number == number), None)

    # Heat map -----------------------------------------------------------------------------------------------------

    def heat(self, x: str, y: str, mean: bool) -> Heat | None:
        """The objective by two parameters (y "" for one alone), over the others the best or the mean."""
        if not self.tried:
            return None
        across, down = _Axis(self.tried, x), _Axis(self.tried, y) if y else None
        cells: dict[tuple[int, int], list[Tried]] = {}
        for each in self.tried:
            cells.setdefault((across.place(each), down.place(each) if down else 0), []).append(each)
        sign = 1 if self.maximize else -1
        values = {at: _value([sign * t.score for t in some], mean) for at, some in cells.items()}
        known = np.array([value for value in values.values() if math.isfinite(value)])
        low, high = (float(np.quantile(known, 0.05)), float(known.max())) if len(known) else (0.0, 0.0)
        marks: dict[tuple[int, int], list[str]] = {}
        for found, name in ((self.peak, "peak"), (self.plateau, "plateau")):
            if found is not None and (trial := self.trial(found.number)) is not None:
                marks.setdefault((across.place(trial), down.place(trial) if down else 0), []).append(name)
        rows = []
        for row in range(len(down.labels) if down else 1):
            line = []
            for column in range(len(across.labels)):
                some = cells.get((column, row), [])
                line.append(
                    _cell(some, values.get((column, row), math.nan), sign, low, high, marks.get((column, row), []))
                )
            rows.append((down.labels[row] if down else self.objective, line))
        others = [name for name in self.names if name not in (x, y)]
        over = f" Over {_and(others)} each cell shows the {'mean' if mean else 'best'}." if others else ""
        shared = " Neighbouring values share a cell." if across.shared or (down and down.shared) else ""
        where = f"{x} and {y}" if y else x
        sentence = f"{self.objective} of {signed(len(self.tried), 0)} trials by {where}.{over}{shared}"
        if self.peak is not None:
            sentence += f" The best is {score_text(self.peak.score)} at {params_text(self.peak.params)}."
        return Heat(x, y, across.labels, rows, sentence, score_text(sign * low), score_text(sign * high))

    # Parallel coordinates --------------------------------------------------------------------------------------------

    def parallel(self) -> dict[str, Any] | None:
        """Axes and lines of a drawing: one line per trial, of very many so many evenly chosen by score."""
        if len(self.names) < 2 or len(self.scored) < 2:
            return None
        picks = np.unique(np.linspace(0, len(self.scored) - 1, min(MOST_LINES, len(self.scored))).astype(int))
        chosen = [self.scored[int(at)] for at in picks][::-1]  # the best are drawn last, above the others
        axes = []
        names = [*self.names, ""]
        places: list[list[float]] = []
        for at, name in enumerate(names):
            left = MARGIN + at * (WIDTH - 2 * MARGIN) / (len(names) - 1)
            raw = [each.params.get(name) if name else each.score for each in chosen]
            line, low, high = _scale(raw)
            places.append([BOTTOM - share * (BOTTOM - TOP) for share in line])
            if not name:
                low, high = (score_text(end) for end in sorted((chosen[0].score, chosen[-1].score)))
            # Names at the edges go inwards; beyond the drawing they would be cut.
            anchor = "middle" if 0 < at < len(names) - 1 else "end" if at else "start"
            axes.append(
                {"x": round(left, 1), "anchor": anchor, "name": name or self.objective, "low": low, "high": high}
            )
        lines = []
        for row in range(len(chosen)):
            points = " ".join(f"{axis['x']},{column[row]:.1f}" for axis, column in zip(axes, places, strict=True))
            lines.append({"points": points, "level": round(LEVELS * row / max(1, len(chosen) - 1))})
        top = chosen[-max(1, len(chosen) // 10) :]
        ranges = [f"{name} {_range([each.params.get(name) for each in top])}" for name in self.names]
        said = f"A line per trial, the best tenth in the strongest colour: there {_and(ranges)}."
        if len(chosen) < len(self.scored):
            said += f" {signed(len(chosen), 0)} of {signed(len(self.scored), 0)} are drawn."
        return {
            "axes": axes,
            "lines": lines,
            "sentence": said,
            "width": WIDTH,
            "height": HEIGHT,
            "top": TOP,
            "bottom": BOTTOM,
        }

    def histogram(self) -> dict[str, Any] | None:
        """Bars of the logits of the probability of overfitting; left of 0 the choice did not hold."""
        found = self.overfitting
        if not found or found["too_few"] or not found["histogram"]:
            return None
        bins = found["histogram"]
        most = max(count for _, _, count in bins) or 1
        width = (WIDTH - 2 * MARGIN) / len(bins)
        bars = [
            {
                "x": round(MARGIN + at * width + 1, 1),
                "width": round(width - 2, 1),
                "height": round(count / most * (HEIGHT - BELOW - 40), 1),
                "y": round(HEIGHT - BELOW - count / most * (HEIGHT - BELOW - 40), 1),
                "below": high <= 1e-9,
                "from": signed(low, 1),
                "to": signed(high, 1),
                "count": signed(count, 0),
            }
            for at, (low, high, count) in enumerate(bins)
        ]
        return {"bars": bars, "width": WIDTH, "height": HEIGHT, "middle": WIDTH / 2, "base": HEIGHT - BELOW}


class _Axis:
    """The values of a parameter in order, or groups of them."""

    def __init__(self, tried: list[Tried], name: str) -> None:
        self.name = name
        values: dict[str, Any] = {json.dumps(each.params.get(name)): each.params.get(name) for each in tried}
        numbers = all(type(value) in (int, float) for value in values.values())
        ordered = sorted(values, key=values.__getitem__) if numbers else list(values)
        size = math.ceil(len(ordered) / MOST_ON_AXIS)
        self.shared = size > 1
        groups = [ordered[at : at + size] for at in range(0, len(ordered), size)]
        self.at = {key: place for place, group in enumerate(groups) for key in group}
        ends = [(value_text(values[group[0]]), value_text(values[group[-1]])) for group in groups]
        self.labels = [one if one == other else f"{one}–{other}" for one, other in ends]

    def place(self, trial: Tried) -> int:
        return self.at[json.dumps(trial.params.get(self.name))]


def _value(scores: list[float], mean: bool) -> float:
    known = [score for score in scores if math.isfinite(score)]
    if not known:
        return math.nan
    return sum(known) / len(known) if mean else max(known)


def _cell(some: list[Tried], value: float, sign: int, low: float, high: float, marks: list[str]) -> Cell:
    if not some:
        return Cell()
    best = max(some, key=lambda each: sign * each.score if math.isfinite(each.score) else -math.inf)
    if not math.isfinite(value):
        return Cell(best.number, "failed" if best.error else "–", 0, len(some), best.error or "It has no score.", marks)
    share = (value - low) / (high - low) if high > low else 1.0
    level = round(LEVELS * min(1.0, max(0.0, share)))
    return Cell(best.number, score_text(sign * value), level, len(some), "", marks)


def _scale(values: list[Any]) -> tuple[list[float], str, str]:
    """(places from 0 to 1, text of the lower end, text of the upper end)."""
    if all(type(value) in (int, float) for value in values):
        low, high = min(values), max(values)
        span = (high - low) or 1
        return [(value - low) / span for value in values], value_text(low), value_text(high)
    texts = list(dict.fromkeys(map(str, values)))
    return [texts.index(str(v)) / max(1, len(texts) - 1) for v in values], texts[0][:14], texts[-1][:14]


def _range(values: list[Any]) -> str:
    if all(type(value) in (int, float) for value in values):
        low, high = value_text(min(values)), value_text(max(values))
        return f"is {low}" if low == high else f"lies from {low} to {high}"
    return f"is {' or '.join(dict.fromkeys(map(str, values)))}"


def _and(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def score_text(value: float) -> str:
    return signed(value, 2) if math.isfinite(value) else "–"


def value_text(value: Any) -> str:
    """A number of six digits, in the page's signs; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return (f"{value:.6g}" if isinstance(value, float) else str(value)).replace("-", "\N{MINUS SIGN}")


def params_text(params: dict[str, Any]) -> str:
    return one_line(", ".join(f"{name} {value_text(value)}" for name, value in params.items()))


# Walk-forward --------------------------------------------------------------------------------------------------------


@dataclass
class WalkRow:
    """One window: what was learnt from, what was chosen, and what came of it."""

    sweep: Sweep
    train: tuple[str, str]
    test: tuple[str, str]
    chosen: str
    score: str
    outcome: str
    gain: bool | None
    trials: int


def walk_rows(run: Run) -> list[WalkRow]:
    """The windows of a walk-forward so far. What came of each is read off the joined backtest once that is there; until
    then the program has told it.
    """
    joined = run.backtests.order_by("position").first()
    best = run.search["walk"].get("choose") == "best"
    sweeps = {
        f"window:{sweep.pk}:{sweep.tried}:{best}": sweep
        for sweep in run.sweeps.annotate(tried=Count("trials")).order_by("created", "pk")
    }
    kept: dict[str, tuple[str, str]] = {}
    with suppress(redis.RedisError):  # without it, they are chosen again
        kept = cache.get_many(sweeps)
    found, new = [], {}
    for key, sweep in sweeps.items():
        if (dates := window_of(sweep)) is None:
            continue
        train, test = dates
        if key not in kept:
            kept[key] = new[key] = _chosen(sweep, best)
        change = _change(joined, test) if joined is not None else _told(sweep, run)
        outcome = "–" if change is None else percent(change)
        gain = None if change is None else change >= 0
        found.append(WalkRow(sweep, train, test, *kept[key], outcome, gain, sweep.tried))
    with suppress(redis.RedisError):
        if new:
            cache.set_many(new, 3600)
    return found


def _chosen(sweep: Sweep, best: bool) -> tuple[str, str]:
    """(parameters, score) in words."""
    results = SweepResults.of(sweep, live=False)
    picked = results.peak if best else results.plateau
    if picked is None:
        return "–", "–"
    return params_text(picked.params), score_text((results.trial(picked.number) or picked).score)


def _told(sweep: Sweep, run: Run) -> float | None:
    by_run = sweep.about.get("traded")
    told: Any = by_run.get(str(run.pk)) if isinstance(by_run, dict) else None
    return float(told) if type(told) in (int, float) and abs(told) <= LARGEST else None


def _change(joined: Any, test: Days) -> float | None:
    """Growth of the account over the dates of a test window; the one before it ends where this one begins."""
    days = [date[:10] for date in joined.dates]
    try:
        first, last = days.index(test[0]), days.index(test[1])
    except ValueError:
        return None
    before = joined.equity[first - 1] if first else joined.cash
    return joined.equity[last] / before - 1 if before else None
