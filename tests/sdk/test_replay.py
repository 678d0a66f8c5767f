"""Fills to equity and trades, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from qfp.conventions import BacktestingPy
from qfp.replay import replay, replay_portfolio, trades_of


def fill(bar, size, price, commission=0.0):
    return {"bar": bar, "size": size, "price": price, "commission": commission}


def test_a_purchase_and_a_sale():
    account = replay([fill(1, 10, 10.0, 1.0), fill(3, -10, 12.0, 1.2)], [10, 11, 9, 12], 1000)
    assert account.equity.tolist() == pytest.approx([1000, 1009, 989, 1017.8])
    assert account.positions.tolist() == [0, 10, 10, 0]
    assert account.traded_value.tolist() == [0, 100, 0, 120]
    (trade,) = account.trades
    assert trade["profit"] == pytest.approx(17.8) and trade["return_fraction"] == pytest.approx(0.178)


def test_parts_are_closed_oldest_first_and_a_reversal_opens_the_rest():
    trades = trades_of(
        [fill(0, 10, 10.0), fill(1, 10, 20.0), fill(2, -15, 30.0), fill(3, -15, 40.0), fill(4, 10, 10.0)]
    )
    assert [(t["entry_bar"], t["exit_bar"], t["size"], t["profit"]) for t in trades] == [
        (0, 2, 10, 200.0),
        (1, 2, 5, 50.0),
        (1, 3, 5, 100.0),
        (3, 4, -10, 300.0),
    ]


def test_an_account_worth_nothing_is_at_an_end():
    account = replay([fill(0, -10, 100.0)], [100, 250, 50], 1000)
    assert account.equity.tolist() == [1000, 0, 0] and account.positions.tolist() == [-10, 0, 0]


def test_thirds_of_units_leave_no_dust():
    fills = [fill(0, 1, 10.0), *[fill(bar, -1 / 3, 10.0) for bar in (1, 2, 3)]]
    assert replay(fills, [10] * 4, 100).positions[-1] == 0


def test_a_position_is_one_however_large_later_ones_become():
    fills = [fill(0, 300, 10), fill(1, -100, 12), fill(2, 8e11, 12), fill(3, -8e11, 12)]
    assert replay(fills, [10, 12, 12, 12], 10_000).positions.tolist() == [300, 200, 8e11 + 200, 200]
    columns = np.array([(each["bar"], 0, each["size"], each["price"], 0) for each in fills]).T
    whole = [columns[0].astype(int), columns[1].astype(int), *columns[2:]]
    held = replay_portfolio(whole, np.array([[10.0], [12], [12], [12]]), 10_000).units
    assert held[:, 0].tolist() == [300, 200, 8e11 + 200, 200]


@pytest.mark.parametrize("fills", [[fill(5, 1, 1.0)], [fill(-1, 1, 1.0)], [fill(2, 1, 1.0), fill(1, 1, 1.0)]])
def test_fills_outside_or_out_of_order_are_refused(fills):
    with pytest.raises(ValueError, match="fill"):
        replay(fills, [1, 1, 1], 100)


def test_conventions_say_themselves():
    lines = " ".join(BacktestingPy().lines())
    assert "next bar's open" in lines and "Commission 0.1 %" in lines
    free = BacktestingPy(commission=0.0)
    assert not free.has_costs and any("No costs at all" in line for line in free.lines())
    assert "No commission." not in free.lines() and "No commission." in BacktestingPy(commission=0, spread=0.1).lines()
    assert BacktestingPy(trade_on_close=True).id == "same-close" and BacktestingPy().id == "next-open"
    assert "Commission 5 plus 0.1 %" in " ".join(BacktestingPy(commission=(5, 0.001)).lines())
    assert BacktestingPy(commission=(5, 0.001)).commission_for(-10, 100) == 6


def test_what_rounding_leaves_of_many_parts_is_nothing_that_could_be_split_or_earn_a_dividend():
    bars = np.arange(4)
    sizes = np.array([1_000.0, -900.0, -99.99, -0.00999999995])
    fills = (bars, np.zeros(4, dtype=int), sizes, np.full(4, 10.0), np.zeros(4))
    splits, dividends = np.ones((6, 1)), np.zeros((6, 1))
    splits[4], dividends[5] = 2.0, 0.5
    account = replay_portfolio(fills, np.full((6, 1), 10.0), 1e5, splits=splits, dividends=dividends)
    assert account.units[3:].tolist() == [[0.0]] * 3 and account.flows == []
