# ruff: noqa
import csv
import os

import numpy as np
import pandas as pd
from qfp import backtest, data, portfolio_backtest
from qfp.backtesting import Strategy

bars = data.prices("IBM", "2009-01-02", "2010-06-30")
days = pd.bdate_range("2009-01-02", "2010-06-30")
steps = np.random.default_rng(5).normal(0.0, 0.01, len(days))
made = pd.DataFrame({name: 100 * np.exp(np.cumsum(steps)) for name in ("open", "high", "low", "close")}, days)


class Follow(Strategy):
    def init(self):
        pass

    def next(self):
        if rises[len(self.data) - 1]:
            if not self.position:
                self.buy()
        else:
            self.position.close()


# %% bars_made_in_code
rises = (made["close"].shift(-1) > made["close"]).to_numpy()
backtest(Follow, made)

# %% bars_of_a_file_that_is_read_by_hand
if not os.path.exists("own.csv"):
    made.to_csv("own.csv", index_label="date")
rows = list(csv.DictReader(open("own.csv")))
own = pd.DataFrame(rows).set_index("date").astype(float)
own.index = pd.DatetimeIndex(own.index)
rises = (own["close"].shift(-1) > own["close"]).to_numpy()
backtest(Follow, own)

# %% portfolio_of_bars_made_in_code
rises = (made["close"].shift(-1) > made["close"]).astype(float)
portfolio_backtest({"OWN": made}, weights=pd.DataFrame({"OWN": rises * 0.9}))
