"""Monte Carlo: an Asian option by simulation, with its error.

The payoff is the average of the daily prices above the strike. The error shown is one standard error of the mean.
"""

import numpy as np
from qfp import chart, param, progress, show

paths = param("paths", 50_000, 10_000, 500_000, step=10_000, label="Paths")
sigma = param("sigma", 0.2, 0.05, 0.8, step=0.05, label="Volatility a year")
spot, strike, rate, days = 100.0, 100.0, 0.03, 252

rng = np.random.default_rng(42)
step = 1 / days
payoffs = []
for _ in progress(range(paths // 10_000), label="Simulating"):
    shocks = rng.standard_normal((10_000, days))
    logs = np.cumsum((rate - sigma**2 / 2) * step + sigma * np.sqrt(step) * shocks, axis=1)
    payoffs.append(np.maximum(spot * np.exp(logs).mean(axis=1) - strike, 0.0))

# %% The estimate and how it settles
values = np.exp(-rate) * np.concatenate(payoffs)
price, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
print(f"Asian call: {price:.4f} ± {error:.4f} from {len(values):,} paths")

counts = np.arange(1, len(values) + 1)
settled = np.cumsum(values) / counts
picks = np.unique(np.geomspace(100, len(values), 300).astype(int)) - 1
show(chart(x=counts[picks], y=settled[picks], title="Estimate by number of paths", x_title="paths", y_title="price"))
