"""How much of a portfolio's result is the convention? The 12 cells of qfp.checking.band, for many instruments.

Units bought and sold stay as they were; only prices and costs change, and with a split between two bars the count of
shares. Orders with a limit or a stop keep their price. Dividends, interest and fees follow from what is then held.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qfp import metrics
from qfp.checking.band import CLOSE_ENOUGH, COSTS, FILLS, Cell
from qfp.conventions import PortfolioRules, _parts
from qfp.portfolio.market import Market

__all__ = ["portfolio_band"]

RULES = dict(zip(FILLS, ("next-open", "next-close", "same-close", "next-average"), strict=True))
Columns = Sequence[np.ndarray]


def portfolio_band(
    fills: Columns,
    market: Market,
    cash: float,
    rules: PortfolioRules,
    equity: np.ndarray,
    periods_per_year: float,
) -> list[Cell]:
    """A cell for each of FILLS and COSTS; the one with base=True is the result itself, to the last digit.

    fills: columns of bar, instrument, size, price and commission. equity: of the result. periods_per_year: bars of a
    year, as its own Sharpe ratio counts them. Raises ValueError where an instrument has closes only.
    """
    cells = []
    for where in FILLS:
        for costs in COSTS:
            base = RULES[where] == rules.fill and costs == 1
            curve = equity if base else _equity(_moved(fills, market, where, costs, rules), market, cash, rules)
            returns = metrics.returns_of(curve)
            sharpe = metrics.sharpe_ratio(returns, periods_per_year=periods_per_year)
            cells.append(Cell(where, costs, base, float(curve[-1]), metrics.total_return(curve), sharpe))
    return cells


def _equity(fills: Columns, market: Market, cash: float, rules: PortfolioRules) -> np.ndarray:
    return market.replay(fills, cash, rules, with_trades=False).equity


def _moved(fills: Columns, market: Market, where: str, costs: int, rules: PortfolioRules) -> Columns:
    bars, numbers, sizes, prices, commissions = fills
    worse = np.copysign(rules.worse, sizes)
    stated = market.price(rules.fill)[bars, numbers] * (1 + worse)
    rows = _rows(market, bars, numbers, rules.fill, RULES[where])
    plain = market.price(RULES[where])[np.maximum(rows, 0), numbers]
    free = (np.abs(prices - stated) <= CLOSE_ENOUGH * stated) & (rows >= 0)
    rows = np.where(free, rows, bars)
    prices = np.where(free, plain * (1 + costs * worse), prices)
    if market.shares is not None:
        sizes = sizes * market.shares[rows, numbers] / market.shares[bars, numbers]
    if rules.commission is not None:
        fixed, share = _parts(rules.commission)
        commissions = fixed + np.abs(sizes) * prices * share
    order = np.argsort(rows, kind="stable")
    return tuple(column[order] for column in (rows, numbers, sizes, prices, commissions * costs))


def _rows(market: Market, bars: np.ndarray, numbers: np.ndarray, now: str, then: str) -> np.ndarray:
    """On which row each fill would have been by the other rule: a row on which its instrument has a bar, or -1."""
    if (now == "same-close") == (then == "same-close"):
        return bars
    count = len(market)
    at = np.where(market.traded, np.arange(count)[:, None], -1 if then == "same-close" else count)
    if then == "same-close":
        before = np.vstack([np.full_like(at[:1], -1), np.maximum.accumulate(at, axis=0)[:-1]])
        return before[bars, numbers]
    after = np.vstack([np.minimum.accumulate(at[::-1], axis=0)[::-1][1:], np.full_like(at[:1], count)])
    found = after[bars, numbers]
    return np.where(found < count, found, -1)
