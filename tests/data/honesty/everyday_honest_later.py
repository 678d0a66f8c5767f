# ruff: noqa
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import SignalStrategy, crossover, resample_apply
from qfp import backtest, data, portfolio_backtest

df = data.prices("MSFT", "2005-01-03", "2008-12-31")


def recent(names):
    return {name: data.prices(name, "2005-01-03", "2006-12-29", adjust=None) for name in names}


# %% yesterday_s_range_on_hours
h = data.prices("EURUSD", "2018-01-02", "2018-03-30", interval="1h")
day = h.index.normalize()
hi = h.high.groupby(day).max().shift(1)
lo = h.low.groupby(day).min().shift(1)
h["yh"] = hi.reindex(day).values
h["yl"] = lo.reindex(day).values


class Range(Strategy):
    def init(self):
        self.yh = self.I(lambda: h["yh"].values)
        self.yl = self.I(lambda: h["yl"].values)

    def next(self):
        if self.data.Close[-1] > self.yh[-1] and not self.position.is_long:
            self.position.close()
            self.buy()
        elif self.data.Close[-1] < self.yl[-1] and not self.position.is_short:
            self.position.close()
            self.sell()


backtest(Range, h[["open", "high", "low", "close", "volume"]])


# %% zigzag_marked_when_confirmed
def zigzag(high, low, pct=0.06):
    marks = np.zeros(len(high))
    d, ext = 1, high[0]
    for i in range(1, len(high)):
        if d == 1:
            if high[i] > ext:
                ext = high[i]
            elif low[i] < ext * (1 - pct):
                marks[i] = -1
                d, ext = -1, low[i]
        else:
            if low[i] < ext:
                ext = low[i]
            elif high[i] > ext * (1 + pct):
                marks[i] = 1
                d, ext = 1, high[i]
    return marks


class Zz(Strategy):
    def init(self):
        self.z = self.I(zigzag, self.data.High, self.data.Low)

    def next(self):
        if self.z[-1] > 0 and not self.position:
            self.buy()
        if self.z[-1] < 0 and self.position:
            self.position.close()


backtest(Zz, data.prices("IBM", "2000-03-01", "2006-12-29"))

# %% fractals_shifted_by_two
bars = data.prices("AAPL", "2004-01-02", "2007-12-31")
l = bars.low
frac = (l < l.shift(1)) & (l < l.shift(2)) & (l < l.shift(-1)) & (l < l.shift(-2))
known = frac.shift(2).fillna(False).astype(float)


class Frac(Strategy):
    def init(self):
        self.f = self.I(lambda: known.values)
        self.since = 0

    def next(self):
        if self.f[-1] and not self.position:
            self.buy()
            self.since = len(self.data)
        elif self.position and len(self.data) - self.since > 8:
            self.position.close()


backtest(Frac, bars)

# %% troughs_confirmed_five_days_later
from scipy.signal import argrelextrema

bars = data.prices("MSFT", "2002-01-02", "2006-12-29")
n = 5
low = bars["low"].rolling(2 * n + 1).min().shift(0) == bars["low"].shift(n)
high = bars["high"].rolling(2 * n + 1).max() == bars["high"].shift(n)


class Confirmed(Strategy):
    def init(self):
        self.low = self.I(lambda: low.astype(float).values)
        self.high = self.I(lambda: high.astype(float).values)

    def next(self):
        if self.low[-1] and not self.position:
            self.buy()
        elif self.high[-1] and self.position:
            self.position.close()


backtest(Confirmed, bars)


# %% hidden_states_forward_only
def filtered(r, mu=(0.0006, -0.001), sd=(0.008, 0.022), stay=0.98):
    p = np.array([0.5, 0.5])
    A = np.array([[stay, 1 - stay], [1 - stay, stay]])
    out = []
    for x in r:
        lik = np.array([np.exp(-0.5 * ((x - m) / s) ** 2) / s for m, s in zip(mu, sd)])
        p = (p @ A) * lik + 1e-300
        p = p / p.sum()
        out.append(p[1])
    return np.array(out)


spx = data.prices("SPX", "2006-01-03", "2009-12-31")
p_bear = filtered(np.log(spx.close).diff().fillna(0).values)


class Regime(Strategy):
    def init(self):
        self.p = self.I(lambda: p_bear)

    def next(self):
        if self.p[-1] < 0.5 and not self.position:
            self.buy()
        elif self.p[-1] > 0.5 and self.position:
            self.position.close()


backtest(Regime, spx, cash=100_000)

# %% walk_forward_outside_of_the_class_with_an_embargo
from sklearn.linear_model import Ridge

bars = data.prices("IBM", "2004-01-02", "2008-12-31")
X = pd.concat([bars.close.pct_change(k) for k in (1, 5, 10)], axis=1).fillna(0).values
y = bars.close.pct_change(5).shift(-5).fillna(0).values
pred = np.zeros(len(bars))
for t in range(300, len(bars)):
    if (t - 300) % 20 == 0:
        m = Ridge(alpha=1e-3).fit(X[t - 255 : t - 5], y[t - 255 : t - 5])
    pred[t] = m.predict(X[t : t + 1])[0]


class WF(Strategy):
    def init(self):
        self.p = self.I(lambda: pred)

    def next(self):
        if self.p[-1] > 0 and not self.position:
            self.buy()
        elif self.p[-1] < 0 and self.position:
            self.position.close()


backtest(WF, bars)


# %% principal_component_of_the_past_year
def pca(past, n=3):
    c = past.closes(121)
    if len(c) < 121:
        return None
    r = c.pct_change().dropna()
    val, vec = np.linalg.eigh(np.cov(r.values.T))
    load = np.abs(vec[:, -1])
    w = (1 / load) / (1 / load).sum()
    return dict(zip(c.columns, w))


portfolio_backtest(["AAPL", "IBM", "MSFT"], weights=pca, rebalance="monthly", start="2004-01-02", end="2008-12-31")

# %% earnings_by_a_written_list
EARN = pd.to_datetime(
    [
        "2005-01-18",
        "2005-04-14",
        "2005-07-18",
        "2005-10-17",
        "2006-01-17",
        "2006-04-18",
        "2006-07-18",
        "2006-10-17",
        "2007-01-18",
        "2007-04-17",
        "2007-07-18",
        "2007-10-16",
    ]
)


class Earnings(Strategy):
    def init(self):
        pass

    def next(self):
        t = self.data.index[-1]
        if any(0 < (e - t).days <= 5 for e in EARN) and not self.position:
            self.buy()
        elif self.position and not any(-3 < (e - t).days <= 5 for e in EARN):
            self.position.close()


backtest(Earnings, data.prices("IBM", "2005-01-03", "2007-12-31"))

# %% the_newest_weekly_row_before
bars = data.prices("MSFT", "2004-01-02", "2007-12-31").reset_index(names="date")
weekly = bars.set_index("date").resample("W-FRI").agg({"close": "last"}).rename(columns={"close": "w"}).reset_index()
weekly["wret"] = weekly.w.pct_change()
joined = pd.merge_asof(bars, weekly, on="date", direction="backward", allow_exact_matches=False).set_index("date")


class Backward(Strategy):
    def init(self):
        self.w = self.I(lambda: joined["wret"].fillna(0).values)

    def next(self):
        if self.w[-1] > 0.005 and not self.position:
            self.buy()
        elif self.w[-1] < 0 and self.position:
            self.position.close()


backtest(Backward, joined[["open", "high", "low", "close", "volume"]])


# %% closing_the_last_day_by_the_calendar
class Flat(Strategy):
    def init(self):
        self.m = self.I(lambda c: pd.Series(c).rolling(10).mean(), self.data.Close)

    def next(self):
        if len(self.data) >= 740:  # the end of the sample is known to whoever sets it
            self.position.close()
        elif self.data.Close[-1] > self.m[-1] and not self.position:
            self.buy()
        elif self.data.Close[-1] < self.m[-1] and self.position:
            self.position.close()


backtest(Flat, data.prices("MSFT", "2004-01-02", "2006-12-29"))

# %% second_order_sections_with_initial_state
from scipy.signal import butter, sosfilt, sosfilt_zi

sos = butter(4, 0.08, output="sos")


def smooth(x):
    x = np.asarray(x)
    y, _ = sosfilt(sos, x, zi=sosfilt_zi(sos) * x[0])
    return y


class Sos(Strategy):
    def init(self):
        self.f = self.I(smooth, self.data.Close)

    def next(self):
        if self.data.Close[-1] > self.f[-1] and not self.position:
            self.buy()
        elif self.data.Close[-1] < self.f[-1] and self.position:
            self.position.close()


backtest(Sos, data.prices("IBM", "2004-01-02", "2007-12-31"))


# %% a_generator_of_states
def machine():
    state, price = "out", None
    peak = 0
    while True:
        price = yield state
        peak = max(peak * 0.999, price)
        state = "in" if price > 0.95 * peak else "out"


class Gen(Strategy):
    def init(self):
        self.m = machine()
        next(self.m)

    def next(self):
        want = self.m.send(self.data.Close[-1])
        if want == "in" and not self.position:
            self.buy()
        elif want == "out" and self.position:
            self.position.close()


backtest(Gen, data.prices("MSFT", "2000-03-01", "2005-12-30"))


# %% kelly_of_the_last_trades
class Kelly(Strategy):
    def init(self):
        self.fast = self.I(lambda c: pd.Series(c).ewm(span=8).mean(), self.data.Close)
        self.slow = self.I(lambda c: pd.Series(c).ewm(span=21).mean(), self.data.Close)

    def fraction(self):
        last = [t.pl_pct for t in self.closed_trades[-20:]]
        if len(last) < 5:
            return 0.2
        win = [x for x in last if x > 0]
        loss = [-x for x in last if x <= 0]
        if not win or not loss:
            return 0.2
        p, b = len(win) / len(last), np.mean(win) / max(np.mean(loss), 1e-6)
        return float(np.clip(p - (1 - p) / b, 0.05, 0.9))

    def next(self):
        if crossover(self.fast, self.slow):
            self.buy(size=self.fraction())
        elif crossover(self.slow, self.fast):
            self.position.close()


backtest(Kelly, data.prices("IBM", "2000-03-01", "2008-12-31"))

# %% weights_shifted_by_one
closes = data.panel(["IBM", "AAPL", "MSFT"], start="2005-01-03", end="2007-12-31")
ret = closes.pct_change()
w = (ret.rolling(5).sum() < 0).astype(float).shift(1).fillna(0) / 3
portfolio_backtest(["IBM", "AAPL", "MSFT"], weights=w, start="2005-01-03", end="2007-12-31", fractional=True)

# %% growing_regression
bars = data.prices("SPX", "2004-01-02", "2008-12-31")
lc = np.log(bars.close).values
t = np.arange(len(lc), dtype=float)
n = t + 1
sx, sy, sxx, sxy = t.cumsum(), lc.cumsum(), (t * t).cumsum(), (t * lc).cumsum()
with np.errstate(all="ignore"):
    slope = (n * sxy - sx * sy) / (n * sxx - sx**2)
    icpt = (sy - slope * sx) / n
resid = lc - (icpt + slope * t)


class Growing(Strategy):
    def init(self):
        self.r = self.I(lambda: np.where(t > 60, resid, np.nan))

    def next(self):
        if self.r[-1] < -0.03 and not self.position:
            self.buy()
        elif self.r[-1] > 0.02 and self.position:
            self.position.close()


backtest(Growing, bars, cash=100_000)


# %% two_backtests_of_one_file
class Up(Strategy):
    n = 20

    def init(self):
        self.m = self.I(lambda c: pd.Series(c).rolling(self.n).mean(), self.data.Close)

    def next(self):
        if self.data.Close[-1] > self.m[-1] and not self.position:
            self.buy()
        elif self.data.Close[-1] < self.m[-1] and self.position:
            self.position.close()


for s in ("IBM", "MSFT"):
    backtest(Up, data.prices(s, "2004-01-02", "2006-12-29"), name=s)
