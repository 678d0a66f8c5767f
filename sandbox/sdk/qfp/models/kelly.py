"""Which share of the capital makes it grow fastest?

Kelly, "A new interpretation of information rate", Bell System Technical Journal 35 (1956); for securities in
continuous time Thorp, "The Kelly criterion in blackjack, sports betting and the stock market" (2006). Shares are
fractions of the capital: 2.0 is all of it and as much borrowed at the risk-free rate. Estimates of the mean are so
uncertain that half of the share or less is usual: it keeps three quarters of the growth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Growth", "binary", "gaussian", "multivariate"]


@dataclass(frozen=True)
class Growth:
    """fraction: the share. growth: the rate of growth of the logarithm of capital with it; half_growth with half."""

    fraction: float
    growth: float
    half_growth: float


def binary(probability: float, odds: float) -> float:
    """The share to bet when a won bet pays odds times the stake and a lost one loses it: `p - (1 - p) / b`.
    Below 0 the bet should not be taken (or taken from the other side).
    """
    if not 0 <= probability <= 1 or odds <= 0:
        raise ValueError("probability must be from 0 to 1 and odds above 0")
    return probability - (1 - probability) / odds


def gaussian(mean: float, risk_free_rate: float, volatility: float) -> Growth:
    """One security with continuous trading, all a year: `f = (m - r) / v^2`, growth `r + f (m - r) - f^2 v^2 / 2`."""
    if volatility <= 0:
        raise ValueError("volatility must be above 0")
    excess = mean - risk_free_rate
    fraction = excess / volatility**2

    def growth(share: float) -> float:
        return risk_free_rate + share * excess - share**2 * volatility**2 / 2

    return Growth(fraction, growth(fraction), growth(fraction / 2))


def multivariate(means: Any, covariance: Any, risk_free_rate: float = 0.0) -> np.ndarray:
    """Several securities: `S^-1 (m - r)`, not limited in size or sign."""
    excess = np.asarray(means, dtype=float) - risk_free_rate
    return np.linalg.solve(np.asarray(covariance, dtype=float), excess)
