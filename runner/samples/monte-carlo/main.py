"""Monte Carlo: European, Asian and barrier options by simulation, with their errors.

The error shown is one standard error of the mean: in 95 of 100 simulations the true value lies within 1.96 of them.
"""

import numpy as np
import pandas as pd
from qfp import chart, models, montecarlo, param, progress, show, table

paths = param("paths", 50_000, 10_000, 500_000, step=10_000, label="Paths")
sigma = param("sigma", 0.2, 0.05, 0.8, step=0.05, label="Volatility a year")
spot, strike, rate, days, barrier = 100.0, 100.0, 0.03, 252, 90.0

# %% An Asian call, written out: the average of the daily prices above the strike
rng = np.random.default_rng(42)
step = 1 / days
payoffs = []
for _ in progress(range(paths // 10_000), label="Simulating"):
    shocks = rng.standard_normal((10_000, days))
    logs = np.cumsum((rate - sigma**2 / 2) * step + sigma * np.sqrt(step) * shocks, axis=1)
    payoffs.append(np.maximum(spot * np.exp(logs).mean(axis=1) - strike, 0.0))
values = np.exp(-rate) * np.concatenate(payoffs)
price, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
print(f"Asian call: {price:.4f} ± {error:.4f} from {len(values):,} paths")

# %% How the estimate settles
counts = np.arange(1, len(values) + 1)
settled = np.cumsum(values) / counts
picks = np.unique(np.geomspace(100, len(values), 300).astype(int)) - 1
show(chart(x=counts[picks], y=settled[picks], title="Estimate by number of paths", x_title="paths", y_title="price"))

# %% European, Asian and barrier options beside their exact values
asian_exact = models.asian.arithmetic("call", spot, strike, rate, sigma, 1.0, steps=52)
estimates = {
    "European call": (
        montecarlo.european("call", spot, strike, rate, sigma, 1.0, paths=paths, seed=1),
        models.options.price("call", spot, strike, rate, sigma, 1.0),
    ),
    "Asian call, 52 fixings": (
        montecarlo.asian("call", spot, strike, rate, sigma, 1.0, steps=52, paths=paths, seed=1),
        asian_exact,
    ),
    "Down-and-out call, watched always": (
        models.simulation.barrier(
            "down-out", "call", spot, strike, barrier, rate, sigma, 1.0, steps=52, paths=paths, seed=1
        ),
        models.barriers.barrier("down-out", "call", spot, strike, barrier, rate, sigma, 1.0),
    ),
    "Down-and-out call, watched weekly": (
        models.simulation.barrier(
            "down-out", "call", spot, strike, barrier, rate, sigma, 1.0, steps=52, bridge=False, paths=paths, seed=1
        ),
        models.barriers.barrier_discrete("down-out", "call", spot, strike, barrier, rate, sigma, 1.0, observations=52),
    ),
}
results = pd.DataFrame(
    {name: {"simulated": found.value, "standard error": found.standard_error, "exact": exact,
            "standard errors away": (found.value - exact) / found.standard_error}
     for name, (found, exact) in estimates.items()}
).T  # fmt: skip
show(table(results.round(4)))
