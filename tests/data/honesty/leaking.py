import numpy as np
import pandas as pd
from qfp import backtest, data
from qfp.backtesting import Strategy

bars = data.prices("IBM", "2009-01-02", "2010-06-30")
close = bars["close"]


class Follow(Strategy):
    """Holds the share while the signal of the day is above 0."""

    signal = None

    def init(self):
        pass

    def next(self):
        value = self.value()
        if value > 0 and not self.position:
            self.buy()
        elif value < 0 and self.position:
            self.position.close()

    def value(self):
        return float(signal[len(self.data) - 1])


# %% shift_in_an_indicator
class Tomorrow(Follow):
    def init(self):
        self.ahead = self.I(lambda values: pd.Series(values).shift(-1) - values, self.data.Close)

    def value(self):
        return self.ahead[-1]


backtest(Tomorrow, bars)

# %% shift_outside_the_class
signal = (close.shift(-1) - close).to_numpy()
backtest(Follow, bars)

# %% z_score_over_everything
signal = -((close - close.mean()) / close.std()).to_numpy()
backtest(Follow, bars)
