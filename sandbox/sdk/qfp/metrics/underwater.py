"""How deep did the account fall below its highest value so far, how often and for how long?"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from qfp.metrics.returns import cagr
from qfp.metrics.series import NAN, PERIODS_PER_YEAR, ratio, series


def drawdowns(equity: Any) -> np.ndarray:
    """How far each bar is below the highest value so far, as fractions <= 0; the start value counts as a
    peak.
    """
    equity = series(equity, "equity")
    peak = np.maximum.accumulate(equity) if len(equity) else equity
    return np.divide(equity - peak, peak, out=np.zeros_like(equity), where=peak > 0)


class Underwater:
    """The drawdowns of one account, found once, and what follows from them."""

    def __init__(self, equity: Any) -> None:
        self.below = drawdowns(equity)

    @cached_property
    def episodes(self) -> tuple[np.ndarray, np.ndarray]:
        """First bar below the peak, and first bar at it again or the number of bars, of each fall."""
        under = np.concatenate([[False], self.below < 0, [False]])
        edges = np.flatnonzero(under[1:] != under[:-1])
        return edges[::2], edges[1::2]

    def max_drawdown(self) -> float:
        return float(self.below.min()) if len(self.below) else NAN

    def average_drawdown(self) -> float:
        if not len(self.below):
            return NAN
        starts, _ = self.episodes
        return float(np.minimum.reduceat(self.below, starts).mean()) if len(starts) else 0.0

    def longest_drawdown(self) -> float:
        if not len(self.below):
            return NAN
        starts, ends = self.episodes
        return float(np.max(np.minimum(ends, len(self.below) - 1) - starts + 1)) if len(starts) else 0.0

    def time_under_water(self) -> float:
        return float(np.mean(self.below < 0)) if len(self.below) else NAN

    def ulcer_index(self) -> float:
        return math.sqrt(float(np.mean(np.square(self.below)))) if len(self.below) else NAN


def max_drawdown(equity: Any) -> float:
    """The deepest drawdown, a fraction <= 0 (-0.25 is 25 % below the peak). 0 when it never fell; NaN for no bars."""
    return Underwater(equity).max_drawdown()


def drawdown_details(equity: Any) -> dict[str, int | float | None]:
    """The deepest drawdown with its bars: depth (fraction), start (the peak, its last bar where several are
    equal), trough and recovery as positions.

    recovery is None when the peak has not been reached again. All None for no bars or no fall.
    """
    equity = series(equity, "equity")
    below = drawdowns(equity)
    if not len(below) or below.min() == 0:
        return {"depth": 0.0 if len(below) else NAN, "start": None, "trough": None, "recovery": None}
    trough = int(below.argmin())
    start = trough - int(equity[trough::-1].argmax())
    later = np.flatnonzero(equity[trough:] >= equity[start])
    recovery = trough + int(later[0]) if len(later) else None
    return {"depth": float(below[trough]), "start": start, "trough": trough, "recovery": recovery}


def falls(equity: Any) -> list[dict[str, int | float | None]]:
    """Every separate drawdown, deepest first: depth (fraction < 0), start (the peak), trough, recovery as positions.

    recovery is None while the peak has not been reached again.
    """
    water = Underwater(equity)
    found: list[dict[str, int | float | None]] = []
    for start, end in zip(*water.episodes, strict=True):
        trough = int(start + water.below[start:end].argmin())
        recovery = int(end) if end < len(water.below) else None
        depth = float(water.below[trough])
        found.append({"depth": depth, "start": int(start) - 1, "trough": trough, "recovery": recovery})
    return sorted(found, key=lambda fall: float(fall["depth"] or 0.0))


def average_drawdown(equity: Any) -> float:
    """Mean depth of the separate drawdowns, a fraction <= 0. 0 when it never fell; NaN for no bars."""
    return Underwater(equity).average_drawdown()


def longest_drawdown(equity: Any) -> float:
    """Most bars from a peak until it was reached again, or until the last bar. 0 without a fall; NaN for no bars."""
    return Underwater(equity).longest_drawdown()


def time_under_water(equity: Any) -> float:
    """Share of the bars below the highest value so far. NaN for no bars."""
    return Underwater(equity).time_under_water()


def calmar_ratio(equity: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """CAGR over the depth of the deepest drawdown, both over the whole window. NaN when it never fell.

    Source: Young (1991), Futures 20(1), who used 36 months; the window here is the one given.
    """
    return ratio(cagr(equity, periods_per_year), -max_drawdown(equity))


def ulcer_index(equity: Any) -> float:
    """Root mean square of the drawdowns, a fraction >= 0. NaN for no bars. Source: Martin & McCann (1989)."""
    return Underwater(equity).ulcer_index()


def martin_ratio(equity: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """CAGR over the ulcer index. NaN when it never fell. Source: Martin & McCann (1989)."""
    return ratio(cagr(equity, periods_per_year), ulcer_index(equity))
