"""Risk parity.

Equal weights are not equal risk: the most volatile industry bears the most. Here every industry bears the same part of
the variance (Maillard, Roncalli and Teiletche 2010), weights set each year from the five years before it.
"""

import pandas as pd
from qfp import chart, data, metrics, models, param, show, table

years = param("years", 5, 2, 15, step=1, label="Years of data behind the weights")

# %% Twelve industries, monthly
industries = data.factors("industries12")
industries = industries.drop(columns=[name for name in industries if name in ("mkt_rf", "smb", "hml", "mom", "rf")])
names = [name for name in industries if industries[name].notna().all()]
returns = industries[names]
print(f"{len(names)} industries, {returns.index[0]:%Y} to {returns.index[-1]:%Y}")


# %% One set of weights, looked at closely
equal = models.allocation.portfolio([1 / len(names)] * len(names), returns.cov())
parity = models.allocation.risk_parity(returns.cov())
show(chart(
    x=names, y={"equal weights": equal.risk_shares, "risk parity": parity.risk_shares},
    kind="bar", title="Part of the risk that each industry bears",
))  # fmt: skip
show(table(pd.DataFrame({"weight": parity.weights, "part of the risk": parity.risk_shares}, names).round(4)))

# %% Through time, each year's weights from the years before it
methods = {
    "equal weights": lambda cov: [1 / len(names)] * len(names),
    "risk parity": lambda cov: models.allocation.risk_parity(cov).weights,
    "minimum variance": lambda cov: models.allocation.min_variance(cov, long_only=True).weights,
    "clusters (HRP)": lambda cov: models.allocation.hierarchical(cov).weights,
}
parts = {name: [] for name in methods}
for start in range(12 * years, len(returns), 12):
    known, ahead = returns[start - 12 * years : start], returns[start : start + 12]
    for name, weights in methods.items():
        parts[name].append(ahead @ pd.Series(weights(known.cov()), names))
book = pd.DataFrame({name: pd.concat(part) for name, part in parts.items()})
show(chart((1 + book).cumprod(), title="Growth of 1, weights renewed each year, before costs", log=True))

# %% In figures
show(table(
    pd.DataFrame({
        name: {"return a year": 12 * part.mean(), "volatility a year": metrics.volatility(part, 12),
               "worst fall": metrics.max_drawdown((1 + part).cumprod())}
        for name, part in book.items()
    }).round(4)
))  # fmt: skip
print(f"Risk parity was {1 - book['risk parity'].std() / book['equal weights'].std():.0%} less volatile than equal weights.")
