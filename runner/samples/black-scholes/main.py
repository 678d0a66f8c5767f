"""Black-Scholes: the price of a European option, its Greeks, and implied volatility.

Formula: Black & Scholes (1973), J. of Political Economy 81(3); with a dividend yield Merton (1973).
"""

import numpy as np
import pandas as pd
from qfp import chart, models, param, show, table
from scipy.stats import norm

spot = param("spot", 100.0, 50.0, 200.0, step=1.0, label="Share price")
strike = param("strike", 105.0, 50.0, 200.0, step=1.0, label="Strike")
years = param("years", 0.5, 0.05, 3.0, step=0.05, label="Years to expiry")
sigma = param("sigma", 0.25, 0.05, 1.0, step=0.01, label="Volatility a year")
rate = param("rate", 0.03, 0.0, 0.10, step=0.005, label="Interest rate a year")


# %% The formula, written out
def call_price(s):
    d1 = (np.log(s / strike) + (rate + sigma**2 / 2) * years) / (sigma * np.sqrt(years))
    d2 = d1 - sigma * np.sqrt(years)
    return s * norm.cdf(d1) - strike * np.exp(-rate * years) * norm.cdf(d2)


def put_price(s):
    return call_price(s) - s + strike * np.exp(-rate * years)  # put-call parity


print(f"A call costs {call_price(spot):.4f}, a put {put_price(spot):.4f}.")

# %% The price against the share price
prices = np.linspace(0.5 * strike, 1.5 * strike, 121)
curves = pd.DataFrame({"call": call_price(prices), "put": put_price(prices)}, index=prices)
show(chart(curves, title="Option price by share price"))

# %% Greeks: how the price moves
greeks = pd.DataFrame({kind: models.options.greeks(kind, spot, strike, rate, sigma, years) for kind in ("call", "put")})
rows = ["price", "delta", "gamma", "vega", "theta_day_365", "rho", "vanna", "volga"]
show(table(greeks.loc[rows].round(4), caption="vega and rho per 1.00, theta per day"))

# %% Which volatility does a price imply?
strikes = np.linspace(0.6 * spot, 1.4 * spot, 33)
paid = models.options.price("call", spot, strikes, rate, sigma, years)
cent = models.options.implied_volatility("call", paid + 0.01, spot, strikes, rate, years)
implied = models.options.implied_volatility("call", paid, spot, strikes, rate, years)
lines = pd.DataFrame({"exact price": 100 * implied, "one cent more": 100 * cent}, index=strikes)
show(chart(lines, title="Implied volatility, %: far from the money a cent is worth many points", x_title="strike"))
