"""On the bar of the entry the stop comes before the target, whatever a claim tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qfp.conventions import BacktestingPy, Usual

from runner.claim_bars import NotVerified, OurBars
from runner.claim_orders import check_orders

FLAT = np.full(12, 100.0)


def checked(rules: BacktestingPy, exit_bar: int, exit_price: float, entry: tuple[int, float], **order: Any) -> None:
    """Bought by an order of bar 4; on bar 5 prices go from 100 to 106 and to 94, on bar 6 to 106."""
    high, low = FLAT.copy(), FLAT.copy()
    high[5:7], low[5] = 106.0, 94.0
    bars = OurBars(FLAT, high, low, FLAT)
    fills = [
        {"bar": bar, "size": size, "price": price, "commission": 0.0}
        for bar, size, price in ((*entry[:1], 10.0, entry[1]), (exit_bar, -10.0, exit_price))
    ]
    given = {"bar": 4, "size": 10.0, "kind": "market", "outcome": "filled", **order}
    check_orders(fills, [given], bars, rules, None)


@pytest.mark.parametrize(("on_close", "entry"), [(False, (5, 100.0)), (True, (4, 100.0))])
def test_where_both_lie_in_the_bar_of_the_entry_the_target_explains_nothing(on_close, entry):
    ours, bracket = Usual(trade_on_close=on_close), {"sl": 95.0, "tp": 105.0}
    checked(ours, 5, 95.0, entry, **bracket)
    for bar in (5, 6):
        with pytest.raises(NotVerified, match="follows from no order"):
            checked(ours, bar, 105.0, entry, **bracket)
    checked(ours, 5, 105.0, entry, sl=93.0, tp=105.0)
    checked(ours, 5, 105.0, entry, sl=94.0, tp=105.0)  # so near that our bars may be the ones that differ
    checked(BacktestingPy(trade_on_close=on_close), 5, 105.0, entry, **bracket)


def test_after_an_entry_at_a_limit_the_target_waits_for_the_next_bar():
    checked(Usual(), 6, 105.0, (5, 98.0), kind="limit", limit=98.0, tp=105.0)
    with pytest.raises(NotVerified, match="follows from no order"):
        checked(Usual(), 5, 105.0, (5, 98.0), kind="limit", limit=98.0, tp=105.0)
    checked(Usual(), 5, 105.0, (5, 100.0), kind="limit", limit=101.0, tp=105.0)
