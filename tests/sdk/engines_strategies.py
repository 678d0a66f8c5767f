"""Which strategies does both_engines run? Every one over the base class and the library of either engine."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


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
