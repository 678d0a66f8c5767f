# ruff: noqa
import numpy as np
import pandas as pd
from qfp import backtest, data
from qfp.backtesting import Strategy

bars = data.prices("IBM", "2009-01-02", "2010-06-30")
close = bars["close"]
returns = close.pct_change()


class Follow(Strategy):
    """Holds the share while the signal of the day is above 0, and stands aside below."""

    def init(self):
        pass

    def next(self):
        value = self.value()
        if value > 0 and not self.position:
            self.buy()
        elif value < 0 and self.position:
            self.position.close()

    def value(self):
        return float(np.asarray(signal)[len(self.data) - 1])


# %% shift_in_an_indicator
class Leak(Follow):
    def init(self):
        self.ahead = self.I(lambda values: pd.Series(values).shift(-1) - values, self.data.Close)

    def value(self):
        return self.ahead[-1]


backtest(Leak, bars)

# %% shift_outside_the_class
signal = close.shift(-1) - close
backtest(Follow, bars)

# %% shift_of_five_days
signal = close.shift(-5) / close - 1.01
backtest(Follow, bars)

# %% z_score_over_everything
signal = -(close - close.mean()) / close.std()
backtest(Follow, bars)

# %% min_and_max_over_everything
scaled = (close - close.min()) / (close.max() - close.min())
signal = 0.5 - scaled
backtest(Follow, bars)


# %% z_score_in_init
class Leak(Follow):
    def init(self):
        values = np.asarray(self.data.Close)
        self.z = self.I(lambda: (values - values.mean()) / values.std())

    def value(self):
        return -self.z[-1]


backtest(Leak, bars)

# %% centred_mean
signal = close - close.rolling(11, center=True).mean()
backtest(Follow, bars)


# %% centred_mean_in_an_indicator
class Leak(Follow):
    def init(self):
        self.middle = self.I(lambda values: pd.Series(values).rolling(9, center=True).mean(), self.data.Close)

    def value(self):
        return self.data.Close[-1] - self.middle[-1]


backtest(Leak, bars)

# %% bfill_of_monthly_closes
monthly = close.resample("ME").last()
signal = monthly.reindex(close.index, method="bfill").ffill() - close
backtest(Follow, bars)

# %% bfill_of_a_gap
holes = close.where(close.index.dayofweek == 4)
signal = (holes.bfill() - close).fillna(-1)
backtest(Follow, bars)

# %% interpolated
holes = close.where(close.index.dayofweek == 0)
signal = holes.interpolate().diff().fillna(0)
backtest(Follow, bars)

# %% regression_on_everything
from sklearn.linear_model import LinearRegression

features = np.column_stack([returns.shift(lag).fillna(0) for lag in (0, 1, 2)])
target = returns.shift(-1).fillna(0)
model = LinearRegression().fit(features, target)
signal = model.predict(features)
backtest(Follow, bars)

# %% forest_on_everything
from sklearn.ensemble import RandomForestRegressor

features = np.column_stack([returns.shift(lag).fillna(0) for lag in (0, 1, 2)])
forest = RandomForestRegressor(10, random_state=0).fit(features, returns.shift(-1).fillna(0))
signal = forest.predict(features)
backtest(Follow, bars)

# %% scaler_fitted_on_everything
from sklearn.preprocessing import StandardScaler

signal = -StandardScaler().fit_transform(close.to_frame())[:, 0]
backtest(Follow, bars)

# %% same_day_close_at_the_open
# Decides before the open of the day with that day's close: the row of the day before has it.
signal = (close - bars["open"]).shift(-1).fillna(0)
backtest(Follow, bars)


# %% high_and_low_of_tomorrow
class Leak(Follow):
    def init(self):
        self.high = self.I(lambda values: np.roll(values, -1), self.data.High)

    def value(self):
        return 1 if self.high[-1] > self.data.High[-1] * 1.005 else -1


backtest(Leak, bars)


# %% array_kept_from_init
class Leak(Follow):
    def init(self):
        self.all = np.array(self.data.Close)

    def value(self):
        now = len(self.data)
        return self.all[now] - self.all[now - 1] if now < len(self.all) else 0


backtest(Leak, bars)


# %% frame_kept_from_init
class Leak(Follow):
    def init(self):
        self.frame = self.data.df.copy()

    def value(self):
        now = len(self.data)
        ahead = self.frame["Close"].iloc[now : now + 3]
        return ahead.mean() - self.data.Close[-1] if len(ahead) else 0


backtest(Leak, bars)


# %% frame_behind_the_bars
class Leak(Follow):
    def value(self):
        ahead = self._data._frame["Close"].to_numpy()
        now = len(self.data)
        return ahead[min(now, len(ahead) - 1)] - ahead[now - 1]


backtest(Leak, bars)


# %% bars_of_the_program
class Leak(Follow):
    def value(self):
        now = len(self.data)
        return bars["close"].iloc[min(now + 1, len(bars) - 1)] - self.data.Close[-1]


backtest(Leak, bars)


# %% series_of_an_indicator
class Leak(Follow):
    def init(self):
        closes = self.data.Close.s
        self.rank = self.I(lambda: closes.rank(pct=True).to_numpy())

    def value(self):
        return 0.5 - self.rank[-1]


backtest(Leak, bars)

# %% best_day_of_the_week
best = returns.groupby(close.index.dayofweek).mean().idxmax()
signal = np.where(close.index.dayofweek == (best - 1) % 5, 1, -1)
backtest(Follow, bars)

# %% quantiles_of_everything
low, high = returns.quantile([0.2, 0.8])
signal = np.where(returns < low, 1, np.where(returns > high, -1, 0))
backtest(Follow, bars)

# %% winners_of_the_whole_period
panel = data.panel(["AAPL", "BAC", "GE", "IBM", "XOM"], "2009-01-02", "2010-06-30").ffill().dropna()
best = (panel.iloc[-1] / panel.iloc[0]).idxmax()
picked = panel[best].reindex(close.index).ffill().bfill()
signal = picked.pct_change(5).fillna(0)
backtest(Follow, bars)


# %% data_read_again
class Leak(Follow):
    def value(self):
        everything = data.prices("IBM")["close"]
        after = everything[everything.index > self.data.index[-1]]
        return after.iloc[0] - self.data.Close[-1] if len(after) else 0


backtest(Leak, bars.iloc[:120])

# %% local_extremes
from scipy.signal import argrelextrema

lows = argrelextrema(close.to_numpy(), np.less_equal, order=5)[0]
highs = argrelextrema(close.to_numpy(), np.greater_equal, order=5)[0]
signal = np.zeros(len(close))
signal[lows], signal[highs] = 1, -1
backtest(Follow, bars)

# %% smoothed_both_ways
from scipy.signal import filtfilt

b = np.ones(5) / 5
smooth = filtfilt(b, [1.0], close.to_numpy())
signal = np.gradient(smooth)
backtest(Follow, bars)

# %% detrended
trend = np.polyval(np.polyfit(np.arange(len(close)), close.to_numpy(), 1), np.arange(len(close)))
signal = trend - close.to_numpy()
backtest(Follow, bars)

# %% last_price_of_all
target = close.iloc[-1]
signal = target - close
backtest(Follow, bars)

# %% gradient
signal = np.gradient(close.to_numpy())
backtest(Follow, bars)

# %% week_known_on_monday
weekly = close.resample("W-FRI").last()
signal = close.groupby(pd.Grouper(freq="W-FRI")).transform("last") - close
backtest(Follow, bars)

# %% volatility_of_the_whole_period
calm = returns.rolling(20).std() < returns.std()
signal = np.where(calm, 1, -1)
backtest(Follow, bars)

# %% principal_component_of_everything
from sklearn.decomposition import PCA

panel = data.panel(["AAPL", "BAC", "GE", "JPM", "XOM"], "2009-01-02", "2010-06-30").pct_change().fillna(0)
scores = PCA(1, random_state=0).fit_transform(panel)[:, 0]
signal = pd.Series(scores, panel.index).reindex(close.index).fillna(0)
backtest(Follow, bars)

# %% figures_before_their_publication
gdp = data.series("us_quarterly")["realgdp"].pct_change()
signal = gdp.reindex(close.index, method="bfill").fillna(-1) + 0.002
backtest(Follow, bars)

# %% figures_on_the_last_day_of_their_quarter
gdp = data.series("us_quarterly")["realgdp"]
growth = (gdp / gdp.shift(1) - 1).rename("growth").reset_index()
signal = pd.merge_asof(close.reset_index(), growth, on="date")["growth"].fillna(-1) + 0.002
backtest(Follow, bars)


# %% hard_limit_at_tomorrows_low
class Leak(Strategy):
    def init(self):
        self.low = self.I(lambda values: pd.Series(values).shift(-1).ffill(), self.data.Low)

    def next(self):
        if not self.position and not self.orders:
            self.buy(limit=self.low[-1] * 1.0001)
        elif self.position:
            self.position.close()


backtest(Leak, bars)

# %% close_of_the_day_in_its_hours
euro = data.prices("EURUSD", "2018-03-01", "2018-04-30", interval="1h")
index = data.prices("SPX", "2018-03-01", "2018-04-30")
rises = pd.Series((index["close"] > index["open"]).to_numpy(), index.index)
day = euro.index.tz_localize(None).normalize()
signal = np.where(rises.reindex(day, fill_value=False), 1, -1)
backtest(Follow, euro, cash=1e6)

# %% average_of_the_month_in_its_days
change = data.prices("BAA", interval="1mo")["close"].diff()
signal = -change.reindex(close.index, method="ffill")
backtest(Follow, bars)

# %% the_one_share_that_has_won_by_far
from qfp import portfolio_backtest

closes = data.panel(["IBM", "MSFT", "AAPL", "GOOG"], start="2005-01-03", end="2012-12-31")
best = (closes.iloc[-1] / closes.iloc[0]).idxmax()
portfolio_backtest([best], weights={best: 1.0}, rebalance="yearly", start="2005-01-03", end="2012-12-31")
