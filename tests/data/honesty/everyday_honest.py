# ruff: noqa
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import SignalStrategy, crossover, resample_apply
from qfp import backtest, data, portfolio_backtest

df = data.prices("MSFT", "2005-01-03", "2008-12-31")


def recent(names):
    return {name: data.prices(name, "2005-01-03", "2006-12-29", adjust=None) for name in names}


# %% random_with_default_rng_seed
rng = np.random.default_rng(7)
coin = rng.random(len(df))


class S(Strategy):
    def init(self):
        self.c = self.I(lambda: coin[: len(self.data.Close)], name="coin")

    def next(self):
        if self.c[-1] > 0.97 and not self.position:
            self.buy()
        elif self.c[-1] < 0.03 and self.position:
            self.position.close()


backtest(S, df)


# %% random_in_next_seeded_in_init
class S(Strategy):
    def init(self):
        self.rng = np.random.default_rng(1)

    def next(self):
        if self.rng.random() < 0.02:
            if self.position:
                self.position.close()
            else:
                self.buy(sl=self.data.Close[-1] * 0.95)


backtest(S, df)


# %% state_counter_and_cooldown
class S(Strategy):
    wait = 10

    def init(self):
        self.cool = 0
        self.losses = 0

    def next(self):
        if self.cool > 0:
            self.cool -= 1
            return
        if self.closed_trades and self.closed_trades[-1].pl < 0:
            self.losses = sum(t.pl < 0 for t in self.closed_trades)
        if not self.position and self.data.Close[-1] > max(self.data.High[-20:-1], default=np.inf):
            self.buy(size=0.5)
        elif self.position and self.data.Close[-1] < min(self.data.Low[-10:-1], default=0):
            self.position.close()
            self.cool = self.wait


backtest(S, df)

# %% own_rolling_cache
from collections import deque


class S(Strategy):
    def init(self):
        self.window = deque(maxlen=50)
        self.cache = {}

    def next(self):
        self.window.append(float(self.data.Close[-1]))
        if len(self.window) < 50:
            return
        mean = sum(self.window) / 50
        self.cache[len(self.data)] = mean
        if self.data.Close[-1] > mean * 1.01 and not self.position:
            self.buy()
        elif self.data.Close[-1] < mean * 0.99 and self.position:
            self.position.close()


backtest(S, df)

# %% weekly_resampled_right_then_shifted
weekly = df["close"].resample("W-FRI").last()
fast, slow = weekly.rolling(4).mean(), weekly.rolling(12).mean()
up = (fast > slow).astype(float).shift(1).reindex(df.index, method="ffill").fillna(0)


class S(Strategy):
    def init(self):
        self.up = self.I(lambda: up.to_numpy())

    def next(self):
        if self.up[-1] > 0 and not self.position:
            self.buy()
        elif self.up[-1] == 0 and self.position:
            self.position.close()


backtest(S, df)

# %% expanding_normalisation_columns
df["z"] = (df["close"] - df["close"].expanding(60).mean()) / df["close"].expanding(60).std()
df["pos"] = np.where(df["z"] < 0, 1.0, 0.0)


class S(Strategy):
    def init(self):
        self.p = self.I(lambda: df["pos"].to_numpy())

    def next(self):
        if self.p[-1] and not self.position:
            self.buy()
        elif not self.p[-1] and self.position:
            self.position.close()


backtest(S, df)


# %% signal_strategy_class
class S(SignalStrategy):
    n = 20

    def init(self):
        super().init()
        ma = self.I(lambda c: pd.Series(c).rolling(self.n).mean(), self.data.Close)
        signal = (pd.Series(np.asarray(ma)).diff() > 0).astype(int).diff().fillna(0)
        self.set_signal(entry_size=signal.replace(-1, 0) * 0.9, exit_portion=(signal == -1) * 1.0)


backtest(S, df)


# %% trailing_strategy_atr
from qfp.backtesting.lib import TrailingStrategy  # that of backtesting.py fills the first 100 bars with a later value


class S(TrailingStrategy):
    def init(self):
        super().init()
        self.set_trailing_sl(3)

    def next(self):
        super().next()
        if not self.position and self.data.Close[-1] > self.data.Open[-1]:
            self.buy()


backtest(S, df)

# %% merge_asof_backward
events = df[["close"]].iloc[::10].rename(columns={"close": "mark"}).reset_index()
left = df.reset_index()
key = left.columns[0]
events.columns = [key, "mark"]
merged = pd.merge_asof(left, events, on=key, direction="backward").set_index(key)


class S(Strategy):
    def init(self):
        self.mark = self.I(lambda: merged["mark"].to_numpy())

    def next(self):
        if self.mark[-1] < self.data.Close[-1]:
            if not self.position:
                self.buy()
        else:
            self.position.close()


backtest(S, df)

# %% walk_forward_sgd_in_next
from sklearn.linear_model import Ridge


class S(Strategy):
    def init(self):
        self.model = None

    def next(self):
        n = len(self.data)
        c = np.asarray(self.data.Close)
        if n > 120 and n % 40 == 0:
            r = np.diff(np.log(c))
            X = np.column_stack([r[k : len(r) - 3 + k] for k in range(3)])
            self.model = Ridge().fit(X, r[3:])
        if self.model is not None:
            r = np.diff(np.log(c[-4:]))
            p = self.model.predict(r[None])[0]
            if p > 0.0005 and not self.position:
                self.buy()
            elif p < -0.0005 and self.position:
                self.position.close()


backtest(S, df)


# %% turn_of_month_by_business_days
class S(Strategy):
    def init(self):
        pass

    def next(self):
        d = self.data.index[-1]
        last = (d + pd.offsets.BMonthEnd(0)).normalize()
        if (last - d.normalize()).days <= 1 and not self.position:
            self.buy()
        elif d.day in (4, 5, 6) and self.position:
            self.position.close()


backtest(S, df)

# %% plain_pandas_positions_with_shift
sig = (df["close"] > df["close"].rolling(100).mean()).astype(int)
pos = sig.shift(1).fillna(0)
strat = (1 + df["close"].pct_change().fillna(0) * pos).cumprod()
print(strat.iloc[-1], strat.max(), df["close"].mean())


class S(Strategy):
    def init(self):
        self.p = self.I(lambda: sig.to_numpy().astype(float))

    def next(self):
        if self.p[-1] and not self.position:
            self.buy()
        elif not self.p[-1] and self.position:
            self.position.close()


backtest(S, df)

# %% train_first_then_trade_with_date_cut
train = df.loc[:"2006-06-30"]
mean, std = train["close"].pct_change().mean(), train["close"].pct_change().std()


class S(Strategy):
    def init(self):
        self.r = self.I(lambda c: pd.Series(c).pct_change(), self.data.Close)

    def next(self):
        if str(self.data.index[-1])[:10] <= "2006-06-30":
            return
        if self.r[-1] < mean - 1.5 * std and not self.position:
            self.buy()
        elif self.r[-1] > mean + std and self.position:
            self.position.close()


backtest(S, df)

# %% weights_momentum_monthly_past
names = ["AAPL", "IBM", "MSFT"]
px = pd.DataFrame({n: data.prices(n, "2005-01-03", "2006-12-29")["close"] for n in names})
month_ends = px.groupby([px.index.year, px.index.month]).tail(1).index
mom = px.pct_change(60).loc[month_ends].dropna()
w = mom.rank(axis=1, ascending=False).le(2).astype(float) * 0.45
portfolio_backtest(recent(names), weights=w)

# %% portfolio_inverse_volatility_event
names = ["AAPL", "IBM", "MSFT"]


def on_bar(ctx):
    if ctx.bar < 60 or ctx.bar % 20:
        return
    vol = ctx.closes(60).pct_change().std()
    w = 1 / vol
    ctx.target_weights((0.95 * w / w.sum()).to_dict())


portfolio_backtest(recent(names), on_bar)

# %% portfolio_pairs_spread
names = ["IBM", "MSFT"]


def on_bar(ctx):
    if len(ctx) < 60:
        return
    c = np.log(ctx.closes(60))
    spread = c["IBM"] - c["MSFT"]
    z = (spread.iloc[-1] - spread.mean()) / spread.std()
    if z > 2:
        ctx.target_weights({"IBM": -0.4, "MSFT": 0.4})
    elif z < -2:
        ctx.target_weights({"IBM": 0.4, "MSFT": -0.4})
    elif abs(z) < 0.5:
        ctx.target_weights({"IBM": 0, "MSFT": 0})


portfolio_backtest(recent(names), on_bar, short=True)

# %% time_of_day_intraday
hours = data.search("", kind="crypto")
name = hours[hours.interval != "1d"].symbol.iloc[0] if (hours.interval != "1d").any() else "BTC"
try:
    h = data.prices(name).iloc[:2000]
except Exception:
    h = df


class S(Strategy):
    def init(self):
        pass

    def next(self):
        t = self.data.index[-1]
        if t.hour == 9 and not self.position:
            self.buy(size=0.5)
        elif t.hour == 15 and self.position:
            self.position.close()


backtest(S, h, cash=1_000_000)


# %% multi_timeframe_resample_apply
class S(Strategy):
    def init(self):
        self.d = self.I(lambda c: pd.Series(c).rolling(10).mean(), self.data.Close)
        self.w = resample_apply("W-FRI", lambda s: s.rolling(8).mean(), self.data.Close.s)

    def next(self):
        if self.d[-1] > self.w[-1] and not self.position:
            self.buy()
        elif self.d[-1] < self.w[-1] and self.position:
            self.position.close()


backtest(S, df)


# %% backtesting_py_object_run_and_qfp
class SmaCross(Strategy):
    n1, n2 = 10, 30

    def init(self):
        self.a = self.I(lambda c, n: pd.Series(c).rolling(n).mean(), self.data.Close, self.n1)
        self.b = self.I(lambda c, n: pd.Series(c).rolling(n).mean(), self.data.Close, self.n2)

    def next(self):
        if crossover(self.a, self.b):
            self.position.close()
            self.buy()
        elif crossover(self.b, self.a):
            self.position.close()
            self.sell()


frame = df.rename(columns=str.capitalize)[["Open", "High", "Low", "Close", "Volume"]]
bt = Backtest(frame, SmaCross, cash=10_000, commission=0.002)
stats = bt.run()
print(stats["Sharpe Ratio"])
backtest(SmaCross, df)

# %% print_statistics_of_whole_frame
summary = df.describe()
print(summary.loc["mean"], df["close"].iloc[-1], len(df))
title = f"{df['close'].max():.2f} is the highest of {len(df)} bars"


class S(Strategy):
    def init(self):
        self.m = self.I(lambda c: pd.Series(c).ewm(span=20).mean(), self.data.Close)

    def next(self):
        if self.data.Close[-1] > self.m[-1] and not self.position:
            self.buy()
        elif self.data.Close[-1] < self.m[-1] and self.position:
            self.position.close()


r = backtest(S, df)
print(title)
