"""From fills to an account: equity, positions and trades, recomputed without the strategy.

A fill is (bar, size, price, commission): `size` units bought (negative: sold) at `price` on bar number `bar`,
counted from 0, for `commission` in currency. Equity is cash plus the position at the bar's close. This is
arithmetic: it proves that fills, prices and equity agree, not that the fills could have been had. An account
  worth nothing or less at a close
is at an end: from that bar on it holds nothing and is worth 0, as backtesting.py has it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Replay", "replay", "trades_of"]


@dataclass(frozen=True)
class Replay:
    """One value per bar: equity (currency), positions (units at the close), traded_value (currency, >= 0).

    commissions: one per fill, currency. trades: see trades_of().
    """

    equity: np.ndarray
    positions: np.ndarray
    traded_value: np.ndarray
    commissions: np.ndarray
    trades: list[dict[str, Any]]


def replay(fills: Sequence[dict[str, float]], closes: Any, cash: float) -> Replay:
    """The account that these fills lead to, marked at these closes.

    fills: in order of bars. closes: one price per bar, no missing values. cash: at the start, currency.
    Raises ValueError when a fill lies outside the bars or the fills are out of order.
    """
    closes = np.asarray(closes, dtype=np.float64)
    count = len(closes)
    bars = np.array([fill["bar"] for fill in fills], dtype=np.int64)
    sizes = np.array([fill["size"] for fill in fills], dtype=np.float64)
    prices = np.array([fill["price"] for fill in fills], dtype=np.float64)
    commissions = np.array([fill["commission"] for fill in fills], dtype=np.float64)
    if len(bars) and (bars.min() < 0 or bars.max() >= count):
        raise ValueError(f"a fill lies outside the {count} bars")
    if np.any(np.diff(bars) < 0):
        raise ValueError("the fills are not in the order of their bars")
    cash_flow, units, traded = np.zeros(count), np.zeros(count), np.zeros(count)
    np.add.at(cash_flow, bars, -sizes * prices - commissions)
    np.add.at(units, bars, sizes)
    np.add.at(traded, bars, np.abs(sizes) * prices)
    positions = np.cumsum(units)
    # Sums of fractions that should cancel leave dust; a position that small is none.
    positions[np.abs(positions) < 1e-9 * max(1.0, np.abs(sizes).max(initial=0.0))] = 0.0
    equity = cash + np.cumsum(cash_flow) + positions * closes
    ruined = np.flatnonzero(equity <= 0)
    if len(ruined) and cash > 0:
        equity[ruined[0] :] = positions[ruined[0] :] = traded[ruined[0] + 1 :] = 0.0
    return Replay(equity, positions, traded, commissions, trades_of(fills))


def trades_of(fills: Sequence[dict[str, float]]) -> list[dict[str, Any]]:
    """Closed round trips, oldest entries closed first (FIFO), commissions shared out by size.

    Each trade: entry_bar, exit_bar, size (negative: short), entry_price, exit_price, commission (both
    sides, currency), profit (currency, after commission) and return_fraction (profit over the entry's value).
    """
    trades: list[dict[str, Any]] = []
    open_lots: deque[list[float]] = deque()  # [size, price, commission per unit, bar]
    for fill in fills:
        size, price, bar = fill["size"], fill["price"], fill["bar"]
        if size == 0:
            continue
        unit_commission = fill["commission"] / abs(size)
        while size and open_lots and (open_lots[0][0] > 0) != (size > 0):
            lot = open_lots[0]
            closed = min(abs(size), abs(lot[0]))
            signed = closed if lot[0] > 0 else -closed
            commission = closed * (unit_commission + lot[2])
            profit = signed * (price - lot[1]) - commission
            trades.append(
                {
                    "entry_bar": int(lot[3]),
                    "exit_bar": int(bar),
                    "size": signed,
                    "entry_price": lot[1],
                    "exit_price": price,
                    "commission": commission,
                    "profit": profit,
                    "return_fraction": profit / (closed * lot[1]) if lot[1] else 0.0,
                }
            )
            lot[0] -= signed
            size += signed
            if abs(lot[0]) <= 1e-12 * closed:
                open_lots.popleft()
            if abs(size) <= 1e-12 * closed:
                size = 0.0
        if size:
            open_lots.append([size, price, unit_commission, bar])
    return trades
