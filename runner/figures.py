"""A recomputed backtest in words and the points of its chart. The figures themselves are written by qfp.figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qfp import metrics
from qfp.figures import GROUPS, figures, grouped
from qfp.tearsheet.describing import describe
from qfp.tearsheet.hours import breaks, closed_hours
from qfp.tearsheet.thinning import thinned

__all__ = ["CHART_POINTS", "GROUPS", "chart", "describe", "figures", "grouped", "thinned"]

CHART_POINTS = 2_000


def chart(dates: list[str], equity: np.ndarray, benchmark: np.ndarray | None) -> dict[str, Any]:
    """At most CHART_POINTS points; of every stretch the lowest and the highest value stay, so no fall is
    hidden. closed: the hours that its axis leaves out, if there are any.
    """
    picks = thinned(equity, CHART_POINTS)
    below = metrics.drawdowns(equity)
    drawn = {
        "dates": [dates[i][:10] if dates[i][10:] in ("", "T00:00:00") else dates[i] for i in picks],
        "equity": [round(float(equity[i]), 4) for i in picks],
        "drawdown": [round(float(below[i]), 6) for i in picks],
    }
    if closed := breaks(closed_hours(moments(dates))):
        drawn["closed"] = closed
    if benchmark is not None:
        drawn["benchmark"] = [round(float(benchmark[i]), 4) for i in picks]
    return drawn


def moments(dates: Sequence[str]) -> np.ndarray:
    """ISO dates as they are stored, in UTC with or without its sign."""
    return np.array([text.replace("Z", "").replace("+00:00", "") for text in dates], dtype="datetime64[us]")
