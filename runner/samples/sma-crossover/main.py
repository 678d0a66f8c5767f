"""Moving-average crossover on IBM.

Buy when the fast average crosses above the slow one, go short when it crosses below.
"""

from backtesting import Strategy
from backtesting.lib import crossover
from qfp import backtest, data, param

fast = param("fast", 20, 5, 60, step=5, label="Fast average, days")
slow = param("slow", 100, 50, 250, step=10, label="Slow average, days")


# %% The rule
def average(values, days):
    return values.s.rolling(days).mean()


class Crossover(Strategy):
    def init(self):
        self.fast = self.I(average, self.data.Close, fast)
        self.slow = self.I(average, self.data.Close, slow)

    def next(self):
        if crossover(self.fast, self.slow):
            self.position.close()
            self.buy()
        elif crossover(self.slow, self.fast):
            self.position.close()
            self.sell()


# %% Its result
backtest(Crossover, data.prices("IBM"), cash=10_000, commission=0.001)
