"""How deep did the account fall below its highest value so far, how often and for how long?"""

from __future__ import annotations

import math
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


def max_drawdown(equity: Any) -> float:
    """The deepest drawdown, a fraction <= 0 (-0.25 is 25 % below the peak). 0 when it never fell; NaN for
    no bars.
    """
    below = drawdowns(equity)
    return float(below.min()) if len(below) else NAN


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
    equity = series(equity, "equity")
    starts, ends, below = _episodes(equity)
    found: list[dict[str, int | float | None]] = []
    for start, end in zip(starts, ends, strict=True):
        trough = int(start + below[start:end].argmin())
        recovery = int(end) if end < len(equity) else None
        found.append({"depth": float(below[trough]), "start": int(start) - 1, "trough": trough, "recovery": recovery})
    return sorted(found, key=lambda fall: float(fall["depth"] or 0.0))


def average_drawdown(equity: Any) -> float:
    """Mean depth of the separate drawdowns, a fraction <= 0. 0 when it never fell; NaN for no bars."""
    starts, _, below = _episodes(series(equity, "equity"))
    if not len(below):
        return NAN
    return float(np.minimum.reduceat(below, starts).mean()) if len(starts) else 0.0


def longest_drawdown(equity: Any) -> float:
    """Most bars from a peak until it was reached again, or until the last bar. 0 without a fall; NaN for no bars."""
    starts, ends, below = _episodes(series(equity, "equity"))
    if not len(below):
        return NAN
    return float(np.max(np.minimum(ends, len(below) - 1) - starts + 1)) if len(starts) else 0.0


def time_under_water(equity: Any) -> float:
    """Share of the bars below the highest value so far. NaN for no bars."""
    below = drawdowns(equity)
    return float(np.mean(below < 0)) if len(below) else NAN


def _episodes(equity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First bar below the peak and first bar at it again (or the number of bars) of each fall, and the drawdowns."""
    below = drawdowns(equity)
    under = np.concatenate([[False], below < 0, [False]])
    edges = np.flatnonzero(under[1:] != under[:-1])
    return edges[::2], edges[1::2], below


def calmar_ratio(equity: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """CAGR over the depth of the deepest drawdown, both over the whole window. NaN when it never fell.

    Source: Young (1991), Futures 20(1), who used 36 months; the window here is the one given.
    """
    depth = max_drawdown(equity)
    return cagr(equity, periods_per_year) / -depth if depth < 0 else NAN


def ulcer_index(equity: Any) -> float:
    """Root mean square of the drawdowns, a fraction >= 0. NaN for no bars. Source: Martin & McCann (1989)."""
    below = drawdowns(equity)
    return math.sqrt(float(np.mean(below**2))) if len(below) else NAN


def martin_ratio(equity: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """CAGR over the ulcer index. NaN when it never fell. Source: Martin & McCann (1989)."""
    return ratio(cagr(equity, periods_per_year), ulcer_index(equity))
