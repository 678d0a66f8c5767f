"""What a return series and a list of trades amount to: every figure with its formula, unit and edge cases.

Conventions of this package
- returns: simple returns per period as fractions (0.01 is 1 %), oldest first. Missing values (NaN) are dropped before
  anything else, with a benchmark pair by pair.
- equity: account value per bar in currency, oldest first; the first value is the start value.
- periods_per_year: 252 for daily bars of exchanges that close; periods_per_year(dates) reads it off the bars.
- A figure that is not defined (too few observations, no variation, no loss to divide by) is NaN, never an exception and
  never infinite. Infinite values are refused with ValueError: they would poison every figure silently.
"""

from __future__ import annotations

from qfp.metrics.frequency import Frequency, frequency_of, periods_per_year
from qfp.metrics.relative import (
    alpha,
    beta,
    correlation,
    down_capture,
    information_ratio,
    tracking_error,
    treynor_ratio,
    up_capture,
)
from qfp.metrics.returns import (
    best_return,
    cagr,
    calendar_growth,
    downside_deviation,
    expected_shortfall,
    gain_to_pain,
    geometric_sharpe_ratio,
    kurtosis,
    omega_ratio,
    positive_share,
    returns_of,
    sharpe_ratio,
    skewness,
    sortino_ratio,
    tail_ratio,
    total_return,
    value_at_risk,
    volatility,
    worst_return,
)
from qfp.metrics.series import PERIODS_PER_YEAR
from qfp.metrics.sharpe import minimum_track_record, probabilistic_sharpe_ratio, sharpe_standard_error
from qfp.metrics.summarising import summary
from qfp.metrics.trading import (
    average_holding,
    average_trade,
    excursions,
    expectancy,
    exposure,
    exposure_series,
    kelly_fraction,
    longest_losing_streak,
    payoff_ratio,
    profit_factor,
    system_quality,
    turnover,
    win_rate,
)
from qfp.metrics.underwater import (
    average_drawdown,
    calmar_ratio,
    drawdown_details,
    drawdowns,
    falls,
    longest_drawdown,
    martin_ratio,
    max_drawdown,
    time_under_water,
    ulcer_index,
)

__all__ = [
    "PERIODS_PER_YEAR", "returns_of", "total_return", "cagr", "calendar_growth", "volatility", "downside_deviation",
    "sharpe_ratio", "geometric_sharpe_ratio", "sortino_ratio", "omega_ratio", "gain_to_pain", "skewness", "kurtosis",
    "value_at_risk", "expected_shortfall", "tail_ratio", "best_return", "worst_return", "positive_share",
    "drawdowns", "falls", "max_drawdown", "drawdown_details", "average_drawdown", "longest_drawdown",
    "time_under_water", "calmar_ratio", "martin_ratio", "ulcer_index",
    "sharpe_standard_error", "probabilistic_sharpe_ratio", "minimum_track_record",
    "beta", "alpha", "correlation", "tracking_error", "information_ratio", "treynor_ratio", "up_capture",
    "down_capture",
    "exposure", "exposure_series", "turnover", "win_rate", "profit_factor", "payoff_ratio", "expectancy",
    "average_trade", "average_holding", "longest_losing_streak", "system_quality", "kelly_fraction", "excursions",
    "Frequency", "frequency_of", "periods_per_year", "summary",
]  # fmt: skip
