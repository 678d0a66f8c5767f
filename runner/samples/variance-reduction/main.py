"""Variance reduction and early exercise by simulation.

An error of Monte Carlo falls with the root of the number of paths: half the error costs four times the work. Variance
reduction gets there cheaper. American options need a rule for exercise, which Longstaff and Schwartz (2001) learn from paths.
"""

import numpy as np
import pandas as pd
from qfp import chart, models, param, show, table

paths = param("paths", 40_000, 10_000, 200_000, step=10_000, label="Paths")
spot, strike, rate, sigma, years = 100.0, 105.0, 0.03, 0.25, 1.0

# %% Four ways to the same price
exact = models.options.price("call", spot, strike, rate, sigma, years)
rows = {}
for method in models.simulation.METHODS:
    found = models.simulation.european("call", spot, strike, rate, sigma, years, method=method, paths=paths, seed=4)
    rows[method] = {
        "price": found.value,
        "standard error": found.standard_error,
        "away from exact, errors": (found.value - exact) / found.standard_error,
        "worth so many times the paths": (found.plain_standard_error / found.standard_error) ** 2,
    }
comparison = pd.DataFrame(rows).T
show(table(comparison.round(4), caption=f"European call, exactly {exact:.4f}"))

# %% The error against the number of paths
counts = [1000, 2000, 4000, 8000, 16_000, 32_000]
errors = {
    method: [
        models.simulation.european("call", spot, strike, rate, sigma, years, method=method, paths=n, seed=n).standard_error
        for n in counts
    ]
    for method in models.simulation.METHODS
}
show(chart(x=counts, y=errors, title="Standard error by number of paths", x_title="paths", log=True))

# %% An American put: learn the rule on one half of the paths, price it on the other
table_1 = {(36, 0.2): 4.478, (40, 0.2): 2.314, (44, 0.2): 1.110, (40, 0.4): 5.312}
american = {}
for (share, volatility), printed in table_1.items():
    found = models.simulation.longstaff_schwartz("put", share, 40, 0.06, volatility, 1, paths=paths, seed=7)
    european = models.options.price("put", share, 40, 0.06, volatility, 1)
    american[f"S = {share}, volatility {volatility:.0%}"] = {
        "simulated": found.value, "standard error": found.standard_error, "finite differences (printed)": printed,
        "European": european,
    }  # fmt: skip
early = pd.DataFrame(american).T
show(table(early.round(3), caption="American puts, strike 40, one year: Longstaff and Schwartz (2001), table 1"))
