# ruff: noqa
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover
from qfp import backtest, data, portfolio_backtest

df = data.prices("MSFT", "2005-01-03", "2008-12-31")


def recent(names):
    return {name: data.prices(name, "2005-01-03", "2006-12-29", adjust=None) for name in names}


# %% pandas_columns_zscore_all
df["signal"] = (df["close"] - df["close"].mean()) / df["close"].std()
df["position"] = np.where(df["signal"] < -0.5, 1, np.where(df["signal"] > 0.5, 0, np.nan))
df["position"] = df["position"].ffill().fillna(0)


class FromColumn(Strategy):
    def init(self):
        self.pos = self.I(lambda: df["position"].to_numpy(), name="pos")

    def next(self):
        if self.pos[-1] and not self.position:
            self.buy()
        elif not self.pos[-1] and self.position:
            self.position.close()


backtest(FromColumn, df)

# %% roll_target
target = np.roll((df["close"].diff() > 0).to_numpy(), -1)


class S(Strategy):
    def init(self):
        self.t = self.I(lambda: target.astype(float))

    def next(self):
        if self.t[-1] > 0:
            if not self.position.is_long:
                self.position.close()
                self.buy(size=0.9)
        elif not self.position.is_short:
            self.position.close()
            self.sell(size=0.9)


backtest(S, df)

# %% pct_change_minus_one
future = df["close"].pct_change(-1)


class S(Strategy):
    def init(self):
        pass

    def next(self):
        now = self.data.index[-1]
        if future.loc[now] < 0:
            self.buy(size=10)
        elif self.position:
            self.position.close()


backtest(S, df)

# %% polyfit_of_everything
x = np.arange(len(df))
line = np.polyval(np.polyfit(x, df["close"].to_numpy(), 2), x)


class S(Strategy):
    def init(self):
        self.trend = self.I(lambda: line)

    def next(self):
        if self.data.Close[-1] < self.trend[-1] * 0.97 and not self.position:
            self.buy()
        elif self.data.Close[-1] > self.trend[-1] * 1.03:
            self.position.close()


backtest(S, df)

# %% resample_label_left
weekly = df["close"].resample("W", label="left").last()
joined = weekly.reindex(df.index, method="ffill")


class S(Strategy):
    def init(self):
        self.week = self.I(lambda: joined.to_numpy())

    def next(self):
        if self.week[-1] > self.data.Close[-1] * 1.01 and not self.position:
            self.buy()
        elif self.week[-1] < self.data.Close[-1] and self.position:
            self.position.close()


backtest(S, df)

# %% merge_asof_forward
events = df[["close"]].iloc[::10].rename(columns={"close": "mark"}).reset_index()
left = df.reset_index()
key = left.columns[0]
events.columns = [key, "mark"]
merged = pd.merge_asof(left, events, on=key, direction="forward").set_index(key)


class S(Strategy):
    def init(self):
        self.mark = self.I(lambda: merged["mark"].ffill().to_numpy())

    def next(self):
        if self.mark[-1] > self.data.Close[-1]:
            if not self.position:
                self.buy()
        else:
            self.position.close()


backtest(S, df)


# %% sklearn_train_on_all_tree
from sklearn.tree import DecisionTreeClassifier

X = pd.DataFrame({f"r{k}": df["close"].pct_change(k) for k in (1, 2, 5, 10)}).fillna(0)
y = (df["close"].shift(-1) > df["close"]).astype(int)
model = DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, y)
df["pred"] = model.predict(X)


class ML(Strategy):
    def init(self):
        self.pred = self.I(lambda: df["pred"].to_numpy(), name="pred")

    def next(self):
        if self.pred[-1] == 1:
            if not self.position:
                self.buy()
        elif self.position:
            self.position.close()


backtest(ML, df)


# %% train_test_split_shuffled
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

X = pd.DataFrame({f"r{k}": df["close"].pct_change(k) for k in (1, 3, 8)}).fillna(0)
y = (df["close"].shift(-3) > df["close"]).astype(int)
a, b, c, d = train_test_split(X, y, test_size=0.3, random_state=3)
clf = LogisticRegression(C=1000.0).fit(a * 100, c)
proba = clf.predict_proba(X * 100)[:, 1]


class ML(Strategy):
    def init(self):
        self.p = self.I(lambda: proba)

    def next(self):
        if self.p[-1] > 0.52 and not self.position:
            self.buy()
        elif self.p[-1] < 0.5 and self.position:
            self.position.close()


backtest(ML, df)


# %% last_row_of_the_frame
class S(Strategy):
    def init(self):
        pass

    def next(self):
        end = df["close"].iloc[-1]
        if self.data.Close[-1] < end * 0.9 and not self.position:
            self.buy()
        elif self.data.Close[-1] > end * 1.1 and self.position:
            self.position.close()


backtest(S, df)

# %% reversed_ffill
gappy = df["close"].where(df["close"] > df["close"].shift(1))
filled = gappy[::-1].ffill()[::-1]


class S(Strategy):
    def init(self):
        self.f = self.I(lambda: filled.to_numpy())

    def next(self):
        if self.f[-1] > self.data.Close[-1]:
            self.buy(size=0.5)
        elif self.position:
            self.position.close()


backtest(S, df)

# %% reversed_rolling_max
ahead = df["high"][::-1].rolling(5).max()[::-1]


class S(Strategy):
    def init(self):
        self.a = self.I(lambda: ahead.to_numpy())

    def next(self):
        if not self.position and self.a[-1] > self.data.Close[-1] * 1.03:
            self.buy(tp=float(self.a[-1]) * 0.999)


backtest(S, df)

# %% max_of_whole_column_drawdown
peak = df["close"].max()


class S(Strategy):
    def init(self):
        pass

    def next(self):
        price = self.data.Close[-1]
        if price < 0.75 * peak and not self.position:
            self.buy()
        if price > 0.95 * peak and self.position:
            self.position.close()


bt = Backtest(
    df.rename(columns=str.capitalize)[["Open", "High", "Low", "Close", "Volume"]], S, cash=10_000, commission=0.001
)
stats = bt.run()
print(stats["Return [%]"])
backtest(S, df)

# %% global_counter_peeks
prices = df["close"].tolist()
state = {"i": 0}


class S(Strategy):
    def init(self):
        state["i"] = 0

    def next(self):
        state["i"] = len(self.data)
        i = state["i"]
        if i < len(prices) and prices[i] > prices[i - 1]:
            if not self.position:
                self.buy()
        else:
            self.position.close()


backtest(S, df)

# %% weights_from_next_month_returns
names = ["AAPL", "IBM", "MSFT"]
px = pd.DataFrame({n: data.prices(n, "2005-01-03", "2006-12-29", adjust=None)["close"] for n in names})
monthly = px.resample("ME").last().pct_change()
w = monthly.rank(axis=1).eq(3).astype(float) * 0.95
w = w.shift(-1).dropna(how="all").fillna(0)
w.index = [px.index[px.index.searchsorted(d, side="right") - 1] for d in w.index]
portfolio_backtest(recent(names), weights=w)

# %% portfolio_min_variance_of_all
names = ["AAPL", "IBM", "MSFT"]
px = pd.DataFrame({n: data.prices(n, "2005-01-03", "2006-12-29")["close"] for n in names})
cov = px.pct_change().cov()
inv = np.linalg.inv(cov.to_numpy())
weights = dict(zip(names, np.clip(inv.sum(axis=1) / inv.sum(), 0, 1) * 0.95))


def on_bar(ctx):
    if ctx.bar % 21 == 0:
        ctx.target_weights(weights)


portfolio_backtest(recent(names), on_bar)

# %% future_high_as_take_profit_in_portfolio
names = ["AAPL", "IBM"]
bars = {n: data.prices(n, "2005-01-03", "2006-12-31", adjust=None) for n in names}
best = {n: b["high"].shift(-1) for n, b in bars.items()}


def on_bar(ctx):
    for n in names:
        if ctx.date in best[n].index:
            tomorrow = best[n].loc[ctx.date]
            if tomorrow > ctx.price(n) * 1.02:
                ctx.target(n, 0.4)
            else:
                ctx.target(n, 0.0)


portfolio_backtest(bars, on_bar)

# %% seasonal_decompose_both_sides
from statsmodels.tsa.seasonal import seasonal_decompose

trend = seasonal_decompose(df["close"].to_numpy(), period=21).trend
trend = pd.Series(trend, index=df.index)


class S(Strategy):
    def init(self):
        self.tr = self.I(lambda: trend.to_numpy())

    def next(self):
        if len(self.data) < 30 or np.isnan(self.tr[-1]):
            return
        if self.tr[-1] > self.tr[-2] and not self.position:
            self.buy()
        elif self.tr[-1] < self.tr[-2] and self.position:
            self.position.close()


backtest(S, df)

# %% quantile_transform_rank_pct_all
r = df["close"].pct_change(5).rank(pct=True)


class S(Strategy):
    def init(self):
        self.r = self.I(lambda: r.to_numpy())

    def next(self):
        if self.r[-1] < 0.1 and not self.position:
            self.buy()
        elif self.r[-1] > 0.7 and self.position:
            self.position.close()


backtest(S, df)

# %% optimised_threshold_in_a_loop_then_used
best, best_gain = None, -9
for k in range(2, 40, 3):
    sig = (df["close"] > df["close"].rolling(k).mean()).shift(1, fill_value=False)
    gain = (df["close"].pct_change() * sig).sum()
    if gain > best_gain:
        best, best_gain = k, gain


class S(Strategy):
    def init(self):
        self.m = self.I(lambda c: pd.Series(c).rolling(best).mean(), self.data.Close)

    def next(self):
        if self.data.Close[-1] > self.m[-1] and not self.position:
            self.buy()
        elif self.data.Close[-1] < self.m[-1] and self.position:
            self.position.close()


backtest(S, df)

# %% signal_by_groupby_transform_month
m = df["close"].groupby([df.index.year, df.index.month]).transform("last")


class S(Strategy):
    def init(self):
        self.m = self.I(lambda: m.to_numpy())

    def next(self):
        if self.m[-1] > self.data.Close[-1] * 1.02 and not self.position:
            self.buy()
        elif self.m[-1] < self.data.Close[-1] and self.position:
            self.position.close()


backtest(S, df)
