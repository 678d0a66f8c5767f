"""How did several series do beside each other, over the days that all of them have?

Closes are adjusted and measured by qfp, the code that runs in boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from qfp import metrics

from marketdata.browsing import INTERVALS, Entry, View
from marketdata.figures import (
    INVESTABLE,
    MOST_POINTS,
    Window,
    columns_of,
    cut,
    drawable,
    numbers,
    periods_per_year,
    prose_day,
    shown_dates,
    shown_number,
)

MOST_SERIES = 8
MOST_YEARS = 40
BASE = 100.0

DEFINITIONS = {
    "total_return": ("Total return", "signed", "Last close over first close, minus 1."),
    "cagr": ("CAGR", "signed", "Growth a year, compounded."),
    "volatility": ("Volatility", "percent", "Deviation of the returns from bar to bar, made yearly."),
    "sharpe": ("Sharpe", "ratio", "Mean return over its deviation, a year; risk-free rate 0."),
    "max_drawdown": ("Max drawdown", "fall", "Deepest fall below the highest close so far."),
    "best": ("Best bar", "signed", "Highest return from one close to the next."),
    "worst": ("Worst bar", "signed", "Lowest return from one close to the next."),
}


class NotComparable(Exception):
    """These series cannot be set beside each other; the text says why."""


@dataclass(frozen=True)
class Comparison:
    entries: Sequence[Entry]
    dates: np.ndarray
    closes: Sequence[np.ndarray]
    periods: float

    @property
    def names(self) -> list[str]:
        """Symbols; ids where two have the same."""
        symbols = [entry["symbol"] for entry in self.entries]
        return [e["symbol"] if symbols.count(e["symbol"]) == 1 else e["id"] for e in self.entries]

    @property
    def returns(self) -> list[np.ndarray]:
        return [metrics.returns_of(closes) for closes in self.closes]

    @property
    def rebased(self) -> list[np.ndarray]:
        return [closes / closes[0] * BASE for closes in self.closes]

    def correlations(self) -> list[list[float]]:
        """Of the returns over the common days, pair by pair; NaN where one of them does not vary."""
        returns = np.array(self.returns)
        if returns.shape[1] < 3:
            return [[float("nan")] * len(returns) for _ in returns]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.atleast_2d(np.corrcoef(returns)).tolist()

    def figures(self) -> list[dict[str, float]]:
        rows = []
        for closes, returns in zip(self.closes, self.returns, strict=True):
            rows.append(
                {
                    "total_return": metrics.total_return(closes),
                    "cagr": metrics.cagr(closes, self.periods),
                    "volatility": metrics.volatility(returns, self.periods),
                    "sharpe": metrics.sharpe_ratio(returns, periods_per_year=self.periods),
                    "max_drawdown": metrics.max_drawdown(closes),
                    "best": metrics.best_return(returns),
                    "worst": metrics.worst_return(returns),
                }
            )
        return rows

    def by_year(self) -> list[tuple[int, bool, list[float]]]:
        """(year, whether the common days cover only a part of it, return of each), the newest first."""
        years = self.dates.astype("datetime64[Y]").astype(int) + 1970
        rows = []
        for year in np.unique(years)[::-1][:MOST_YEARS]:
            inside = np.flatnonzero(years == year)
            before = inside[0] - 1 if inside[0] else 0
            partial = bool(inside[0] == 0 or inside[-1] == len(self.dates) - 1)
            stretch = [closes[[before, inside[-1]]] for closes in self.closes]
            rows.append((int(year), partial, [metrics.total_return(pair) for pair in stretch]))
        return rows

    def sentence(self) -> str:
        ends = [line[-1] for line in self.rebased]
        order = sorted(range(len(ends)), key=lambda at: -ends[at])
        parts = [f"{self.names[at]} {shown_number(ends[at], 2)}" for at in order]
        text = (
            f"100 on {prose_day(self.dates[0])} became, by {prose_day(self.dates[-1])}: {', '.join(parts)} "
            f"({shown_number(len(self.dates), 0)} days that all have)."
        )
        if len(self.entries) == 2 and np.isfinite(both := self.correlations()[0][1]):
            text += f" Their returns have a correlation of {both:.2f}."
        return text

    def chart(self) -> dict[str, Any]:
        """The rebased lines with at most so many points, the same dates for all."""
        count = len(self.dates)
        picks = np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS // len(self.entries) * 2)).astype(int))
        return {
            "dates": shown_dates(self.dates[picks], self.entries[0]),
            "lines": [
                {"name": name, "values": numbers(line[picks])}
                for name, line in zip(self.names, self.rebased, strict=True)
            ],
        }

    def not_investable(self) -> list[Entry]:
        return [entry for entry in self.entries if entry["kind"] not in INVESTABLE]


def compare(view: View, entries: Sequence[Entry], window: Window) -> Comparison:
    """Adjusted closes of the days that all of these have. Raises NotComparable."""
    for entry in entries:
        if "close" not in entry["columns"]:
            raise NotComparable(
                f"{entry['symbol']} has no closes to compare; it has {', '.join(entry['columns'][:6])}."
            )
    if len(intervals := {entry["interval"] for entry in entries}) > 1:
        named = ", ".join(f"{e['symbol']} {INTERVALS.get(e['interval'], e['interval'])}" for e in entries)
        raise NotComparable(f"Series of one interval can be compared; these have {len(intervals)}: {named}.")
    dates, closes = [], []
    for entry in entries:
        whole = columns_of(view, entry)
        if len(whole["date"]) > 1 and "close" not in drawable(whole):  # as in a table that somebody brought along
            raise NotComparable(f"{entry['symbol']} has no closes to compare: it needs one number for each date.")
        columns = cut(whole, window)
        known = np.isfinite(columns["close"]) & (columns["close"] > 0)
        dates.append(columns["date"][known])
        closes.append(columns["close"][known])
    common = reduce(lambda one, other: np.intersect1d(one, other, assume_unique=True), dates)
    if len(common) < 2:
        spans = ", ".join(f"{entry['symbol']} {entry['first']} to {entry['last']}" for entry in entries)
        raise NotComparable(f"There are no two days in this range that all of them have: {spans}.")
    aligned = [values[np.searchsorted(days, common)] for days, values in zip(dates, closes, strict=True)]
    return Comparison(entries, common, aligned, periods_per_year(entries[0], common))
