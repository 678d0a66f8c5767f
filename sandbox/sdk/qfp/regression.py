"""How much of the returns is the market's, or a factor's? Least squares with errors that forgive what markets do.

Standard errors are those of Newey and West (1987): right although variances change and residuals follow each other.
Bartlett weights 1 - l / (L + 1), no small-sample correction, as statsmodels has it by default; p-values and intervals
are the normal distribution's. Returns and factors are fractions per period; where one is missing the period is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from qfp.metrics import normal
from qfp.metrics.series import NAN, PERIODS_PER_YEAR

__all__ = ["capm", "factor_model", "least_squares", "Regression", "Coefficient"]

CONFIDENCE = 0.95


class Coefficient(NamedTuple):
    """One coefficient. error: its Newey-West standard error. plain_error: the usual one. t: value / error.

    p: probability of one as far from 0 by chance. low, high: ends of the 95 % interval.
    """

    name: str
    value: float
    error: float
    plain_error: float

    @property
    def t(self) -> float:
        return self.value / self.error if self.error > 0 else NAN

    @property
    def p(self) -> float:
        return NAN if math.isnan(self.t) else 2 * normal.below(-abs(self.t))

    @property
    def low(self) -> float:
        return self.value - normal.quantile((1 + CONFIDENCE) / 2) * self.error

    @property
    def high(self) -> float:
        return self.value + normal.quantile((1 + CONFIDENCE) / 2) * self.error


@dataclass(frozen=True)
class Regression:
    """coefficients: "alpha" per period first, then one per factor. r_squared: share of the variance explained.

    observations: periods used. lags: how far back residuals were allowed to matter. residuals: what is left.
    Everything is NaN with fewer periods than coefficients, or factors that do not vary or repeat each other.
    """

    coefficients: tuple[Coefficient, ...]
    r_squared: float
    adjusted_r_squared: float
    observations: int
    lags: int
    periods_per_year: float
    residuals: np.ndarray = field(repr=False)

    def __getitem__(self, name: str) -> Coefficient:
        for coefficient in self.coefficients:
            if coefficient.name == name:
                return coefficient
        raise KeyError(f"{name}; there are {', '.join(each.name for each in self.coefficients)}")

    @property
    def annual_alpha(self) -> Coefficient:
        """Alpha a year: the one per period and its errors, times the periods of a year."""
        each, year = self.coefficients[0], self.periods_per_year
        return Coefficient("alpha", each.value * year, each.error * year, each.plain_error * year)

    @property
    def defined(self) -> bool:
        return not math.isnan(self.coefficients[0].value)


def capm(
    returns: Any,
    benchmark: Any,
    risk_free_rate: Any = 0.0,
    lags: int | None = None,
    periods_per_year: float = PERIODS_PER_YEAR,
) -> Regression:
    """Returns above the risk-free rate on the benchmark's: "alpha" and "beta".

    risk_free_rate: per period, one value or one per period. lags: by rule unless given, see least_squares().
    Source: Sharpe (1964), Jensen (1968).
    """
    free = np.asarray(risk_free_rate, dtype=np.float64)
    excess, market = np.asarray(returns, dtype=np.float64) - free, np.asarray(benchmark, dtype=np.float64) - free
    return least_squares(excess, market, ("beta",), lags, periods_per_year)


def factor_model(
    returns: Any,
    factors: Mapping[str, Any],
    risk_free_rate: Any = 0.0,
    lags: int | None = None,
    periods_per_year: float = PERIODS_PER_YEAR,
) -> Regression:
    """Returns above the risk-free rate on several factors at once, such as those of Fama and French.

    factors: by name, one series each over the same periods (a DataFrame will do), as fractions: French's tables are in
    percent, divide them by 100. The market factor is already above the risk-free rate. Source: Fama & French (1993).
    """
    names = tuple(str(name) for name in factors)
    matrix = np.column_stack([np.asarray(factors[name], dtype=np.float64) for name in factors])
    excess = np.asarray(returns, dtype=np.float64) - np.asarray(risk_free_rate, dtype=np.float64)
    return least_squares(excess, matrix, names, lags, periods_per_year)


def least_squares(
    values: Any,
    factors: Any,
    names: Sequence[str],
    lags: int | None = None,
    periods_per_year: float = PERIODS_PER_YEAR,
) -> Regression:
    """Ordinary least squares with a constant, called "alpha".

    factors: one column per name. lags: 0 leaves residuals that follow each other out of account; unless given,
    floor(4 (T / 100) ** (2 / 9)) (Newey & West 1994).
    """
    target, columns = np.asarray(values, dtype=np.float64), np.asarray(factors, dtype=np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if target.ndim != 1 or len(columns) != len(target) or columns.shape[1] != len(names):
        raise ValueError("one value per period, one row of factors per period and one name per factor are needed")
    known = np.isfinite(target) & np.isfinite(columns).all(axis=1)
    target, columns = target[known], columns[known]
    count, width = len(target), len(names) + 1
    reach = max(0, min(_usual_lags(count) if lags is None else lags, count - 1))
    design = np.column_stack([np.ones(count), columns])
    # Columns of one length, or a small factor would look like a repeated one.
    scale = np.sqrt((design**2).sum(axis=0))
    if count <= width or not (scale > 0).all() or np.linalg.matrix_rank(design / scale) < width:
        nothing = tuple(Coefficient(name, NAN, NAN, NAN) for name in ("alpha", *names))
        return Regression(nothing, NAN, NAN, count, reach, periods_per_year, np.full(count, NAN))
    q, r = np.linalg.qr(design / scale)
    inverse = np.linalg.inv(r) / scale[:, None]
    solution = inverse @ (q.T @ target)
    residuals = target - design @ solution
    bread = inverse @ inverse.T
    scores = design * residuals[:, None]
    meat = scores.T @ scores
    for lag in range(1, reach + 1):
        shifted = scores[lag:].T @ scores[:-lag]
        meat += (1 - lag / (reach + 1)) * (shifted + shifted.T)
    left = float(residuals @ residuals)
    errors = np.sqrt(np.maximum(np.diag(bread @ meat @ bread), 0.0))
    plain = np.sqrt(np.diag(bread) * left / (count - width))
    total = float(((target - target.mean()) ** 2).sum())
    explained = 1 - left / total if total > 0 else NAN
    return Regression(
        tuple(
            Coefficient(name, float(value), float(error), float(usual))
            for name, value, error, usual in zip(("alpha", *names), solution, errors, plain, strict=True)
        ),
        explained,
        1 - (1 - explained) * (count - 1) / (count - width),
        count,
        reach,
        periods_per_year,
        residuals,
    )


def _usual_lags(count: int) -> int:
    return math.floor(4 * (count / 100) ** (2 / 9)) if count else 0
