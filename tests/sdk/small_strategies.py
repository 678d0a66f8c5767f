"""Bars and strategies small enough to work out by hand, for tests of qfp.backtesting."""

from __future__ import annotations

import numpy as np
import pandas as pd
from qfp.backtesting import Strategy
from qfp.backtesting.lib import crossover

QUIET = (100.0, 100.0, 100.0, 100.0)


def bars_of(*rows, freq="D", start="2020-01-01"):
    """Bars from (open, high, low, close)."""
    index = pd.date_range(start, periods=len(rows), freq=freq)
    return pd.DataFrame(rows, columns=["Open", "High", "Low", "Close"], index=index, dtype=float)


def walk(count=300, seed=1, freq="B"):
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.standard_normal(count) * 0.01))
    begin = np.append(100.0, close[:-1])
    high, low = np.maximum(begin, close) * 1.003, np.minimum(begin, close) * 0.997
    frame = pd.DataFrame({"Open": begin, "High": high, "Low": low, "Close": close})
    return frame.set_index(pd.date_range("2015-01-05", periods=count, freq=freq))


def mean(values, count):
    return pd.Series(values).rolling(count).mean()


class Averages(Strategy):
    fast, slow = 5, 12

    def init(self):
        self.fast_line = self.I(mean, self.data.Close, self.fast)
        self.slow_line = self.I(mean, self.data.Close, self.slow)

    def next(self):
        if crossover(self.fast_line, self.slow_line):
            self.buy()
        elif crossover(self.slow_line, self.fast_line):
            self.position.close()


def once(side, at=2, **order):
    """A strategy that places one order, on the bar before bar number `at`."""

    class Once(Strategy):
        def init(self):
            pass

        def next(self):
            if len(self.data) == at:
                getattr(self, side)(**order)

    return Once


def moved(name, price):
    """A strategy that gives the trade of its first order a stop-loss, "sl", or a target, "tp", at this price."""

    class Moved(once("buy", size=10)):
        def next(self):
            super().next()
            for trade in self.trades:
                setattr(trade, name, price)

    return Moved
