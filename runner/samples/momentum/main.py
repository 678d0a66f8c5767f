"""Momentum on Apple.

Hold the share while it trades above where it was `lookback` days ago; stay in cash otherwise.
"""

from backtesting import Strategy
from qfp import backtest, data, param

lookback = param("lookback", 60, 10, 200, step=10, label="Lookback, days")
hold_above = param("hold_above", 0.00, -0.10, 0.20, step=0.01, label="Hold above a gain of")
costs = param("costs", 0.001, 0.0, 0.01, step=0.0005, label="Commission, share of value")


class Momentum(Strategy):
    def init(self):
        close = self.data.Close.s
        self.momentum = self.I(lambda: close / close.shift(lookback) - 1, name="momentum")

    def next(self):
        if self.momentum[-1] > hold_above:
            if not self.position:
                self.buy()
        else:
            self.position.close()


bars = data.prices("AAPL", start="2003-01-01")
print(f"{len(bars):,} trading days of AAPL, {bars.index[0]:%d %b %Y} to {bars.index[-1]:%d %b %Y}")
result = backtest(Momentum, bars, cash=10_000, commission=costs)
