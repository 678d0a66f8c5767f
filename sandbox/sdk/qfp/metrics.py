"""What a return series and a list of trades amount to: every figure with its formula, unit and edge cases.

Conventions of this module
- returns: simple returns per period as fractions (0.01 is 1 %), oldest first, no missing values.
- equity: account value per bar in currency, oldest first; the first value is the start value.
- periods_per_year: 252 for daily bars of exchanges that close.
- A figure that is not defined (too few observations, no variation, no loss to divide by) is NaN, never an
  exception and never infinite. Values that are not finite are refused with ValueError: they would poison
  every figure silently.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

PERIODS_PER_YEAR = 252
NAN = float("nan")
_NORMAL = NormalDist()
# Constant returns leave a deviation of about 1e-19, and 1e-16 when they were computed from equity:
# rounding, no variation.
_NOISE = 1e-12

__all__ = [
    "returns_of", "total_return", "cagr", "volatility", "downside_deviation", "sharpe_ratio", "sortino_ratio",
    "calmar_ratio", "drawdowns", "max_drawdown", "drawdown_details", "ulcer_index", "skewness", "kurtosis",
    "value_at_risk", "expected_shortfall", "best_return", "worst_return", "positive_share", "sharpe_standard_error",
    "probabilistic_sharpe_ratio", "minimum_track_record", "exposure", "turnover", "win_rate", "profit_factor",
    "average_trade", "expectancy", "payoff_ratio", "summary",
]  # fmt: skip


def _array(values: Any, name: str = "returns") -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, not of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must not hold missing or infinite values; drop them first")
    return array


def _spread(values: np.ndarray) -> float:
    """Sample standard deviation (ddof=1); NaN for fewer than two values, exactly 0 where only rounding is
    left.
    """
    if len(values) < 2:
        return NAN
    deviation = float(values.std(ddof=1))
    return 0.0 if deviation <= _NOISE * max(1.0, float(np.abs(values).max(initial=0.0))) else deviation


def returns_of(equity: Any) -> np.ndarray:
    """Simple returns from bar to bar; one value fewer than equity. After a value of 0 or less the return
    is 0.
    """
    equity = _array(equity, "equity")
    before, after = equity[:-1], equity[1:]
    alive = before > 0
    return np.divide(after - before, before, out=np.zeros_like(after), where=alive)


def total_return(equity: Any) -> float:
    """Last value over first value minus 1, a fraction. NaN for no bars or a start value of 0 or less."""
    equity = _array(equity, "equity")
    return float(equity[-1] / equity[0] - 1) if len(equity) and equity[0] > 0 else NAN


def cagr(equity: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Compound annual growth rate: (last / first) ** (periods_per_year / periods) - 1, a fraction.

    Periods are counted, not guessed from the calendar. -1 once the account is worth nothing. NaN for
    fewer than 2 bars.
    """
    equity = _array(equity, "equity")
    if len(equity) < 2 or equity[0] <= 0:
        return NAN
    growth = equity[-1] / equity[0]
    if growth <= 0:
        return -1.0
    exponent = math.log(growth) * periods_per_year / (len(equity) - 1)
    return math.expm1(exponent) if exponent < 700 else NAN


def volatility(returns: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Annualised standard deviation: sample deviation (ddof=1) times sqrt(periods_per_year), a fraction.

    NaN for fewer than two returns, 0 for returns that do not vary.
    """
    return _spread(_array(returns)) * math.sqrt(periods_per_year)


def downside_deviation(returns: Any, target: float = 0.0, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Annualised root mean square of the shortfalls below target, over all observations (Sortino & Price
    1994).

    target: per period, a fraction. NaN for no returns.
    """
    returns = _array(returns)
    if not len(returns):
        return NAN
    return math.sqrt(float(np.mean(np.minimum(returns - target, 0.0) ** 2)) * periods_per_year)


def sharpe_ratio(returns: Any, risk_free_rate: float = 0.0, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Annualised Sharpe ratio: sqrt(periods_per_year) * mean / sample deviation of the excess returns.

    risk_free_rate: per period, as a fraction, same frequency as returns. Arithmetic mean, ddof=1.
    NaN for fewer than two returns or no variation. Source: Sharpe (1994), J. Portfolio Management 21(1).
    Agrees with empyrical; backtesting.py uses the geometric mean and differs.
    """
    excess = _array(returns) - risk_free_rate
    deviation = _spread(excess)
    return float(excess.mean()) / deviation * math.sqrt(periods_per_year) if deviation > 0 else NAN


def sortino_ratio(returns: Any, target: float = 0.0, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Annualised mean excess over target divided by the annualised downside deviation.

    target: per period, a fraction. NaN for no returns or when none is below target.
    Source: Sortino & Price (1994), J. of Investing 3(3); all observations are in the root.
    """
    returns = _array(returns)
    downside = downside_deviation(returns, target, periods_per_year)
    return float(returns.mean() - target) * periods_per_year / downside if downside > 0 else NAN


def drawdowns(equity: Any) -> np.ndarray:
    """How far each bar is below the highest value so far, as fractions <= 0; the start value counts as a
    peak.
    """
    equity = _array(equity, "equity")
    peak = np.maximum.accumulate(equity) if len(equity) else equity
    return np.divide(equity - peak, peak, out=np.zeros_like(equity), where=peak > 0)


def max_drawdown(equity: Any) -> float:
    """The deepest drawdown, a fraction <= 0 (-0.25 is 25 % below the peak). 0 when it never fell; NaN for
    no bars.
    """
    below = drawdowns(equity)
    return float(below.min()) if len(below) else NAN


def drawdown_details(equity: Any) -> dict[str, int | float | None]:
    """The deepest drawdown with its bars: depth (fraction), start (the peak), trough and recovery as
    positions.

    recovery is None when the peak has not been reached again. All None for no bars or no fall.
    """
    equity = _array(equity, "equity")
    below = drawdowns(equity)
    if not len(below) or below.min() == 0:
        return {"depth": 0.0 if len(below) else NAN, "start": None, "trough": None, "recovery": None}
    trough = int(below.argmin())
    start = int(equity[: trough + 1].argmax())
    later = np.flatnonzero(equity[trough:] >= equity[start])
    recovery = trough + int(later[0]) if len(later) else None
    return {"depth": float(below[trough]), "start": start, "trough": trough, "recovery": recovery}


def calmar_ratio(equity: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """CAGR over the depth of the deepest drawdown, both over the whole window. NaN when it never fell.

    Source: Young (1991), Futures 20(1), who used 36 months; the window here is the one given.
    """
    depth = max_drawdown(equity)
    return cagr(equity, periods_per_year) / -depth if depth < 0 else NAN


def ulcer_index(equity: Any) -> float:
    """Root mean square of the drawdowns, a fraction >= 0. NaN for no bars. Source: Martin & McCann (1989)."""
    below = drawdowns(equity)
    return math.sqrt(float(np.mean(below**2))) if len(below) else NAN


def skewness(returns: Any) -> float:
    """Third standardised moment of the population (no bias correction). NaN for fewer than two or no
    variation.
    """
    return _moment(_array(returns), 3)


def kurtosis(returns: Any) -> float:
    """Fourth standardised moment, raw: 3 for a normal distribution. NaN for fewer than two or no
    variation.
    """
    return _moment(_array(returns), 4)


def _moment(values: np.ndarray, order: int) -> float:
    if not _spread(values) > 0:
        return NAN
    centred = values - values.mean()
    return float(np.mean(centred**order) / np.mean(centred**2) ** (order / 2))


def value_at_risk(returns: Any, level: float = 0.95) -> float:
    """Historical value at risk of one period: minus the (1 - level) quantile of the returns, positive for
    a loss.

    level: 0.95 leaves the worst 5 % below. The quantile is interpolated linearly. NaN for no returns.
    """
    returns = _array(returns)
    return -float(np.quantile(returns, 1 - level)) if len(returns) else NAN


def expected_shortfall(returns: Any, level: float = 0.95) -> float:
    """Mean loss in the worst (1 - level) of the periods, positive for a loss: minus the mean of the
    returns at or below the quantile that value_at_risk() uses. NaN for no returns.
    """
    returns = _array(returns)
    return -float(returns[returns <= -value_at_risk(returns, level)].mean()) if len(returns) else NAN


def best_return(returns: Any) -> float:
    """The largest return of one period, a fraction. NaN for none."""
    returns = _array(returns)
    return float(returns.max()) if len(returns) else NAN


def worst_return(returns: Any) -> float:
    """The smallest return of one period, a fraction. NaN for none."""
    returns = _array(returns)
    return float(returns.min()) if len(returns) else NAN


def positive_share(returns: Any) -> float:
    """Share of the periods with a return above 0. NaN for none."""
    returns = _array(returns)
    return float(np.mean(returns > 0)) if len(returns) else NAN


def _sharpe_variance(returns: np.ndarray, sharpe: float) -> float:
    """1 - g3 S + (g4 - 1)/4 S^2 with per-period S: T - 1 times the variance of the Sharpe estimate. At
    least 0.
    """
    return max(0.0, 1 - skewness(returns) * sharpe + (kurtosis(returns) - 1) / 4 * sharpe**2)


def sharpe_standard_error(returns: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Standard error of the annualised Sharpe ratio, allowing for skew and fat tails.

    sqrt((1 - g3 S + (g4 - 1)/4 S^2) / (T - 1)) * sqrt(periods_per_year), S per period, g4 raw.
    NaN where the Sharpe ratio is. Source: Bailey & Lopez de Prado (2012), J. of Risk 15(2).
    """
    returns = _array(returns)
    sharpe = sharpe_ratio(returns, periods_per_year=1)
    if math.isnan(sharpe):
        return NAN
    return math.sqrt(_sharpe_variance(returns, sharpe) / (len(returns) - 1) * periods_per_year)


def probabilistic_sharpe_ratio(
    returns: Any, benchmark_sharpe: float = 0.0, periods_per_year: float = PERIODS_PER_YEAR
) -> float:
    """Probability that the true Sharpe ratio is above benchmark_sharpe (annualised), between 0 and 1.

    Phi((S - S*) / standard error). NaN where the Sharpe ratio is. Source: Bailey & Lopez de Prado (2012).
    """
    sharpe = sharpe_ratio(returns, periods_per_year=periods_per_year)
    error = sharpe_standard_error(returns, periods_per_year)
    if math.isnan(sharpe) or not error > 0:
        return NAN
    return _NORMAL.cdf((sharpe - benchmark_sharpe) / error)


def minimum_track_record(
    returns: Any,
    benchmark_sharpe: float = 0.0,
    confidence: float = 0.95,
    periods_per_year: float = PERIODS_PER_YEAR,
) -> float:
    """How many periods are needed to be this confident that the true Sharpe ratio is above benchmark_sharpe.

    1 + (1 - g3 S + (g4 - 1)/4 S^2) * (z / (S - S*))^2, S and S* per period. NaN where the Sharpe ratio
    is, or when it is not above the benchmark (no length would do). Source: Bailey & Lopez de Prado (2012).
    """
    returns = _array(returns)
    sharpe = sharpe_ratio(returns, periods_per_year=1)
    excess = sharpe - benchmark_sharpe / math.sqrt(periods_per_year)
    if math.isnan(sharpe) or excess <= 0:
        return NAN
    return 1 + _sharpe_variance(returns, sharpe) * (_NORMAL.inv_cdf(confidence) / excess) ** 2


def exposure(positions: Any) -> float:
    """Share of the bars with an open position. positions: units held at each bar's close. NaN for no bars."""
    positions = _array(positions, "positions")
    return float(np.mean(positions != 0)) if len(positions) else NAN


def turnover(traded_value: Any, equity: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Annualised one-way turnover: half the traded value over the account's value per bar, mean times
    periods a year.

    traded_value: absolute value bought and sold at each bar, in currency. NaN for no bars. Bars on which
      the account is worth nothing count as 0.
    """
    traded, equity = _array(traded_value, "traded_value"), _array(equity, "equity")
    if len(traded) != len(equity):
        raise ValueError("traded_value and equity must have one value per bar each")
    if not len(equity):
        return NAN
    share = np.divide(np.abs(traded), equity, out=np.zeros_like(equity), where=equity > 0)
    return float(share.mean()) / 2 * periods_per_year


def win_rate(profits: Any) -> float:
    """Share of the trades with a profit above 0, after costs. NaN for no trades."""
    profits = _array(profits, "profits")
    return float(np.mean(profits > 0)) if len(profits) else NAN


def profit_factor(profits: Any) -> float:
    """Sum of the profits over the sum of the losses, both positive. NaN without a losing trade."""
    profits = _array(profits, "profits")
    losses = -float(profits[profits < 0].sum())
    return float(profits[profits > 0].sum()) / losses if losses > 0 else NAN


def average_trade(return_fractions: Any) -> float:
    """Mean return of a trade, a fraction. NaN for no trades."""
    values = _array(return_fractions, "return_fractions")
    return float(values.mean()) if len(values) else NAN


def expectancy(profits: Any) -> float:
    """Mean profit of a trade in currency, after costs. NaN for no trades."""
    profits = _array(profits, "profits")
    return float(profits.mean()) if len(profits) else NAN


def payoff_ratio(profits: Any) -> float:
    """Mean profit of the winning trades over the mean loss of the losing ones. NaN without both kinds."""
    profits = _array(profits, "profits")
    won, lost = profits[profits > 0], profits[profits < 0]
    return float(won.mean() / -lost.mean()) if len(won) and len(lost) else NAN


def summary(
    equity: Any,
    positions: Any,
    traded_value: Any,
    commissions: Any,
    trades: Sequence[dict[str, Any]],
    periods_per_year: float = PERIODS_PER_YEAR,
) -> dict[str, float]:
    """Every figure of one backtest, by the functions above. The one path behind page, command line and
    report.

    equity, positions, traded_value: one value per bar. commissions: currency per fill.
    trades: closed trades with "profit" (currency, after costs) and "return_fraction".
    """
    equity = _array(equity, "equity")
    returns = returns_of(equity)
    profits = [trade["profit"] for trade in trades]
    return {
        "start_equity": float(equity[0]) if len(equity) else NAN,
        "final_equity": float(equity[-1]) if len(equity) else NAN,
        "total_return": total_return(equity),
        "cagr": cagr(equity, periods_per_year),
        "volatility": volatility(returns, periods_per_year),
        "sharpe": sharpe_ratio(returns, periods_per_year=periods_per_year),
        "sharpe_standard_error": sharpe_standard_error(returns, periods_per_year),
        "probabilistic_sharpe": probabilistic_sharpe_ratio(returns, periods_per_year=periods_per_year),
        "minimum_track_record": minimum_track_record(returns, periods_per_year=periods_per_year),
        "sortino": sortino_ratio(returns, periods_per_year=periods_per_year),
        "calmar": calmar_ratio(equity, periods_per_year),
        "max_drawdown": max_drawdown(equity),
        "ulcer_index": ulcer_index(equity),
        "skewness": skewness(returns),
        "kurtosis": kurtosis(returns),
        "value_at_risk": value_at_risk(returns),
        "expected_shortfall": expected_shortfall(returns),
        "best_return": best_return(returns),
        "worst_return": worst_return(returns),
        "positive_share": positive_share(returns),
        "exposure": exposure(positions),
        "turnover": turnover(traded_value, equity, periods_per_year),
        "trades": float(len(profits)),
        "win_rate": win_rate(profits),
        "profit_factor": profit_factor(profits),
        "payoff_ratio": payoff_ratio(profits),
        "expectancy": expectancy(profits),
        "average_trade": average_trade([trade["return_fraction"] for trade in trades]),
        "commission_paid": float(np.sum(_array(commissions, "commissions"))),
    }
