"""What is an option on an average price worth?

Fixings lie at i T/n, i = 1 ... n: the price at the start is not averaged. The continuous average is their limit. The
geometric mean has closed formulas (Kemna and Vorst 1990; discrete: `qfp.montecarlo.geometric_asian`), the arithmetic
mean an exact numerical one for discrete fixings, and a lower bound and an approximation for the continuous average.
Units as in `qfp.models`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from qfp.models.options import price, sign_of
from qfp.montecarlo import geometric_asian as geometric

__all__ = ["geometric", "geometric_continuous", "arithmetic", "arithmetic_lower_bound", "arithmetic_levy"]

_NODES_PER_DEVIATION = 2.5  # the trapezoidal rule on a normal density is then exact to about 1e-12
_REACH = 9.0  # standard deviations of the density kept on either side


def geometric_continuous(
    kind: str, spot: float, strike: float, rate: float, volatility: float, years: float, *, dividend: float = 0.0
) -> float:
    """The exact price with the geometric mean over all of the life (Kemna and Vorst 1990): Black-Scholes with the
    volatility `v / sqrt(3)` and the cost of carry `(r - q - v^2/6) / 2`.
    """
    carry = (rate - dividend - volatility**2 / 6) / 2
    return float(price(kind, spot, strike, rate, volatility / math.sqrt(3), years, dividend=rate - carry))


def arithmetic(
    kind: str,
    spot: float,
    strike: float,
    rate: float,
    volatility: float,
    years: float,
    *,
    steps: int = 252,
    dividend: float = 0.0,
) -> float:
    """The price with the arithmetic mean of n = steps fixings, without simulation, to about 1e-8 of the spot.

    With x_k the move of the log price up to fixing k, the mean is `S/n exp(B_1)`, `B_k = x_k + ln(1 + exp(B_{k+1}))`
    from `B_n = x_n`: each density follows from the one before by an integral against a normal density (Carverhill and
    Clewlow, "Flexible convolution", Risk 3, 1990). The last step has a closed form. steps: up to 400.
    """
    sign_of(kind)
    if not 1 <= steps <= 400:
        raise ValueError("steps must be a whole number from 1 to 400")
    if not (volatility > 0 and years > 0):
        raise ValueError("an average needs a volatility and a time to expiry above 0")
    step = years / steps
    width = volatility * math.sqrt(step)
    drift = (rate - dividend - volatility**2 / 2) * step
    tail_rate = rate * (years - step)  # discounts from the first fixing on

    def first_step(factor: Any) -> Any:
        return price(kind, spot * factor / steps, strike, rate, volatility, step, dividend=dividend)

    if steps == 1:
        return float(first_step(1.0))
    b, mass = _grid(drift, width, width)
    density = _normal_density(b, drift, width)
    for _ in range(steps - 2):
        shifted = np.logaddexp(0.0, b)
        probability = density * mass
        mean = float(probability @ shifted)
        deviation = math.sqrt(max(0.0, float(probability @ (shifted - mean) ** 2)) + width**2)
        following, following_mass = _grid(mean + drift, deviation, width)
        density = _normal_density(following[:, None], shifted[None, :] + drift, width) @ probability
        b, mass = following, following_mass
    return math.exp(-tail_rate) * float((density * mass) @ first_step(1.0 + np.exp(b)))


def arithmetic_lower_bound(
    kind: str, spot: float, strike: float, rate: float, volatility: float, years: float, *, dividend: float = 0.0
) -> float:
    """A lower bound of the price with the continuous arithmetic mean, usually within 0.1 % of it: the mean is replaced
    by its expectation given the integral of the Brownian motion (Rogers and Shi, "The value of an Asian option",
    Journal of Applied Probability 32, 1995).
    """
    sign = sign_of(kind)
    if not (volatility > 0 and years > 0):
        raise ValueError("an average needs a volatility and a time to expiry above 0")
    nodes, weights = np.polynomial.legendre.leggauss(64)
    t, weight = years * (nodes + 1) / 2, weights / 2
    variance = years**3 / 3
    covariance = t * years - t**2 / 2  # of W(t) with the integral of W
    carry = rate - dividend

    def mean_given(z: float) -> float:
        exponent = (carry - volatility**2 / 2) * t + volatility * covariance * z / variance
        return float(weight @ (spot * np.exp(exponent + volatility**2 / 2 * (t - covariance**2 / variance))))

    reach = 40 * math.sqrt(variance)
    edge = brentq(lambda z: mean_given(z) - strike, -reach, reach, xtol=1e-14 * reach)
    inside = sign * (volatility * covariance - edge) / math.sqrt(variance)
    asset = float(weight @ (spot * np.exp(carry * t) * ndtr(inside)))
    cash = strike * float(ndtr(-sign * edge / math.sqrt(variance)))
    return sign * math.exp(-rate * years) * (asset - cash)


def arithmetic_levy(
    kind: str, spot: float, strike: float, rate: float, volatility: float, years: float, *, dividend: float = 0.0
) -> float:
    """An approximation for the continuous arithmetic mean: a lognormal variable with its first two moments (Levy,
    "Pricing European average rate currency options", J. of International Money and Finance 11, 1992). Too high by
    some percent at large `v sqrt(T)`; it is no bound.
    """
    sign_of(kind)
    carry = rate - dividend
    first = spot * _mean_growth(carry * years)
    # E[A^2] = 2 S^2 int int_{s<t} exp(b (s + t) + v^2 s) / T^2, over the triangle.
    nodes, weights = np.polynomial.legendre.leggauss(32)
    s, weight = (nodes + 1) / 2, weights / 2
    inner = (1 - s) * np.array([_mean_growth(carry * years * (1 - part)) for part in s])
    second = 2 * spot**2 * float(weight @ (np.exp((2 * carry + volatility**2) * years * s) * inner))
    deviation = math.sqrt(max(0.0, math.log(second / first**2)))
    return float(price(kind, first, strike, rate, deviation / math.sqrt(years), years, dividend=rate))


def _mean_growth(x: float) -> float:
    """The mean of exp(x u) over u from 0 to 1."""
    return math.expm1(x) / x if x else 1.0


def _grid(center: float, deviation: float, width: float) -> tuple[np.ndarray, float]:
    spacing = width / _NODES_PER_DEVIATION
    count = math.ceil(_REACH * deviation / spacing)
    return center + spacing * np.arange(-count, count + 1), spacing


def _normal_density(x: Any, mean: Any, deviation: float) -> np.ndarray:
    return np.exp(-(((x - mean) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
