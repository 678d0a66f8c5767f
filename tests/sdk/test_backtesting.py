"""qfp.backtesting by hand: shapes of bars and the fills they must give, costs, ruin, what a strategy sees."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from qfp.backtesting import COMPATIBLE, USUAL, Backtest, Strategy
from qfp.backtesting.curves import PIECE
from qfp.backtesting.given import _in_order
from qfp.backtesting.lib import resample_apply
from qfp.conventions import COPIED_FILLS, BacktestingPy, CopiedRules, PortfolioRules, Usual

from tests.sdk.small_strategies import QUIET, Averages, bars_of, mean, moved, once, walk


@pytest.mark.parametrize(("sign", "bar"), [(1, (112.0, 114.0, 111.0, 113.0)), (-1, (88.0, 89.0, 86.0, 87.0))])
@pytest.mark.parametrize("tier", ["interpreted", "compiled"])
def test_an_order_with_stop_and_limit_fills_at_an_open_beyond_its_stop(sign, bar, tier):
    class Beyond(Strategy):
        def init(self):
            pass

        def next(self):
            if len(self.data) == 2:
                if sign > 0:
                    self.buy(size=1, stop=110.0, limit=115.0)
                else:
                    self.sell(size=1, stop=90.0, limit=85.0)

    frame = bars_of(QUIET, QUIET, bar, bar)
    run = Backtest(frame, Beyond, cash=1000).run_once({}, tier=tier)
    assert list(run.account.fills.prices)[:1] == [bar[0]]
    run = Backtest(frame, Beyond, cash=1000, rules=COMPATIBLE).run_once({}, tier=tier)
    assert list(run.account.fills.prices)[:1] == [100.0 + 10 * sign]


@pytest.fixture(autouse=True)
def no_warnings():
    """Warnings about open trades and refused orders are asked for where they matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# (what it is, side, order, bars from number 2 on, fills as (bar, size, price)). The order is placed on bar 1, at 100.
SHAPES = [
    ("a market order fills at the next open", "buy", {}, [(101, 103, 99, 102)], [(2, 10, 101)]),
    ("a short one too", "sell", {}, [(101, 103, 99, 102)], [(2, -10, 101)]),
    ("a bar without movement fills at its only price", "buy", {}, [QUIET], [(2, 10, 100)]),
    ("a limit is reached within the bar", "buy", {"limit": 98}, [(100, 101, 97, 100)], [(2, 10, 98)]),
    ("a limit is the low of the bar", "buy", {"limit": 98}, [(100, 101, 98, 99)], [(2, 10, 98)]),
    ("a limit is the open of the bar", "buy", {"limit": 98}, [(98, 101, 97, 99)], [(2, 10, 98)]),
    ("a gap below a limit fills at the better open", "buy", {"limit": 98}, [(96, 99, 95, 98)], [(2, 10, 96)]),
    ("a limit waits", "buy", {"limit": 98}, [(100, 101, 99, 100), (99, 100, 97, 98)], [(3, 10, 98)]),
    ("a short limit is reached", "sell", {"limit": 102}, [(100, 103, 99, 101)], [(2, -10, 102)]),
    ("a gap above a short limit fills at the open", "sell", {"limit": 102}, [(104, 105, 101, 102)], [(2, -10, 104)]),
    ("a stop is touched", "buy", {"stop": 103}, [(100, 104, 99, 101)], [(2, 10, 103)]),
    ("a gap through a stop fills at the worse open", "buy", {"stop": 103}, [(105, 106, 104, 105)], [(2, 10, 105)]),
    ("a short stop is touched", "sell", {"stop": 97}, [(100, 101, 96, 98)], [(2, -10, 97)]),
    ("a gap through a short stop", "sell", {"stop": 97}, [(95, 96, 94, 95)], [(2, -10, 95)]),
    ("a stop with a limit beyond", "buy", {"stop": 102, "limit": 103}, [(100, 104, 99, 103)], [(2, 10, 102)]),
    (
        "a limit on the near side of its stop has to be reached again",
        "buy",
        {"stop": 102, "limit": 101},
        [(100, 103, 99, 102), (102, 103, 100, 101)],
        [(3, 10, 101)],
    ),
    (
        "a gap beyond a stop and its limit waits for the limit",
        "buy",
        {"stop": 102, "limit": 103},
        [(105, 106, 104, 105), (104, 105, 102, 103)],
        [(3, 10, 103)],
    ),
    ("a stop-loss", "buy", {"sl": 95}, [(100, 101, 98, 99), (98, 99, 94, 95)], [(2, 10, 100), (3, -10, 95)]),
    ("a gap through it", "buy", {"sl": 95}, [(100, 101, 98, 99), (90, 92, 89, 91)], [(2, 10, 100), (3, -10, 90)]),
    ("a stop-loss in the entry bar", "buy", {"sl": 95}, [(100, 101, 94, 96)], [(2, 10, 100), (2, -10, 95)]),
    ("an open beyond the stop-loss", "buy", {"sl": 95}, [(93, 96, 92, 94)], [(2, 10, 93), (2, -10, 93)]),
    ("a target", "buy", {"tp": 105}, [QUIET, (104, 106, 103, 105)], [(2, 10, 100), (3, -10, 105)]),
    ("a gap beyond it", "buy", {"tp": 105}, [QUIET, (108, 109, 107, 108)], [(2, 10, 100), (3, -10, 108)]),
    ("both in one bar", "buy", {"sl": 95, "tp": 105}, [QUIET, (100, 106, 94, 101)], [(2, 10, 100), (3, -10, 95)]),
    ("both in the entry bar", "buy", {"sl": 95, "tp": 105}, [(100, 106, 94, 101)], [(2, 10, 100), (2, -10, 95)]),
    ("both, short", "sell", {"sl": 104, "tp": 96}, [QUIET, (100, 105, 95, 100)], [(2, -10, 100), (3, 10, 104)]),
    ("a gap through a short's stop", "sell", {"sl": 104}, [QUIET, (106, 107, 105, 106)], [(2, -10, 100), (3, 10, 106)]),
    (
        "a limit entry, then both in its bar",
        "buy",
        {"limit": 98, "sl": 96, "tp": 101},
        [(100, 102, 95, 99)],
        [(2, 10, 98), (2, -10, 96)],
    ),
    (
        "a limit entry does not count a target that may have come before it",
        "buy",
        {"limit": 98, "sl": 90, "tp": 101},
        [(100, 102, 97, 100), (101.5, 102, 101, 101.5)],
        [(2, 10, 98), (3, -10, 101.5)],
    ),
    (
        "a limit entry at the open has the whole bar before it",
        "buy",
        {"limit": 98, "tp": 101},
        [(97, 102, 96, 100)],
        [(2, 10, 97), (2, -10, 101)],
    ),
    (
        "from a touched stop the price goes on to the target",
        "buy",
        {"stop": 102, "sl": 98, "tp": 104},
        [(100, 105, 99, 104)],
        [(2, 10, 102), (2, -10, 104)],
    ),
    (
        "a stop entry whose bar also reached the stop-loss",
        "buy",
        {"stop": 102, "sl": 99, "tp": 110},
        [(100, 103, 98, 102)],
        [(2, 10, 102), (2, -10, 99)],
    ),
]


@pytest.mark.parametrize(
    ("side", "order", "rows", "fills"), [shape[1:] for shape in SHAPES], ids=[s[0] for s in SHAPES]
)
def test_a_shape_of_bar_fills_as_worked_by_hand(side, order, rows, fills):
    bars = bars_of(QUIET, QUIET, *rows)
    stats = Backtest(bars, once(side, size=10, **order)).run()
    assert stats.fills[["Bar", "Size", "Price"]].to_numpy().tolist() == [list(fill) for fill in fills]
    cash, held = 10_000.0, 0
    for bar, close in enumerate(bars["Close"]):
        for _, size, price in (fill for fill in fills if fill[0] == bar):
            cash, held = cash - size * price, held + size
        assert stats["_equity_curve"]["Equity"].iloc[bar] == pytest.approx(cash + held * close, abs=1e-9)


def test_costs_by_hand():
    bars = bars_of(QUIET, QUIET, (100, 100, 100, 100), (110, 110, 110, 110), (120, 120, 120, 120))

    class InOut(Strategy):
        def init(self):
            pass

        def next(self):
            if len(self.data) == 2:
                self.buy(size=10)
            elif len(self.data) == 4:
                self.position.close()

    def final(**costs):
        return Backtest(bars, InOut, **costs).run()["Equity Final [$]"]

    assert final() == 10_000 + 10 * (120 - 100)
    assert final(commission=0.01) == pytest.approx(10_200 - 10 - 12)
    assert final(commission=(5, 0)) == pytest.approx(10_200 - 10)
    assert final(commission=(5, 0.01)) == pytest.approx(10_200 - 15 - 17)
    assert final(spread=0.01) == pytest.approx(10_000 + 10 * (120 - 101))  # paid on entry only
    assert final(commission=lambda size, price: 3 if size > 0 else 4) == pytest.approx(10_200 - 7)
    both = Backtest(bars, InOut, commission=(5, 0.01), spread=0.01).run()
    assert both["Equity Final [$]"] == pytest.approx(10_000 + 190 - 5 - 10.1 - 5 - 12)
    assert both["Commissions [$]"] == pytest.approx(32.1)


def test_parts_of_a_trade_share_its_fixed_commission():
    class InParts(Strategy):
        def init(self):
            pass

        def next(self):
            if len(self.data) == 2:
                self.buy(size=4)
            elif len(self.data) in (4, 5):
                self.trades[0].close(0.5)

    bars = bars_of(*[QUIET] * 7)
    stats = Backtest(bars, InParts, commission=(8, 0)).run()
    # 4 units: 8 at entry, then 8 for each of the two parts (2 units, then 1 of 2), the last unit stays open.
    assert stats["_trades"]["Commission"].tolist() == [8 + 4, 8 + 2]
    assert Backtest(bars, InParts, commission=(8, 0), rules=COMPATIBLE).run()["_trades"]["Commission"].tolist() == [
        16,
        16,
    ]


def test_a_fraction_of_the_account_is_valued_at_the_open_it_fills_at():
    class Twice(Strategy):
        def init(self):
            pass

        def next(self):
            if len(self.data) in (2, 3):
                self.buy(size=0.5)

    # 50 units at 100; at the next open of 100 half of the rest is 5,000 / 2; its close of 200 is not known yet.
    bars = bars_of(QUIET, QUIET, QUIET, (100, 200, 100, 200), (200, 200, 200, 200))
    assert Backtest(bars, Twice).run().fills["Size"].tolist() == [50, 25]
    assert Backtest(bars, Twice, rules=COMPATIBLE).run().fills["Size"].tolist() == [50, 25]
    margin = {"margin": 0.5}
    assert Backtest(bars, Twice, **margin).run().fills["Size"].tolist() == [100, 50]
    assert Backtest(bars, Twice, rules=COMPATIBLE, **margin).run().fills["Size"].tolist() == [100, 100]


@pytest.mark.parametrize("rules", [USUAL, COMPATIBLE])
def test_where_a_bar_reaches_stop_and_target_the_stop_counts_also_where_the_target_was_placed_last(rules):
    class Late(Strategy):
        def init(self):
            pass

        def next(self):
            if len(self.data) == 2:
                self.buy(size=1, sl=95)
            elif len(self.data) == 3:
                self.trades[0].tp = 105

    tied = (100, 106, 94, 101)
    assert Backtest(bars_of(QUIET, QUIET, QUIET, tied), Late, rules=rules).run().fills["Price"].tolist() == [100, 95]
    entered = Backtest(
        bars_of(QUIET, QUIET, (100, 106, 94, 101), (100, 106, 99, 101)), once("buy", size=1, limit=98, sl=95, tp=105),
        rules=rules,
    )  # fmt: skip
    assert entered.run().fills["Price"].tolist() == [98, 95 if rules is USUAL else 105]


def test_every_set_of_rules_says_what_counts_where_a_bar_reaches_both():
    copied = [CopiedRules("backtrader", "1.9", fill) for fill in COPIED_FILLS] + [CopiedRules("zipline", "3.0")]
    told = {type(rules).__name__: " ".join(rules.lines()) for rules in (Usual(), BacktestingPy(), PortfolioRules())}
    assert all("reaches both a stop and a" in said and "the stop counts" in said for said in told.values())
    assert "neither counts" in told["BacktestingPy"] and "neither counts" not in told["Usual"]
    assert all("placed first counts" in " ".join(rules.lines()) for rules in copied[:-1])
    assert "of the close alone" in " ".join(copied[-1].lines())


def test_what_is_open_at_the_end_is_closed_at_the_last_close():
    bars = bars_of(QUIET, QUIET, QUIET, (105, 112, 104, 110))
    stats = Backtest(bars, once("buy", size=10), finalize_trades=True, commission=0.001).run()
    assert stats.fills[["Bar", "Price"]].to_numpy().tolist() == [[2, 100], [3, 110]]
    theirs = Backtest(bars, once("buy", size=10), finalize_trades=True, rules=COMPATIBLE).run()
    assert theirs.fills["Price"].tolist() == [100, 105]  # an open that was past when it was decided
    assert Backtest(bars, once("buy", at=4), finalize_trades=True).run().fills.empty
    assert Backtest(bars, once("buy", at=4), finalize_trades=False).run().notes[0] == "1 order never filled."

    class Turns(Strategy):
        def init(self):
            pass

        def next(self):
            if len(self.data) == 2:
                self.buy(size=1, sl=1)
            elif len(self.data) == 4:
                self.position.close()
                self.sell(size=1)

    run = Backtest(bars, Turns).run_once({})
    assert sum(order["outcome"] == "waiting" for order in run.orders()) == 2
    assert "2 orders never filled." in run.notes(), "the stop of the trade is no order of the program"


def test_every_decision_is_listed_with_what_became_of_it():
    class Decides(Strategy):
        def init(self):
            pass

        def next(self):
            bar = len(self.data) - 1
            if bar == 1:
                self.buy(size=10, sl=90, tp=120)
                self.buy(size=1, limit=50, stop=150)
                self.buy(size=10_000)
            elif bar == 2:
                self.trades[0].sl = 95
            elif bar == 3:
                self.orders[-1].cancel()
                self.position.close()

    rows = Backtest(bars_of(*[QUIET] * 6), Decides).run_once({}).orders()
    assert [(row["bar"], row["size"], row["kind"], row["outcome"]) for row in rows] == [
        (1, 10, "market", "filled"),
        (1, 1, "stop-limit", "waiting"),
        (1, 10_000, "market", "refused"),
        (2, -10, "stop", "cancelled"),
        (3, -10, "market", "filled"),
    ]
    assert (rows[0]["sl"], rows[0]["tp"], rows[1]["stop"], rows[3]["stop"]) == (90, 120, 150, 95)
    assert rows[2]["reason"] == "insufficient margin" and "reason" not in rows[0]
    assert [row.get("closes", False) for row in rows] == [False, False, False, True, True]


def test_ruin_closes_every_trade_and_ends_the_run():
    class Leverage(Strategy):
        def init(self):
            self.bars = 0

        def next(self):
            self.bars += 1
            if len(self.data) in (2, 3, 4):
                self.buy(size=150)

    bars = bars_of(*[QUIET] * 5, (100, 100, 70, 75), (75, 80, 75, 80), (80, 80, 80, 80))
    stats = Backtest(bars, Leverage, margin=0.1).run()
    assert stats["_equity_curve"]["Equity"].tolist()[4:] == [10_000, 0, 0, 0]
    assert len(stats["_trades"]) == 3 and stats["_strategy"].bars == 4
    assert any("worth nothing on 2020-01-06" in note for note in stats.notes)
    assert len(stats["_strategy"].data.Close) == len(bars)  # after the end there is nothing to hide any more
    assert len(Backtest(bars, Leverage, margin=0.1, rules=COMPATIBLE).run()["_trades"]) == 2


def test_refused_orders_are_counted_with_their_reason():
    class Greedy(Strategy):
        def init(self):
            pass

        def next(self):
            self.buy(size=1000)

    stats = Backtest(walk(20), Greedy).run()
    assert len(stats.refused_orders) == 18 and set(stats.refused_orders["Reason"]) == {"insufficient margin"}
    assert "18 orders were refused because the account could not pay for them" in stats.notes[0]
    assert "every order was refused" in stats.notes[-1]
    with pytest.warns(UserWarning, match="insufficient margin"):
        Backtest(walk(20), Greedy).run()


@pytest.mark.parametrize(
    ("strategy", "options", "why"),
    [
        (once("buy", at=1000), {}, "never called buy\\(\\) or sell\\(\\)"),
        (once("buy", limit=1.0), {}, "no price reached"),
        (once("buy"), {"cash": 50}, "every order was refused"),
        (once("buy", at=300), {}, "on the last bar only"),
        (type("Slow", (Averages,), {"slow": 5000}), {}, "to warm up"),
        (type("Late", (Averages,), {"slow": 300}), {}, "to warm up"),
    ],
)
def test_a_run_without_trades_explains_itself(strategy, options, why):
    (note,) = [note for note in Backtest(walk(), strategy, **options).run().notes if "no trades" in note]
    assert re.search(why, note)


def test_nothing_a_strategy_holds_reaches_beyond_the_current_bar():
    bars = walk(60)
    full = bars["Close"].to_numpy()
    averages = mean(full, 3).to_numpy()
    seen = []

    class Curious(Strategy):
        def init(self):
            self.line = self.I(mean, self.data.Close, 3)
            self.two = self.I(lambda c: (c, c * 2), self.data.Close)
            self.kept = [self.line, self.data.Close]
            self.made = self.data.Close * 2 + self.line
            self.close = self.data.Close

        def next(self):
            now = len(self.data)
            seen.append(now)
            for line, values in (
                (self.line, averages),
                (self.kept[0], averages),
                (self.kept[1], full),
                (self.close, full),
                (self.data.Close, full),
                (self.data["Close"], full),
                (self.two[1], full * 2),
                (self.made, full * 2 + averages),
                (self.data.High - self.data.High + self.data.Close, full),
            ):
                expected = values[:now]
                assert len(line) == now and np.allclose(line, expected, equal_nan=True)
                for take in (slice(-5, None), slice(None, None, -1), slice(now - 3, now + 50), slice(-(now + 9), None)):
                    assert np.allclose(line[take], expected[take], equal_nan=True)
                for outside in (now, now + 3, -now - 1, -now - 10):
                    with pytest.raises(IndexError):
                        line[outside]
                assert np.allclose(np.asarray(line), expected, equal_nan=True)
                assert np.allclose(line.copy(), expected, equal_nan=True)
                assert line.base is None
            assert self.two.shape == (2, now) and len(self.two.df) == now
            for frame in (self.data.df, self.data.Close.s, self.line.s, self.data.Close.df, self.data.index):
                assert len(frame) == now
            assert self.line.s.index[-1] == bars.index[now - 1] == self.data.df.index[-1]
            assert float(self.close) == full[now - 1] and bool(self.data.Close > 0)
            for ask in (lambda: self.data.Clsoe, lambda: self.data["clsoe"]):
                with pytest.raises((AttributeError, KeyError), match=r"Volume\. Did you mean Close\?"):
                    ask()
            shifted = resample_apply("W", None, self.data.Close.s)
            assert len(shifted) == now

    Backtest(bars, Curious).run()
    assert seen == list(range(4, 61))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Backtest(walk(), int), "derives from Strategy"),
        (lambda: Backtest(walk()[["Close"]], Averages), "no column Open"),
        (lambda: Backtest(walk().iloc[:0], Averages), "no rows"),
        (lambda: Backtest(walk().where(walk() > 100), Averages), "missing"),
        (lambda: Backtest([1], Averages), "DataFrame"),
        (lambda: Backtest(walk(), Averages, commission="free"), "commission is a fraction"),
        (lambda: Backtest(walk(), Averages, commission=0.5), "0.001 is 0.1 %"),
        (lambda: Backtest(walk(), Averages, margin=2), "margin is a fraction"),
        (lambda: Backtest(walk(), Averages, cash=float("inf")), "cash is an amount of money"),
        (lambda: Backtest(walk(), once("buy", size=1.5)).run(), "whole number of units"),
        (lambda: Backtest(walk(), once("buy", sl=1e6)).run(), "sl < entry < tp"),
        (lambda: Backtest(walk(), once("buy", limit=-1)).run(), "above 0"),
        *((lambda name=name: Backtest(walk(), moved(name, -1)).run(), "above 0") for name in ("sl", "tp")),
    ],
)
def test_what_cannot_be_run_says_what_to_change(call, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        call()


@pytest.mark.parametrize("at", [0, PIECE - 1, PIECE, 2 * PIECE - 1])
def test_two_bars_out_of_order_are_found_wherever_they_are(at):
    stamps = np.arange(2 * PIECE + 1)
    assert _in_order(pd.DatetimeIndex(stamps * 60_000_000_000))
    stamps[[at, at + 1]] = stamps[[at + 1, at]]
    assert not _in_order(pd.DatetimeIndex(stamps * 60_000_000_000))


def test_an_indicator_of_the_wrong_length_or_that_fails_is_named():
    class Wrong(Strategy):
        how = None

        def init(self):
            self.I(self.how, self.data.Close, name="mine")

        def next(self):
            pass

    with pytest.raises(ValueError, match=r"300 bars.*'mine' returned shape \(10,\)"):
        Backtest(walk(), Wrong).run(how=lambda close: close[:10])
    with pytest.raises(RuntimeError, match="'mine' failed: ZeroDivisionError"):
        Backtest(walk(), Wrong).run(how=lambda close: 1 / 0)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_few_bars_give_figures_and_no_error(count):
    stats = Backtest(walk(count), once("buy")).run()
    assert stats["Equity Final [$]"] == stats["_equity_curve"]["Equity"].iloc[-1]
    assert len(stats["_equity_curve"]) == count


def test_strategies_of_backtesting_py_run_unchanged_and_it_is_not_loaded_for_ours(in_box_environment):
    text, _ = in_box_environment(
        """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd
from qfp.backtesting import Backtest
import qfp.backtesting.lib
print("backtesting" in sys.modules, "bokeh" in sys.modules)
import backtesting
from backtesting.lib import TrailingStrategy, crossover
from backtesting import Strategy
close = 100 * np.exp(np.cumsum(np.random.default_rng(1).standard_normal(300) * 0.01))
begin = np.append(100.0, close[:-1])
bars = pd.DataFrame({"Open": begin, "High": np.maximum(begin, close), "Low": np.minimum(begin, close), "Close": close},
                    index=pd.date_range("2015-01-05", periods=300, freq="B"))

class Base(Strategy):
    count = 10
    def init(self):
        super().init()
        self.line = self.I(lambda c, n: pd.Series(c).rolling(n).mean(), self.data.Close, self.count)
    def next(self):
        super().next()
        if crossover(self.data.Close, self.line): self.buy(size=.5)
        elif crossover(self.line, self.data.Close): self.sell(size=3)

class Trail(TrailingStrategy, Base):
    def init(self):
        super().init()
        self.set_trailing_sl(3)

for one in (Base, Trail):
    theirs = backtesting.Backtest(bars, one, commission=.001).run(count=7)
    ours = Backtest(bars, one, commission=.001, rules=qfp.backtesting.COMPATIBLE).run(count=7)
    print(theirs._equity_curve.Equity.equals(ours._equity_curve.Equity), len(theirs._trades) == len(ours._trades) > 5)
"""
    )
    assert text.split("\n")[:3] == ["False False", "True True", "True True"]
