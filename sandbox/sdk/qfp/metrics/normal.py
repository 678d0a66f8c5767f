"""Where does a normal number lie? The standard normal distribution and its quantiles, to the digits of `statistics`."""

from __future__ import annotations

import math

__all__ = ["below", "quantile"]

# What reports ask for; loading `statistics` would take longer than all figures of one.
KNOWN = {0.95: 1.6448536269514715, 0.975: 1.9599639845400536}


def below(x: float) -> float:
    """The probability of a number below x."""
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2)))


def quantile(probability: float) -> float:
    """The x with this probability below it."""
    if probability in KNOWN:
        return KNOWN[probability]
    from statistics import NormalDist

    return NormalDist().inv_cdf(probability)
