"""How many bars make a year? Read off the distances between the bars."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from qfp.metrics.series import PERIODS_PER_YEAR, median

TRADING_DAYS = 252
DAY = np.timedelta64(1, "D")
# Median distance of two bars in days up to which the name holds, bars a year, the name.
LONGER = ((9.5, 52, "weekly"), (45.0, 12, "monthly"), (135.0, 4, "quarterly"), (500.0, 1, "yearly"))


class Frequency(NamedTuple):
    """periods_per_year: bars of a year. text: why, one sentence."""

    periods_per_year: float
    text: str


def frequency_of(dates: Any) -> Frequency:
    """How often the bars come.

    Daily bars are 252 a year, and 365 where more than one in ten falls on a weekend, as in markets that do not close.
    Bars within a day: the median number of bars of a day, times those days. Weekly bars are 52, monthly 12,
    quarterly 4, yearly 1.
    dates: one per bar, oldest first, as datetimes or ISO dates. Without dates, or with fewer than three, 252 is assumed
    and said.
    """
    moments = _moments(dates)
    if len(moments) < 3:
        return Frequency(PERIODS_PER_YEAR, f"{PERIODS_PER_YEAR} bars a year are assumed; the bars do not tell.")
    distance = median(np.diff(moments) / DAY)
    days, counts = np.unique(moments.astype("datetime64[D]"), return_counts=True)
    weekend = (days.astype(np.int64) + 3) % 7 >= 5  # 1970-01-01 was a Thursday
    weekends = float(counts[weekend].sum() / len(moments))  # some hours of a Sunday are few bars
    open_days, closes = (365, "that do not close") if weekends > 0.1 else (TRADING_DAYS, "that close")
    if distance < 0.9:
        # The first and last day may be cut off.
        each = median(counts[1:-1] if len(counts) > 2 else counts)
        return Frequency(each * open_days, f"{each * open_days:g} bars a year: {each:g} a day on {open_days} days.")
    if distance <= 4:
        return Frequency(open_days, f"{open_days} bars a year: daily bars of markets {closes}.")
    for limit, periods, name in LONGER:
        if distance <= limit:
            return Frequency(periods, f"{periods} bars a year: {name} bars.")
    return Frequency(365.25 / distance, f"{365.25 / distance:.3g} bars a year, by the distance of the bars.")


def _moments(dates: Any) -> np.ndarray:
    """The dates by the clock of their place; none for numbers, which are not dates."""
    if getattr(dates, "tz", None) is not None:
        dates = dates.tz_localize(None)
    try:
        found = np.asarray(dates)
        numbers = found.dtype.kind in "biufc"
        found = np.empty(0, "datetime64[us]") if numbers else found.astype("datetime64[us]")
    except (ValueError, TypeError):
        found = np.empty(0, "datetime64[us]")
    return found[~np.isnat(found)]


def periods_per_year(dates: Any) -> float:
    """Bars of a year by frequency_of()."""
    return frequency_of(dates).periods_per_year
