"""A recomputed backtest in words, figures and the points of its chart: formatted once, the same on every surface."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
from qfp import metrics

CHART_POINTS = 2_000


def _percent(value: float) -> str:
    return f"{_signed(value * 100, 1)} %"


def _signed(value: float, digits: int) -> str:
    """12345.678 -> 12 345.68 with thin spaces and a real minus sign; never "-0.0"."""
    text = f"{abs(value):,.{digits}f}".replace(",", "\u2009")
    return f"\u2212{text}" if value < 0 and text.strip("0.\u2009") else text


def _ratio(value: float) -> str:
    return _signed(value, 2)


def _count(value: float) -> str:
    return _signed(value, 0)


# key, label, format, help: the order of the page's head.
FIGURES: list[tuple[str, str, Callable[[float], str], str]] = [
    ("total_return", "Total return", _percent, "Last equity over the start value, minus 1."),
    ("buy_and_hold", "Buy and hold", _percent, "Total return of holding the instrument, without costs."),
    ("cagr", "CAGR", _percent, "Growth a year, compounded over 252 trading days."),
    ("sharpe", "Sharpe", _ratio, "Mean return over its deviation, a year; risk-free rate 0."),
    ("max_drawdown", "Max drawdown", _percent, "Deepest fall below the highest value so far."),
    ("volatility", "Volatility", _percent, "Deviation of the daily returns, a year."),
    ("exposure", "Exposure", _percent, "Share of the days with an open position."),
    ("trades", "Trades", _count, "Closed round trips."),
    ("sortino", "Sortino", _ratio, "Mean return over the deviation of the losses, a year."),
    ("calmar", "Calmar", _ratio, "CAGR over the deepest fall."),
    ("win_rate", "Win rate", _percent, "Share of the trades with a profit after costs."),
    ("profit_factor", "Profit factor", _ratio, "Sum of the profits over the sum of the losses."),
    ("turnover", "Turnover a year", _percent, "One-way value traded over the account's value."),
    ("commission_paid", "Commission paid", _count, "Sum over all fills, in currency."),
    ("final_equity", "Final equity", _count, "Account value on the last day, in currency."),
    ("probabilistic_sharpe", "P(Sharpe > 0)", _percent, "Probability that the true Sharpe ratio is above 0."),
]


def figures(values: dict[str, float]) -> list[dict[str, Any]]:
    """[{key, label, text, value, help}]: what every surface shows, formatted once. Undefined figures say
    so.
    """
    shown = []
    for key, label, form, help_text in FIGURES:
        if key not in values:
            continue
        value = values[key]
        defined = math.isfinite(value)
        shown.append(
            {
                "key": key,
                "label": label,
                "text": form(value) if defined else "undefined",
                "value": value if defined else None,
                "help": help_text,
            }
        )
    return shown


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


def thinned(values: np.ndarray, most: int) -> list[int]:
    """Positions of at most `most` values: first, last, and the extremes of equal stretches between."""
    count = len(values)
    if count <= most:
        return list(range(count))
    edges = np.linspace(0, count, most // 2, dtype=int)
    picks = {0, count - 1}
    for start, stop in pairwise(edges):
        stretch = values[start:stop]
        if len(stretch):
            picks |= {int(start + stretch.argmin()), int(start + stretch.argmax())}
    return [*sorted(picks)[: most - 1], count - 1] if len(picks) > most else sorted(picks)


def describe(dates: list[str], equity: np.ndarray) -> str:
    """One sentence that says what the curve shows, for those who cannot see it."""
    went = "rose" if equity[-1] > equity[0] else "fell" if equity[-1] < equity[0] else "stayed the same"
    details = metrics.drawdown_details(equity)
    sentence = (
        f"Equity {went} from {_count(float(equity[0]))} to {_count(float(equity[-1]))} "
        f"between {_month(dates[0])} and {_month(dates[-1])}"
    )
    peak, trough, depth = details["start"], details["trough"], details["depth"]
    if peak is None or trough is None or depth is None:
        return f"{sentence}; it never fell."
    since, until = _month(dates[int(peak)]), _month(dates[int(trough)])
    when = since if since == until else f"{since} to {until}"
    return f"{sentence}; worst fall {_signed(-100 * depth, 1)} %, {when}."


def _month(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%b %Y")
