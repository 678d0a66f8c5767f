"""Heston: when volatility moves, too.

Heston (1993): variance returns to a mean and is shaken by noise that is correlated with the price. Implied volatility is
then no constant: falls are dearer to insure than rises.
"""

import numpy as np
import pandas as pd
from qfp import chart, models, param, show, table

rho = param("rho", -0.7, -0.95, 0.95, step=0.05, label="Correlation of price and volatility")
vol_of_vol = param("vol_of_vol", 0.6, 0.05, 1.5, step=0.05, label="Volatility of variance")
kappa = param("kappa", 1.5, 0.1, 6.0, step=0.1, label="Speed of return a year")
long_run = param("long_run", 0.20, 0.05, 0.60, step=0.01, label="Long-run volatility")
now = param("now", 0.20, 0.05, 0.60, step=0.01, label="Volatility now")
spot, rate = 100.0, 0.02
model = models.heston.Heston(v0=now**2, kappa=kappa, theta=long_run**2, sigma=vol_of_vol, rho=rho)

# %% The smile, for three maturities
strikes = np.linspace(70, 130, 41)
smiles = {}
for years in (0.25, 1.0, 3.0):
    prices = model.price("call", spot, strikes, rate, years)
    smiles[f"{years:g} years"] = 100 * models.options.implied_volatility("call", prices, spot, strikes, rate, years)
show(chart(pd.DataFrame(smiles, index=strikes), title="Implied volatility, % a year", x_title="strike"))

# %% What the correlation does
turned = {}
for value in (-0.7, 0.0, 0.7):
    other = models.heston.Heston(now**2, kappa, long_run**2, vol_of_vol, value)
    prices = other.price("call", spot, strikes, rate, 1.0)
    turned[f"correlation {value:g}"] = 100 * models.options.implied_volatility("call", prices, spot, strikes, rate, 1.0)
show(chart(pd.DataFrame(turned, index=strikes), title="One year: the correlation tilts the smile, %", x_title="strike"))

# %% Simulated paths lead to the same price
rng = np.random.default_rng(3)
paths, steps = 20_000, 200
dt = 1.0 / steps
log_price, variance = np.zeros(paths), np.full(paths, now**2)
for _ in range(steps):
    shared, own = rng.standard_normal((2, paths))
    positive = np.maximum(variance, 0.0)  # full truncation (Lord, Koekkoek and van Dijk 2010)
    log_price += (rate - positive / 2) * dt + np.sqrt(positive * dt) * shared
    noise = rho * shared + np.sqrt(1 - rho**2) * own
    variance += kappa * (long_run**2 - positive) * dt + vol_of_vol * np.sqrt(positive * dt) * noise
payoff = np.exp(-rate) * np.maximum(spot * np.exp(log_price) - 100, 0)
simulated, error = payoff.mean(), payoff.std(ddof=1) / np.sqrt(paths)
formula = model.price("call", spot, 100, rate, 1.0)
print(f"At the money, one year: {formula:.4f} by the formula, {simulated:.4f} ± {error:.4f} by simulation.")
print("Variance stays above 0." if model.feller else "Variance can touch 0 (2 kappa theta < sigma squared).")
