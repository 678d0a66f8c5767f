"""Mean reversion with Bollinger bands.

Bollinger's bands lie `entry` standard deviations above and below the average of the last days: buy Microsoft below the
lower one, sell at the average. A stop 15 % below the close that decided guards against a fall that goes on.
"""

from backtesting import Strategy
from qfp import backtest, data, param

days = param("days", 20, 5, 100, step=5, label="Window, days")
entry = param("entry", 2.0, 0.5, 4.0, step=0.25, label="Entry, standard deviations")


# %% How far from the average, in standard deviations
def z_score(close):
    window = close.s.rolling(days)
    return (close.s - window.mean()) / window.std()


# %% The rule
class MeanReversion(Strategy):
    def init(self):
        self.z = self.I(z_score, self.data.Close, name="z")

    def next(self):
        if not self.position and self.z[-1] < -entry:
            self.buy(sl=0.85 * self.data.Close[-1])
        elif self.position and self.z[-1] > 0:
            self.position.close()


# %% Its result
result = backtest(MeanReversion, data.prices("MSFT", start="2001-01-01"), cash=10_000, commission=0.001)
