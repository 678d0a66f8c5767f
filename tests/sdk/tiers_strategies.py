"""Strategies whose next() both tiers can run, by name, and twelve drawn at random; both_tiers.py runs them."""

from __future__ import annotations

import math
import sys

import numpy as np
from qfp.backtesting import Strategy
from qfp.backtesting.lib import TrailingStrategy, cross, crossover

sys.path.insert(0, str(__import__("pathlib").Path(__file__).parent))
from engines_strategies import bands, highest, lowest, mean, rsi

STRATEGIES: dict[str, type[Strategy]] = {}
LIMIT = 1.5


def case(cls):
    STRATEGIES[cls.__name__] = cls
    return cls


def is_weak(value, level=30):
    return value < level


class Averages(Strategy):
    fast, slow = 5, 12

    def init(self):
        self.fast_line = self.I(mean, self.data.Close, self.fast)
        self.slow_line = self.I(mean, self.data.Close, self.slow)

    @property
    def up(self):
        return crossover(self.fast_line, self.slow_line)

    def down(self):
        return crossover(self.slow_line, self.fast_line)


@case
class LongOnly(Averages):
    def next(self):
        if self.up:
            self.buy()
        elif self.down():
            self.position.close()


@case
class Reverse(Averages):
    def next(self):
        """A docstring is no statement."""
        if self.up:
            self.position.close()
            self.buy(size=0.9)
        if self.down():
            self.position.close()
            self.sell(size=0.9)


@case
class Brackets(Averages):
    def next(self):
        price = self.data.Close[-1]
        if self.up:
            self.buy(sl=price * 0.97, tp=price * 1.04, size=0.3)
        elif self.down():
            self.sell(sl=price * 1.03, tp=price * 0.96, size=7)


@case
class Tight(Averages):
    def next(self):
        price = self.data.Close
        if crossover(self.fast_line, self.slow_line):
            self.buy(limit=price[-1] * 0.998, sl=price[-1] * 0.99, tp=price[-1] * 1.001)
            self.buy(stop=price[-1] * 1.002, sl=price[-1] * 0.997, tp=price[-1] * 1.006, size=3)
        elif cross(self.slow_line, self.fast_line):
            self.sell(stop=price[-1] * 0.998, tp=price[-1] * 0.99, size=6)
            self.sell(size=4, stop=price[-1] * 0.995, limit=price[-1] * 0.98)


@case
class State(Averages):
    wait = 3

    def init(self):
        super().init()
        self.bars_since = 0
        self.best = None
        self.active = False

    def next(self):
        self.bars_since += 1
        price = self.data.Close[-1]
        if self.active and self.best is not None:
            self.best = max(self.best, price)
            if price < self.best * 0.98:
                self.position.close()
                self.active, self.best = False, None
        elif self.up and self.bars_since >= self.wait:
            self.buy(size=0.5)
            self.bars_since = 0
            self.active = True
            self.best = price


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
        elif self.down():
            self.sell(size=0.4)


@case
class MoveTargets(Averages):
    def next(self):
        for trade in self.trades:
            trade.tp = None if len(self.data) % 5 == 0 else trade.entry_price * (1.02 if trade.is_long else 0.98)
        if self.up:
            self.buy(size=5, tag="in")
        elif self.down():
            self.sell(size=5)


@case
class TimeExit(Strategy):
    def init(self):
        pass

    def next(self):
        for trade in list(self.trades):
            if len(self.data) - 1 - trade.entry_bar >= 4:
                trade.close()
            elif trade.pl_pct > 0.03 or trade.pl < -50 or trade.value > 5000:
                trade.close(0.5)
        if len(self.data) % 3 == 0:
            self.buy(size=0.2)


@case
class Martingale(Strategy):
    def init(self):
        pass

    def next(self):
        if self.position:
            return
        lost = len(self.closed_trades) > 0 and self.closed_trades[-1].pl < 0
        now = self.data.Close[-1]
        self.buy(size=8 if lost else 2, sl=now * 0.98, tp=now * 1.02)


@case
class ByEquity(Averages):
    def next(self):
        if self.up:
            self.buy(size=max(1, int(self.equity * 0.3 // self.data.Close[-1])))
        elif self.position.pl_pct > 1 or self.position.pl < -50:
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
class Bands(Strategy):
    def init(self):
        self.bands = self.I(bands, self.data.Close, 15, LIMIT, name="bands")

    def next(self):
        low, high = self.bands[0][-1], self.bands[1, -1]
        if self.data.Close < low:
            self.buy(size=0.4, tp=float(high) if high > self.data.Close[-1] else None)
        elif self.data.Close[-1] > high and self.position.is_long:
            self.position.close()


@case
class Relative(Strategy):
    level = 25

    def init(self):
        self.rsi = self.I(rsi, self.data.Close, 4)
        self.lines = [self.I(mean, self.data.Close, 3), self.I(mean, self.data.Close, 9)]

    def next(self):
        if is_weak(self.rsi[-1], self.level) and not self.position and self.lines[0] < self.lines[1]:
            self.buy()
        elif 70 < self.rsi[-1] <= 100:
            self.position.close()


@case
class Arithmetic(Strategy):
    power = 2

    def init(self):
        self.count, self.total, self.turn = 0, 0.0, 1
        self.rising = self.I(lambda: np.asarray(self.data.Close > mean(self.data.Close, 5)), name="rising")
        self.code = self.I(lambda: np.arange(len(self.data.Close)) % 7, name="code")

    def next(self):
        change = self.data.Close[-1] / self.data.Close[-2] - 1
        self.total = self.total * 0.9 + change**self.power * (1 if change > 0 else -1)
        self.count = (self.count * 7 + int(self.code[-1])) % 11
        self.turn = -self.turn if self.count == 3 else self.turn
        size = min(5, max(1, round(abs(self.total) * 1e4), self.count // 2))
        for step in range(2, 5):
            if self.count == step and not math.isnan(change):
                if self.turn > 0 and self.rising:
                    self.buy(size=size)
                elif not self.rising[-1]:
                    self.sell(size=size + step % 2)
                continue
            if step == 4 and self.count == 9:
                self.position.close(0.5)
        if -0.5 < math.sqrt(abs(self.total)) - math.floor(self.data.Close[-1]) % 3 < 0.5:
            self.position.close()


@case
class LooksBack(Strategy):
    back = 4

    def init(self):
        pass

    def next(self):
        if len(self.data) > 10 and self.data.Close[-10] < self.data.Close[-1] * 0.98:
            self.buy(size=1, tag="back")
        if len(self.data.Close) > self.back and self.data["Low"][-self.back] > self.data.High[-1]:
            self.sell(size=2)
        if self.data.Close[0] > self.data.Close[-1] and len(self.trades) > 3:
            self.trades[0].close()
            self.trades[-1].close(0.7)


@case
class Trailing(TrailingStrategy):
    def init(self):
        super().init()
        self.set_trailing_pct(0.03)
        self.line = self.I(mean, self.data.Close, 8)

    def next(self):
        super().next()
        if crossover(self.data.Close, self.line):
            self.buy(size=0.5)
        elif crossover(self.line, 100.0):
            self.sell(size=3)


@case
class Reversal(Averages):
    def next(self):
        if self.position.size > 6:
            self.sell(size=1)
        elif self.position.is_short and self.trades[0].is_short:
            self.buy(size=2)
        else:
            self.buy(size=1) if len(self.data) % 2 else self.sell(size=3)


@case
class Channel(Strategy):
    def init(self):
        self.late = self.I(mean, self.data.Close, 9, scatter=True)

    def next(self):
        if self.data.Close[-1] >= self.data.High[-20:].max() * 0.995 and not self.position:
            self.buy(size=0.5, sl=min(self.data.Low[-5:]) * 0.99)
        elif self.data.Close[-1] < np.min(self.data.Low[-10:]) * 1.002:
            self.position.close()
        if len(self.data) > 30 and max(self.late[-4:]) < self.data.Close[-1]:
            self.sell(size=1)


@case
class Wrapped(Strategy):
    """Before the fiftieth bar there is no such bar, least of all a later one."""

    def init(self):
        pass

    def next(self):
        if self.data.Close[-50] > self.data.Close[-1]:
            self.buy(size=1)


@case
class Ahead(Strategy):
    def init(self):
        pass

    def next(self):
        now = len(self.data)
        if self.data.Close[now] > self.data.Close[-1]:
            self.buy(size=1)


@case
class Contradicts(Strategy):
    def init(self):
        pass

    def next(self):
        if len(self.data) == 40:
            self.buy(size=1, sl=self.data.Close[-1] * 2)


def fuzz(seed):
    """Anything at any time, drawn from columns of random numbers."""

    class Fuzz(Strategy):
        def init(self):
            count = len(self.data.Close)
            random = np.random.default_rng(seed)
            self.what = self.I(lambda: random.integers(0, 14, count), name="what")
            self.size = self.I(lambda: random.choice([1, 2, 5, 13, 0.1, 0.35, 0.9], count), name="size")
            self.normal = self.I(lambda: random.standard_normal((4, count)), name="normal")
            self.pick = self.I(lambda: random.random((4, count)), name="pick")

        def next(self):
            what, now, size = self.what[-1], self.data.Close[-1], self.size[-1]
            near = now * (1 + 0.02 * self.normal[0][-1])
            limit = near if self.pick[0, -1] < 0.4 else None
            stop = now * (1 + 0.02 * self.normal[1, -1]) if self.pick[1, -1] < 0.4 else None
            entry = limit or stop or now
            below, above = entry * (1 - abs(0.03 * self.normal[2, -1])), entry * (1 + abs(0.03 * self.normal[3, -1]))
            if what < 4 and self.pick[2, -1] < 0.8:
                self.buy(size=size, limit=limit, stop=stop, sl=below * 0.999, tp=above * 1.01)
            elif what < 4:
                self.buy(size=size, limit=limit, stop=stop)
            elif what < 8 and self.pick[2, -1] < 0.8:
                self.sell(size=size, limit=limit, stop=stop, sl=above * 1.01, tp=below * 0.99)
            elif what < 8:
                self.sell(size=size, stop=stop)
            elif what == 8 and self.orders:
                self.orders[int(self.pick[3, -1] * len(self.orders))].cancel()
            elif what == 9 and self.trades:
                self.trades[int(self.pick[3, -1] * len(self.trades))].close(0.05 + 0.9 * self.pick[0, -1])
            elif what == 10 and self.trades:
                self.trades[int(self.pick[3, -1] * len(self.trades))].sl = near
            elif what == 11 and self.trades:
                self.trades[int(self.pick[3, -1] * len(self.trades))].tp = near
            elif what == 12 and self.pick[3, -1] < 0.3:
                self.position.close(0.5 if self.pick[0, -1] < 0.5 else 1.0)
            elif what == 13:
                for trade in self.trades:
                    if self.pick[3, -1] < 0.5:
                        trade.sl = None
                    else:
                        trade.tp = None

    Fuzz.__name__ = Fuzz.__qualname__ = f"Fuzz{seed:02d}"
    return Fuzz


for number in range(12):
    STRATEGIES[f"Fuzz{number:02d}"] = fuzz(number)
