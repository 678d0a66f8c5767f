"""The band of conventions for a portfolio, worked by hand: two shares, one with a split and a halt."""

from __future__ import annotations

import numpy as np
import pytest
from qfp.checking.band import COSTS, FILLS
from qfp.checking.portfolio_band import portfolio_band
from qfp.conventions import PortfolioRules
from qfp.portfolio.market import Market
from qfp.replay import replay_portfolio

NO = np.nan
DATES = np.arange("2020-01-06", "2020-01-11", dtype="datetime64[D]").astype("datetime64[us]")
# One share splits 2:1 on bar 2; the other has no bar on bar 3.
OPEN = np.array([[10.0, 50], [11, 51], [6, 52], [7, NO], [8, 54]])
CLOSE = OPEN + 0.5
FIELDS = {"open": OPEN, "high": CLOSE + 0.25, "low": OPEN - 0.25, "close": CLOSE}
SPLIT = np.array([[1.0, 1], [1, 1], [2, 1], [1, 1], [1, 1]])
CASH = 1_000.0


def market() -> Market:
    return Market(["SPLITS", "HALTED"], DATES, FIELDS, SPLIT, None, [{}, {}])


def booked(rules: PortfolioRules, *fills: tuple[int, int, float, float]) -> tuple[np.ndarray, ...]:
    """Columns of (bar, instrument, size, price before costs)."""
    bars, numbers, sizes, prices = (np.array(column) for column in zip(*fills, strict=True))
    paid = prices * (1 + np.copysign(rules.worse, sizes))
    charged = np.array([rules.commission_for(size, price) for size, price in zip(sizes, paid, strict=True)])
    return bars, numbers, sizes.astype(float), paid, charged


def cells_of(fills, rules):
    own = market()
    equity = replay_portfolio(
        fills, own.close, CASH, splits=own.split, years=own.years, ended=own.ended, interest=rules.interest
    ).equity
    found = portfolio_band(fills, own, CASH, rules, equity, 252)
    assert [(cell.fill, cell.costs) for cell in found] == [(fill, costs) for fill in FILLS for costs in COSTS]
    (base,) = [cell for cell in found if cell.base]
    assert base.final_equity == equity[-1] and base.costs == 1
    return {(cell.fill, cell.costs): cell.final_equity for cell in found}, base.fill


def test_units_stay_over_a_split_and_a_halt_and_only_prices_and_costs_move():
    rules = PortfolioRules(commission=(1.0, 0.01), slippage=0.02)
    # 20 shares after the split, decided the bar before it; 4 of the other, decided while it was halted.
    fills = booked(rules, (2, 0, 20.0, 6.0), (4, 1, 4.0, 54.0))
    found, base = cells_of(fills, rules)
    assert base == "next open"
    held = 20 * 8.5 + 4 * 54.5
    assert found["next open", 0] == pytest.approx(CASH - 20 * 6 - 4 * 54 + held)
    assert found["next close", 0] == pytest.approx(CASH - 20 * 6.5 - 4 * 54.5 + held)
    # The close that decides: 10 old shares at 11.5, and the last close there was, two bars before.
    assert found["same close", 0] == pytest.approx(CASH - 10 * 11.5 - 4 * 52.5 + held)
    typical = [(6 + 6.75 + 5.75 + 6.5) / 4, (54 + 54.75 + 53.75 + 54.5) / 4]
    assert found["typical price", 0] == pytest.approx(CASH - 20 * typical[0] - 4 * typical[1] + held)
    # Twice the costs: 4 % worse, and twice 1 and a hundredth of what was paid then.
    paid = np.array([20 * 6 * 1.04, 4 * 54 * 1.04])
    assert found["next open", 2] == pytest.approx(CASH - paid.sum() - 2 * (2 + 0.01 * paid.sum()) + held)


def test_what_filled_at_the_close_that_decides_fills_a_bar_later_unless_there_is_none():
    rules = PortfolioRules(fill="same-close", commission=0.0)
    fills = booked(rules, (1, 0, 10.0, 11.5), (2, 1, 4.0, 52.5), (4, 1, -4.0, 54.5))
    found, base = cells_of(fills, rules)
    assert base == "same close"
    # Ten old shares are twenty at the next open; the halted one waits for bar 4; the last sale has no next bar.
    assert found["next open", 1] == pytest.approx(CASH - 20 * 6 - 4 * 54 + 4 * 54.5 + 20 * 8.5)


def test_orders_with_a_limit_keep_their_price_and_commissions_of_a_function_are_multiplied():
    rules = PortfolioRules(commission=None)
    fills = (np.array([1]), np.array([0]), np.array([3.0]), np.array([10.9]), np.array([2.0]))
    found, _ = cells_of(fills, rules)
    for where in FILLS:
        for costs in COSTS:
            assert found[where, costs] == pytest.approx(CASH - 3 * 10.9 - 2 * costs + 6 * 8.5)
