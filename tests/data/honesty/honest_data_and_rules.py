# ruff: noqa
import numpy as np
import pandas as pd
from qfp import backtest, data
from qfp.backtesting import Strategy
from qfp.backtesting.lib import crossover

bars = data.prices("IBM", "2009-01-02", "2010-06-30")
close = bars["close"]
returns = close.pct_change()


def mean(values, days):
    return pd.Series(values).rolling(days).mean()


class Follow(Strategy):
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


# %% another_series_of_the_day
other = data.prices("MSFT", "2009-01-02", "2010-06-30")["close"].reindex(close.index).ffill()
signal = other.pct_change(10).fillna(0)
backtest(Follow, bars)

# %% another_series_looked_up_by_date
other = data.prices("MSFT", "2008-12-01", "2010-06-30")["close"]


class Pair(Follow):
    def value(self):
        seen = other[: self.data.index[-1]]
        return seen.iloc[-1] / seen.iloc[-10] - 1


backtest(Pair, bars)

# %% another_series_by_asof
other = data.prices("MSFT", "2008-12-01", "2010-06-30")["close"]


class Pair(Follow):
    def value(self):
        day = self.data.index[-1]
        return other.asof(day) - other.asof(day - pd.Timedelta(days=14))


backtest(Pair, bars)


# %% read_again_up_to_today
class Again(Follow):
    def value(self):
        seen = data.prices("IBM", "2008-12-01", self.data.index[-1])["close"]
        return seen.iloc[-1] - seen.iloc[-5]


backtest(Again, bars.iloc[:90])

# %% cross_sectional_rank_by_day
panel = data.panel(["AAPL", "BAC", "GE", "JPM", "XOM", "MSFT"], "2008-06-02", "2010-06-30").ffill()
rank = panel.pct_change(60).rank(axis=1, pct=True)
signal = (rank["MSFT"].reindex(close.index).fillna(0.5) - 0.5).to_numpy()
backtest(Follow, bars)

# %% best_of_the_past_year
panel = data.panel(["AAPL", "BAC", "GE", "JPM", "XOM"], "2008-01-02", "2010-06-30").ffill()
past = panel.pct_change(120)
leader = past.dropna().idxmax(axis=1)
momentum = pd.Series({day: past.at[day, name] for day, name in leader.items()}).reindex(close.index).fillna(0)
signal = momentum.diff().fillna(0)
backtest(Follow, bars)

# %% published_figures_only
gdp = data.series("us_quarterly")["realgdp"].pct_change()
known = gdp.copy()
known.index = known.index + pd.Timedelta(days=60)
signal = known.reindex(close.index, method="ffill").fillna(0) + 0.005
backtest(Follow, bars)

# %% the_newest_figures_that_were_published
known = data.latest_at(close.index, data.series("us_quarterly"))["realgdp"]
signal = known.pct_change().fillna(0) + 0.001
backtest(Follow, bars)

# %% causal_filter
from scipy.signal import lfilter

smooth = lfilter([0.1], [1, -0.9], close.to_numpy())
signal = np.append(0, np.diff(smooth))
backtest(Follow, bars)

# %% causal_convolution
signal = close.to_numpy() - np.convolve(close.to_numpy(), np.ones(10) / 10)[: len(close)]
signal[:10] = 0
backtest(Follow, bars)

# %% cumulative_maximum
signal = 0.95 - close / close.cummax()
backtest(Follow, bars)

# %% rank_among_the_past
signal = 0.5 - close.rolling(50).rank(pct=True).fillna(0.5)
backtest(Follow, bars)

# %% rolling_quantiles
low, high = returns.rolling(60).quantile(0.2), returns.rolling(60).quantile(0.8)
signal = np.where(returns < low, 1, np.where(returns > high, -1, 0))
backtest(Follow, bars)


# %% rolling_regression
def slope(values):
    return np.polyfit(np.arange(len(values)), values, 1)[0]


signal = close.rolling(20).apply(slope, raw=True).fillna(0)
backtest(Follow, bars)


# %% yesterdays_range
class Range(Follow):
    def value(self):
        return self.data.Close[-1] - (self.data.High[-2] + self.data.Low[-2]) / 2 if len(self.data) > 1 else 0


backtest(Range, bars)


# %% gap
class Gap(Follow):
    def value(self):
        return self.data.Open[-1] / self.data.Close[-2] - 1.002 if len(self.data) > 2 else 0


backtest(Gap, bars)


# %% volume
class Volume(Follow):
    def init(self):
        self.usual = self.I(mean, self.data.Volume, 20)

    def value(self):
        return self.data.Volume[-1] - self.usual[-1]


backtest(Volume, bars)


# %% the_frame_seen_so_far
class Frame(Follow):
    def value(self):
        seen = self.data.df["Close"]
        return seen.iloc[-1] - seen.tail(30).mean()


backtest(Frame, bars)


# %% series_seen_so_far
class Series(Follow):
    def value(self):
        seen = self.data.Close.s
        return -(seen.iloc[-1] - seen.mean()) / (seen.std() or 1) if len(seen) > 5 else 0


backtest(Series, bars)


# %% state_kept_in_the_strategy
class State(Follow):
    def init(self):
        self.count, self.closes = 0, []

    def value(self):
        self.closes.append(self.data.Close[-1])
        self.count = self.count + 1 if self.closes[-1] > np.mean(self.closes[-8:]) else 0
        return 1 if self.count >= 3 else -1


backtest(State, bars)


# %% state_kept_in_the_class
class State(Follow):
    seen = []

    def value(self):
        self.seen.append(self.data.Close[-1])
        return self.seen[-1] - np.mean(self.seen[-12:])


backtest(State, bars)


# %% parameters
class Param(Follow):
    days = 10

    def init(self):
        self.mean = self.I(mean, self.data.Close, self.days)

    def value(self):
        return self.data.Close[-1] - self.mean[-1]


backtest(Param, bars, days=25)


# %% fractions_of_the_account
class Part(Strategy):
    def init(self):
        self.mean = self.I(mean, self.data.Close, 10)

    def next(self):
        if self.data.Close[-1] > self.mean[-1]:
            self.buy(size=0.1)
        elif self.position:
            self.position.close(0.5)


backtest(Part, bars)


# %% units_by_equity
class Units(Strategy):
    def init(self):
        self.mean = self.I(mean, self.data.Close, 10)

    def next(self):
        wanted = int(self.equity * 0.5 / self.data.Close[-1])
        if self.data.Close[-1] > self.mean[-1] and not self.position and wanted:
            self.buy(size=wanted)
        elif self.data.Close[-1] < self.mean[-1]:
            self.position.close()


backtest(Units, bars)


# %% hedging_with_leverage
class Hedge(Strategy):
    def init(self):
        self.mean = self.I(mean, self.data.Close, 12)

    def next(self):
        if len(self.trades) < 4:
            self.buy(size=5) if self.data.Close[-1] > self.mean[-1] else self.sell(size=5)
        else:
            self.trades[0].close()


backtest(Hedge, bars, hedging=True, margin=0.2, commission=0.0)


# %% exclusive_orders
class Flip(Strategy):
    def init(self):
        self.mean = self.I(mean, self.data.Close, 12)

    def next(self):
        self.buy() if self.data.Close[-1] > self.mean[-1] else self.sell()


backtest(Flip, bars, exclusive_orders=True, commission=0.0)

# %% fills_at_the_close
signal = close - close.rolling(15).mean().fillna(close)
backtest(Follow, bars, trade_on_close=True)

# %% rules_of_backtesting_py
signal = close - close.rolling(15).mean().fillna(close)
backtest(Follow, bars, rules="backtesting.py", spread=0.001)


# %% ruin
class Ruin(Strategy):
    def init(self):
        pass

    def next(self):
        if not self.position:
            self.sell()


backtest(Ruin, bars, margin=0.1)

# %% hours
hours = data.prices("EURUSD", "2019-01-02", "2019-02-15", interval="1h")


class Hours(Strategy):
    def init(self):
        pass

    def next(self):
        hour = self.data.index[-1].hour
        if hour == 8 and not self.position:
            self.buy(size=1000)
        elif hour == 16:
            self.position.close()


backtest(Hours, hours, cash=10_000)

# %% two_backtests
signal = close - close.rolling(15).mean().fillna(close)
backtest(Follow, bars)
backtest(Follow, data.prices("IBM", "2009-01-02", "2010-03-31"))

# %% file_written_and_read
bars.to_csv("bars.csv")
again = pd.read_csv("bars.csv", index_col="date", parse_dates=True)
signal = again["close"].pct_change(20).fillna(0).to_numpy()
backtest(Follow, again)


# %% functions_and_main
def prepare(frame):
    return frame["close"].ewm(span=15).mean()


def main():
    global signal
    frame = data.prices("IBM", "2009-01-02", "2010-06-30")
    signal = frame["close"] - prepare(frame)
    backtest(Follow, frame)


if __name__ == "__main__":
    main()

# %% made_in_the_code
random = np.random.default_rng(4)
path = 50 * np.exp(np.cumsum(random.normal(0, 0.01, 300)))
frame = pd.DataFrame(
    {"open": path, "high": path * 1.01, "low": path * 0.99, "close": path},
    index=pd.bdate_range("2015-01-01", periods=300),
)
signal = pd.Series(path).pct_change(7).fillna(0).to_numpy()
backtest(Follow, frame)


# %% missing_values_while_warming_up
class Warm(Follow):
    def init(self):
        self.long = self.I(mean, self.data.Close, 200)

    def value(self):
        return self.data.Close[-1] - self.long[-1]


backtest(Warm, bars)


# %% needs_many_bars
class Many(Follow):
    def init(self):
        closes = np.asarray(self.data.Close)
        if len(closes) < 150:
            raise ValueError("150 bars are needed")
        self.mean = self.I(mean, self.data.Close, 30)

    def value(self):
        return self.data.Close[-1] - self.mean[-1]


backtest(Many, bars)


# %% closes_on_the_last_bar
class Last(Follow):
    def next(self):
        if len(self.data) >= len(bars) - 1:
            self.position.close()
        elif self.data.Close[-1] > self.data.Open[-1] and not self.position:
            self.buy()


backtest(Last, bars)

# %% trained_on_the_first_half
from sklearn.linear_model import LinearRegression

features = np.column_stack([returns.shift(lag).fillna(0) for lag in (0, 1, 2)])
half = len(close) // 2
model = LinearRegression().fit(features[: half - 1], returns.shift(-1).fillna(0)[: half - 1])
signal = np.append(np.zeros(half), model.predict(features[half:]))
backtest(Follow, bars)

# %% hours_of_the_day_that_has_closed
euro = data.prices("EURUSD", "2018-03-01", "2018-06-29", interval="1h")["close"]
index = data.prices("SPX", "2018-03-01", "2018-06-29")
daily = euro.groupby(euro.index.tz_localize(None).normalize()).agg(lambda day: day.iloc[-1] / day.iloc[0] - 1)
signal = daily.reindex(index.index).fillna(0)
backtest(Follow, index)

# %% gap_to_the_day_before_by_the_hour
euro = data.prices("EURUSD", "2018-03-01", "2018-04-30", interval="1h")
index = data.prices("SPX", "2018-03-01", "2018-04-30")
gap = index["open"] - index["close"].shift()
signal = gap.reindex(euro.index.tz_localize(None).normalize()).fillna(0).to_numpy()
backtest(Follow, euro, cash=1e6)

# %% average_of_the_month_that_has_passed
change = data.latest_at(close.index, data.series("BAA").diff())["close"]
signal = -change.fillna(0)
backtest(Follow, bars)

# %% months_of_yields
monthly = data.prices("BAA", "1990-01-01", interval="1mo").dropna()
signal = monthly["close"].rolling(3).mean() - monthly["close"]
backtest(Follow, monthly.assign(open=monthly["close"], high=monthly["close"], low=monthly["close"]))


# %% parameters_chosen_on_earlier_bars
class Above(Strategy):
    days = 10

    def init(self):
        self.mean = self.I(mean, self.data.Close, self.days)

    def next(self):
        if self.data.Close[-1] > self.mean[-1] and not self.position:
            self.buy(size=0.9)
        elif self.data.Close[-1] < self.mean[-1] and self.position:
            self.position.close()


early = close[:"2009-09-30"]
gained = {days: (early.pct_change().shift(-1) * (early > mean(early, days))).sum() for days in range(2, 40)}
backtest(Above, bars[:"2009-09-30"])
backtest(Above, bars["2009-10-01":], days=max(gained, key=gained.get))

# %% an_average_in_a_column_of_the_bars
bars["average"] = close.rolling(20).mean().fillna(0)


class Above(Follow):
    def value(self):
        return self.data.Close[-1] - self.data.Average[-1] if self.data.Average[-1] else 0


backtest(Above, bars)


# %% so_much_money_each_month
class Saving(Strategy):
    def init(self):
        self.month = 0

    def next(self):
        if self.data.index[-1].month != self.month:
            self.month = self.data.index[-1].month
            self.buy(size=int(5_000 // self.data.Close[-1]))


backtest(Saving, bars, cash=200_000)

# %% columns_of_another_scale_beside_the_bars
bars["rsi"] = 100 * returns.clip(lower=0).rolling(14).mean() / returns.abs().rolling(14).mean()


class Oversold(Follow):
    def value(self):
        return 1 if self.data.Rsi[-1] < 40 else -1 if self.data.Rsi[-1] > 60 else 0


backtest(Oversold, bars)
