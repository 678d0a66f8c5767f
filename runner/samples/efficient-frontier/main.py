"""The efficient frontier.

Markowitz (1952): of all portfolios with a given expected return, the one with the least variance. Means are the weak
point. The last cell chooses the best portfolio of each ten years and holds it for the ten years after.
"""

import numpy as np
import pandas as pd
from qfp import chart, data, metrics, models, param, show, table

rate = param("rate", 0.03, 0.0, 0.08, step=0.005, label="Risk-free rate a year")
shares = ["BAC", "CVX", "GE", "HD", "JNJ", "JPM", "KO", "LLY", "MRK", "PG", "WMT", "XOM"]

# %% Means and covariance of twelve shares, a year
prices = data.panel(shares, "1993-01-01", "2022-12-28").dropna()
returns = prices.pct_change().dropna()
means, cov = 252 * returns.mean(), 252 * returns.cov()

# %% The frontier
alone = models.allocation.frontier(means, cov, points=40)
shorts = models.allocation.frontier(means, cov, points=40, long_only=False)
best = models.allocation.tangency(means, cov, risk_free_rate=rate, long_only=True)
figure = chart(
    x=[100 * point.volatility for point in alone], y={"long only": [100 * point.mean for point in alone]},
    title="Efficient frontier", x_title="volatility, % a year", y_title="return, % a year",
)  # fmt: skip
figure.data += chart(
    x=[100 * point.volatility for point in shorts], y={"with short sales": [100 * point.mean for point in shorts]}
).data
figure.data += chart(
    x=100 * np.sqrt(np.diag(cov)), y={"the shares": 100 * means.to_numpy()}, kind="points"
).data
figure.layout["showlegend"] = True
figure.layout["hovermode"] = "closest"
show(figure)
held = pd.Series(best.weights, shares)
show(table(held[held > 1e-6].sort_values(ascending=False).round(3).rename("weight"), caption="Highest Sharpe ratio, long only"))
print(f"Best in hindsight: {best.mean:.1%} a year at {best.volatility:.1%} volatility, Sharpe {best.sharpe:.2f}")

# %% And out of sample? Weights of ten years, held for the ten years after
rows = {}
for start in (1993, 2003):
    known, ahead = returns[f"{start}":f"{start + 9}"], returns[f"{start + 10}":f"{start + 19}"]
    chosen = {
        "highest Sharpe": models.allocation.tangency(
            252 * known.mean(), 252 * known.cov(), risk_free_rate=rate, long_only=True
        ).weights,
        "minimum variance": models.allocation.min_variance(known.cov(), long_only=True).weights,
        "equal weights": np.full(len(shares), 1 / len(shares)),
    }
    for name, weights in chosen.items():
        rows[f"{name}, {start} to {start + 9}"] = {
            "Sharpe where chosen": metrics.sharpe_ratio(known @ weights, rate / 252),
            "Sharpe in the ten years after": metrics.sharpe_ratio(ahead @ weights, rate / 252),
        }
show(table(pd.DataFrame(rows).T.round(2), caption="All of these shares survived, which flatters every row"))
