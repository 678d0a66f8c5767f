"""How sure is a Sharpe ratio? Its standard error, the probability that the true one is above a bar, and how long a
record that needs.

Functions with `sharpe` take a ratio per period, its number of observations, skewness and raw kurtosis (3 for a normal
distribution); the others take the returns. Source: Bailey & Lopez de Prado (2012), J. of Risk 15(2).
"""

from __future__ import annotations

import math
from typing import Any

from qfp.metrics import normal
from qfp.metrics.returns import sharpe_ratio
from qfp.metrics.series import NAN, PERIODS_PER_YEAR, series, shape


def sharpe_error(sharpe: float, observations: float, skewness: float = 0.0, kurtosis: float = 3.0) -> float:
    """Standard error of a Sharpe ratio per period: sqrt((1 - g3 S + (g4 - 1)/4 S^2) / (T - 1)).

    NaN for fewer than two observations or a ratio that is not defined.
    """
    if observations < 2 or math.isnan(sharpe):
        return NAN
    return math.sqrt(_variance(sharpe, skewness, kurtosis) / (observations - 1))


def _variance(sharpe: float, skewness: float, kurtosis: float) -> float:
    return max(0.0, 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2)


def probability_above(
    sharpe: float, observations: float, skewness: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0
) -> float:
    """Probability that the true Sharpe ratio per period is above benchmark: Phi((S - S*) / standard error)."""
    error = sharpe_error(sharpe, observations, skewness, kurtosis)
    return normal.below((sharpe - benchmark) / error) if error > 0 else NAN


def observations_needed(
    sharpe: float,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
    benchmark: float = 0.0,
    confidence: float = 0.95,
) -> float:
    """How many periods it takes to be this confident that the true Sharpe ratio is above benchmark, both per period.

    1 + (1 - g3 S + (g4 - 1)/4 S^2) * (z / (S - S*))^2. NaN when S is not above S*: no length would do.
    """
    excess = sharpe - benchmark
    if math.isnan(sharpe) or excess <= 0:
        return NAN
    found = 1 + _variance(sharpe, skewness, kurtosis) * (normal.quantile(confidence) / excess) ** 2
    return found if math.isfinite(found) else NAN


def sharpe_lower_bound(
    sharpe: float, observations: float, skewness: float = 0.0, kurtosis: float = 3.0, confidence: float = 0.95
) -> float:
    """The Sharpe ratio per period that the true one is above with this confidence: S - z * standard error."""
    return sharpe - normal.quantile(confidence) * sharpe_error(sharpe, observations, skewness, kurtosis)


def sharpe_moments(returns: Any) -> tuple[float, int, float, float]:
    """(Sharpe ratio per period, observations, skewness, kurtosis): what the functions above take, in their order."""
    returns = series(returns)
    return sharpe_ratio(returns, periods_per_year=1), len(returns), *shape(returns)


def sharpe_standard_error(returns: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Standard error of the annualised Sharpe ratio, allowing for skew and fat tails. NaN where the ratio is."""
    return sharpe_error(*sharpe_moments(returns)) * math.sqrt(periods_per_year)


def probabilistic_sharpe_ratio(
    returns: Any, benchmark_sharpe: float = 0.0, periods_per_year: float = PERIODS_PER_YEAR
) -> float:
    """Probability that the true Sharpe ratio is above benchmark_sharpe (annualised), between 0 and 1.

    NaN where the Sharpe ratio is.
    """
    return probability_above(*sharpe_moments(returns), benchmark=benchmark_sharpe / math.sqrt(periods_per_year))


def minimum_track_record(
    returns: Any,
    benchmark_sharpe: float = 0.0,
    confidence: float = 0.95,
    periods_per_year: float = PERIODS_PER_YEAR,
) -> float:
    """How many periods are needed to be this confident that the true Sharpe ratio is above benchmark_sharpe.

    benchmark_sharpe: annualised. NaN where the Sharpe ratio is, or when it is not above the benchmark.
    """
    sharpe, _, skew, kurt = sharpe_moments(returns)
    return observations_needed(sharpe, skew, kurt, benchmark_sharpe / math.sqrt(periods_per_year), confidence)
