"""Many instruments in one account: ledgers worked by hand, costs alone and together, halts, ends, splits, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from qfp.pairing import pair
from qfp.portfolio import Portfolio
from qfp.portfolio.account import value_after
from qfp.portfolio.context import Memory
from qfp.portfolio.market import Market
from qfp.replay import trades_of

from tests.sdk.test_backtesting import SHAPES

CASH = 10_000.0


def bars(opens, closes=None, dates=None, **columns):
    closes = opens if closes is None else closes
    index = pd.bdate_range("2020-01-01", periods=len(opens)) if dates is None else pd.DatetimeIndex(dates)
    high, low = np.maximum(opens, closes), np.minimum(opens, closes)
    given = {"open": opens, "high": high, "low": low, "close": closes, **columns}
    return pd.DataFrame({name: np.asarray(values, dtype=float) for name, values in given.items()}, index=index)


def ordering(*orders):
    """on_bar() that places (bar, symbol, units, options)."""

    def on_bar(ctx):
        for bar, symbol, units, *options in orders:
            if bar == ctx.bar:
                ctx.order(symbol, units, **(options[0] if options else {}))

    return on_bar


def fills_of(run):
    symbols = run.portfolio.market.symbols
    columns = [column.tolist() for column in run.fills]
    return [(bar, symbols[at], size, price, paid) for bar, at, size, price, paid in zip(*columns, strict=True)]


def agrees_with_its_replay(run):
    again = run.replay
    np.testing.assert_allclose(again.equity, run.equity, rtol=1e-12)
    assert [(f["bar"], f["kind"], round(f["amount"], 9)) for f in again.flows] == [
        (f["bar"], f["kind"], round(f["amount"], 9)) for f in run.flows
    ]


# A, B and C: C is halted on bars 3 and 4, B has no bars after bar 4, a Tuesday; bar 9 is a week later.
A = bars([10, 11, 12, 13, 14, 15, 16, 16, 16, 16, 17, 16])
B = bars([20, 21, 22, 23, 24])
C = bars([50, 52, 54, 60, 62, 62, 62, 62, 62, 62], dates=A.index[[0, 1, 2, 5, 6, 7, 8, 9, 10, 11]])


def test_three_instruments_one_halted_and_one_delisted_equal_the_ledger_worked_by_hand():
    orders = [(0, "A", 100), (0, "B", 50), (2, "C", 10), (5, "A", -40), (5, "B", 5)]
    run = Portfolio({"A": A, "B": B, "C": C}, cash=CASH, commission=0).run(ordering(*orders))
    assert fills_of(run) == [
        (1, "A", 100, 11, 0),
        (1, "B", 50, 21, 0),
        (5, "C", 10, 60, 0),  # decided on bar 2; bars 3 and 4 are missing, and their price is not made up
        (6, "A", -40, 16, 0),
    ]
    # 2,150 out; 600 out; 640 in; 50 x 24 in, more than a week after the last bar of B.
    cash = [10_000, 7_850, 7_850, 7_850, 7_850, 7_250, 7_890, 7_890, 7_890, 7_890, 9_090, 9_090]
    held = [0, 1_100 + 1_050, 1_200 + 1_100, 1_300 + 1_150, 1_400 + 1_200, 1_500 + 1_200 + 600]
    held += [60 * 16 + 1_200 + 620] * 4 + [60 * 17 + 620, 60 * 16 + 620]
    assert run.equity.tolist() == pytest.approx([a + b for a, b in zip(cash, held, strict=True)], abs=1e-9)
    assert run.replay.units.tolist()[4] == [100, 50, 0] and run.replay.units.tolist()[10] == [60, 0, 10]
    assert run.replay.cash.tolist() == pytest.approx(cash, abs=1e-9)
    assert run.flows == [
        {"bar": 10, "instrument": 1, "kind": "delisting", "amount": 1200.0, "units": 50.0, "price": 24.0}
    ]
    assert [order["outcome"] for order in run.orders()] == ["filled", "filled", "filled", "filled", "refused"]
    assert "stale" in next(order["reason"] for order in run.orders() if order["outcome"] == "refused")
    assert [(t["instrument"], t["exit_bar"], t["profit"]) for t in run.replay.trades] == [(0, 6, 200.0), (1, 10, 150.0)]
    agrees_with_its_replay(run)
    refusing = Portfolio({"A": A, "B": B, "C": C}, cash=CASH, commission=0, halted="refuse").run(ordering(*orders))
    assert "halted" in next(order["reason"] for order in refusing.orders() if order["instrument"] == 2)
    assert (5, "C", 10, 60, 0) not in fills_of(refusing)


TWO = [(0, "A", 100), (3, "A", -100)]  # bought at 11, sold at 14


@pytest.mark.parametrize(
    ("costs", "paid"),
    [
        ({"commission": 0.01}, 11 + 14),
        ({"commission": (5, 0)}, 10),
        ({"commission": (5, 0.01)}, 10 + 25),
        ({"commission": lambda size, price: 3 if size > 0 else 4}, 7),
        ({"commission": 0, "spread": 0.02}, 0.01 * 1100 + 0.01 * 1400),
        ({"commission": 0, "slippage": 0.005}, 0.005 * 1100 + 0.005 * 1400),
        (
            {"commission": (5, 0.01), "spread": 0.02, "slippage": 0.005},
            0.015 * 2500 + 10 + 0.01 * (1100 * 1.015 + 1400 * 0.985),
        ),
    ],
)
def test_each_cost_alone_and_all_together_are_what_the_hand_says(costs, paid):
    run = Portfolio({"A": A}, cash=CASH, **costs).run(ordering(*TWO))
    assert run.equity[-1] == pytest.approx(CASH + 300 - paid, abs=1e-9)
    agrees_with_its_replay(run)
    assert run.portfolio.rules.has_costs and "No costs" not in " ".join(run.portfolio.rules.lines())


def test_an_account_that_fixed_commissions_eat_up_is_worth_nothing_after_them_and_not_the_more():
    held, weights = np.array([0.0, 87.29, 0.0, 34.82]), np.array([-1.356, 0.428, -3.216, 0.0])
    assert value_after(34.27, held, weights, 0.2, 0.2, 20.0) <= 0


def test_a_fee_on_short_positions_is_no_income():
    with pytest.raises(ValueError, match="borrow is a fraction"):
        Portfolio({}, borrow=-0.02)


def test_a_run_without_costs_says_so():
    assert "No costs at all" in " ".join(Portfolio({"A": A}, commission=0).rules.lines())


def test_interest_and_the_fee_for_what_is_sold_short_are_paid_by_the_day():
    portfolio = Portfolio({"A": A}, cash=CASH, commission=0, short=True, interest=0.0365, borrow=0.073)
    run = portfolio.run(ordering((0, "A", -100)))
    # Wednesday to Thursday on 10,000; then on 11,100 as well, and the fee on 1,100 of the close before.
    cash = CASH * (1 + 0.0001)
    assert run.replay.cash[1] == pytest.approx(cash + 1_100, abs=1e-9)
    second = (cash + 1_100) * 1.0001 - 1_100 * 0.0002
    assert run.replay.cash[2] == pytest.approx(second, abs=1e-9)
    weekend = second * (1 + 3 * 0.0001) - 1_200 * 3 * 0.0002
    assert run.replay.cash[3] == pytest.approx(weekend, abs=1e-9)
    agrees_with_its_replay(run)


def test_dividends_are_paid_in_cash_and_splits_change_what_is_held_and_what_waits():
    acting = bars(
        [10, 10, 10, 5, 5, 6], split=[1, 1, 1, 2, 1, 1], dividend=[0, 0.5, 0.5, 0, 0, 0.1], high=[10, 10, 10, 5, 5, 6]
    )
    run = Portfolio({"A": acting}, cash=CASH, commission=0).run(ordering((0, "A", 100), (1, "A", -100, {"limit": 12})))
    # Bought on the ex-date: no dividend. On bar 2 100 x 0.5; two for one on bar 3; on bar 5 the limit is 6 for 200.
    assert run.replay.units[:, 0].tolist() == [0, 100, 100, 200, 200, 0]
    assert run.equity.tolist() == pytest.approx([10_000, 10_000, 10_050, 10_050, 10_050, 10_050 + 20 + 200], abs=1e-9)
    assert [(flow["kind"], flow["amount"]) for flow in run.flows] == [("dividend", 50), ("split", 0), ("dividend", 20)]
    (trade,) = run.replay.trades
    assert (trade["size"], trade["entry_price"], trade["exit_price"], trade["profit"]) == (200, 5, 6, 200)
    agrees_with_its_replay(run)
    adjusted = acting.copy()
    adjusted.attrs["adjust"] = "all"
    assert Portfolio({"A": adjusted}).market.split is None


def test_what_is_seen_ends_today_and_later_actions_change_nothing_of_it():
    acting = bars([10, 10, 5, 5, 2.5], split=[1, 1, 2, 1, 2], dividend=[0, 1, 0, 0, 0])
    seen = []

    def on_bar(ctx):
        seen.append((len(ctx.prices()), ctx.closes().iloc[:, 0].round(9).tolist(), ctx.price("A")))
        with pytest.raises(ValueError, match="'B' is not among the instruments"):
            ctx.price("B")

    Portfolio({"A": acting}).run(on_bar)
    assert [count for count, *_ in seen] == [1, 2, 3, 4, 5]
    assert [closes for _, closes, _ in seen] == [
        [10],
        [9, 10],
        [4.5, 5, 5],
        [4.5, 5, 5, 5],
        [2.25, 2.5, 2.5, 2.5, 2.5],
    ]


@pytest.mark.parametrize("seed", range(5))
def test_round_trips_are_those_that_walking_the_fills_finds(seed):
    random = np.random.default_rng(seed)
    count = 400
    numbers, bars_ = random.integers(0, 3, count), np.sort(random.integers(0, 100, count))
    sizes = random.integers(-5, 6, count).astype(float) if seed % 2 else random.normal(0, 3, count)
    sizes[sizes == 0] = 1.0
    for number in range(2):  # two of them end flat
        own = np.flatnonzero(numbers == number)
        sizes[own[-1]] = -sizes[own[:-1]].sum() or 1.0
    prices, paid = random.uniform(5, 15, count), random.uniform(0, 1, count)
    found = pair((bars_, numbers, sizes, prices, paid), [])
    expected = []
    for number in range(3):
        own = np.flatnonzero(numbers == number)
        fills = [{"bar": int(bars_[at]), "size": sizes[at], "price": prices[at], "commission": paid[at]} for at in own]
        expected += [{**trade, "instrument": number} for trade in trades_of(fills)]

    def key(trade):
        return trade["exit_bar"], trade["instrument"], trade["entry_bar"], round(trade["exit_price"], 6), trade["size"]

    assert len(found) == len(expected) > 100
    for ours, theirs in zip(sorted(found, key=key), sorted(expected, key=key), strict=True):
        assert list(ours) == [*theirs] and ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)


PLAIN = [shape for shape in SHAPES if not {"sl", "tp"} & set(shape[2])]


@pytest.mark.parametrize(("side", "order", "rows", "fills"), [shape[1:] for shape in PLAIN], ids=[s[0] for s in PLAIN])
def test_shapes_of_bars_fill_like_those_of_one_instrument(side, order, rows, fills):
    table = np.array([(100, 100, 100, 100)] * 2 + rows, dtype=float)
    frame = bars(table[:, 0], high=table[:, 1], low=table[:, 2], close=table[:, 3])
    run = Portfolio({"A": frame}, cash=CASH, short=True).run(ordering((1, "A", 10 if side == "buy" else -10, order)))
    assert [(bar, size, price) for bar, _, size, price, _ in fills_of(run)] == fills


def test_where_a_bar_reaches_a_stop_and_a_limit_the_stop_counts():
    frame = bars([100, 100, 100], high=[100, 100, 110], low=[100, 100, 90])
    orders = [(0, "A", 10), (1, "A", -10, {"limit": 105}), (1, "A", -10, {"stop": 95})]
    run = Portfolio({"A": frame}, cash=CASH, commission=0).run(ordering(*orders))
    assert fills_of(run)[1:] == [(2, "A", -10, 95, 0)]
    assert run.orders()[1]["outcome"] == "refused" and "more than is held" in run.orders()[1]["reason"]


@pytest.mark.parametrize(
    ("order", "options", "reason"),
    [
        ((0, "A", 1e6), {}, "could not pay"),
        ((0, "A", -1), {}, "short selling is off"),
        ((0, "A", 1.5), {}, "not a whole number"),
        ((0, "A", float("nan")), {}, "not a number other than 0"),
        ((0, "A", 0), {}, "not a number other than 0"),
        ((0, "A", "ten"), {}, "not a number other than 0"),
        ((2, "C", 1), {"halted": "refuse"}, "halted"),
        ((5, "B", 1), {}, "stale"),
    ],
)
def test_every_refused_order_is_counted_with_its_reason(order, options, reason):
    run = Portfolio({"A": A, "B": B, "C": C}, cash=CASH, **options).run(ordering(order))
    (refused,) = [entry for entry in run.orders() if entry["outcome"] == "refused"]
    assert reason in refused["reason"] and fills_of(run) == []
    assert any(note.startswith("1 order was refused: ") and reason in note for note in run.notes())


@pytest.mark.parametrize(
    ("strategy", "options", "why"),
    [
        ({"on_bar": lambda ctx: None}, {}, "nothing was ever ordered; the condition for it was never true"),
        ({"weights": {"A": 1}, "warm_up": 50}, {}, "warms up for 50 bars and there are 12"),
        ({"weights": {"A": 1}}, {"cash": 5}, "one share of A costs about 16.00, so cash has to be larger"),
        ({"on_bar": ordering((2, "A", 1, {"limit": 1}))}, {}, "no price reached their limit"),
        ({"on_bar": ordering((11, "A", 1))}, {}, "on the last bar only"),
        ({"on_bar": ordering((6, "B", 1))}, {}, "there was no data to fill on"),
    ],
)
def test_a_run_without_trades_says_why(strategy, options, why):
    run = Portfolio({"A": A, "B": B}, **options).run(**strategy)
    assert run.notes()[-1].startswith("There were no trades: ") and why in run.notes()[-1]


def test_a_table_of_weights_that_begins_late_says_that_cash_lies_idle():
    frames, days = {"A": bars([10.0] * 60)}, pd.bdate_range("2020-01-01", periods=60)
    for table in (pd.DataFrame({"A": [1.0, 0.5]}, index=days[[40, 50]]), pd.DataFrame({"A": [1.0]}, index=days[[40]])):
        assert 'leave them out with start="2020-02-26"' in Portfolio(frames).run(weights=table).notes()[0].lower()
        assert not Portfolio(frames, start="2020-02-26").run(weights=table).notes()


def test_cash_a_halted_position_ties_up_is_not_spent_twice():
    run = Portfolio({"A": A, "C": C}, cash=CASH, fractional=True, commission=0.001).run(
        lambda ctx: ctx.target_weights({"C": 1}) if ctx.bar == 0 else ctx.bar == 2 and ctx.target_weights({"A": 1})
    )
    assert [fill[:2] for fill in fills_of(run)] == [(1, "C"), (5, "C")]  # bar 3: A finds nothing to buy with
    assert (run.replay.cash >= -1e-6).all()


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (lambda memory: memory["days"], "write ctx.memory.days"),
        (lambda memory: memory.__setitem__("days", 3), "write ctx.memory.days = "),
        (lambda memory: memory[7], "then ctx.memory.kept[7]"),
        (lambda memory: memory.days, 'getattr(ctx.memory, "days", None)'),
    ],
)
def test_what_a_strategy_keeps_is_kept_by_name_and_another_spelling_is_told_so(keep, said):
    memory = Memory()
    with pytest.raises((TypeError, AttributeError)) as raised:
        keep(memory)
    assert said in str(raised.value)
    memory.days = 3
    assert memory.days == 3 and "days" in memory and "hours" not in memory


@pytest.mark.parametrize(("fill", "bought"), [("next-open", "A"), ("next-close", "B")])
def test_what_fills_at_the_open_is_paid_before_what_the_bar_reaches_and_at_the_close_after_it(fill, bought):
    orders = ordering((0, "B", 10, {"limit": 9.5}), (0, "A", 10))
    dips = bars([10, 10, 10]).assign(low=9.0)
    run = Portfolio({"A": bars([10, 10, 10]), "B": dips}, cash=100, fill=fill, commission=0).run(orders)
    assert [(bar, symbol) for bar, symbol, *_ in fills_of(run)] == [(1, bought)]


def test_leverage_is_a_limit_on_long_and_short_together_and_an_account_can_be_ruined():
    frames = {"A": bars([10.0, 10, 10, 30, 30]), "B": bars([10.0, 10, 10, 10, 10])}
    pair_of_shares = {"A": -1.0, "B": 1.0}
    run = Portfolio(frames, cash=CASH, short=True, commission=0).run(weights=pair_of_shares)
    assert "more than the account may hold" in run.notes()[0]
    run = Portfolio(frames, cash=CASH, short=True, leverage=2, commission=0).run(weights=pair_of_shares)
    assert run.equity.tolist() == [10_000, 10_000, 10_000, 0, 0] and run.ruined_at == 3
    assert "worth nothing on 2020-01-06" in " ".join(run.notes())
    agrees_with_its_replay(run)
    # What it held is lost at that close and in the list of trades; nothing is paid to an account that has ended.
    assert [(t["instrument"], t["exit_bar"], t["profit"]) for t in run.replay.trades] == [(0, 3, -20_000), (1, 3, 0)]
    frames = {"A": frames["A"].assign(dividend=[0, 0, 0, 0, 1.0]), "B": frames["B"]}
    rules = {"short": True, "leverage": 2, "commission": 0, "interest": 0.02, "borrow": 0.02}
    run = Portfolio(frames, cash=CASH, **rules).run(weights=pair_of_shares)
    assert run.ruined_at == 3 and {flow["kind"] for flow in run.flows} == {"interest", "borrow"}
    agrees_with_its_replay(run)


def test_nothing_fills_before_it_was_decided_or_on_a_bar_that_is_not_there():
    """10,000 random calendars with random orders and weights, and the account equals its replay on all of them."""
    random = np.random.default_rng(7)
    days = pd.bdate_range("2020-01-01", periods=8)
    symbols = [str(number) for number in range(500)]
    for trial in range(20):
        prices = np.round(random.uniform(5, 15, (8, 500)), 2)
        there = random.random((8, 500)) < 0.6
        there[random.integers(8, size=500), np.arange(500)] = True
        prices[~there] = np.nan
        fields = dict.fromkeys(("open", "high", "low", "close"), prices)
        fill, delay = ("next-open", 1) if trial % 2 else ("same-close", 0)
        portfolio = Portfolio({"A": A}, cash=1e6, fill=fill, fractional=bool(trial % 3))
        portfolio.market = Market(symbols, days, fields, None, None, [{}] * 500)

        def on_bar(ctx):
            chosen = [symbols[number] for number in random.integers(500, size=30)]
            if random.random() < 0.3:
                ctx.target_weights(dict.fromkeys(chosen, 0.03))
            for symbol in chosen:
                ctx.order(symbol, float(random.integers(-50, 50)), limit=random.choice([None, 9.0]))

        run = portfolio.run(on_bar)
        filled, numbers, _, paid, _ = run.fills
        decided: dict[int, list[int]] = {}
        for order in run.orders():
            if order["outcome"] == "filled":
                decided.setdefault(order["instrument"], []).append(order["bar"])
        # Each fill has an order of its own that was given early enough: so it is for both in the order of time.
        assert len(filled) > 50 and set(decided) >= set(numbers.tolist())
        for number, bars_ in decided.items():
            own = np.sort(filled[numbers == number])
            assert len(own) <= len(bars_) and (np.sort(bars_)[: len(own)] + delay <= own).all(), number
        np.testing.assert_allclose(paid, prices[filled, numbers])
        agrees_with_its_replay(run)


def test_shares_that_come_only_adjusted_run_as_the_first_message_says(data):
    shares, half = ["JPM", "XOM"], {"JPM": 0.5, "XOM": 0.5}
    years = {"start": "2020-01-02", "end": "2020-12-31"}
    with pytest.raises(data.NoData, match=r'Write portfolio_backtest\(…, adjust="all", fill="next-close"\)'):
        Portfolio(shares, **years)
    run = Portfolio(shares, **years, adjust="all", fill="next-close").run(weights=half)
    table = Portfolio(data.panel(shares, **years), fill="next-close").run(weights=half)
    assert len(run.fills[0]) and run.equity.tolist() == table.equity.tolist()
    with pytest.raises(ValueError, match='write fill="next-close"'):
        Portfolio(data.panel(shares, **years))
    with pytest.raises(TypeError, match=r"adjust= to data.prices\(\)"):
        Portfolio(data.panel(shares, **years), adjust="all", fill="next-close")
    with pytest.raises(ValueError, match=r'have to be a DataFrame.*not a list.*fill="next-close"'):
        Portfolio({"JPM": [1.0, 2.0]})
