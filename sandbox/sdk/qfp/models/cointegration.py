"""Do two prices stay together, and how fast do they return to each other?

Dickey-Fuller test: Dickey and Fuller (1979), with lags Said and Dickey (1984). Cointegration: Engle and Granger,
Econometrica 55 (1987). Critical values: MacKinnon, "Critical values for cointegration tests", Queen's Economics
Department working paper 1227 (2010); p-values: MacKinnon, Journal of Business & Economic Statistics 12 (1994). The
values for one series must not be used for residuals: they reject too often.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr

__all__ = ["UnitRoot", "Cointegration", "adf", "engle_granger", "half_life", "zscore"]

LEVELS = (0.01, 0.05, 0.10)

# By number of series from 1: for 1 %, 5 %, 10 % the coefficients of 1, 1/T, 1/T^2, 1/T^3.
_CRITICAL: dict[str, list[list[tuple[float, ...]]]] = {
    "none": [[(-2.56574, -2.2358, -3.627, 0), (-1.941, -0.2686, -3.365, 31.223), (-1.61682, 0.2656, -2.714, 25.364)]],
    "constant": [
        [(-3.43035, -6.5393, -16.786, -79.433), (-2.86154, -2.8903, -4.234, -40.04), (-2.56677, -1.5384, -2.809, 0)],
        [(-3.89644, -10.9519, -33.527, 0), (-3.33613, -6.1101, -6.823, 0), (-3.04445, -4.2412, -2.72, 0)],
        [(-4.29374, -14.4354, -33.195, 47.433), (-3.74066, -8.5632, -10.852, 27.982), (-3.45218, -6.2143, -3.718, 0)],
        [(-4.64332, -18.1031, -37.972, 0), (-4.096, -11.2349, -11.175, 0), (-3.8102, -8.3931, -4.137, 0)],
    ],
    "trend": [
        [
            (-3.95877, -9.0531, -28.428, -134.155),
            (-3.41049, -4.3904, -9.036, -45.374),
            (-3.12705, -2.5856, -3.925, -22.38),
        ]
    ],
}
# Quadratic for statistics below the middle value, cubic above it; outside the range the p-value is 0 or 1.
_SMALL: dict[str, list[tuple[float, ...]]] = {
    "none": [(0.6344, 1.2378, 0.032496)],
    "constant": [
        (2.1659, 1.4412, 0.038269),
        (2.92, 1.5012, 0.039796),
        (3.4699, 1.4856, 0.03164),
        (3.9673, 1.4777, 0.026315),
    ],
    "trend": [(3.2512, 1.6047, 0.049588)],
}
_LARGE: dict[str, list[tuple[float, ...]]] = {
    "none": [(0.4797, 0.93557, -0.06999, 0.033066)],
    "constant": [
        (1.7339, 0.93202, -0.12745, -0.010368),
        (2.1945, 0.64695, -0.29198, -0.042377),
        (2.5893, 0.45168, -0.36529, -0.050074),
        (3.0387, 0.45452, -0.33666, -0.041921),
    ],
    "trend": [(2.5261, 0.61654, -0.37956, -0.060285)],
}
_RANGE = {  # lowest, middle, highest statistic
    "none": [(-19.04, -1.04, math.inf)],
    "constant": [(-18.83, -1.61, 2.74), (-18.86, -2.62, 0.92), (-23.48, -3.13, 0.55), (-28.07, -3.47, 0.61)],
    "trend": [(-16.18, -2.89, 0.7)],
}


@dataclass(frozen=True)
class UnitRoot:
    """statistic: very negative speaks against a unit root. p_value: of no reversion. critical: by level 0.01, 0.05,
    0.10. lags: used. observations: of the regression.
    """

    statistic: float
    p_value: float
    critical: dict[float, float]
    lags: int
    observations: int


def adf(series: Any, *, lags: int | None = None, terms: str = "constant") -> UnitRoot:
    """The augmented Dickey-Fuller test: does the series return to its mean?

    The t-value of g in `dx(t) = (c + b t) + g x(t-1) + sum d_i dx(t-i) + e`. terms: "none", "constant" or "trend".
    lags: how many differences; chosen by Akaike's criterion from 0 to `12 (n/100)^(1/4)` (Schwert 1989) when left out.
    """
    if terms not in _CRITICAL:
        raise ValueError(f'terms must be "none", "constant" or "trend", not {terms!r}')
    x = _series(series)
    statistic, used, observations = _dickey_fuller(x, lags, terms)
    return _judged(statistic, used, observations, observations, terms, 1)


@dataclass(frozen=True)
class Cointegration:
    """test: on the residuals, with MacKinnon's values for the number of series. hedge_ratio: units of x against one
    of y (an array for several). const: intercept. spread: `y - const - hedge_ratio x`.
    """

    test: UnitRoot
    hedge_ratio: Any
    const: float
    spread: np.ndarray

    @property
    def half_life(self) -> float:
        return half_life(self.spread)


def engle_granger(y: Any, x: Any, *, lags: int | None = None) -> Cointegration:
    """Is there a mix of y and x (one series, or up to three as columns) that returns to its mean?

    y is regressed on a constant and x; the residuals take the Dickey-Fuller test without a constant. The order
    matters in small samples: try it both ways. Usually on logarithms of prices. lags: as in `adf`.
    """
    first = _series(y)
    others = np.asarray(x, dtype=float)
    others = others[:, None] if others.ndim == 1 else others
    if others.shape[0] != len(first) or not np.isfinite(others).all():
        raise ValueError("y and x must have the same length and no missing values")
    if not 1 <= others.shape[1] <= 3:
        raise ValueError("x may hold one to three series")
    design = np.column_stack([np.ones(len(first)), others])
    coefficients = np.linalg.lstsq(design, first, rcond=None)[0]
    spread = first - design @ coefficients
    if spread.std() <= 1e-10 * max(1.0, first.std()):
        raise ValueError("y is x in other units: the residuals are only rounding")
    statistic, used, observations = _dickey_fuller(spread, lags, "none")
    test = _judged(statistic, used, observations, len(first) - 1, "constant", 1 + others.shape[1])
    ratios = coefficients[1:]
    return Cointegration(test, float(ratios[0]) if len(ratios) == 1 else ratios, float(coefficients[0]), spread)


def half_life(spread: Any) -> float:
    """Periods until half of a deviation is gone: `ln 0.5 / ln(1 + g)`, g from `ds(t) = c + g s(t-1) + e` (the
    Ornstein-Uhlenbeck process in discrete time). NaN where the series does not return (g >= 0 or <= -1).
    """
    s = _series(spread)
    design = np.column_stack([np.ones(len(s) - 1), s[:-1]])
    pull = float(np.linalg.lstsq(design, np.diff(s), rcond=None)[0][1])
    return math.log(0.5) / math.log1p(pull) if -1 < pull < 0 else math.nan


def zscore(spread: Any, window: int) -> np.ndarray:
    """How many sample deviations each value lies from the mean of the last window values, itself included; NaN before
    the window is full. Uses no later value.
    """
    s = _series(spread)
    if not 2 <= window <= len(s):
        raise ValueError("window must be from 2 to the number of values")
    parts = np.lib.stride_tricks.sliding_window_view(s, window)
    deviation = parts.std(axis=1, ddof=1)
    scores = np.full(len(s), np.nan)
    moved = deviation > 1e-12 * np.maximum(1.0, np.abs(parts).max(axis=1))
    scores[window - 1 :] = np.where(moved, (s[window - 1 :] - parts.mean(axis=1)) / np.where(moved, deviation, 1), 0.0)
    return scores


def _dickey_fuller(x: np.ndarray, lags: int | None, terms: str) -> tuple[float, int, int]:
    most = math.ceil(12 * (len(x) / 100) ** 0.25) if lags is None else lags
    if lags is None:
        most = max(0, min(most, len(x) // 2 - 4))
        fits = [_regression(x, count, terms, most) for count in range(most + 1)]
        lags = int(np.argmin([fit[1] for fit in fits]))
    if lags < 0 or len(x) - 1 - lags < lags + 4:
        raise ValueError(f"{len(x)} observations are too few for {lags} lags")
    statistic, _, observations = _regression(x, lags, terms, lags)
    return statistic, lags, observations


def _regression(x: np.ndarray, lags: int, terms: str, dropped: int) -> tuple[float, float, int]:
    """t-value, Akaike's criterion and number of observations, the first `dropped` differences left out."""
    change = np.diff(x)
    target = change[dropped:]
    columns = [x[dropped:-1]] + [change[dropped - lag : len(change) - lag] for lag in range(1, lags + 1)]
    if terms != "none":
        columns.append(np.ones(len(target)))
    if terms == "trend":
        columns.append(np.arange(1.0, len(target) + 1))
    design = np.column_stack(columns)
    coefficients, _, rank, _ = np.linalg.lstsq(design, target, rcond=None)
    if rank < design.shape[1]:
        raise ValueError("the series moves too little for the test")
    rest = target - design @ coefficients
    squares = float(rest @ rest)
    count, width = design.shape
    error = math.sqrt(squares / (count - width) * np.linalg.inv(design.T @ design)[0, 0])
    criterion = count * (math.log(2 * math.pi * squares / count) + 1) + 2 * width
    return float(coefficients[0]) / error, criterion, count


def _judged(statistic: float, lags: int, observations: int, size: int, terms: str, series: int) -> UnitRoot:
    powers = np.array([1.0, 1 / size, 1 / size**2, 1 / size**3])
    rows = _CRITICAL[terms][series - 1]
    critical = {level: float(powers @ row) for level, row in zip(LEVELS, rows, strict=True)}
    low, middle, high = _RANGE[terms][series - 1]
    if statistic > high:
        p_value = 1.0
    elif statistic < low:
        p_value = 0.0
    else:
        curve = (_SMALL if statistic <= middle else _LARGE)[terms][series - 1]
        p_value = float(ndtr(np.polynomial.polynomial.polyval(statistic, curve)))
    return UnitRoot(statistic, p_value, critical, lags, observations)


def _series(values: Any) -> np.ndarray:
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or len(x) < 10 or not np.isfinite(x).all():
        raise ValueError("a series must be one list of at least 10 values, none of them missing")
    return x
