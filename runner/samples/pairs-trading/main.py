"""Pairs trading with cointegration.

Choose pairs on the first years, trade them on the years after. A pair that looks tied together in the data it was
chosen by is no discovery: among 66 pairs some pass any test by luck.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from qfp import chart, data, metrics, models, param, portfolio_backtest, show, table

entry = param("entry", 2.0, 0.5, 4.0, step=0.25, label="Open at, standard deviations")
window = param("window", 60, 20, 250, step=10, label="Window of the mean, days")
cost = param("cost", 0.0005, 0.0, 0.005, step=0.0005, label="Cost of a trade, share of value")
shares = ["KO", "PEP", "PG", "JNJ", "MRK", "PFE", "LLY", "CVX", "XOM", "JPM", "BAC", "WMT"]

# %% Which pairs return to each other? The first years decide
prices = data.panel(shares, "2004-01-01", "2019-12-31").dropna()
split = prices.index.searchsorted(pd.Timestamp("2012-01-01"))
logs = np.log(prices)
found = []
for y, x in combinations(shares, 2):
    result = models.cointegration.engle_granger(logs[y][:split], logs[x][:split], lags=1)
    found.append(
        {"pair": f"{y} / {x}", "hedge ratio": result.hedge_ratio, "p-value": result.test.p_value,
         "half-life, days": result.half_life}
    )  # fmt: skip
ranking = pd.DataFrame(found).sort_values("p-value").reset_index(drop=True)
expected = 0.05 * len(ranking)
passed = int((ranking["p-value"] < 0.05).sum())
show(table(ranking.head(8).round(4), caption="Cointegration, 2004 to 2011"))
print(f"{passed} of {len(ranking)} pairs pass at 5 %; about {expected:.0f} would by luck alone.")


# %% Trade the best pairs on the years after
def daily_return(y, x, hedge_ratio):
    """Long the cheap share and short the dear one while the spread is more than `entry` deviations from its mean,
    until it crosses the mean. Decided at a close, held from the next one; half of the capital on each side.
    """
    spread = (logs[y] - hedge_ratio * logs[x]).to_numpy()
    score = models.cointegration.zscore(spread, window)
    side, held = np.zeros(len(score)), 0.0
    for day, z in enumerate(score):
        if np.isnan(z):
            continue
        if held == 0 and abs(z) > entry:
            held = -np.sign(z)
        elif held * z > 0:
            held = 0.0
        side[day] = held
    position = pd.Series(side, prices.index)
    moves = prices[[y, x]].pct_change()
    gross = position.shift(1) * (moves[y] - moves[x]) / 2
    return gross - cost * position.diff().abs().shift(1)


returns = pd.DataFrame(
    {row["pair"]: daily_return(*row["pair"].split(" / "), row["hedge ratio"]) for _, row in ranking.head(5).iterrows()}
)
book = returns.mean(axis=1).fillna(0.0)
before, after = book[window:split], book[split:]
show(chart((1 + book[window:]).cumprod().rename("five best pairs"), title="Growth of 1; chosen on the years to 2011"))

# %% What was chosen, and what came
show(
    table(
        pd.DataFrame(
            {name: {"return a year": part.mean() * 252, "volatility a year": part.std() * np.sqrt(252),
                    "Sharpe": metrics.sharpe_ratio(part), "worst fall": metrics.max_drawdown((1 + part).cumprod())}
             for name, part in {"2004 to 2011 (chosen here)": before, "2012 to 2019": after}.items()}
        ).round(3),
        caption="Five best pairs in equal parts, after costs",
    )
)  # fmt: skip
print(f"Sharpe ratio {metrics.sharpe_ratio(before):.2f} where the pairs were chosen, {metrics.sharpe_ratio(after):.2f} after.")

# %% The best pair in one account, on the years after: as much money short as long
y, x = ranking["pair"][0].split(" / ")
hedge_ratio = ranking["hedge ratio"][0]


def trade_the_pair(ctx):
    """Decided at a close, filled at the next one: these series have closes only."""
    if len(ctx) < window:
        return
    seen = np.log(ctx.closes(window))
    spread = seen[y] - hedge_ratio * seen[x]
    z = (spread.iloc[-1] - spread.mean()) / spread.std()
    side = np.sign(ctx.position(y))
    if side == 0 and abs(z) > entry:
        ctx.target_weights({y: -0.4 * np.sign(z), x: 0.4 * np.sign(z)})
    elif side * z > 0:
        ctx.target_weights({y: 0.0, x: 0.0})


pair = portfolio_backtest(
    {name: data.prices(name, "2012-01-01", "2019-12-31") for name in (y, x)}, trade_the_pair, name=f"Pair {y} / {x}",
    fill="next-close", commission=cost, fractional=True, short=True,
)  # fmt: skip
