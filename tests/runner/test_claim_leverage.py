"""Fills of one bar were paid for, in whatever order they came: nobody opens more than the account allows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qfp.conventions import BacktestingPy

from runner.claims import leverage
from runner.claims.bars import NotVerified, OurBars
from runner.claims.leverage import _Account, _sides, _Step, check_leverage
from runner.claims.orders import check_orders


def market_order(bar: int, size: float, **more: Any) -> dict[str, Any]:
    return {"bar": bar, "size": size, "kind": "market", "outcome": "filled", **more}


def test_what_may_be_opened_without_a_log_is_valued_at_the_close():
    flat = np.array([100.0, 100.0, 100.0])
    bars = OurBars(open=flat, high=flat * 2, low=flat, close=np.array([100.0, 100.0, 200.0]))
    # 50 units leave 5,000; half of what they are worth is free as well: 5,000 at the close.
    fills = [{"bar": bar, "size": size, "price": 100.0, "commission": 0.0} for bar, size in ((1, 50.0), (2, 160.0))]
    check_leverage(fills, [], bars, 10_000.0, BacktestingPy(margin=0.5))
    fills[1]["size"] = 220.0
    with pytest.raises(NotVerified, match=r"opened 22\s000\.00 with 20\s000\.00 to pay for it"):
        check_leverage(fills, [], bars, 10_000.0, BacktestingPy(margin=0.5))


def test_without_a_log_a_trade_may_end_at_its_stop_or_target_on_the_bar_of_its_entry():
    bars = OurBars(*(np.full(12, price) for price in (100.0, 106.0, 94.0, 100.0)))
    order = market_order(4, 10.0, sl=95.0, tp=105.0)
    for price, follows in ((95.0, True), (105.0, True), (103.0, False)):
        fills = [{"bar": 5, "size": size, "price": at} for size, at in ((10.0, 100.0), (-10.0, price))]
        if follows:
            check_orders(fills, [order], bars, BacktestingPy(), None)
        else:
            with pytest.raises(NotVerified, match="follows from no order"):
                check_orders(fills, [order], bars, BacktestingPy(), None)


def test_beside_an_order_that_closes_little_nobody_opens_what_is_not_paid_for():
    close = np.linspace(100.0, 150.0, 50)
    bars, rules = OurBars(close, close, close, close), BacktestingPy(hedging=True, commission=0.0)
    closes_little = market_order(4, 1.0, closes=True)

    def checked(*sizes: float) -> None:
        fills = [{"bar": 5, "size": size, "price": close[5], "commission": 0.0} for size in sizes]
        orders = [*(market_order(4, size) for size in sizes), closes_little]
        check_leverage(fills, check_orders(fills, orders, bars, rules, None), bars, 10_000.0, rules)

    checked(90.0)
    for sizes in ((100_000.0,), (-50.0, 100_000.0)):
        with pytest.raises(NotVerified, match="to pay for it"):
            checked(*sizes)


def test_in_which_order_fills_were_paid_for_is_not_tried_without_end(monkeypatch):
    close = np.repeat([100.0, 97.5], [5, 15])
    bars = OurBars(close, close * 1.02, close * 0.97, close)
    rules = BacktestingPy(trade_on_close=True, commission=0.0, margin=0.02)

    def checked(many: int) -> None:
        # What was held is sold on bar 4 and more bought at its close, and again when prices have fallen: each of these
        # was paid for only before those of the close.
        fills = [(2, 4_900.0, 100.0), (4, -4_900.0, 101.0)]
        fills += [(4, 4_500.0 / many, 100.0)] * many + [(5, 300.0 / many, 98.0)] * many
        named = [{"bar": bar, "size": size, "price": price, "commission": 0.0} for bar, size, price in fills]
        check_leverage(named, [], bars, 10_000.0, rules)

    monkeypatch.setattr(leverage, "MOST_TRIED", 5_000)
    checked(20)
    with pytest.raises(NotVerified, match="cannot try in which order"):
        checked(100)


@pytest.mark.parametrize("held", [7.0, -7.0, 0.0, 400.0])
def test_what_fills_of_a_later_bar_close_is_counted_as_one_after_the_other(held):
    rng = np.random.default_rng(3)
    steps = [
        _Step(4 + number // 20, float(rng.normal(0, 2)), float(rng.uniform(90, 110)), 0.0, False, None)
        for number in range(60)
    ]
    begun = account = _Account(1_000.0, max(held, 0.0), max(-held, 0.0))
    for step in steps[20:40]:
        account = account.after(step, closing_only=True)
    found = begun.after_closing(_sides(steps), 5, begun, 0.0)
    assert (found.cash, found.long, found.short) == pytest.approx((account.cash, account.long, account.short))
    assert begun.after_closing(_sides(steps), 9, begun, 0.0) == begun


@pytest.mark.parametrize("next_price", ["close", "open"])
def test_what_the_next_bar_closes_pays_for_no_more_than_was_held(next_price):
    opens, closes = np.linspace(100.5, 120.5, 21), np.linspace(100.0, 120.0, 21)
    bars = OurBars(opens, closes * 1.1, closes * 0.9, closes)
    rules = BacktestingPy(trade_on_close=True, commission=0.0)
    fills, held = [], 0.0
    for bar in range(5, 15):
        if held:
            price = closes[bar] if next_price == "close" else opens[bar]
            fills.append({"bar": bar, "size": -held, "price": price, "commission": 0.0})
        fills += [{"bar": bar, "size": 90.0, "price": closes[bar], "commission": 0.0}] * 10
        held = 900.0
    with pytest.raises(NotVerified, match="to pay for it"):
        check_leverage(fills, [], bars, 10_000.0, rules)


@pytest.mark.parametrize("hedging", [False, True])
def test_what_a_close_decided_and_what_the_next_bar_triggered_are_not_paid_for_twice(hedging):
    flat = np.full(20, 100.0)
    bars = OurBars(flat, flat * 1.1, flat * 0.9, flat)
    rules = BacktestingPy(trade_on_close=True, hedging=hedging, commission=0)

    def checked(at_close: float, at_limit: float) -> None:
        fills = [(4, at_close, 100.0), (5, at_limit, 98.0)]
        fills = [{"bar": bar, "size": size, "price": price, "commission": 0.0} for bar, size, price in fills]
        check_leverage(fills, [0.0, 0.0], bars, 10_000.0, rules)

    checked(50.0, 50.0)
    checked(20.0, 80.0)
    with pytest.raises(NotVerified, match="to pay for it"):
        checked(99.0, 99.0)
    with pytest.raises(NotVerified, match="to pay for it"):
        checked(99.0, 20.0)


def test_more_prices_than_can_be_compared_are_refused_before_any_fill_is_held_against_them():
    flat = np.full(20, 100.0)
    bars = OurBars(flat, flat * 1.2, flat * 0.8, flat)
    orders = [market_order(4, 1.0, limit=95 + number / 1_000, closes=True) for number in range(300)]
    fills = [{"bar": 5, "size": 1.0, "price": 95.0, "commission": 0.0}]  # closes what nobody opened
    with pytest.raises(NotVerified, match="too many to be compared"):
        check_orders(fills, orders, bars, BacktestingPy(hedging=True), None)
