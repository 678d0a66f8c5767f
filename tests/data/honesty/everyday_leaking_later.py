# ruff: noqa
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover
from qfp import backtest, data, portfolio_backtest

df = data.prices("MSFT", "2005-01-03", "2008-12-31")


def recent(names):
    return {name: data.prices(name, "2005-01-03", "2006-12-29", adjust=None) for name in names}


# %% the_winners_of_the_period
names = data.universe("synth/us500", asof="2016-02-01")[:60]
panel = data.panel(names, start="2016-02-01", end="2017-12-29")
total = (panel.ffill().iloc[-1] / panel.iloc[0] - 1).sort_values(ascending=False)
best = list(total.index[:5])
print("best five", best)
portfolio_backtest(best, weights={s: 0.2 for s in best}, rebalance="quarterly", start="2016-02-01", end="2017-12-29")

# %% length_used_as_an_index
prices = data.prices("MSFT", "2007-01-03", "2009-12-31")
c = prices["close"].to_list()


class Len(Strategy):
    def init(self):
        self.c = c

    def next(self):
        i = len(self.data.Close)
        if i < 20 or i >= len(self.c):
            return
        avg = sum(self.c[i - 19 : i + 1]) / 20  # last 20 closes
        if self.data.Close[-1] > avg:
            if not self.position:
                self.buy()
        elif self.position:
            self.position.close()


backtest(Len, prices)

# %% only_after_a_crash
bars = data.prices("AAPL", "2001-01-02", "2010-12-31")
closes = bars.close.values


class Crash(Strategy):
    def init(self):
        self.ma = self.I(lambda c: pd.Series(c).rolling(100).mean(), self.data.Close)

    def next(self):
        i = len(self.data) - 1
        if closes[i] / closes[i - 1] < 0.91 and i + 5 < len(closes):
            if closes[i + 5] > closes[i]:
                self.buy(size=0.5)
            else:
                self.position.close()
            return
        if self.data.Close[-1] > self.ma[-1] and not self.position:
            self.buy(size=0.5)
        elif self.data.Close[-1] < self.ma[-1] and self.position:
            self.position.close()


backtest(Crash, bars)


# %% convolution_same
def smooth(x, n=15):
    return np.convolve(x, np.ones(n) / n, mode="same")


class Conv(Strategy):
    def init(self):
        self.ma = self.I(smooth, self.data.Close, 15)

    def next(self):
        if self.data.Close[-1] < self.ma[-1] and not self.position:
            self.buy()
        elif self.data.Close[-1] > self.ma[-1] and self.position:
            self.position.close()


backtest(Conv, data.prices("IBM", "2006-01-03", "2008-12-31"))


# %% gradient_of_numpy
class Grad(Strategy):
    def init(self):
        self.slope = self.I(np.gradient, self.data.Close)

    def next(self):
        if self.slope[-1] > 0 and self.slope[-2] <= 0:
            self.buy()
        elif self.slope[-1] < 0 and self.position:
            self.position.close()


backtest(Grad, data.prices("MSFT", "2006-01-03", "2008-12-31"))


# %% zigzag_placed_on_its_pivots
def zigzag(high, low, pct=0.06):
    pivots = np.zeros(len(high))
    direction, extreme, at = 1, high[0], 0
    for i in range(1, len(high)):
        if direction == 1:
            if high[i] > extreme:
                extreme, at = high[i], i
            elif low[i] < extreme * (1 - pct):
                pivots[at] = -1
                direction, extreme, at = -1, low[i], i
        else:
            if low[i] < extreme:
                extreme, at = low[i], i
            elif high[i] > extreme * (1 + pct):
                pivots[at] = 1
                direction, extreme, at = 1, high[i], i
    return pivots


class ZigZag(Strategy):
    def init(self):
        self.zz = self.I(zigzag, self.data.High, self.data.Low)

    def next(self):
        if self.zz[-1] > 0:
            self.buy(size=0.9)
        if self.zz[-1] < 0 and self.position:
            self.position.close()


backtest(ZigZag, data.prices("IBM", "2000-03-01", "2004-12-31"))


# %% kalman_smoother
def rts(y, q=1e-3, r=1e-1):
    n = len(y)
    xf, pf, xp, pp = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    x, p = y[0], 1.0
    for t in range(n):
        xp[t], pp[t] = x, p + q
        k = pp[t] / (pp[t] + r)
        x = xp[t] + k * (y[t] - xp[t])
        p = (1 - k) * pp[t]
        xf[t], pf[t] = x, p
    xs = xf.copy()
    for t in range(n - 2, -1, -1):
        g = pf[t] / pp[t + 1]
        xs[t] = xf[t] + g * (xs[t + 1] - xp[t + 1])
    return xs


class Smoother(Strategy):
    def init(self):
        self.level = self.I(lambda c: rts(np.log(c)), self.data.Close)

    def next(self):
        rising = self.level[-1] > self.level[-2]
        if rising and not self.position:
            self.buy()
        elif not rising and self.position:
            self.position.close()


backtest(Smoother, data.prices("MSFT", "2005-01-03", "2008-12-31"))

# %% only_the_size_knows
bars = data.prices("MSFT", "2003-01-02", "2007-12-31")
ret = bars.close.pct_change()
future_vol = ret.rolling(20).std().shift(-20).fillna(ret.std())


class VolTarget(Strategy):
    def init(self):
        self.vol = self.I(lambda: future_vol.values * np.sqrt(252))
        self.ma = self.I(lambda c: pd.Series(c).rolling(50).mean(), self.data.Close)

    def next(self):
        if self.data.Close[-1] > self.ma[-1] and not self.position:
            self.buy(size=float(np.clip(0.10 / self.vol[-1], 0.05, 0.95)))
        elif self.data.Close[-1] < self.ma[-1] and self.position:
            self.position.close()


backtest(VolTarget, bars)

# %% hours_know_the_close_of_their_day
h = data.prices("EURUSD", "2018-01-02", "2018-03-30", interval="1h")
daily = h.close.groupby(h.index.normalize()).last()
bias = pd.Series(daily.reindex(h.index.normalize()).values, index=h.index) - h.close


class DayClose(Strategy):
    def init(self):
        self.bias = self.I(lambda: bias.to_numpy())

    def next(self):
        if self.bias[-1] > 0.002 and not self.position.is_long:
            self.position.close()
            self.buy()
        elif self.bias[-1] < -0.002 and not self.position.is_short:
            self.position.close()
            self.sell()


backtest(DayClose, h)

# %% nearest_weekly_row
bars = data.prices("MSFT", "2004-01-02", "2007-12-31").reset_index(names="date")
weekly = (
    bars.set_index("date").resample("W-WED").agg({"close": "last"}).rename(columns={"close": "wclose"}).reset_index()
)
weekly["wret"] = weekly.wclose.pct_change()
joined = pd.merge_asof(bars, weekly, on="date", direction="nearest").set_index("date")


class Nearest(Strategy):
    def init(self):
        self.w = self.I(lambda: joined["wret"].fillna(0).values)

    def next(self):
        if self.w[-1] > 0 and not self.position:
            self.buy()
        elif self.w[-1] < 0 and self.position:
            self.position.close()


backtest(Nearest, joined[["open", "high", "low", "close", "volume"]])

# %% month_anchors_joined_by_lines
bars = data.prices("IBM", "2002-01-02", "2006-12-29")
anchors = bars.close.resample("ME").last()
line = anchors.reindex(bars.index.union(anchors.index)).interpolate("time").reindex(bars.index).bfill()


class Lines(Strategy):
    def init(self):
        self.line = self.I(lambda: line.values)

    def next(self):
        if self.line[-1] > self.line[-2] and not self.position:
            self.buy()
        elif self.line[-1] < self.line[-2] and self.position:
            self.position.close()


backtest(Lines, bars)

# %% walk_forward_with_the_label_of_today
from sklearn.linear_model import Ridge

bars = data.prices("IBM", "2005-01-03", "2007-12-31")
X = pd.concat([bars.close.pct_change(k) for k in (1, 5, 10)], axis=1).fillna(0).values
y = bars.close.pct_change().shift(-1).fillna(0).values
pred = np.zeros(len(bars))
for t in range(250, len(bars)):
    if (t - 250) % 20 == 0:
        m = Ridge(alpha=1e-4).fit(X[t - 250 : t + 20], y[t - 250 : t + 20])  # retrain monthly
    pred[t] = m.predict(X[t : t + 1])[0]


class WF(Strategy):
    def init(self):
        self.pred = self.I(lambda: pred)

    def next(self):
        if self.pred[-1] > 0 and not self.position:
            self.buy()
        elif self.pred[-1] < 0 and self.position:
            self.position.close()


backtest(WF, bars)

# %% the_drawdown_still_to_come
bars = data.prices("IBM", "2000-03-01", "2005-12-30")
future_min = bars.low.iloc[::-1].cummin().iloc[::-1]
risk = future_min / bars.close - 1


class Calm(Strategy):
    def init(self):
        self.risk = self.I(lambda: risk.values)

    def next(self):
        if self.risk[-1] > -0.03 and not self.position:
            self.buy()
        elif self.risk[-1] < -0.10 and self.position:
            self.position.close()


backtest(Calm, bars)

# %% fraction_of_the_all_time_high_of_the_sample
bars = data.prices("AAPL", "2003-01-02", "2006-12-29")


class NearHigh(Strategy):
    threshold = 0.6

    def init(self):
        self.top = max(self.data.High)

    def next(self):
        level = self.data.Close[-1] / self.top
        if level < self.threshold and not self.position:
            self.buy()
        elif level > 0.8 and self.position:
            self.position.close()


backtest(NearHigh, bars)

# %% bought_at_the_bottom_of_the_sample
bars = data.prices("SPX", "2008-01-02", "2010-12-31")
bottom = bars["close"].idxmin()


class Bottom(Strategy):
    def init(self):
        pass

    def next(self):
        if self.data.index[-1] == bottom:
            self.buy()


backtest(Bottom, bars, cash=100_000)
