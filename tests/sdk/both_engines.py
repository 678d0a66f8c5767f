"""Do two engines agree? Runs every strategy here through backtesting.py and through ours, bar by bar.

Runs in the boxes' environment, where backtesting.py is installed, and prints JSON: for each case whether the traces of
all bars (equity, position, orders, trades), the equity curve, the table of trades and the figures are equal. Arguments:
a file of bars of the starter data, as written by the test.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd

AGG = {"Open": "first", "High": "max", "Low": "min", "Close": "last", "Volume": "sum"}


def mean(values, count):
    return pd.Series(values).rolling(count).mean()


def deviation(values, count):
    return pd.Series(values).rolling(count).std()


def rsi(values, count):
    change = pd.Series(values).diff()
    up, down = change.clip(lower=0).rolling(count).mean(), (-change.clip(upper=0)).rolling(count).mean()
    return 100 - 100 / (1 + up / down)


def bands(values, count, width):
    middle, spread = mean(values, count), deviation(values, count)
    return middle - width * spread, middle + width * spread


def highest(values, count):
    return pd.Series(values).rolling(count).max()


def lowest(values, count):
    return pd.Series(values).rolling(count).min()


def strategies(Strategy, lib):
    """Every strategy, by name, over the given base class and library of one engine or the other."""
    crossover, cross, barssince, quantile = lib.crossover, lib.cross, lib.barssince, lib.quantile
    found: dict[str, type] = {}

    def case(cls):
        found[cls.__name__] = cls
        return cls

    class Averages(Strategy):
        fast, slow = 5, 12

        def init(self):
            self.fast_line = self.I(mean, self.data.Close, self.fast)
            self.slow_line = self.I(mean, self.data.Close, self.slow)

        @property
        def up(self):
            return crossover(self.fast_line, self.slow_line)

        @property
        def down(self):
            return crossover(self.slow_line, self.fast_line)

    def on_cross(name, up, down=None, **attributes):
        """A strategy that calls `up` when the fast average rises over the slow one, `down` on the way back."""

        def next(self):
            if self.up:
                up(self)
            elif down is not None and self.down:
                down(self)

        case(type(name, (Averages,), {"next": next, **attributes}))

    def price(self):
        return self.data.Close[-1]

    def close(self):
        self.position.close()

    on_cross("LongOnly", lambda s: s.buy(), close)
    on_cross("ShortOnly", lambda s: s.sell(), close)
    on_cross("Reverse", lambda s: (s.position.close(), s.buy()), lambda s: (s.position.close(), s.sell()))
    on_cross("ReverseWithoutClose", lambda s: s.buy(), lambda s: s.sell())
    on_cross("ReverseUnits", lambda s: s.buy(size=7), lambda s: s.sell(size=11))
    on_cross("Half", lambda s: s.buy(size=0.5), lambda s: s.sell(size=0.5))
    on_cross("Tenth", lambda s: s.buy(size=0.1), lambda s: s.position.close(0.5))
    on_cross("Pyramid", lambda s: s.buy(size=3), lambda s: s.sell(size=1))
    on_cross("Pieces", lambda s: s.buy(size=9), lambda s: s.position.close(0.34))
    on_cross("TooLarge", lambda s: s.buy(size=10_000), close)
    on_cross("StopLoss", lambda s: s.buy(sl=price(s) * 0.97), None)
    on_cross("Target", lambda s: s.buy(tp=price(s) * 1.03), None)
    on_cross("Bracket", lambda s: s.buy(sl=price(s) * 0.96, tp=price(s) * 1.05))
    on_cross("BracketShort", lambda s: s.sell(sl=price(s) * 1.04, tp=price(s) * 0.95))
    on_cross("TightBracket", lambda s: s.buy(sl=price(s) * 0.996, tp=price(s) * 1.004))
    on_cross("TightBracketShort", lambda s: s.sell(size=5, sl=price(s) * 1.004, tp=price(s) * 0.996))
    on_cross("BracketFraction", lambda s: s.buy(size=0.3, sl=price(s) * 0.98, tp=price(s) * 1.02))
    on_cross("LimitBelow", lambda s: s.buy(size=4, limit=price(s) * 0.99), lambda s: s.position.close())
    on_cross("LimitAbove", lambda s: s.buy(size=4, limit=price(s) * 1.01), lambda s: s.position.close())
    on_cross("LimitShort", lambda s: s.sell(size=4, limit=price(s) * 1.01), lambda s: s.position.close())
    on_cross("StopEntry", lambda s: s.buy(size=4, stop=price(s) * 1.01), lambda s: s.position.close())
    on_cross("StopEntryShort", lambda s: s.sell(size=4, stop=price(s) * 0.99), lambda s: s.position.close())
    on_cross("StopEntryBelow", lambda s: s.buy(size=4, stop=price(s) * 0.99), lambda s: s.position.close())
    on_cross("StopLimit", lambda s: s.buy(size=4, stop=price(s) * 1.005, limit=price(s) * 1.02), close)
    on_cross("StopLimitBelow", lambda s: s.buy(size=4, stop=price(s) * 1.005, limit=price(s) * 0.998), close)
    on_cross("StopLimitShort", lambda s: s.sell(size=4, stop=price(s) * 0.995, limit=price(s) * 0.98), close)
    on_cross("LimitBracket", lambda s: s.buy(limit=price(s) * 0.99, sl=price(s) * 0.93, tp=price(s) * 1.07))
    on_cross("StopBracket", lambda s: s.buy(stop=price(s) * 1.01, sl=price(s) * 0.94, tp=price(s) * 1.08))
    on_cross("TightLimitBracket", lambda s: s.buy(limit=price(s) * 0.998, sl=price(s) * 0.99, tp=price(s) * 1.001))
    on_cross("TightStopBracket", lambda s: s.buy(stop=price(s) * 1.002, sl=price(s) * 0.997, tp=price(s) * 1.006))
    on_cross("TightStopTarget", lambda s: s.sell(size=6, stop=price(s) * 0.998, tp=price(s) * 0.99))
    on_cross("Tagged", lambda s: s.buy(size=2, tag="in"), lambda s: s.sell(size=2, tag=("out", 1)))
    on_cross("CancelAll", lambda s: s.buy(limit=price(s) * 0.9), lambda s: [order.cancel() for order in s.orders])
    on_cross("CloseEachHalf", lambda s: s.buy(size=10), lambda s: [trade.close(0.5) for trade in s.trades])
    on_cross("CloseTwice", lambda s: s.buy(size=10), lambda s: (s.position.close(0.6), s.position.close(0.6)))
    on_cross("CloseNewest", lambda s: s.buy(size=2), lambda s: s.trades and s.trades[-1].close())
    on_cross("LaterStops", lambda s: s.buy(size=5), lambda s: [setattr(t, "sl", price(s) * 0.99) for t in s.trades])
    on_cross("LaterTargets", lambda s: s.buy(size=5), lambda s: [setattr(t, "tp", price(s) * 1.01) for t in s.trades])
    on_cross("Scalp", lambda s: s.buy(), lambda s: s.sell(), fast=2, slow=3)
    on_cross("SlowWarmUp", lambda s: s.buy(), close, fast=40, slow=90)
    on_cross("NeverWarm", lambda s: s.buy(), close, fast=5, slow=10_000)

    @case
    class EveryBar(Strategy):
        def init(self):
            pass

        def next(self):
            (self.sell if self.position.size > 6 else self.buy)(size=1)

    @case
    class EveryBarAll(Strategy):
        def init(self):
            pass

        def next(self):
            self.buy() if len(self.data) % 2 else self.sell()

    @case
    class BuyAndHold(Strategy):
        def init(self):
            pass

        def next(self):
            if not self.position and not self.orders:
                self.buy()

    @case
    class Nothing(Strategy):
        def init(self):
            pass

        def next(self):
            pass

    @case
    class Reversion(Strategy):
        def init(self):
            self.rsi = self.I(rsi, self.data.Close, 4)

        def next(self):
            if self.rsi[-1] < 25 and not self.position:
                self.buy()
            elif self.rsi[-1] > 70:
                self.position.close()

    @case
    class Bands(Strategy):
        def init(self):
            self.bands = self.I(bands, self.data.Close, 15, 1.5, name="bands")

        def next(self):
            low, high = self.bands[0][-1], self.bands[1][-1]
            if self.data.Close < low:
                self.buy(size=0.4, tp=float(high))
            elif self.data.Close[-1] > high and self.position.is_long:
                self.position.close()

    @case
    class Breakout(Strategy):
        def init(self):
            self.high = self.I(highest, self.data.High, 15)
            self.low = self.I(lowest, self.data.Low, 15)

        def next(self):
            for order in self.orders:
                if not order.is_contingent:
                    order.cancel()
            self.buy(size=0.5, stop=self.high[-1] + 0.01, sl=self.low[-1])

    @case
    class BreakoutBoth(Strategy):
        def init(self):
            self.high = self.I(highest, self.data.High, 10)
            self.low = self.I(lowest, self.data.Low, 10)

        def next(self):
            if not self.orders and not self.position:
                self.buy(size=3, stop=self.high[-1])
                self.sell(size=3, stop=self.low[-1])
            elif len(self.data) % 9 == 0:
                self.position.close()

    @case
    class OwnTrailing(Averages):
        def next(self):
            for trade in self.trades:
                if trade.is_long:
                    trade.sl = max(trade.sl or 0, self.data.Close[-1] * 0.97)
                else:
                    trade.sl = min(trade.sl or math.inf, self.data.Close[-1] * 1.03)
            if self.up:
                self.buy(size=0.9)
            elif self.down:
                self.sell(size=0.4)

    @case
    class MoveTargets(Averages):
        def next(self):
            for trade in self.trades:
                trade.tp = None if len(self.data) % 5 == 0 else trade.entry_price * (1.02 if trade.is_long else 0.98)
            if self.up:
                self.buy(size=5)
            elif self.down:
                self.sell(size=5)

    @case
    class TimeExit(Strategy):
        def init(self):
            pass

        def next(self):
            for trade in self.trades:
                if len(self.data) - 1 - trade.entry_bar >= 4:
                    trade.close()
            if len(self.data) % 3 == 0:
                self.buy(size=0.2)

    @case
    class Martingale(Strategy):
        def init(self):
            pass

        def next(self):
            if not self.position:
                lost = bool(self.closed_trades) and self.closed_trades[-1].pl < 0
                self.buy(size=8 if lost else 2, sl=self.data.Close[-1] * 0.98, tp=self.data.Close[-1] * 1.02)

    @case
    class ByEquity(Averages):
        def next(self):
            if self.up:
                self.buy(size=max(1, int(self.equity * 0.3 // self.data.Close[-1])))
            elif self.position.pl_pct > 1 or self.position.pl < -50:
                self.position.close()

    @case
    class Warmth(Strategy):
        def init(self):
            close = pd.Series(self.data.Close)
            self.line = self.I(lambda: close.where(np.arange(len(close)) > 20).to_numpy(), name="late")
            self.scattered = self.I(lambda: np.where(close > close.shift(), close, np.nan), name="dots", scatter=True)

        def next(self):
            if not np.isnan(self.scattered[-1]) and self.line[-1] > self.line[-2]:
                self.buy(size=1)
            elif len(self.trades) > 3:
                self.trades[0].close()

    @case
    class Since(Averages):
        def next(self):
            if barssince(self.data.Close > self.slow_line[-1], 99) == 2:
                self.buy(size=2)
            if cross(self.data.Close, self.slow_line):
                self.position.close(0.7)

    @case
    class Quantiles(Strategy):
        def init(self):
            pass

        def next(self):
            if len(self.data) > 20:
                rank = quantile(self.data.Close[-20:])
                if rank < 0.1 or self.data.Close[-1] < quantile(self.data.Close[-20:], 0.05):
                    self.buy(size=0.3)
                elif rank > 0.9:
                    self.position.close()

    @case
    class Weekly(Strategy):
        def init(self):
            self.week = lib.resample_apply("W-FRI", mean, self.data.Close, 3)

        def next(self):
            if crossover(self.data.Close, self.week):
                self.buy()
            elif crossover(self.week, self.data.Close):
                self.position.close()

    @case
    class Signals(lib.SignalStrategy):
        def init(self):
            super().init()
            change = pd.Series(self.data.Close).pct_change()
            self.set_signal(np.sign(change) * 0.4 * (change.abs() > 0.01), (change < -0.005) * 0.5)

        def next(self):
            super().next()

    @case
    class Pandas(Strategy):
        def init(self):
            pass

        def next(self):
            frame = self.data.df
            if len(frame) > 8 and frame.Close.iloc[-1] > frame.High.iloc[-8:-1].mean() and not self.position:
                self.buy()
            elif self.data.Close.s.iloc[-1] < self.data.Low.s.iloc[-8:].mean():
                self.position.close()

    @case
    class Numbers(Strategy):
        def init(self):
            pass

        def next(self):
            if crossover(self.data.Close, float(np.mean(self.data.Close[-10:]))):
                self.buy(size=4)
            elif crossover(float(np.mean(self.data.Close[-10:])), self.data.Close):
                self.sell(size=4)

    def fuzz(seed):
        def init(self):
            self.random = np.random.default_rng(seed)

        def next(self):
            random, now = self.random, float(self.data.Close[-1])
            for _ in range(int(random.integers(0, 3))):
                what = int(random.integers(0, 12))
                near = now * (1 + 0.02 * random.standard_normal())
                size = float(random.choice([1, 2, 5, 13, 0.1, 0.35, 0.9]))
                options = {}
                if random.random() < 0.4:
                    options["limit"] = near
                if random.random() < 0.4:
                    options["stop"] = now * (1 + 0.02 * random.standard_normal())
                sign = 1 if what % 2 else -1
                if random.random() < 0.5:
                    options["sl"] = now * (1 - sign * abs(0.03 * random.standard_normal()))
                if random.random() < 0.5:
                    options["tp"] = now * (1 + sign * abs(0.03 * random.standard_normal()))
                pick = float(random.random())
                if what < 6:
                    try:
                        (self.buy if sign > 0 else self.sell)(size=size, **options)
                    except ValueError:
                        pass
                elif what == 6 and self.orders:
                    self.orders[int(pick * len(self.orders))].cancel()
                elif what == 7 and self.trades:
                    self.trades[int(pick * len(self.trades))].close(round(0.05 + 0.95 * pick, 2))
                elif what == 8 and self.trades:
                    self.trades[int(pick * len(self.trades))].sl = near
                elif what == 9 and self.trades:
                    self.trades[int(pick * len(self.trades))].tp = near
                elif what == 10 and pick < 0.3:
                    self.position.close(0.5 if pick < 0.15 else 1.0)

        return {"init": init, "next": next}

    for seed in range(24):
        case(type(f"Fuzz{seed:02d}", (Strategy,), fuzz(seed)))
    return found


def market(seed, count=260, step=0.012, start=100.0, gaps=0.0, halts=0.0, freq="B", decimals=None):
    """Random bars. gaps: chance of a jump between bars; halts: chance of a bar without any movement."""
    random = np.random.default_rng(seed)
    jumps = np.where(random.random(count) < gaps, random.standard_normal(count) * 0.06, 0.0)
    halted = random.random(count) < halts
    moves = np.where(halted, 0.0, random.standard_normal(count) * step)
    jumps[halted] = 0.0
    close = np.cumsum(moves + jumps)
    begin = close - moves
    up, down = (np.where(halted, 0.0, np.abs(random.standard_normal(count)) * step * 0.6) for _ in range(2))
    bars = {
        "Open": begin,
        "High": np.maximum(begin, close) + up,
        "Low": np.minimum(begin, close) - down,
        "Close": close,
    }
    frame = pd.DataFrame(
        {name: start * np.exp(values) for name, values in bars.items()},
        index=pd.date_range("2015-01-05", periods=count, freq=freq),
    )
    frame["Volume"] = random.integers(1, 10_000, count).astype(float)
    return frame.round(decimals) if decimals is not None else frame


def fee_by_side(size, price):
    """A commission that is dearer for sales."""
    return abs(size) * price * (0.001 if size > 0 else 0.002)


SETTINGS = [
    {"cash": 10_000},
    {"cash": 10_000, "commission": 0.002},
    {"cash": 10_000, "commission": (1.0, 0.001), "exclusive_orders": True, "finalize_trades": True},
    {"cash": 10_000, "spread": 0.001, "margin": 0.2, "hedging": True},
    {"cash": 10_000, "trade_on_close": True, "commission": 0.001},
    {"cash": 700, "margin": 0.05, "commission": 0.0005},
    {"cash": 10_000, "spread": 0.002, "trade_on_close": True, "finalize_trades": True, "margin": 0.5},
    {"cash": 150},
    {"cash": 10_000, "hedging": True, "exclusive_orders": True},
    {"cash": 10_000, "commission": fee_by_side},
]


# Each strategy meets so many pairs of bars and settings.
ROUNDS = 2
# What the usual rules do otherwise; see qfp.backtesting.FillRules.
RULES = (
    "size_at_close",
    "entry_bar_stops",
    "last_orders_fill",
    "stops_at_open",
    "all_trades_at_ruin",
    "order_sign",
    "shared_entry_fee",
    "all_cancelled",
)


def watched(strategy):
    """The same strategy, noting what it sees on every bar."""

    def note(self):
        if not hasattr(self, "trace"):
            self.trace = []
        self.trace.append(
            (
                len(self.data),
                float(self.equity),
                float(self.position.size),
                float(self.position.pl),
                float(self.position.pl_pct),
                [(float(o.size), o.limit, o.stop, o.sl, o.tp, o.is_contingent) for o in self.orders],
                [
                    (float(t.size), float(t.entry_price), t.entry_bar, float(t.pl), float(t.value), t.sl, t.tp)
                    for t in self.trades
                ],
                len(self.closed_trades),
            )
        )

    def next(self):
        note(self)
        strategy.next(self)

    return type(strategy.__name__, (strategy,), {"next": next})


def same(one, other):
    if isinstance(one, float) and isinstance(other, (float, int)):
        return one == other or (math.isnan(one) and math.isnan(other)) or abs(one - other) <= 1e-9 * abs(one) + 1e-12
    return one == other or (one is pd.NaT and other is pd.NaT)


def differences(theirs, ours):
    """What differs between two results: names of the parts, with the first place."""
    found = []
    left, right = getattr(theirs["_strategy"], "trace", []), getattr(ours["_strategy"], "trace", [])
    if left != right:
        at = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
        found.append(f"trace at {at}: {left[at : at + 1]} / {right[at : at + 1]}"[:900])
    if not np.array_equal(theirs["_equity_curve"]["Equity"].to_numpy(), ours["_equity_curve"]["Equity"].to_numpy()):
        found.append("equity")
    for name in ("DrawdownPct", "DrawdownDuration"):
        x, y = theirs["_equity_curve"][name], ours["_equity_curve"][name]
        if not (x.isna().all() and y.isna().all()) and not x.equals(y):
            found.append(name)
    a, b = theirs["_trades"], ours["_trades"]
    if list(a.columns) != list(b.columns) or len(a) != len(b):
        found.append(f"trades: {len(a)} / {len(b)}; {set(a.columns) ^ set(b.columns)}")
    else:
        for name in a.columns:
            x, y = a[name].tolist(), b[name].tolist()
            if not all(
                v == w or (v != v and w != w) or (v is None and w != w) or (w is None and v != v)
                for v, w in zip(x, y, strict=True)
            ):
                found.append(f"trades {name}: {[(v, w) for v, w in zip(x, y, strict=True) if v != w][:2]}")
    labels = [label for label in theirs.index if not label.startswith("_")]
    if labels != [label for label in ours.index if not label.startswith("_")]:
        found.append("labels")
    else:
        found += [
            f"{label}: {theirs[label]} / {ours[label]}"
            for label in labels
            if not same(
                float(theirs[label]) if isinstance(theirs[label], (float, np.floating)) else theirs[label],
                float(ours[label]) if isinstance(ours[label], np.floating) else ours[label],
            )
        ]
    return found


def main(starter: str, only: str = "") -> None:
    import backtesting
    import backtesting.lib
    import qfp.backtesting as ours
    import qfp.backtesting.lib

    sys.modules["backtesting.backtesting"]._tqdm = lambda iterable, **_: iterable  # no bars of progress
    sets = {f"starter {key}": frame for key, frame in pd.read_pickle(starter).items()}
    sets["walk"] = market(1)
    sets["gaps"] = market(2, gaps=0.15)
    sets["halts"] = market(3, halts=0.5, gaps=0.05)
    sets["wild"] = market(4, step=0.05, gaps=0.1)
    sets["coarse"] = market(5, decimals=0)
    sets["hourly"] = market(6, freq="h", step=0.004)
    sets["flat"] = market(7, step=0.0)
    theirs_by_name = strategies(backtesting.Strategy, backtesting.lib)
    ours_by_name = strategies(ours.Strategy, qfp.backtesting.lib)
    names, results = list(sets), []
    for number, name in enumerate(theirs_by_name):
        for round_ in range(ROUNDS):
            setting = SETTINGS[(number * 3 + round_ * 7) % len(SETTINGS)]
            bars = sets[names[(number + round_ * 3) % len(names)]]
            said = {**setting, "commission": "by side"} if callable(setting.get("commission")) else setting
            label = f"{name} on {names[(number + round_ * 3) % len(names)]} with {said}"
            if only and only not in label:
                continue
            left = backtesting.Backtest(bars, watched(theirs_by_name[name]), **setting).run()
            right = ours.Backtest(bars, watched(ours_by_name[name]), rules=ours.COMPATIBLE, **setting).run()
            usual = ours.Backtest(bars, watched(ours_by_name[name]), **setting).run()
            apart = differences(left, usual)
            reasons = []
            for rule in RULES if apart else ():
                rules = replace(ours.COMPATIBLE, **{rule: getattr(ours.USUAL, rule)})
                changed = ours.Backtest(bars, watched(ours_by_name[name]), rules=rules, **setting).run()
                reasons += [rule] if differences(right, changed) else []
            results.append(
                {
                    "case": label,
                    "strategy": name,
                    "compatible": differences(left, right),
                    "usual": apart,
                    "reasons": reasons,
                    "trades": len(left["_trades"]),
                }
            )
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
