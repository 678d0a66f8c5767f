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
    written = _day if _month(dates[0]) == _month(dates[-1]) else _month
    begun, ended = written(dates[0]), written(dates[-1])
    sentence = f"Equity {went} " + (f"on {begun}" if begun == ended else f"between {begun} and {ended}")
    peak, trough, depth = details["start"], details["trough"], details["depth"]
    if peak is None or trough is None or depth is None:
        return f"{sentence}; it never fell."
    since, until = written(dates[int(peak)]), written(dates[int(trough)])
    when = since if since == until else f"{since} to {until}"
    return f"{sentence}; worst fall {signed(-100 * depth, 1)} %, {when}."


def _month(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%b %Y")


def _day(text: str) -> str:
    """Within one month its name alone would say nothing."""
    moment = datetime.fromisoformat(text)
    return f"{moment.day} {moment:%b %Y}"
