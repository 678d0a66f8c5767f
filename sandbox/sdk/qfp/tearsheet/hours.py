"""In which hours was the market closed? A chart of minutes or hours leaves them out: nothing was known in them.

Nights, weekends and holidays are found from the bars alone, so no calendar of the exchange is needed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from qfp.metrics.series import quantile

__all__ = ["NEVER", "Closed", "breaks", "closed_hours"]

# Bars further apart than this are of days: their nights are no part of the drawing anyway.
LONGEST_BAR = 6 * 3600.0
SHORTEST_CLOSED = 3600.0
# Of a longer period each night is less than a pixel, and a chart library takes seconds for so many.
MOST_BREAKS = 1_000


class Closed(NamedTuple):
    """starts, stops: seconds since 1970, one pair for each stretch without bars, in order."""

    starts: np.ndarray
    stops: np.ndarray

    def __bool__(self) -> bool:
        return len(self.starts) > 0

    def open_time(self, seconds: Any) -> Any:
        """How many seconds of open hours these moments are apart: where they stand on an axis without the rest."""
        seconds = np.asarray(seconds, dtype=float)
        if not self:
            return seconds
        lengths = np.concatenate([[0.0], np.cumsum(self.stops - self.starts)])
        begun = np.searchsorted(self.starts, seconds, side="right")
        left = np.maximum(self.stops[np.maximum(begun - 1, 0)] - seconds, 0.0)
        return seconds - lengths[begun] + np.where(begun > 0, left, 0.0)

    def holds(self, seconds: float) -> bool:
        """Whether the market was closed then."""
        at = int(np.searchsorted(self.starts, seconds, side="right")) - 1
        return at >= 0 and seconds < self.stops[at]

    def within(self, start: float, stop: float) -> Closed:
        """Those that touch the time from start to stop."""
        touched = (self.stops > start) & (self.starts < stop)
        return Closed(self.starts[touched], self.stops[touched])


NEVER = Closed(np.empty(0), np.empty(0))


def closed_hours(dates: np.ndarray) -> Closed:
    """The stretches without bars of a series of minutes or hours; none for bars of days and longer."""
    seconds = dates.astype("datetime64[s]").astype(float)
    steps = np.diff(seconds)
    if not len(steps):
        return NEVER
    usual = quantile(steps, 0.25)  # a bar's length even where half of the steps are nights
    if not 0 < usual <= LONGEST_BAR:
        return NEVER
    at = np.flatnonzero(steps > max(2 * usual, SHORTEST_CLOSED))
    return Closed(seconds[at] + usual, seconds[at + 1])


def breaks(closed: Closed) -> list[dict[str, Any]]:
    """As Plotly's axes take them (`rangebreaks`): {values, dvalue}, the beginnings of all that last equally long."""
    if not 0 < len(closed.starts) <= MOST_BREAKS:
        return []
    lengths = closed.stops - closed.starts
    return [
        {
            "values": np.datetime_as_string(closed.starts[lengths == length].astype("datetime64[s]")).tolist(),
            "dvalue": int(length * 1000),
        }
        for length in np.unique(lengths)
    ]
