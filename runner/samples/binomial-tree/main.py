"""A binomial tree for American options.

Cox, Ross and Rubinstein (1979): in each step the price goes up or down; going back through the tree, an option is worth
the discounted mean of what follows, or what its exercise pays if that is more.
"""

import numpy as np
import pandas as pd
from qfp import chart, models, param, show, table

spot = param("spot", 50.0, 20.0, 100.0, step=1.0, label="Share price")
strike = param("strike", 50.0, 20.0, 100.0, step=1.0, label="Strike")
years = param("years", 0.4167, 0.05, 3.0, step=0.05, label="Years to expiry")
sigma = param("sigma", 0.40, 0.05, 1.0, step=0.01, label="Volatility a year")
rate = param("rate", 0.10, 0.0, 0.20, step=0.005, label="Interest rate a year")
steps = param("steps", 5, 2, 8, step=1, label="Steps of the small tree")


# %% A small tree of an American put, written out
def small_tree(steps):
    dt = years / steps
    up = np.exp(sigma * np.sqrt(dt))
    p = (np.exp(rate * dt) - 1 / up) / (up - 1 / up)
    prices = [spot * up ** (2 * np.arange(level + 1) - level) for level in range(steps + 1)]
    values = [np.maximum(strike - prices[-1], 0)]
    for level in range(steps - 1, -1, -1):
        wait = np.exp(-rate * dt) * (p * values[0][1:] + (1 - p) * values[0][:-1])
        values.insert(0, np.maximum(wait, strike - prices[level]))
    return prices, values


prices, values = small_tree(steps)
tree = pd.DataFrame(
    {f"step {level}": pd.Series([f"{s:.2f}: {v:.2f}" for s, v in zip(prices[level][::-1], values[level][::-1])])
     for level in range(steps + 1)}
).fillna("")  # fmt: skip
show(table(tree, caption="Share price: value of the put"))

# %% More steps: the price settles, in a zigzag
counts = np.arange(5, 151, 2)
american = [models.trees.crr("put", spot, strike, rate, sigma, years, steps=int(n)) for n in counts]
european = [
    models.trees.crr("put", spot, strike, rate, sigma, years, steps=int(n), style="european") for n in counts
]
show(chart(x=counts, y={"American put": american, "European put": european}, title="Price by number of steps", x_title="steps"))
exact = models.options.price("put", spot, strike, rate, sigma, years)
fine = models.trees.crr("put", spot, strike, rate, sigma, years, steps=2000)
print(f"European {european[-1]:.4f} by 150 steps, {exact:.4f} exactly; the right of early exercise is worth {fine - exact:.4f}.")

# %% When is it right to exercise? Below the boundary
times = np.linspace(0.02, years, 16)
boundary = []
for left in times:
    low, high = 0.05 * strike, strike
    for _ in range(20):
        middle = (low + high) / 2
        waiting = models.trees.crr("put", middle, strike, rate, sigma, left, steps=100) > strike - middle + 1e-9
        low, high = (low, middle) if waiting else (middle, high)
    boundary.append(low)
show(chart(x=times, y={"exercise below": boundary}, title="Where an American put should be exercised", x_title="years left"))
