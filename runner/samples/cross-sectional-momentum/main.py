"""Cross-sectional momentum.

Jegadeesh and Titman (1993): shares that rose most over the last year, leaving out the last month, went on to rise more
than the others. The eighteen shares here all survived until 2022, which flatters every strategy that buys any of them:
compare with holding all of them, not with zero.
"""

import numpy as np
import pandas as pd
from qfp import chart, data, metrics, param, show, table

months = param("months", 12, 3, 24, step=1, label="Look back, months")
held = param("held", 5, 1, 10, step=1, label="Shares held")
cost = param("cost", 0.001, 0.0, 0.01, step=0.0005, label="Cost of a trade, share of value")

# %% Month ends of eighteen shares
shares = [
    "AMD", "BAC", "BBY", "CVX", "GE", "HD", "JNJ", "JPM", "KO",
    "LLY", "MRK", "PEP", "PFE", "PG", "RRC", "UNH", "WMT", "XOM",
]  # fmt: skip
daily = data.panel(shares, "1990-01-02", "2022-12-28")
prices = daily.groupby(daily.index.to_period("M")).last()
prices.index = prices.index.to_timestamp(how="end").normalize()
returns = prices.pct_change()

# %% Rank at each month's end, hold over the next month
strength = prices.shift(1) / prices.shift(months) - 1  # without the last month
rank = strength.rank(axis=1, ascending=False)
target = (rank <= held).astype(float).div(held).where(rank.notna().all(axis=1), 0.0)


def after_costs(weights):
    """Returns of month t with the weights decided at the end of t - 1, less costs on what had to be traded."""
    holding = weights.shift(1).fillna(0.0)
    gross = (holding * returns).sum(axis=1)
    drifted = (holding * (1 + returns.fillna(0.0))).div(1 + gross, axis=0)
    traded = (holding - drifted.shift(1).fillna(0.0)).abs().sum(axis=1)
    return gross - cost * traded, traded / 2


winners, turnover = after_costs(target)
everything, _ = after_costs((target * 0 + 1 / len(shares)).where(target.sum(axis=1) > 0, 0.0))
losers, _ = after_costs((rank > len(shares) - held).astype(float).div(held).where(rank.notna().all(axis=1), 0.0))
book = pd.DataFrame({"strongest": winners, "all, equal weights": everything, "weakest": losers})[months + 1 :]
show(chart((1 + book).cumprod(), title="Growth of 1 after costs", log=True))

# %% In figures
summary = pd.DataFrame(
    {name: {"return a year": (1 + part).prod() ** (12 / len(part)) - 1, "volatility a year": part.std() * np.sqrt(12),
            "Sharpe": metrics.sharpe_ratio(part, periods_per_year=12),
            "worst fall": metrics.max_drawdown((1 + part).cumprod())}
     for name, part in book.items()}
)  # fmt: skip
show(table(summary.round(3), caption=f"{book.index[0]:%Y} to {book.index[-1]:%Y}, monthly"))
print(f"Turnover {turnover[months + 1 :].mean():.0%} a month. Excess over holding all: "
      f"{12 * (book['strongest'] - book['all, equal weights']).mean():.1%} a year.")  # fmt: skip
