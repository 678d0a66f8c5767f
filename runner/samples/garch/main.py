"""GARCH volatility of the S&P 500.

Bollerslev (1986): tomorrow's variance is a mix of a long-run value, today's squared surprise and today's variance.
Returns in percent.
"""

import numpy as np
import pandas as pd
from qfp import chart, data, models, param, show, table

days = param("days", 120, 20, 500, step=20, label="Days ahead")
decay = param("decay", 0.94, 0.80, 0.99, step=0.01, label="Decay of RiskMetrics")

# %% Calm and stormy days come in rows
prices = data.series("SPX")["close"]
returns = 100 * prices.pct_change().dropna()
lags = range(1, 41)
show(chart(
    x=list(lags),
    y={"returns": [returns.autocorr(lag) for lag in lags], "squared returns": [(returns**2).autocorr(lag) for lag in lags]},
    kind="bar", title="Correlation with the days before", x_title="days before",
))  # fmt: skip

# %% The model
model = models.volatility.garch(returns)
show(table(
    pd.DataFrame({"value": {
        "mean return, % a day": model.mu, "omega": model.omega, "alpha (surprise)": model.alpha,
        "beta (memory)": model.beta, "alpha + beta": model.persistence, "half-life of a shock, days": model.half_life,
        "long-run volatility, % a year": np.sqrt(252 * model.long_run), "log-likelihood": model.log_likelihood,
    }}).round(4),
    caption=f"GARCH(1,1), {returns.index[0]:%Y} to {returns.index[-1]:%Y}",
))  # fmt: skip

# %% Volatility through time
smooth = models.volatility.ewma(returns, decay=decay)[:-1]
yearly = pd.DataFrame(
    {"GARCH": np.sqrt(252 * model.variances), "RiskMetrics": np.sqrt(252 * smooth)}, index=returns.index
)
show(chart(yearly[::5], title="Expected volatility, % a year; every fifth day"))

# %% The days ahead, and how good one day ahead was
ahead = np.sqrt(252 * model.forecast(days))
show(chart(x=range(1, days + 1), y={"forecast": ahead}, title="Expected volatility, % a year", x_title="days ahead"))
score = {
    name: float((np.log(variance) + returns.to_numpy()[250:] ** 2 / variance).mean())
    for name, variance in {
        "GARCH (fitted to these days)": model.variances[250:],
        "RiskMetrics": smooth[250:],
        "constant": np.full(len(returns) - 250, returns.var()),
    }.items()
}
show(table(pd.DataFrame({"loss, lower is better": score}).round(4), caption="Quasi-likelihood loss, one day ahead"))
