"""A recomputed backtest in words and the points of its chart. The figures themselves are written by qfp.figures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from qfp import metrics
from qfp.figures import GROUPS, count, figures, grouped, signed
from qfp.tearsheet.thinning import thinned

__all__ = ["CHART_POINTS", "GROUPS", "chart", "describe", "figures", "grouped", "thinned"]

CHART_POINTS = 2_000


def chart(dates: list[str], equity: np.ndarray, benchmark: np.ndarray | None) -> dict[str, Any]:
    """At most CHART_POINTS points; of every stretch the lowest and the highest value stay, so no fall is
    hidden.
    """
    picks = thinned(equity, CHART_POINTS)
    below = metrics.drawdowns(equity)
    drawn = {
        "dates": [dates[i][:10] if dates[i][10:] in ("", "T00:00:00") else dates[i] for i in picks],
        "equity": [round(float(equity[i]), 4) for i in picks],
        "drawdown": [round(float(below[i]), 6) for i in picks],
    }
    if benchmark is not None:
        drawn["benchmark"] = [round(float(benchmark[i]), 4) for i in picks]
    return drawn


def describe(dates: list[str], equity: np.ndarray) -> str:
    """One sentence that says what the curve shows, for those who cannot see it."""
    went = "rose" if equity[-1] > equity[0] else "fell" if equity[-1] < equity[0] else "stayed the same"
    details = metrics.drawdown_details(equity)
    sentence = (
        f"Equity {went} from {count(float(equity[0]))} to {count(float(equity[-1]))} "
        f"between {_month(dates[0])} and {_month(dates[-1])}"
    )
    peak, trough, depth = details["start"], details["trough"], details["depth"]
    if peak is None or trough is None or depth is None:
        return f"{sentence}; it never fell."
    since, until = _month(dates[int(peak)]), _month(dates[int(trough)])
    when = since if since == until else f"{since} to {until}"
    return f"{sentence}; worst fall {signed(-100 * depth, 1)} %, {when}."


def _month(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%b %Y")
