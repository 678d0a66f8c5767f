"""What does an equity curve show, in one sentence?"""

from __future__ import annotations

from datetime import datetime

import numpy as np

from qfp import metrics
from qfp.figures import count, signed

__all__ = ["describe"]


def describe(dates: list[str], equity: np.ndarray) -> str:
    """One sentence that says what the curve shows, for those who cannot see it."""
    first, last = count(float(equity[0])), count(float(equity[-1]))
    went = f"{'rose' if equity[-1] > equity[0] else 'fell'} from {first} to {last}"
    if equity[-1] == equity[0]:
        went = f"stayed at {first}" if (equity == equity[0]).all() else f"ended at {last}, where it began,"
    details = metrics.drawdown_details(equity)
    sentence = f"Equity {went} between {_month(dates[0])} and {_month(dates[-1])}"
    peak, trough, depth = details["start"], details["trough"], details["depth"]
    if peak is None or trough is None or depth is None:
        return f"{sentence}; it never fell."
    since, until = _month(dates[int(peak)]), _month(dates[int(trough)])
    when = since if since == until else f"{since} to {until}"
    return f"{sentence}; worst fall {signed(-100 * depth, 1)} %, {when}."


def _month(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%b %Y")
