"""What is a European option worth, how does that change, and which volatility does a price imply?

The model is Black and Scholes (1973) with a continuous dividend yield (Merton 1973) and, for futures, Black (1976):
`d1 = (ln(S/K) + (r - q + v^2/2) T) / (v sqrt(T))`, `d2 = d1 - v sqrt(T)`. For a currency q is the foreign rate.
All arguments but kind may be arrays, which are broadcast; numbers give a float.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erfcx, ndtr

__all__ = ["price", "black76", "greeks", "implied_volatility", "parity_gap", "parity_price"]

_SQRT2 = np.sqrt(2.0)
_EPSILON = float(np.finfo(float).eps)


def price(kind: str, spot: Any, strike: Any, rate: Any, volatility: Any, years: Any, *, dividend: Any = 0.0) -> Any:
    """The price of a European call or put: `C = S exp(-q T) N(d1) - K exp(-r T) N(d2)`, the put by the same formula
    with all signs turned.

    kind: "call" or "put". spot, strike: above 0. rate, dividend, volatility: a year, as fractions. years: to expiry.
    At expiry or without volatility the price is the discounted payoff of the forward.
    """
    sign = sign_of(kind)
    spot, strike, rate, volatility, years, dividend = _market(spot, strike, rate, volatility, years, dividend)
    asset, cash = spot * np.exp(-dividend * years), strike * np.exp(-rate * years)
    deviation = volatility * np.sqrt(years)
    certain = deviation == 0
    safe = np.where(certain, 1.0, deviation)
    d1 = np.log(asset / cash) / safe + safe / 2
    value = sign * (asset * ndtr(sign * d1) - cash * ndtr(sign * (d1 - safe)))
    return _plain(np.where(certain, np.maximum(sign * (asset - cash), 0.0), np.maximum(value, 0.0)))


def black76(kind: str, forward: Any, strike: Any, rate: Any, volatility: Any, years: Any) -> Any:
    """The price of a European option on a futures or forward price F (Black 1976): `price` with q = r, S = F."""
    return price(kind, forward, strike, rate, volatility, years, dividend=rate)


def greeks(
    kind: str, spot: Any, strike: Any, rate: Any, volatility: Any, years: Any, *, dividend: Any = 0.0
) -> dict[str, Any]:
    """The price and its derivatives, a dictionary by name. years and volatility must be above 0.

    delta dV/dS, gamma d2V/dS2, speed d3V/dS3; vega dV/dv, volga d2V/dv2, ultima d3V/dv3; rho dV/dr and phi dV/dq:
      per 1.00, so divide by 100 for one point of volatility or of the rate.
    vanna d delta/dv, zomma d gamma/dv.
    theta -dV/dT, charm -d delta/dT, color -d gamma/dT: with time passing, per year; theta_day_365 is theta / 365.
    dual_delta dV/dK, dual_gamma d2V/dK2. elasticity: delta S/V, in percent per percent.
    prob_itm: the risk-neutral probability to end in the money, N(d2) for a call.
    Source: Haug, The Complete Guide to Option Pricing Formulas (2007), chapter 2.
    """
    sign = sign_of(kind)
    spot, strike, rate, volatility, years, dividend = _market(spot, strike, rate, volatility, years, dividend)
    if np.any(years <= 0) or np.any(volatility <= 0):
        raise ValueError("greeks need a time to expiry and a volatility above 0: at expiry the price has a kink")
    root = np.sqrt(years)
    deviation = volatility * root
    carry, discount = np.exp(-dividend * years), np.exp(-rate * years)
    d1 = (np.log(spot / strike) + (rate - dividend + volatility**2 / 2) * years) / deviation
    d2 = d1 - deviation
    density = np.exp(-(d1**2) / 2) / np.sqrt(2 * np.pi)
    asset_share, cash_share = ndtr(sign * d1), ndtr(sign * d2)
    value = sign * (spot * carry * asset_share - strike * discount * cash_share)
    delta = sign * carry * asset_share
    gamma = carry * density / (spot * deviation)
    vega = spot * carry * density * root
    d1_by_years = (rate - dividend + volatility**2 / 2) / deviation - d1 / (2 * years)
    theta = (
        -spot * carry * density * volatility / (2 * root)
        - sign * rate * strike * discount * cash_share
        + sign * dividend * spot * carry * asset_share
    )
    figures = {
        "price": value,
        "delta": delta,
        "gamma": gamma,
        "vega": vega,
        "theta": theta,
        "theta_day_365": theta / 365,
        "rho": sign * strike * years * discount * cash_share,
        "phi": -sign * spot * years * carry * asset_share,
        "elasticity": delta * spot / np.where(value > 0, value, np.nan),
        "dual_delta": -sign * discount * cash_share,
        "dual_gamma": gamma * (spot / strike) ** 2,  # V is homogeneous of degree 1 in S and K
        "vanna": -carry * density * d2 / volatility,
        "volga": vega * d1 * d2 / volatility,
        "charm": dividend * delta - carry * density * d1_by_years,
        "speed": -gamma / spot * (d1 / deviation + 1),
        "zomma": gamma * (d1 * d2 - 1) / volatility,
        "color": gamma * (dividend + d1 * d1_by_years + 1 / (2 * years)),
        "ultima": -vega / volatility**2 * (d1 * d2 * (1 - d1 * d2) + d1**2 + d2**2),
        "prob_itm": cash_share,
    }
    return {name: _plain(figure) for name, figure in figures.items()}


def parity_gap(call: Any, put: Any, spot: Any, strike: Any, rate: Any, years: Any, *, dividend: Any = 0.0) -> Any:
    """`C - P - (S exp(-q T) - K exp(-r T))`: 0 where call and put agree, else what the trade against it earns."""
    spot, strike, rate, _, years, dividend = _market(spot, strike, rate, 0.0, years, dividend)
    return _plain(np.asarray(call) - put - (spot * np.exp(-dividend * years) - strike * np.exp(-rate * years)))


def parity_price(known: str, price: Any, spot: Any, strike: Any, rate: Any, years: Any, *, dividend: Any = 0.0) -> Any:
    """The price of the other option of a pair by put-call parity. known: the kind that price belongs to."""
    sign = sign_of(known)
    spot, strike, rate, _, years, dividend = _market(spot, strike, rate, 0.0, years, dividend)
    return _plain(np.asarray(price) - sign * (spot * np.exp(-dividend * years) - strike * np.exp(-rate * years)))


def implied_volatility(
    kind: str, price: Any, spot: Any, strike: Any, rate: Any, years: Any, *, dividend: Any = 0.0
) -> Any:
    """The volatility at which the model gives this price, to about 1e-12 of itself wherever the price determines it.

    The time value is inverted, which is the price of the out-of-the-money option of the pair, so prices far from
    the money keep their digits; Newton steps on its logarithm (above half of the maximum, on that of the distance
    to it), kept within a bracket. There is no upper limit such as 300 %.

    Raises ValueError for an expired option, a price at or below the intrinsic value (then no volatility is low
    enough) or at or above the maximum (S exp(-q T) for a call, K exp(-r T) for a put; none is high enough). An
    element of an array is NaN instead.
    """
    sign = sign_of(kind)
    arrays = np.broadcast_arrays(np.asarray(price, float), *_market(spot, strike, rate, 0.0, years, dividend))
    price, spot, strike, rate, _, years, dividend = arrays
    asset, cash = spot * np.exp(-dividend * years), strike * np.exp(-rate * years)
    intrinsic = np.maximum(sign * (asset - cash), 0.0)
    maximum = asset if sign > 0 else cash
    # In the money, the time value is a difference of large numbers; below its rounding there is none.
    rounding = np.where(intrinsic > 0, 4 * _EPSILON * np.maximum(asset, cash), 0.0)
    time_value = price - intrinsic
    expired, low, high = years <= 0, ~(time_value > rounding), price >= maximum
    if arrays[0].ndim == 0:
        if expired:
            raise ValueError("the option has expired: its price says nothing about volatility")
        if low:
            raise ValueError(f"a price of {float(price):g} is not above the intrinsic value {float(intrinsic):g}")
        if high:
            raise ValueError(f"a price of {float(price):g} is not below the maximum {float(maximum):g}")
    usable = ~(expired | low | high)
    moneyness = -np.abs(np.log(asset / cash))
    scale = np.sqrt(asset * cash)
    target = np.where(usable, time_value / scale, np.exp(moneyness / 2) / 2)
    deviation = _deviation(np.atleast_1d(moneyness), np.atleast_1d(target)).reshape(target.shape)
    return _plain(np.where(usable, deviation / np.sqrt(np.where(usable, years, 1.0)), np.nan))


def _deviation(x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """s such that the normalised call `b(x, s) = exp(x/2) N(x/s + s/2) - exp(-x/2) N(x/s - s/2)` is target, x <= 0."""
    upper = target > np.exp(x / 2) / 2
    low, high = np.full_like(x, -25.0), np.full_like(x, 6.0)  # bounds of ln s
    guess = np.log(np.clip(np.sqrt(2 * np.abs(x)), 0.05, 5.0))
    with np.errstate(all="ignore"):
        goal = np.where(upper, -np.log(np.exp(x / 2) - target), np.log(target))
        for _ in range(200):
            s = np.exp(guess)
            h, t = x / s, s / 2
            value = _normalised_call(h, t)
            rest = np.exp(x / 2) * ndtr(-h - t) + np.exp(-x / 2) * ndtr(h - t)
            density = np.exp(-(h**2 + t**2) / 2) / np.sqrt(2 * np.pi)
            error = np.where(upper, -np.log(rest), np.log(value)) - goal
            low, high = np.where(error < 0, guess, low), np.where(error < 0, high, guess)
            step = error / (s * density / np.where(upper, rest, value))
            following = guess - step
            following = np.where((following > low) & (following < high), following, (low + high) / 2)
            moved = np.abs(following - guess)
            guess = following
            if np.all((moved < 4 * _EPSILON) | (high - low < 4 * _EPSILON)):
                break
    return np.exp(guess)


def _normalised_call(h: np.ndarray, t: np.ndarray) -> np.ndarray:
    """b by the scaled complementary error function where both tails are small, so their difference keeps its digits."""
    tails = erfcx(-(h + t) / _SQRT2) - erfcx(-(h - t) / _SQRT2)
    far = 0.5 * np.exp(-(h**2 + t**2) / 2) * tails
    near = np.exp(h * t) * ndtr(h + t) - np.exp(-h * t) * ndtr(h - t)
    return np.where(h + t < 1, far, near)


def sign_of(kind: str) -> int:
    """1 for a call, -1 for a put."""
    if kind not in ("call", "put"):
        raise ValueError(f'kind must be "call" or "put", not {kind!r}')
    return 1 if kind == "call" else -1


def _market(*values: Any) -> list[np.ndarray]:
    """spot, strike, rate, volatility, years and dividend as arrays of floats, checked."""
    names = ("spot", "strike", "rate", "volatility", "years", "dividend")
    arrays = [np.asarray(value, dtype=float) for value in values]
    for name, array in zip(names, arrays, strict=True):
        if not np.all(np.isfinite(array)):
            raise ValueError(f"{name} must be a finite number")
        if name in ("spot", "strike") and np.any(array <= 0):
            raise ValueError(f"{name} must be above 0")
        if name in ("volatility", "years") and np.any(array < 0):
            raise ValueError(f"{name} must not be below 0")
    return arrays


def _plain(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value
