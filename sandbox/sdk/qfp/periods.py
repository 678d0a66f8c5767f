"""What does the date of a row stand for, and when is that over? A day, a week, a month or a bar within a day is known
at its end, whatever its date says; a moment is known when it comes.
"""

from __future__ import annotations

import re

import numpy as np

__all__ = ["ends", "known_since"]

LAST = np.timedelta64(1, "us")  # before what comes next
DAY = np.timedelta64(1, "D")
WITHIN_A_DAY = re.compile(r"(\d+)(m|h)")
MONTHS = {"1mo": 1, "3mo": 3, "6mo": 6, "1y": 12}
FEWEST = 6  # rows that show a rhythm where no interval is told
USUAL = 0.8  # of the steps between them
MIDDLE, FIRST_TRADED = 14, 4  # days after the first of a month: until then, a date may stand for all of it
# Without trading at the end of a week or month, such as Good Friday and a weekend after it.
CLOSED = np.timedelta64(3, "D")


def ends(dates: np.ndarray, interval: str = "", bars: bool = False) -> np.ndarray:
    """The last microsecond of what each row stands for.

    dates: ascending, without a zone. interval: of their series, such as 1m, 1d or 1mo; "" or "irregular" where it is
    not known. bars: whether they have opens, and stand for a time in any case; other figures may be of a day.
    """
    dates = dates.astype("datetime64[us]")
    days = dates.astype("datetime64[D]")
    if length := WITHIN_A_DAY.fullmatch(interval):
        return dates + np.timedelta64(int(length[1]), "m" if length[2] == "m" else "h") - LAST
    if not bars and (days != dates).any():
        return dates
    following = (days + DAY).astype("datetime64[us]")
    if interval in ("1w", "1wk") and bars:
        following = _weeks(days, following)
    elif interval in (*MONTHS, "", "irregular"):
        following = _months(days, following, MONTHS.get(interval, 0), bars)
    return following - LAST


def known_since(dates: np.ndarray, interval: str = "", bars: bool = False) -> np.ndarray:
    """When the rows can have been known at the earliest: those of weeks and months with their last day of trading."""
    over = ends(dates, interval, bars)
    return np.where(over - dates > 4 * DAY, over - CLOSED, over)


def _weeks(days: np.ndarray, following: np.ndarray) -> np.ndarray:
    """What begins after each week, where all dates are of its beginning, from Sunday to Tuesday."""
    sunday = 3  # 1970-01-04
    nth = (days.astype(int) - sunday) % 7
    if nth.size and nth.max() > 2:
        return following
    monday = days + (1 - nth).astype("timedelta64[D]")
    return (monday + 7 * DAY).astype("datetime64[us]")


def _months(days: np.ndarray, following: np.ndarray, length: int, bars: bool) -> np.ndarray:
    """What begins after each month, quarter or year, where all dates are of the same day in its first half, or bars of
    its first days. length: in months; 0 where it shows in the dates alone, on a day that falls on weekends, too.
    """
    months = days.astype("datetime64[M]")
    each = np.unique(days)
    nth = (each - each.astype("datetime64[M]")).astype(int)
    if not each.size or nth.max() > MIDDLE or not (np.ptp(nth) == 0 or (bars and nth.max() <= FIRST_TRADED)):
        return following
    if not length:
        steps = np.diff(each.astype("datetime64[M]")).astype(int)
        length = int(np.median(steps)) if len(each) >= FEWEST else 0
        weekend = (each.astype(int) + 3) % 7 >= 5
        if length not in MONTHS.values() or (steps == length).mean() < USUAL or not weekend.any():
            return following
    return (months + length).astype("datetime64[us]")
