"""The day after which the site changes data is one that earned something."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from runner import companions

DAYS = [str(day) for day in np.arange("2001-01-01", "2001-12-27", dtype="datetime64[D]")]
EARNED = 40


def backtest_of(orders: list[dict[str, Any]], prices: dict[int, float]) -> Any:
    """Bought at 20 a day after each of these days, and sold at that price a day later."""
    fills = [
        {"bar": bar + after, "size": size, "price": at, "commission": 0.0}
        for bar, price in prices.items()
        for after, size, at in ((1, 1.0, 20.0), (2, -1.0, price))
    ]
    return SimpleNamespace(dates=DAYS, orders=orders, fills=fills, flows=[], cash=1e3)


def test_data_change_after_a_day_that_earned_and_not_after_one_of_many_orders_that_never_filled() -> None:
    orders = [{"bar": bar, "size": 1.0, "outcome": "cancelled"} for bar in range(len(DAYS))]
    orders[EARNED]["outcome"] = "filled"
    dusty = backtest_of(orders, {EARNED: 30.0})
    assert companions._choose([dusty], 0) == (np.datetime64(DAYS[EARNED], "us"), -1)
    sold = np.datetime64(DAYS[EARNED + 1], "us")
    assert (sold, 1) in {companions._choose([dusty], 1) for _ in range(20)}, "and where it was sold"


def test_a_day_that_earned_most_is_drawn_most_and_others_now_and_then() -> None:
    prices = {bar: 30.0 if bar == EARNED else 20.001 for bar in range(0, 100, 5)}
    orders = [{"bar": bar, "size": 1.0, "outcome": "filled"} for bar in prices]
    drawn = [companions._choose([backtest_of(orders, prices)], 0)[0] for _ in range(400)]
    assert 280 < sum(day == np.datetime64(DAYS[EARNED], "us") for day in drawn) < 400
