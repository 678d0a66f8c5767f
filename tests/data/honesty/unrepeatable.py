# ruff: noqa
import random
import time

import numpy as np
import pandas as pd
from qfp import backtest, data
from qfp.backtesting import Strategy

bars = data.prices("IBM", "2009-01-02", "2010-06-30")


class Dice(Strategy):
    def init(self):
        pass

    def next(self):
        if self.value() > 0.5:
            self.position.close() if self.position else self.buy()

    def value(self):
        return signal[len(self.data) - 1]


# %% generator_in_init
class Own(Dice):
    def init(self):
        self.random = np.random.default_rng()

    def value(self):
        return self.random.random()


backtest(Own, bars)


# %% global_numbers
class Global(Dice):
    def value(self):
        return np.random.random()


backtest(Global, bars)


# %% python_random
class Python(Dice):
    def value(self):
        return random.random()


backtest(Python, bars)

# %% array_at_the_top
signal = np.random.default_rng().random(len(bars))
backtest(Dice, bars)


# %% clock
class Clock(Dice):
    def value(self):
        return time.perf_counter_ns() % 1000 / 1000


backtest(Clock, bars)


# %% leak: tomorrow_beside_an_order_that_is_drawn
rises = bars["close"].shift(-1) > bars["close"]
drawn = random.randrange(len(bars))


class Tomorrow(Strategy):
    def init(self):
        self.held = False

    def next(self):
        if len(self.data) == drawn:
            self.buy(size=1)
        rise = bool(rises.iloc[len(self.data) - 1])
        if rise and not self.held:
            self.buy(size=0.9)
        elif self.held and not rise:
            self.position.close()
        self.held = rise


backtest(Tomorrow, bars)
