"""What is left of the returns beside a benchmark's? Beta, alpha, tracking error and captures.

returns, benchmark: simple returns of the same periods, fractions. Where either is missing the period is dropped.
risk_free_rate: per period, a fraction. A figure that is not defined is NaN: fewer than two periods, or a benchmark
that does not vary.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qfp.metrics.series import NAN, NOISE, PERIODS_PER_YEAR, pair, spread


def beta(returns: Any, benchmark: Any) -> float:
    """Covariance with the benchmark over the benchmark's variance."""
    return _beta(*pair(returns, benchmark))


def _beta(returns: np.ndarray, benchmark: np.ndarray) -> float:
    if not spread(benchmark) > 0:
        return NAN
    centred = benchmark - benchmark.mean()
    return float(centred @ (returns - returns.mean()) / (centred @ centred))


def correlation(returns: Any, benchmark: Any) -> float:
    """Correlation with the benchmark, -1 to 1. NaN also when the returns do not vary."""
    returns, benchmark = pair(returns, benchmark)
    if not (spread(returns) > 0 and spread(benchmark) > 0):
        return NAN
    one, two = returns - returns.mean(), benchmark - benchmark.mean()
    return float(np.clip(one @ two / math.sqrt(float(one @ one) * float(two @ two)), -1, 1))


def alpha(
    returns: Any,
    benchmark: Any,
    risk_free_rate: float = 0.0,
    periods_per_year: float = PERIODS_PER_YEAR,
    compound: bool = False,
) -> float:
    """Annual return that beta does not explain: periods * (mean(r - f) - beta * mean(b - f)), a fraction.

    compound: (1 + alpha of one period) ** periods - 1 instead. Source: Jensen (1968).
    """
    returns, benchmark = pair(returns, benchmark)
    slope = _beta(returns, benchmark)
    if math.isnan(slope):
        return NAN
    each = float((returns - risk_free_rate).mean()) - slope * float((benchmark - risk_free_rate).mean())
    if not compound:
        return each * periods_per_year
    exponent = math.log1p(each) * periods_per_year if each > -1 else -math.inf
    return math.expm1(exponent) if exponent < 700 else NAN


def treynor_ratio(
    returns: Any, benchmark: Any, risk_free_rate: float = 0.0, periods_per_year: float = PERIODS_PER_YEAR
) -> float:
    """Annualised mean excess return over beta. NaN also for a beta of 0. Source: Treynor (1965)."""
    returns, benchmark = pair(returns, benchmark)
    slope = _beta(returns, benchmark)
    if math.isnan(slope) or abs(slope) <= NOISE:
        return NAN
    return float((returns - risk_free_rate).mean()) * periods_per_year / slope


def tracking_error(returns: Any, benchmark: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Annualised sample deviation of the differences from the benchmark. NaN for fewer than two periods."""
    returns, benchmark = pair(returns, benchmark)
    return spread(returns - benchmark) * math.sqrt(periods_per_year)


def information_ratio(returns: Any, benchmark: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Annualised mean difference from the benchmark over the tracking error. NaN when the differences do not vary."""
    returns, benchmark = pair(returns, benchmark)
    deviation = spread(returns - benchmark)
    return float((returns - benchmark).mean()) / deviation * math.sqrt(periods_per_year) if deviation > 0 else NAN


def up_capture(returns: Any, benchmark: Any) -> float:
    """Mean return over the benchmark's, in the periods in which the benchmark rose. NaN when it never did."""
    returns, benchmark = pair(returns, benchmark)
    return _captured(returns, benchmark, benchmark > 0)


def down_capture(returns: Any, benchmark: Any) -> float:
    """Mean return over the benchmark's, in the periods in which the benchmark fell. NaN when it never did."""
    returns, benchmark = pair(returns, benchmark)
    return _captured(returns, benchmark, benchmark < 0)


def _captured(returns: np.ndarray, benchmark: np.ndarray, where: np.ndarray) -> float:
    found = float(returns[where].sum()) / float(benchmark[where].sum()) if where.any() else NAN
    return found if math.isfinite(found) else NAN
