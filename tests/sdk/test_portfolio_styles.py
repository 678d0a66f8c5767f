"""Does a strategy earn the same whether it gives orders bar by bar or target weights? Twenty, written both ways."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from qfp.portfolio import Portfolio
from qfp.portfolio.schedule import decided, rows_of

SYMBOLS = [f"S{number}" for number in range(6)]
COUNT = 150


def market(kind):
    """Six instruments on 150 days: all of them complete, with splits and dividends, or with halts and an early end."""
    random = np.random.default_rng(11)
    days = pd.bdate_range("2019-01-01", periods=COUNT)
    frames = {}
    for number, symbol in enumerate(SYMBOLS):
        close = 50 * np.exp(np.cumsum(random.normal(0.0004, 0.02, COUNT)))
        opened = close * np.exp(random.normal(0, 0.004, COUNT))
        split, dividend = np.ones(COUNT), np.zeros(COUNT)
        if kind == "actions":
            split[60 + number], dividend[20 + number :: 63] = 2.0, 0.3
            close, opened = (values / np.cumprod(split) for values in (close, opened))
        frame = pd.DataFrame(
            {"open": opened, "high": close * 1.05, "low": close * 0.95, "close": close, "split": split}, index=days
        ).assign(dividend=dividend)
        if kind == "halts":
            frame = frame[random.random(COUNT) < 0.9].iloc[: 100 if number == 5 else None]
        frames[symbol] = frame
    return frames


FRAMES = {kind: market(kind) for kind in ("complete", "actions", "halts")}


def top(values, count):
    return dict.fromkeys(values.nlargest(count).index, 1 / count)


def past_returns(past, days):
    closes = past.closes(days + 1)
    return None if len(closes) <= days else (closes.ffill().iloc[-1] / closes.bfill().iloc[0] - 1).dropna()


def momentum(past, days=60, count=2):
    found = past_returns(past, days)
    return None if found is None else top(found, count)


def reversal(past, days=5, count=3):
    found = past_returns(past, days)
    return None if found is None else top(-found, count)


def equal(past):
    return dict.fromkeys([symbol for symbol in past.symbols if past.is_traded(symbol)], 1 / 6)


def inverse_volatility(past, days=40):
    steps = past.closes(days).pct_change(fill_method=None).std()
    found = (1 / steps).dropna()
    return None if len(past) < days else found / found.sum()


def above_average(past, days=50):
    closes = past.closes(days)
    return {
        symbol: 1 / 6 for symbol in past.symbols if closes[symbol].dropna().iloc[-1:].gt(closes[symbol].mean()).any()
    }


def below_average(past, days=20):
    closes = past.closes(days)
    return {
        symbol: 1 / 8 for symbol in past.symbols if closes[symbol].dropna().iloc[-1:].lt(closes[symbol].mean()).any()
    }


def pair(past, days=30):
    closes = past.closes(days).ffill()
    ratio = (closes["S0"] / closes["S1"]).dropna()
    if len(ratio) < days:
        return None
    side = -1.0 if ratio.iloc[-1] > ratio.mean() else 1.0
    return {"S0": side / 2, "S1": -side / 2}


def long_short(past, days=40):
    found = past_returns(past, days)
    if found is None or len(found) < 4:
        return None
    ranked = found.sort_values().index
    return {**dict.fromkeys(ranked[:2], -0.25), **dict.fromkeys(ranked[-2:], 0.25)}


def alternating(past):
    return {SYMBOLS[past.bar % 6]: 1.0}


def timed(past):
    return {"S2": 1.0} if past.date.month % 2 else {}


def best_of_two(past):
    found = past_returns(past, 20)
    return None if found is None else top(found.reindex(["S3", "S4"]).dropna(), 1)


WEEKLY, MONTHLY, DAILY = ({"rebalance": word} for word in ("weekly", "monthly", "daily"))
PARTS = {"fractional": True}
SHORT = {**PARTS, "short": True, "leverage": 2.0}
STRATEGIES = [
    (momentum, MONTHLY, PARTS, "complete"),
    (momentum, WEEKLY, PARTS, "actions"),
    (momentum, MONTHLY, {}, "halts"),
    (reversal, DAILY, PARTS, "complete"),
    (reversal, WEEKLY, {"spread": 0.002, **PARTS}, "actions"),
    (reversal, WEEKLY, {"commission": (1.0, 0.001)}, "halts"),
    (equal, DAILY, PARTS, "actions"),
    (equal, MONTHLY, {**PARTS, "fill": "same-close"}, "complete"),
    (equal, WEEKLY, {**PARTS, "fill": "next-average"}, "halts"),
    (inverse_volatility, WEEKLY, PARTS, "complete"),
    (inverse_volatility, MONTHLY, {**PARTS, "fill": "next-close", "slippage": 0.001}, "actions"),
    (above_average, DAILY, PARTS, "actions"),
    (above_average, WEEKLY, {}, "complete"),
    (below_average, WEEKLY, PARTS, "complete"),
    (pair, WEEKLY, SHORT, "complete"),
    (pair, DAILY, {**SHORT, "borrow": 0.03, "interest": 0.02}, "actions"),
    (long_short, WEEKLY, SHORT, "actions"),
    (alternating, DAILY, {**PARTS, "commission": 0.0}, "complete"),
    (timed, MONTHLY, {**PARTS, "halted": "refuse"}, "halts"),
    (best_of_two, WEEKLY, {**PARTS, "commission": lambda size, price: 0.002 * abs(size) * price}, "halts"),
]


@cache
def by_target_weights(number):
    weights, when, rules, kind = STRATEGIES[number]
    return Portfolio(FRAMES[kind], **rules).run(weights=weights, **when)


@pytest.mark.parametrize("number", range(len(STRATEGIES)), ids=lambda number: STRATEGIES[number][0].__name__)
def test_orders_bar_by_bar_and_target_weights_end_with_the_same_trades_and_equity(number):
    weights, when, rules, kind = STRATEGIES[number]
    by_weights = by_target_weights(number)

    def on_bar(ctx):
        period = {
            "daily": lambda day: day,
            "weekly": lambda day: day.isocalendar()[:2],
            "monthly": lambda day: day.month,
        }
        now = period[when["rebalance"]](ctx.date)
        if now != getattr(ctx.memory, "period", None):
            ctx.memory.period = now
            if (found := weights(ctx)) is not None:
                ctx.target_weights(found)

    by_bars = Portfolio(FRAMES[kind], **rules).run(on_bar)
    np.testing.assert_allclose(by_weights.equity, by_bars.equity, rtol=1e-9)
    assert len(by_weights.fills[0]) > 5
    for ours, theirs in zip(by_weights.fills, by_bars.fills, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    assert by_weights.orders() == by_bars.orders()
    assert len(by_weights.replay.trades) == len(by_bars.replay.trades)
    np.testing.assert_allclose(by_weights.replay.equity, by_bars.equity, rtol=1e-9)


def test_both_ways_of_booking_weights_were_compared():
    by_arrays = [by_target_weights(number)._booked is not None for number in range(len(STRATEGIES))]
    assert by_arrays.count(True) >= 8 and by_arrays.count(False) >= 5


def test_a_table_of_weights_is_booked_like_the_function_that_made_it():
    portfolio = Portfolio(FRAMES["actions"], fractional=True)
    of_function = portfolio.run(weights=momentum, rebalance="weekly")
    rows, table = of_function._rows, of_function._weights
    days = portfolio.market.index
    by_table = portfolio.run(weights=pd.DataFrame(table, index=days[rows], columns=SYMBOLS))
    assert by_table.equity.tolist() == of_function.equity.tolist()
    wide = pd.DataFrame(np.nan, index=days, columns=SYMBOLS)
    wide.iloc[rows] = table
    assert portfolio.run(weights=wide).equity.tolist() == of_function.equity.tolist()


@pytest.mark.parametrize(("kind", "rules"), [("halts", {}), ("actions", {"interest": 0.02, "fractional": True})])
def test_profits_of_all_trades_dividends_and_interest_add_up_to_the_change_of_the_account(kind, rules):
    def on_bar(ctx):
        if ctx.bar % 5 == 0 and ctx.bar < COUNT - 20:
            ctx.target_weights(reversal(ctx) or {})
        elif ctx.bar == COUNT - 20:
            ctx.target_weights({})

    run = Portfolio(FRAMES[kind], **rules).run(on_bar)
    assert not run.replay.units[-1].any() and len(run.replay.trades) > 20
    profits = sum(trade["profit"] for trade in run.replay.trades)
    paid = sum(flow["amount"] for flow in run.flows if flow["kind"] in ("dividend", "interest"))
    assert profits + paid == pytest.approx(run.equity[-1] - run.portfolio.cash, abs=1e-6)


def test_what_is_decided_on_a_day_does_not_change_with_the_bars_after_it():
    def on_bar(ctx):
        for symbol in ctx.symbols:
            if ctx.position(symbol):
                if ctx.bar % 3 == 0:
                    ctx.order(symbol, -1)
            elif ctx.is_traded(symbol):
                ctx.order(symbol, ctx.cash // 20 // ctx.price(symbol) + 1, limit=ctx.closes(5)[symbol].mean())

    def decided(until):
        frames = {symbol: frame[frame.index <= until] for symbol, frame in FRAMES["halts"].items()}
        orders = Portfolio(frames, halted="wait").run(on_bar).orders()
        return [(order["bar"], order["instrument"], order["size"]) for order in orders]

    days = pd.bdate_range("2019-01-01", periods=COUNT)
    everything = decided(days[-1])
    for cut in range(30, COUNT, 3):  # bars on which what is held is sold
        early = decided(days[cut])
        assert early == everything[: len(early)] and len(early) > cut
        assert len(everything) == len(early) or everything[len(early)][0] > early[-1][0]


def test_weights_are_decided_on_the_first_bar_of_a_period_and_after_the_warm_up():
    days = ["2020-01-02", "2020-01-03", "2020-01-05", "2020-01-07", "2020-01-31", "2020-04-01", "2021-01-04"]
    frame = pd.DataFrame({"close": np.arange(10.0, 17.0)}, index=pd.DatetimeIndex(days))
    market = Portfolio({"A": frame}, fill="same-close").market
    for rebalance, rows in (
        ("daily", [0, 1, 2, 3, 4, 5, 6]),
        ("weekly", [0, 3, 4, 5, 6]),  # Sunday is the last day of a week
        ("monthly", [0, 5, 6]),
        ("quarterly", [0, 5, 6]),
        ("yearly", [0, 6]),
        (["2020-01-04", "2020-01-05", "2020-02-01", "2030-01-01"], [2, 5]),
    ):
        assert rows_of(rebalance, market).tolist() == rows, rebalance
    table = pd.DataFrame({"A": [0.2, 0.4, 0.6, 0.8]}, index=frame.index[[0, 2, 3, 5]])
    for weights, rebalance, warm_up, found in (
        (table, None, 0, ([0, 2, 3, 5], [0.2, 0.4, 0.6, 0.8])),
        (table, None, 3, ([3, 5], [0.6, 0.8])),
        (table, "monthly", 0, ([0, 5], [0.2, 0.8])),
        ({"A": 0.5}, "yearly", 0, ([0, 6], [0.5, 0.5])),
        ({"A": 0.5}, None, 1, ([5, 6], [0.5, 0.5])),
        (lambda past: None if len(past) == 6 else {"A": 0.5}, "monthly", 0, ([0, 6], [0.5, 0.5])),
    ):
        rows, decisions = decided(weights, rebalance, market, None, warm_up, {})
        assert (rows.tolist(), decisions[:, 0].tolist()) == found


def test_equal_money_in_each_instrument_counts_from_its_first_close_with_what_it_pays_since():
    days = pd.bdate_range("2020-01-01", periods=4)
    pays = pd.DataFrame({"close": [10.0, 10, 10, 5], "dividend": [3.0, 0, 1, 0], "split": [1.0, 1, 1, 2]}, index=days)
    late = pd.DataFrame({"close": [20.0, 30], "dividend": [7.0, 0]}, index=days[2:])
    market = Portfolio({"A": pays, "B": late}, fill="same-close").market
    assert market.equal_money(1_000.0).tolist() == pytest.approx([1_000, 1_000, 1_050, 1_300])
