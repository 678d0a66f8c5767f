"""What happened in which stretch of time? Crises, months and years, and figures of a window that moves along."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from qfp.metrics.series import NAN, PERIODS_PER_YEAR, pair, series, spread
from qfp.metrics.underwater import max_drawdown

__all__ = ["CRISES", "Crisis", "Stretch", "crisis_table", "monthly_table", "Year", "rolling_sharpe", "rolling_beta",
           "rolling_volatility"]  # fmt: skip

HALF_YEAR = 126
# Fewer bars than this inside a crisis do not show it.
FEWEST_BARS = 3


class Crisis(NamedTuple):
    """start, end: ISO dates, both included."""

    name: str
    start: str
    end: str


CRISES = (
    Crisis("October 1987", "1987-10-14", "1987-10-19"),
    Crisis("Russia and LTCM", "1998-07-20", "1998-08-31"),
    Crisis("Dot-com bust", "2000-03-27", "2002-10-09"),
    Crisis("September 2001", "2001-09-11", "2001-09-21"),
    Crisis("Financial crisis", "2008-09-01", "2009-03-31"),
    Crisis("Greece and the flash crash", "2010-04-26", "2010-07-02"),
    Crisis("Downgrade and euro debt", "2011-07-25", "2011-10-03"),
    Crisis("China, August 2015", "2015-08-18", "2015-08-25"),
    Crisis("Start of 2016", "2016-01-01", "2016-02-11"),
    Crisis("Volatility shock of 2018", "2018-01-29", "2018-02-08"),
    Crisis("End of 2018", "2018-10-01", "2018-12-24"),
    Crisis("Covid crash", "2020-02-20", "2020-03-23"),
    Crisis("Rising rates, 2022", "2022-01-01", "2022-12-30"),
    Crisis("Regional banks, 2023", "2023-03-08", "2023-03-13"),
    Crisis("Yen carry trades, 2024", "2024-08-01", "2024-08-05"),
    Crisis("Tariffs, 2025", "2025-04-03", "2025-04-08"),
)


class Stretch(NamedTuple):
    """What an account did in a crisis. covered: whether its bars tell; if not, the figures are NaN.

    total_return: from the last close before the start to the last close up to the end, a fraction. benchmark: the
    benchmark's, NaN without one. max_drawdown: over the same closes, a fraction <= 0. bars: inside the crisis.
    """

    crisis: Crisis
    covered: bool
    total_return: float = NAN
    benchmark: float = NAN
    max_drawdown: float = NAN
    bars: int = 0


def crisis_table(equity: Any, dates: Any, benchmark: Any = None, crises: Sequence[Crisis] = CRISES) -> list[Stretch]:
    """One row per crisis, in the order of `crises`.

    equity, benchmark: one value per bar. dates: one per bar, oldest first. A crisis is covered when there is a bar
    before its start, one at or after its end, and three or more inside; otherwise it is "not covered", never 0.
    """
    days = np.asarray(dates, dtype="datetime64[us]").astype("datetime64[D]")
    account = np.asarray(equity, dtype=np.float64)
    if len(days) != len(account):
        raise ValueError("equity and dates must have one value per bar each")
    other = None if benchmark is None else np.asarray(benchmark, dtype=np.float64)
    return [_stretch(crisis, account, days, other) for crisis in crises]


def _stretch(crisis: Crisis, account: np.ndarray, days: np.ndarray, other: np.ndarray | None) -> Stretch:
    begin, end = np.datetime64(crisis.start), np.datetime64(crisis.end)
    first, last = int(np.searchsorted(days, begin)), int(np.searchsorted(days, end, side="right"))
    if first == 0 or not len(days) or days[-1] < end or last - first < FEWEST_BARS:
        return Stretch(crisis, False)
    closes = account[first - 1 : last]
    return Stretch(
        crisis,
        True,
        _growth(closes),
        NAN if other is None else _growth(other[first - 1 : last]),
        max_drawdown(closes),
        last - first,
    )


def _growth(closes: np.ndarray) -> float:
    found = float(closes[-1] / closes[0] - 1) if closes[0] > 0 else NAN
    return found if math.isfinite(found) else NAN


class Year(NamedTuple):
    """months: twelve returns as fractions, NaN where there is no bar. total: of the whole year."""

    year: int
    months: tuple[float, ...]
    total: float


def monthly_table(equity: Any, dates: Any) -> list[Year]:
    """Returns by calendar month and year, oldest first; each from the last close of the month before.

    equity: one value per bar. dates: one per bar, oldest first. The first month begins at the first bar.
    """
    account = np.asarray(equity, dtype=np.float64)
    months = np.asarray(dates, dtype="datetime64[us]").astype("datetime64[M]")
    if len(months) != len(account):
        raise ValueError("equity and dates must have one value per bar each")
    if not len(account):
        return []
    ends = np.flatnonzero(np.append(months[1:] != months[:-1], True))
    before = np.concatenate([[account[0]], account[ends[:-1]]])
    years = months.astype("datetime64[Y]").astype(int) + 1970
    by_year: dict[int, list[float]] = {}
    opened: dict[int, float] = {}
    closed: dict[int, float] = {}
    for end, base in zip(ends, before, strict=True):
        year, month = int(years[end]), int(months[end].astype(int) % 12)
        by_year.setdefault(year, [NAN] * 12)[month] = _growth(np.array([base, account[end]]))
        opened.setdefault(year, float(base))
        closed[year] = float(account[end])
    return [
        Year(year, tuple(found), _growth(np.array([opened[year], closed[year]]))) for year, found in by_year.items()
    ]


# A window that moves along ---------------------------------------------------------------------------------------


def rolling_sharpe(returns: Any, window: int = HALF_YEAR, periods_per_year: float = PERIODS_PER_YEAR) -> np.ndarray:
    """Annualised Sharpe ratio of the last `window` returns at each return; NaN before, and where nothing varies."""
    returns = series(returns)
    deviation = np.sqrt(_moving_variance(returns, window))
    return _over(_moving_mean(returns, window), deviation, spread(returns)) * math.sqrt(periods_per_year)


def rolling_volatility(returns: Any, window: int = HALF_YEAR, periods_per_year: float = PERIODS_PER_YEAR) -> np.ndarray:
    """Annualised sample deviation of the last `window` returns at each return; NaN before."""
    returns = series(returns)
    return np.sqrt(_moving_variance(returns, window) * periods_per_year)


def rolling_beta(returns: Any, benchmark: Any, window: int = HALF_YEAR) -> np.ndarray:
    """Beta over the last `window` periods at each period; NaN before, and where the benchmark does not vary."""
    returns, benchmark = pair(returns, benchmark)
    covariance = _moving_covariance(returns, benchmark, window)
    return _over(covariance, _moving_variance(benchmark, window), spread(benchmark) ** 2)


def _moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last `window` values, NaN before there are so many."""
    if window < 2:
        raise ValueError(f"a window has at least 2 periods, not {window}")
    found = np.full(len(values), NAN)
    if len(values) >= window:
        sums = np.concatenate([[0.0], np.cumsum(values)])
        found[window - 1 :] = (sums[window:] - sums[:-window]) / window
    return found


def _moving_covariance(one: np.ndarray, two: np.ndarray, window: int) -> np.ndarray:
    """Sample covariance of the last `window` values. Centred first: sums of large numbers lose the small ones."""
    if not len(one):
        return np.empty(0)
    one, two = one - one.mean(), two - two.mean()
    between = _moving_mean(one * two, window) - _moving_mean(one, window) * _moving_mean(two, window)
    return between * (window / (window - 1))


def _moving_variance(values: np.ndarray, window: int) -> np.ndarray:
    return np.maximum(_moving_covariance(values, values, window), 0.0)


def _over(above: np.ndarray, below: np.ndarray, whole: float) -> np.ndarray:
    """above / below; NaN where below is nothing beside the same over the whole series."""
    nothing = ~(below > 1e-6 * whole) if whole > 0 else np.ones(len(below), dtype=bool)
    return np.where(nothing, NAN, above / np.where(nothing, 1.0, below))
