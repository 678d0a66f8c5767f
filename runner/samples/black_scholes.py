"""Black-Scholes: the price of a European option and its Greeks.

Formula: Black & Scholes (1973), J. of Political Economy 81(3).
"""

import numpy as np
import pandas as pd
from qfp import chart, param, show, table
from scipy.stats import norm

spot = param("spot", 100.0, 50.0, 200.0, step=1.0, label="Share price")
strike = param("strike", 105.0, 50.0, 200.0, step=1.0, label="Strike")
years = param("years", 0.5, 0.05, 3.0, step=0.05, label="Years to expiry")
sigma = param("sigma", 0.25, 0.05, 1.0, step=0.01, label="Volatility a year")
rate = param("rate", 0.03, 0.0, 0.10, step=0.005, label="Interest rate a year")


# %% The formula
def d1_d2(s):
    d1 = (np.log(s / strike) + (rate + sigma**2 / 2) * years) / (sigma * np.sqrt(years))
    return d1, d1 - sigma * np.sqrt(years)


def call_price(s):
    d1, d2 = d1_d2(s)
    return s * norm.cdf(d1) - strike * np.exp(-rate * years) * norm.cdf(d2)


def put_price(s):
    return call_price(s) - s + strike * np.exp(-rate * years)


# %% Prices and Greeks
d1, d2 = d1_d2(spot)
decay = spot * norm.pdf(d1) * sigma / (2 * np.sqrt(years))
greeks = pd.DataFrame(
    {
        "call": [
            call_price(spot), norm.cdf(d1), norm.pdf(d1) / (spot * sigma * np.sqrt(years)),
            spot * norm.pdf(d1) * np.sqrt(years) / 100,
            (-decay - rate * strike * np.exp(-rate * years) * norm.cdf(d2)) / 365,
        ],
        "put": [
            put_price(spot), norm.cdf(d1) - 1, norm.pdf(d1) / (spot * sigma * np.sqrt(years)),
            spot * norm.pdf(d1) * np.sqrt(years) / 100,
            (-decay + rate * strike * np.exp(-rate * years) * norm.cdf(-d2)) / 365,
        ],
    },
    index=["price", "delta", "gamma", "vega per point", "theta per day"],
)
show(table(greeks.round(4), caption="One option on one share"))

# %% The price against the share price
prices = np.linspace(0.5 * strike, 1.5 * strike, 121)
curves = pd.DataFrame({"call": call_price(prices), "put": put_price(prices)}, index=prices)
show(chart(curves, title="Option price by share price"))
print(f"A call costs {call_price(spot):.4f}, a put {put_price(spot):.4f}.")
