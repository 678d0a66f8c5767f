"""How much did it grow, how much did it vary, and was the one worth the other? Figures of a series of returns.

returns: simple returns per period as fractions (0.01 is 1 %), oldest first. equity: account value per bar in currency,
oldest first; the first value is the start value. Missing values are dropped. A figure that is not defined is NaN.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qfp.metrics.series import NAN, PERIODS_PER_YEAR, quantile, ratio, series, shape, spread


def returns_of(equity: Any) -> np.ndarray:
    """Simple returns from bar to bar; one value fewer than equity.

    After a value of 0 or less the return is 0. A return too large for a number is missing (NaN).
    """
    equity = series(equity, "equity")
    before, after = equity[:-1], equity[1:]
    with np.errstate(over="ignore"):
        change = np.divide(after - before, before, out=np.zeros_like(after), where=before > 0)
    change[np.isinf(change)] = NAN
    return change


def total_return(equity: Any) -> float:
    """Last value over first value minus 1, a fraction. NaN for no bars or a start value of 0 or less."""
    equity = series(equity, "equity")
    return ratio(float(equity[-1]), float(equity[0])) - 1 if len(equity) else NAN


def cagr(equity: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Compound annual growth rate: (last / first) ** (periods_per_year / periods) - 1, a fraction.

    Periods are counted, not guessed from the calendar. -1 once the account is worth nothing. NaN for
    fewer than 2 bars.
    """
    equity = series(equity, "equity")
    if len(equity) < 2 or equity[0] <= 0:
        return NAN
    growth = equity[-1] / equity[0]
    if growth <= 0:
        return -1.0
    exponent = math.log(growth) * periods_per_year / (len(equity) - 1)
    return math.expm1(exponent) if exponent < 700 else NAN


def calendar_growth(equity: Any, dates: Any) -> float:
    """Compound growth a year of 365.25 days by the calendar, (last / first) ** (365.25 / days) - 1, a fraction.

    dates: one per value of equity. -1 once the account is worth nothing. NaN for less than one day.
    """
    equity = series(equity, "equity")
    moments = np.asarray(dates, dtype="datetime64[us]")
    if len(moments) != len(equity):
        raise ValueError("equity and dates must have one value per bar each")
    if len(equity) < 2 or equity[0] <= 0:
        return NAN
    days = float((moments[-1] - moments[0]) / np.timedelta64(1, "D"))
    return cagr(equity[[0, -1]], 365.25 / days) if days >= 1 else NAN


def volatility(returns: Any, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Annualised standard deviation: sample deviation (ddof=1) times sqrt(periods_per_year), a fraction.

    NaN for fewer than two returns, 0 for returns that do not vary.
    """
    return spread(series(returns)) * math.sqrt(periods_per_year)


def downside_deviation(returns: Any, target: float = 0.0, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Annualised root mean square of the shortfalls below target, over all observations (Sortino & Price
    1994).

    target: per period, a fraction. NaN for no returns.
    """
    returns = series(returns)
    if not len(returns):
        return NAN
    return math.sqrt(float(np.mean(np.square(np.minimum(returns - target, 0.0)))) * periods_per_year)


def sharpe_ratio(returns: Any, risk_free_rate: float = 0.0, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Annualised Sharpe ratio: sqrt(periods_per_year) * mean / sample deviation of the excess returns.

    risk_free_rate: per period, as a fraction, same frequency as returns. Arithmetic mean, ddof=1.
    NaN for fewer than two returns or no variation. Source: Sharpe (1994), J. Portfolio Management 21(1).
    Agrees with empyrical; backtesting.py uses the geometric mean and differs.
    """
    excess = series(returns) - risk_free_rate
    deviation = spread(excess)
    return float(excess.mean()) / deviation * math.sqrt(periods_per_year) if deviation > 0 else NAN


def geometric_sharpe_ratio(
    returns: Any, risk_free_rate: float = 0.0, periods_per_year: float = PERIODS_PER_YEAR
) -> float:
    """CAGR above the compounded risk-free rate over the annualised volatility: the Sharpe ratio of backtesting.py.

    risk_free_rate: per period, a fraction. NaN for fewer than two returns or no variation.
    """
    returns = series(returns)
    growth = cagr(np.cumprod(np.concatenate([[1.0], 1 + returns])), periods_per_year)
    return ratio(
        growth - math.expm1(math.log1p(risk_free_rate) * periods_per_year), volatility(returns, periods_per_year)
    )


def sortino_ratio(returns: Any, target: float = 0.0, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Annualised mean excess over target divided by the annualised downside deviation.

    target: per period, a fraction. NaN for no returns or when none is below target.
    Source: Sortino & Price (1994), J. of Investing 3(3); all observations are in the root.
    """
    returns = series(returns)
    downside = downside_deviation(returns, target, periods_per_year)
    return float(returns.mean() - target) * periods_per_year / downside if downside > 0 else NAN


def omega_ratio(returns: Any, threshold: float = 0.0) -> float:
    """Sum of the returns above threshold over the sum of those below it, both measured from it.

    threshold: per period, a fraction. NaN when none is below. Source: Keating & Shadwick (2002).
    """
    excess = series(returns) - threshold
    return ratio(float(excess[excess > 0].sum()), -float(excess[excess < 0].sum()))


def gain_to_pain(returns: Any) -> float:
    """Sum of all returns over the sum of the losses. NaN without a loss. Source: Schwager (2012)."""
    returns = series(returns)
    return ratio(float(returns.sum()), -float(returns[returns < 0].sum()))


def skewness(returns: Any, unbiased: bool = False) -> float:
    """Third standardised moment of the population; unbiased: adjusted for the sample, as pandas and Excel have it.

    NaN for fewer than two returns (three, unbiased) or no variation.
    """
    returns = series(returns)
    count, found = len(returns), shape(returns)[0]
    if not unbiased:
        return found
    return found * math.sqrt(count * (count - 1)) / (count - 2) if count > 2 else NAN


def kurtosis(returns: Any, unbiased: bool = False) -> float:
    """Fourth standardised moment, raw: 3 for a normal distribution. unbiased: adjusted for the sample, plus 3.

    NaN for fewer than two returns (four, unbiased) or no variation.
    """
    returns = series(returns)
    count, found = len(returns), shape(returns)[1]
    if not unbiased:
        return found
    if count < 4:
        return NAN
    return 3 + (count - 1) / ((count - 2) * (count - 3)) * ((count + 1) * (found - 3) + 6)


def value_at_risk(returns: Any, level: float = 0.95, interpolated: bool = True) -> float:
    """Historical value at risk of one period: minus the (1 - level) quantile of the returns, positive for a loss.

    level: 0.95 leaves the worst 5 % below. interpolated: the quantile is interpolated linearly (numpy's default);
    otherwise it is
      the return that this share of the returns, rounded up, are at or below. NaN for no returns.
    """
    returns = series(returns)
    if not len(returns):
        return NAN
    if interpolated:
        return -quantile(returns, 1 - level)
    place = max(1, math.ceil(len(returns) * (1 - level) - 1e-9))  # 20 * (1 - 0.95) is a little above 1
    return -float(np.partition(returns, place - 1)[place - 1])


def expected_shortfall(returns: Any, level: float = 0.95, interpolated: bool = True) -> float:
    """Mean loss in the worst (1 - level) of the periods, positive for a loss: minus the mean of the returns at or below
    the quantile that value_at_risk() uses. NaN for no returns.
    """
    returns = series(returns)
    if not len(returns):
        return NAN
    return -float(returns[returns <= -value_at_risk(returns, level, interpolated)].mean())


def tail_ratio(returns: Any) -> float:
    """Size of the 95 % quantile over that of the 5 % quantile, interpolated. NaN for no returns or a lower one of 0."""
    returns = series(returns)
    if not len(returns):
        return NAN
    return ratio(abs(quantile(returns, 0.95)), abs(quantile(returns, 0.05)))


def best_return(returns: Any) -> float:
    """The largest return of one period, a fraction. NaN for none."""
    returns = series(returns)
    return float(returns.max()) if len(returns) else NAN


def worst_return(returns: Any) -> float:
    """The smallest return of one period, a fraction. NaN for none."""
    returns = series(returns)
    return float(returns.min()) if len(returns) else NAN


def positive_share(returns: Any) -> float:
    """Share of the periods with a return above 0. NaN for none."""
    returns = series(returns)
    return float(np.mean(returns > 0)) if len(returns) else NAN
