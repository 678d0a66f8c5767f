"""Which series of the site are these bars? A library is handed plain columns; where they came from is in their values.

What is named here is only a proposal: the site compares every bar that it needs with its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

__all__ = ["Feed", "about", "days_of"]

PRICES = ("open", "high", "low", "close")
DAY = np.timedelta64(1, "D")
# What daily bars are apart at least, and the end of a day at which some libraries put them.
DAILY = np.timedelta64(20, "h")
EVENING = np.timedelta64(23 * 60 + 59, "m")
CLOSE_ENOUGH = 1e-7
ADJUSTMENTS: tuple[Literal["all", "split"] | None, ...] = ("all", "split", None)


class Feed:
    """Bars of one instrument as a library has used them: stamps (UTC, or days), and an array for each price."""

    def __init__(self, name: str, stamps: np.ndarray, prices: dict[str, np.ndarray]) -> None:
        self.name, self.stamps, self.prices = name, stamps, prices


def days_of(stamps: np.ndarray) -> np.ndarray:
    """The days of daily bars, which libraries date to midnight of some zone or to the end of the day; others stay."""
    if len(stamps) < 2 or np.diff(stamps).min() < DAILY:
        return stamps
    days = stamps.astype("datetime64[D]")
    within = stamps - days
    later = (within < EVENING) & (within > np.timedelta64(12, "h"))
    return np.where(later, days + DAY, days).astype(stamps.dtype)


def about(feed: Feed) -> dict[str, Any]:
    """symbol, series, object, adjust and snapshot of the site's series with these bars, and whether they are the same
    to the last digit (exact); only the name, where there is none among those that the program has read.
    """
    from qfp.data import catalogue, frames
    from qfp.data.bars import NEUTRAL, _basis
    from qfp.data.errors import DataError

    try:
        held = catalogue.current()
    except (DataError, OSError, ValueError):
        return {"symbol": feed.name[:60]}
    span = (feed.stamps[0], feed.stamps[-1]) if len(feed.stamps) else (None, None)
    for entry in _candidates(held, feed.name):
        names = [name for name in PRICES if name in entry["columns"]]
        for adjust in ADJUSTMENTS if entry["actions"] else ADJUSTMENTS[:1]:
            columns = frames.adjusted_columns(catalogue.folder_of(entry), entry, adjust, names, span)
            if not _are_of(feed, columns):
                continue
            try:
                basis = _basis(entry, adjust)
            except DataError:
                continue
            exact = _are_of(feed, columns, 0.0)
            return {**catalogue.origin(entry), "adjust": None if basis == NEUTRAL else basis, "exact": exact}
    return {"symbol": feed.name[:60]}


def _candidates(held: Any, name: str) -> Iterator[dict[str, Any]]:
    """The series of that name, then all that were read, the latest first."""
    seen = set()
    named = held.by_name.get(name.casefold())
    for series in [*([named["id"]] if named and named["id"] in held.read else []), *reversed(held.read)]:
        if series not in seen and series in held.by_id:
            seen.add(series)
            yield held.by_id[series]


def _are_of(feed: Feed, columns: dict[str, Any], room: float = CLOSE_ENOUGH) -> bool:
    if not {"date", "close"} <= set(columns):
        return False
    dates = columns["date"].astype(feed.stamps.dtype)
    at = np.searchsorted(dates, feed.stamps)
    if not len(at) or at[-1] >= len(dates) or not np.array_equal(dates[at], feed.stamps):
        return False
    for name in PRICES:
        # Of a series with one price a day, the others are that one, or missing.
        values, ours = feed.prices[name], columns.get(name, columns["close"])[at]
        if not np.allclose(ours, values, rtol=room, atol=0, equal_nan=True) and (
            name in columns or not np.isnan(values).all()
        ):
            return False
    return True
