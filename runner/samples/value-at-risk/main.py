"""Value at risk and expected shortfall.

Value at risk is the loss that 95 of 100 days stay below; expected shortfall is the mean loss of the other five. Four
forecasts for the S&P 500, each made from the days before, and two tests of whether they came true.
"""

import numpy as np
import pandas as pd
from qfp import chart, data, metrics, models, param, show, table

level = param("level", 0.99, 0.90, 0.995, step=0.005, label="Level")
window = param("window", 500, 100, 1000, step=50, label="Days behind each forecast")
returns = data.series("SPX")["close"].pct_change().dropna()

# %% One day's loss, four ways, from all days
mean, deviation = returns.mean(), returns.std()
skewness, excess = metrics.skewness(returns), metrics.kurtosis(returns) - 3
ways = {
    "historical": models.risk.historical(returns, level=level),
    "normal": models.risk.normal(mean, deviation, level=level),
    "Cornish-Fisher": models.risk.cornish_fisher(mean, deviation, skewness, excess, level=level),
}
show(table(
    pd.DataFrame({name: {"value at risk, %": 100 * way.var, "expected shortfall, %": 100 * way.es}
                  for name, way in ways.items()}).round(3),
    caption=f"S&P 500, one day, level {level:.1%}; skewness {skewness:.2f}, excess kurtosis {excess:.1f}",
))  # fmt: skip

# %% Forecasts for each day from the days before it
rolling = returns.rolling(window)
z = models.risk.normal(0, 1, level=level).var
smooth = np.sqrt(models.volatility.ewma(returns, decay=0.94)[:-1])
scaled = (returns / smooth).rolling(window).quantile(1 - level).shift(1)  # filtered historical simulation
forecasts = pd.DataFrame({
    "historical": -rolling.quantile(1 - level).shift(1),
    "normal": -(rolling.mean() - z * rolling.std()).shift(1),
    "RiskMetrics": pd.Series(z * smooth, returns.index),
    "filtered historical": -scaled * smooth,
}).dropna()  # fmt: skip
realised = returns[forecasts.index]
show(chart(100 * forecasts[::5], title=f"Value at risk for the next day, %, level {level:.1%}; every fifth day"))

# %% Did they come true?
verdict = {}
for name, limit in forecasts.items():
    hits = realised < -limit
    verdict[name] = {
        "days beyond it": int(hits.sum()),
        "expected": (1 - level) * len(hits),
        "p-value, as many (Kupiec)": models.risk.kupiec(int(hits.sum()), len(hits), level=level)[1],
        "p-value, and apart (Christoffersen)": models.risk.christoffersen(hits, level=level)[1],
        "mean loss beyond, %": -100 * realised[hits].mean(),
    }
report = pd.DataFrame(verdict).T
show(table(report.round(4), caption=f"{len(forecasts):,} days. A small p-value rejects the forecasts"))
