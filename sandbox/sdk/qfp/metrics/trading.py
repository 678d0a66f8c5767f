"""How much was traded, and what did the closed trades bring?

profits: one per closed trade in currency, after costs, in the order of closing. A figure that is not defined is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qfp.metrics.series import NAN, PERIODS_PER_YEAR, pair, series, spread


def exposure(positions: Any) -> float:
    """Share of the bars with an open position. positions: units held at each bar's close. NaN for no bars."""
    positions = series(positions, "positions")
    return float(np.mean(positions != 0)) if len(positions) else NAN


def turnover(traded_value: Any, equity: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Annualised one-way turnover: half the traded value over the account's value per bar, mean times
    periods a year.

    traded_value: absolute value bought and sold at each bar, in currency. NaN for no bars. Bars on which
      the account is worth nothing count as 0.
    """
    traded, equity = pair(traded_value, equity, ("traded_value", "equity"))
    if not len(equity):
        return NAN
    share = np.divide(np.abs(traded), equity, out=np.zeros_like(equity), where=equity > 0)
    return float(share.mean()) / 2 * periods_per_year


def exposure_series(values: Any, equity: Any) -> tuple[np.ndarray, np.ndarray]:
    """(net, gross) value of the open positions over the account's value, per bar; 0 once it is worth nothing.

    values: of the positions at the close, currency, negative where short; one column per instrument if there are
    several. equity: one value per bar.
    """
    held, account = np.asarray(values, dtype=np.float64), np.asarray(equity, dtype=np.float64)
    held = held[:, None] if held.ndim == 1 else held
    worth = account > 0
    parts = [
        np.divide(each, account, out=np.zeros_like(account), where=worth)
        for each in (held.sum(axis=1), np.abs(held).sum(axis=1))
    ]
    return parts[0], parts[1]


def win_rate(profits: Any) -> float:
    """Share of the trades with a profit above 0, after costs. NaN for no trades."""
    profits = series(profits, "profits")
    return float(np.mean(profits > 0)) if len(profits) else NAN


def profit_factor(profits: Any) -> float:
    """Sum of the profits over the sum of the losses, both positive. NaN without a losing trade."""
    profits = series(profits, "profits")
    losses = -float(profits[profits < 0].sum())
    return float(profits[profits > 0].sum()) / losses if losses > 0 else NAN


def average_trade(return_fractions: Any) -> float:
    """Mean return of a trade, a fraction. NaN for no trades."""
    values = series(return_fractions, "return_fractions")
    return float(values.mean()) if len(values) else NAN


def expectancy(profits: Any) -> float:
    """Mean profit of a trade in currency, after costs. NaN for no trades."""
    profits = series(profits, "profits")
    return float(profits.mean()) if len(profits) else NAN


def payoff_ratio(profits: Any) -> float:
    """Mean profit of the winning trades over the mean loss of the losing ones. NaN without both kinds."""
    profits = series(profits, "profits")
    won, lost = profits[profits > 0], profits[profits < 0]
    return float(won.mean() / -lost.mean()) if len(won) and len(lost) else NAN


def longest_losing_streak(profits: Any) -> float:
    """Most losing trades in a row; a trade that brings exactly 0 ends the row. NaN for no trades."""
    profits = series(profits, "profits")
    if not len(profits):
        return NAN
    lost = np.concatenate([[False], profits < 0, [False]])
    edges = np.flatnonzero(lost[1:] != lost[:-1])
    return float(np.max(edges[1::2] - edges[::2], initial=0))


def column(trades: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    """One value of every trade; trades that are kept as columns hand it out as it is."""
    kept = getattr(trades, "column", None)
    return kept(name) if kept else np.array([trade[name] for trade in trades], dtype=np.float64)


def average_holding(trades: Sequence[dict[str, Any]]) -> float:
    """Mean number of bars between entry and exit. trades: with entry_bar and exit_bar. NaN for no trades."""
    held = series(column(trades, "exit_bar") - column(trades, "entry_bar"), "trades")
    return float(held.mean()) if len(held) else NAN


def system_quality(profits: Any) -> float:
    """sqrt(trades) * mean profit / sample deviation of the profits: the t-statistic of a trade's profit.

    NaN for fewer than two trades or no variation. Source: Tharp (2008), who caps the count at 100; here it is not.
    """
    profits = series(profits, "profits")
    deviation = spread(profits)
    return math.sqrt(len(profits)) * float(profits.mean()) / deviation if deviation > 0 else NAN


def kelly_fraction(profits: Any) -> float:
    """Share of the account to stake on each trade for the fastest growth: p - (1 - p) / b.

    p is the share of winning trades, b the payoff ratio. Negative when the trades lose on average. NaN without both
    winning and losing trades. Source: Kelly (1956), for bets with two outcomes.
    """
    won, payoff = win_rate(profits), payoff_ratio(profits)
    return won - (1 - won) / payoff if payoff > 0 else NAN


def excursions(trades: Sequence[dict[str, Any]], high: Any, low: Any) -> list[dict[str, float]]:
    """How far each trade went against and for the holder while it was open: [{"adverse", "favourable", "result"}].

    trades: with entry_bar, exit_bar, entry_price and size (negative: short). high, low: per bar, of the instrument.
    adverse (<= 0) and favourable (>= 0) are fractions of the entry price, over the bars from entry to exit, both
    included: prices of the first bar before the entry and of the last bar after the exit count, since a bar does not
    tell their order. result: the trade's return_fraction, NaN where it has none.
    """
    high, low = np.asarray(high, dtype=np.float64), np.asarray(low, dtype=np.float64)
    found = []
    for trade in trades:
        stretch, price = slice(trade["entry_bar"], trade["exit_bar"] + 1), trade["entry_price"]
        top, bottom = float(high[stretch].max()) / price - 1, float(low[stretch].min()) / price - 1
        against, towards = (bottom, top) if trade["size"] > 0 else (-top, -bottom)
        result = trade.get("return_fraction", NAN)
        found.append({"adverse": min(0.0, against), "favourable": max(0.0, towards), "result": result})
    return found
