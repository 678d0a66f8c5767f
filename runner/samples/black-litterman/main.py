"""Black-Litterman.

The example of He and Litterman (1999): seven stock markets. Without views the model gives back the market's weights.
A view, "Germany will earn 5 % more than the rest of Europe", moves only the weights it speaks of.
"""

import numpy as np
import pandas as pd
from qfp import chart, models, param, show, table

tau = param("tau", 0.05, 0.01, 0.50, step=0.01, label="Doubt about the equilibrium, tau")
view = param("view", 0.05, -0.05, 0.15, step=0.005, label="Germany over the rest of Europe, a year")

# %% Seven markets: volatilities, correlations, and how large they are
markets = ["Australia", "Canada", "France", "Germany", "Japan", "UK", "USA"]
volatility = np.array([0.160, 0.203, 0.248, 0.271, 0.210, 0.200, 0.187])
upper = [
    [0.488, 0.478, 0.515, 0.439, 0.512, 0.491],
    [0.664, 0.655, 0.310, 0.608, 0.779],
    [0.861, 0.355, 0.783, 0.668],
    [0.354, 0.777, 0.653],
    [0.405, 0.306],
    [0.652],
]
correlation = np.eye(7)
for row, values in enumerate(upper):
    correlation[row, row + 1 :] = correlation[row + 1 :, row] = values
covariance = np.outer(volatility, volatility) * correlation
market = np.array([0.016, 0.022, 0.052, 0.055, 0.116, 0.124, 0.615])

# %% The view: long Germany, short France and the UK by their size
rest = market[2] + market[5]
pick = np.zeros(7)
pick[3], pick[2], pick[5] = 1.0, -market[2] / rest, -market[5] / rest
found = models.allocation.black_litterman(covariance, market, [pick], [view], tau=tau)
weights = pd.DataFrame({"market": market, "with the view": found.weights}, markets)
show(chart(x=markets, y={name: weights[name] for name in weights}, kind="bar", title="Weights"))
show(table(
    pd.DataFrame({
        "expected by the market, %": 100 * found.equilibrium, "with the view, %": 100 * found.means,
        "weight, %": 100 * found.weights,
    }, markets).round(1),
    caption="Excess returns a year and weights",
))  # fmt: skip

# %% Why not just believe the view? Markowitz with the same opinion
bold = found.equilibrium + np.where(np.arange(7) == 3, view, 0.0)
naive = np.linalg.solve(2.5 * covariance, bold)
print(f"Germany's weight: {found.weights[3]:.0%} by Black-Litterman, {naive[3]:.0%} when its return is simply raised.")
