"""What is a series of figures here? One dimension, missing values dropped, infinite ones refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

PERIODS_PER_YEAR = 252
NAN = float("nan")
# Constant returns leave a deviation of about 1e-19, and 1e-16 when they were computed from equity:
# rounding, no variation.
NOISE = 1e-12


def series(values: Any, name: str = "returns") -> np.ndarray:
    """The values as an array of floats without the missing ones (NaN).

    Raises ValueError for more than one dimension, and for infinite values: they would poison every figure silently.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, not of shape {array.shape}")
    if np.isfinite(array).all():
        return array
    if np.isinf(array).any():
        raise ValueError(f"{name} must not hold infinite values; look for a division by zero")
    return array[~np.isnan(array)]


def pair(first: Any, second: Any, names: tuple[str, str] = ("returns", "benchmark")) -> tuple[np.ndarray, np.ndarray]:
    """Two series of one length; where either is missing, both are dropped."""
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError(f"{names[0]} and {names[1]} must have one value per period each")
    if np.isfinite(one).all() and np.isfinite(two).all():
        return one, two
    both = ~(np.isnan(one) | np.isnan(two))
    return series(one[both], names[0]), series(two[both], names[1])


def spread(values: np.ndarray) -> float:
    """Sample standard deviation (ddof=1); NaN for fewer than two values, exactly 0 where only rounding is left."""
    if len(values) < 2:
        return NAN
    deviation = float(values.std(ddof=1))
    return 0.0 if deviation <= NOISE * max(1.0, float(np.abs(values).max(initial=0.0))) else deviation


def median(values: Any) -> float:
    """The middle one, or the mean of the two in the middle. NaN for none."""
    return quantile(values, 0.5)


def quantile(values: Any, share: float) -> float:
    """Between the two values nearest to this share of the way, in proportion; NaN for none and where one is missing.

    Numpy's quantile() to the last digit, which loads masked arrays: a tenth of the time of a short process.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if not len(ordered) or math.isnan(ordered[-1]):
        return NAN
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    low, high = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
    part = place - below
    # From the nearer end, so that rounding keeps it between the two.
    return high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part


def ratio(above: float, below: float) -> float:
    """above / below; NaN where below is not positive or the result is too large for a float."""
    found = above / below if below > 0 else NAN
    return found if math.isfinite(found) else NAN


def shape(values: np.ndarray) -> tuple[float, float]:
    """Third and fourth standardised moment of the population. NaN for fewer than two values or no variation."""
    if not spread(values) > 0:
        return NAN, NAN
    centred = values - values.mean()
    squares = centred * centred
    variance = float(squares.mean())
    return float((squares * centred).mean()) / variance**1.5, float((squares * squares).mean()) / variance**2
