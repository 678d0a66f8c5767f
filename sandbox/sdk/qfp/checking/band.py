"""How much of a result is the convention? The same decisions filled elsewhere and charged otherwise: 12 cells.

The sizes stay as they were; only prices and costs change. Orders with a limit or a stop keep their price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qfp import metrics
from qfp.conventions import BacktestingPy, CopiedRules
from qfp.replay import replay

__all__ = ["COSTS", "FILLS", "Cell", "band"]

FILLS = ("next open", "next close", "same close", "typical price")
COSTS = (0, 1, 2)
CLOSE_ENOUGH = 1e-9


@dataclass(frozen=True)
class Cell:
    """One way to fill and to charge. sharpe: annual; NaN where it is not defined."""

    fill: str
    costs: int
    base: bool
    final_equity: float
    total_return: float
    sharpe: float

    def as_dict(self) -> dict[str, Any]:
        return {key: None if value != value else value for key, value in vars(self).items()}


def band(
    fills: Sequence[dict[str, float]],
    bars: Any,
    cash: float,
    rules: BacktestingPy | CopiedRules,
    periods_per_year: float,
) -> list[Cell]:
    """A cell for each of FILLS and COSTS; the one with base=True is the result itself, to the last digit.

    fills: of one instrument, as in a claim. bars: with open, high, low and close, arrays of one price per bar.
    periods_per_year: bars of a year, as the result's own Sharpe ratio counts them.
    """
    opens, highs, lows, closes = (np.asarray(getattr(bars, name), dtype=float) for name in PRICES)
    typical = (opens + highs + lows + closes) / 4
    usual = "same close" if rules.trade_on_close else "next open"
    cells = []
    for where in FILLS:
        for costs in COSTS:
            base = where == usual and costs == 1
            moved = list(fills) if base else _moved(fills, (opens, closes, typical), where, costs, rules)
            account = replay(moved, closes, cash)
            returns = metrics.returns_of(account.equity)
            total = metrics.total_return(account.equity)
            sharpe = metrics.sharpe_ratio(returns, periods_per_year=periods_per_year)
            cells.append(Cell(where, costs, base, float(account.equity[-1]), total, sharpe))
    return cells


PRICES = ("open", "high", "low", "close")


def _moved(
    fills: Sequence[dict[str, float]],
    prices: tuple[np.ndarray, np.ndarray, np.ndarray],
    where: str,
    costs: int,
    rules: BacktestingPy | CopiedRules,
) -> list[dict[str, float]]:
    opens, closes, typical = prices
    last = len(closes) - 1
    found = []
    for fill in fills:
        bar, size, price = int(fill["bar"]), fill["size"], fill["price"]
        usual = closes[bar] if rules.trade_on_close else opens[bar]
        worse = 1 + math.copysign(rules.spread, size)
        entered = rules.spread > 0 and math.isclose(price, usual * worse, rel_tol=CLOSE_ENOUGH)
        at_market = entered or math.isclose(price, usual, rel_tol=CLOSE_ENOUGH)
        decided = bar if rules.trade_on_close else bar - 1
        if at_market and decided >= 0 and (decided < last or where == "same close"):
            bar = decided if where == "same close" else decided + 1
            plain = {"next open": opens, "next close": closes, "same close": closes, "typical price": typical}[where]
            new = float(plain[bar])
        else:
            new = price / worse if entered else price
        if entered:
            new *= 1 + costs * math.copysign(rules.spread, size)
        charged = rules.commission_for(size, new)
        if charged is None:
            charged = fill["commission"]
        found.append({"bar": bar, "size": size, "price": new, "commission": charged * costs})
    return sorted(found, key=lambda fill: fill["bar"])
