# ruff: noqa
import numpy as np
import pandas as pd
from qfp import data
from qfp.portfolio import portfolio_backtest

NAMES = ["AAPL", "IBM", "MSFT"]
bars = {name: data.prices(name, "2008-10-01", "2009-06-30", adjust=None) for name in NAMES}
closes = pd.DataFrame({name: frame["close"] for name, frame in bars.items()})


# %% clean: momentum_by_weights
def momentum(seen):
    prices = seen.closes(40)
    if len(prices) < 40:
        return {}
    return {(prices.iloc[-1] / prices.iloc[0]).idxmax(): 0.9}


portfolio_backtest(bars, weights=momentum)


# %% clean: rank_bar_by_bar
def rank(ctx):
    if len(ctx) % 15:
        return
    prices = ctx.closes(30)
    order = (prices.iloc[-1] / prices.iloc[0]).sort_values()
    ctx.target_weights({order.index[-1]: 0.5, order.index[-2]: 0.3, order.index[0]: 0.0})


portfolio_backtest(bars, rank)

# %% clean: weights_by_rolling_volatility
weights = 1 / closes.pct_change().rolling(40).std()
weights = weights.div(weights.sum(axis=1), axis=0).dropna().iloc[::20] * 0.9
portfolio_backtest(bars, weights=weights)

# %% leak: weights_by_volatility_of_everything
weights = 1 / closes.pct_change().std() * closes.pct_change().rolling(20).std()
weights = weights.div(weights.sum(axis=1), axis=0).dropna().iloc[::20] * 0.9
portfolio_backtest(bars, weights=weights)

# %% leak: next_weeks_winner
ahead = closes.shift(-5) / closes
weights = ahead.eq(ahead.max(axis=1), axis=0).astype(float).iloc[::5] * 0.9
portfolio_backtest(bars, weights=weights)

# %% leak: winner_of_the_whole_period
best = (closes.iloc[-1] / closes.iloc[0]).idxmax()
portfolio_backtest(bars, weights={best: 0.9})


# %% leak: table_looked_up_in_the_function
def tomorrow(ctx):
    after = closes[closes.index > ctx.date]
    if len(after) and len(ctx) % 5 == 0:
        ctx.target_weights({name: 0.0 for name in NAMES} | {(after.iloc[0] / ctx.closes(1).iloc[-1]).idxmax(): 0.9})


portfolio_backtest(bars, tomorrow)


# %% names: knows_a_name
def knows(ctx):
    prices = ctx.closes(1)
    if len(ctx) == 20:
        for name in prices.columns:
            if name == "AAPL":
                ctx.target(name, 0.9)


portfolio_backtest(bars, knows)


# %% dates: knows_a_date
def knows(ctx):
    if str(ctx.date)[:10] == "2009-03-09":
        ctx.target_weights({ctx.closes(1).columns[0]: 0.9})


portfolio_backtest(bars, knows)


# %% boundary: ranked_after_the_training
def after_training(seen):
    if seen.date <= pd.Timestamp("2009-01-30"):
        return {}
    prices = seen.closes(20)
    return {(prices.iloc[-1] / prices.iloc[0]).idxmax(): 0.9}


portfolio_backtest(bars, weights=after_training)


# %% numbers: bars_by_number
def by_number(ctx):
    if ctx.bar in {3, 17, 20, 31, 52, 59, 71, 88, 90, 104, 121, 130, 144, 160}:
        ctx.target_weights({ctx.closes(1).columns[0]: 0.9 if ctx.bar % 2 else 0.0})


portfolio_backtest(bars, by_number)


# %% table: shares_by_a_list
SHARES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.1, 0.3, 0.5, 0.7, 0.9, 0.2, 0.4, 0.6, 0.8, 0.5, 0.1, 0.9]


def from_a_list(ctx):
    if len(ctx) % 10 == 0:
        moved = ctx.closes(10).iloc[-1] / ctx.closes(10).iloc[0]
        ctx.target_weights({name: 0.0 for name in moved.index} | {moved.idxmax(): SHARES[len(ctx) // 10 % len(SHARES)]})


portfolio_backtest(bars, from_a_list)


# %% named: fixed_weights
portfolio_backtest(bars, weights={"AAPL": 0.3, "IBM": 0.3, "MSFT": 0.3}, rebalance="monthly")


# %% named: names_by_hand
def by_hand(seen):
    prices = seen.closes(20)
    up = prices.iloc[-1] > prices.mean()
    return {"IBM": 0.4 if up["IBM"] else 0.1, "MSFT": 0.4 if up["MSFT"] else 0.1}


portfolio_backtest(bars, weights=by_hand, rebalance="weekly")


# %% same: members_of_the_site
def members(seen):
    return {name: 0.9 / len(seen.members) for name in seen.members[:8]}


portfolio_backtest(
    data.universe("synth/us500", asof="2016-01-04")[:12],
    weights=members,
    rebalance="monthly",
    members="synth/us500",
    start="2016-01-04",
    end="2016-12-30",
)

# %% doubted: members_of_the_author
rows = pd.DataFrame({"symbol": NAMES, "series": NAMES, "entered": pd.NaT, "left": pd.NaT})
portfolio_backtest(bars, weights=lambda seen: {name: 0.3 for name in seen.members}, members=rows)
