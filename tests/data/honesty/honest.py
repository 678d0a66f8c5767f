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


# %% two_means
class Cross(Strategy):
    def init(self):
        self.fast, self.slow = self.I(mean, self.data.Close, 10), self.I(mean, self.data.Close, 30)

    def next(self):
        if crossover(self.fast, self.slow):
            self.buy()
        elif crossover(self.slow, self.fast):
            self.position.close()


backtest(Cross, bars)


# %% two_means_both_ways
class Cross(Strategy):
    def init(self):
        self.fast, self.slow = self.I(mean, self.data.Close, 5), self.I(mean, self.data.Close, 20)

    def next(self):
        if crossover(self.fast, self.slow):
            self.position.close()
            self.buy()
        elif crossover(self.slow, self.fast):
            self.position.close()
            self.sell()


backtest(Cross, bars)

# %% rolling_z_score
signal = -(close - close.rolling(60).mean()) / close.rolling(60).std()
signal = signal.fillna(0)
backtest(Follow, bars)

# %% expanding_z_score
signal = (-(close - close.expanding(20).mean()) / close.expanding(20).std()).fillna(0)
backtest(Follow, bars)

# %% ewma
signal = close.ewm(span=10).mean() - close.ewm(span=40).mean()
backtest(Follow, bars)


# %% ewma_in_an_indicator
class Trend(Follow):
    def init(self):
        self.ewma = self.I(lambda values: pd.Series(values).ewm(span=20).mean(), self.data.Close)

    def value(self):
        return self.data.Close[-1] - self.ewma[-1]


backtest(Trend, bars)


# %% rsi
class Rsi(Follow):
    def init(self):
        def rsi(values, days=2):
            change = pd.Series(values).diff()
            up, down = change.clip(lower=0).ewm(alpha=1 / days).mean(), -change.clip(upper=0).ewm(alpha=1 / days).mean()
            return 100 - 100 / (1 + up / down)

        self.rsi = self.I(rsi, self.data.Close)

    def value(self):
        return 1 if self.rsi[-1] < 10 else -1 if self.rsi[-1] > 90 else 0


backtest(Rsi, bars)


# %% bollinger_with_limit_orders
class Bands(Strategy):
    def init(self):
        self.middle = self.I(mean, self.data.Close, 20)
        self.width = self.I(lambda values: pd.Series(values).rolling(20).std(), self.data.Close)

    def next(self):
        if not self.position:
            for order in self.orders:
                order.cancel()
            self.buy(limit=self.middle[-1] - 2 * self.width[-1])
        elif self.data.Close[-1] > self.middle[-1]:
            self.position.close()


backtest(Bands, bars)


# %% breakout_with_stop_orders
class Breakout(Strategy):
    def init(self):
        self.high = self.I(lambda values: pd.Series(values).rolling(20).max(), self.data.High)

    def next(self):
        if not self.position and not self.orders:
            self.buy(stop=self.high[-1] * 1.001, size=0.9)
        elif self.position and self.data.Close[-1] < self.data.Close[-5]:
            self.position.close()


backtest(Breakout, bars)


# %% stop_loss_and_target
class Bracket(Strategy):
    def init(self):
        self.mean = self.I(mean, self.data.Close, 15)

    def next(self):
        price = self.data.Close[-1]
        if not self.position and price > self.mean[-1]:
            self.buy(sl=price * 0.97, tp=price * 1.04)


backtest(Bracket, bars)


# %% trailing_stop
class Trailing(Strategy):
    def init(self):
        self.mean = self.I(mean, self.data.Close, 10)

    def next(self):
        if not self.position and self.data.Close[-1] > self.mean[-1]:
            self.buy()
        for trade in self.trades:
            level = self.data.Close[-1] * 0.95
            trade.sl = max(trade.sl or level, level)


backtest(Trailing, bars)


# %% orders_that_cannot_be_paid
class Poor(Follow):
    def next(self):
        if len(self.data) % 10 == 0:
            self.buy(size=1000)
        elif len(self.data) % 10 == 5:
            self.buy(size=3)


backtest(Poor, bars, cash=1_000)


# %% limit_never_reached
class Never(Strategy):
    def init(self):
        pass

    def next(self):
        if len(self.data) % 20 == 0:
            self.buy(limit=self.data.Close[-1] * 0.5)


backtest(Never, bars)


# %% turn_of_the_month
class Turn(Strategy):
    def init(self):
        pass

    def next(self):
        day = self.data.index[-1]
        if day.day >= 26 and not self.position:
            self.buy()
        elif 3 <= day.day < 26 and self.position:
            self.position.close()


backtest(Turn, bars)


# %% day_of_the_week
class Friday(Strategy):
    def init(self):
        pass

    def next(self):
        day = self.data.index[-1].dayofweek
        if day == 3:
            self.buy()
        elif day == 0 and self.position:
            self.position.close()


backtest(Friday, bars)


# %% month_of_the_year
class Winter(Strategy):
    def init(self):
        pass

    def next(self):
        if self.data.index[-1].month in (11, 12, 1, 2, 3, 4):
            if not self.position:
                self.buy()
        else:
            self.position.close()


backtest(Winter, bars)

# %% calendar_outside_the_class
signal = np.where(bars.index.dayofweek < 2, 1, -1)
backtest(Follow, bars)

# %% weekday_column
frame = bars.assign(weekday=bars.index.dayofweek.astype(float))


class Column(Follow):
    def value(self):
        return 1 if self.data.Weekday[-1] == 0 else -1


backtest(Column, frame)


# %% seeded_in_the_class
class Dice(Follow):
    def init(self):
        self.random = np.random.default_rng(7)

    def value(self):
        return self.random.normal()


backtest(Dice, bars)

# %% seeded_at_the_top
np.random.seed(3)


class Dice(Follow):
    def value(self):
        return np.random.normal()


backtest(Dice, bars)

# %% seeded_array
signal = np.random.default_rng(1).normal(size=len(bars))
backtest(Follow, bars)


# %% buy_and_hold
class Hold(Strategy):
    def init(self):
        pass

    def next(self):
        if not self.position:
            self.buy()


backtest(Hold, bars)


# %% no_orders_at_all
class Nothing(Strategy):
    def init(self):
        pass

    def next(self):
        pass


backtest(Nothing, bars)


# %% one_order_on_a_given_bar
class Once(Strategy):
    bar = 40

    def init(self):
        pass

    def next(self):
        if len(self.data) == self.bar:
            self.buy()


backtest(Once, bars, bar=60)

# %% monthly_closes_carried_forward
monthly = close.resample("ME").last()
signal = (close - monthly.shift(1).reindex(close.index, method="ffill")).fillna(0)
backtest(Follow, bars)

# %% weekly_resample_apply
from qfp.backtesting.lib import resample_apply


class Weekly(Follow):
    def init(self):
        self.week = resample_apply("W-FRI", mean, self.data.Close, 4)

    def value(self):
        return self.data.Close[-1] - self.week[-1]


backtest(Weekly, bars)

# %% walk_forward_regression
from sklearn.linear_model import LinearRegression


class Learn(Follow):
    def init(self):
        change = pd.Series(self.data.Close).pct_change()
        self.features = self.I(lambda: np.array([change.shift(lag).fillna(0) for lag in range(3)]), name=list("abc"))
        self.model = LinearRegression()

    def value(self):
        rows, now = np.asarray(self.features).T, len(self.data)
        if now < 60:
            return 0
        after = np.diff(np.asarray(self.data.Close)[-60:])
        self.model.fit(rows[now - 60 : now - 1], after)
        return float(self.model.predict(rows[now - 1 :])[0])


backtest(Learn, bars)

# %% walk_forward_forest_outside
from sklearn.ensemble import RandomForestRegressor

features = np.column_stack([returns.shift(lag).fillna(0) for lag in (0, 1, 2)])
target = returns.shift(-1).fillna(0).to_numpy()
signal = np.zeros(len(close))
for start in range(100, len(close), 50):
    forest = RandomForestRegressor(5, random_state=0).fit(features[: start - 1], target[: start - 1])
    signal[start : start + 50] = forest.predict(features[start : start + 50])
backtest(Follow, bars)


# %% labels_for_training_only
class Learn(Follow):
    def init(self):
        # The label of a row is only known one bar later, and only such rows are used.
        self.label = self.I(lambda values: pd.Series(values).shift(-1).ffill(), self.data.Close, name="label")

    def value(self):
        seen = np.asarray(self.label)[:-1]
        return float(seen[-20:].mean() - self.data.Close[-1]) if len(seen) > 20 else 0


backtest(Learn, bars)


# %% volatility_model_refitted
class Refit(Follow):
    """A model of volatility that is fitted anew every twenty bars, by what was seen."""

    def init(self):
        self.decay, self.variance = 0.94, 1e-4

    def value(self):
        closes = np.asarray(self.data.Close)
        if len(closes) < 40:
            return 0
        change = np.diff(np.log(closes))
        if len(closes) % 20 == 0:
            fits = {decay: self.likelihood(change, decay) for decay in (0.9, 0.94, 0.97)}
            self.decay = max(fits, key=fits.get)
        self.variance = self.decay * self.variance + (1 - self.decay) * change[-1] ** 2
        return 0.012 - self.variance**0.5

    def likelihood(self, change, decay):
        variance = pd.Series(change**2).ewm(alpha=1 - decay).mean().shift(1).bfill().to_numpy()
        return float(-(np.log(variance + 1e-12) + change**2 / (variance + 1e-12)).sum())


backtest(Refit, bars)
