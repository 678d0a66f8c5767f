"""What do the rules see of a series? Its columns, and what follows from them and from what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np

from marketdata.calendars import Calendar
from marketdata.quality.findings import Finding, Kind, of_rows

PRICES = ("open", "high", "low", "close")
# Kinds that have a price or a level above zero; an oil price or a yield may be anything.
POSITIVE = ("equity", "index", "fx", "crypto", "volatility")
DAYS = {"1d": 1, "1w": 7, "2w": 14, "1mo": 31, "3mo": 92, "6mo": 184, "1y": 366}
LONGEST_SPIKE = 3  # bars

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class CheckedSeries:
    """A series in the order of its dates, each once, as the rules look at it."""

    columns: Columns
    kind: str
    interval: str
    adjustment: str
    actions: Columns | None
    calendar: Calendar | None

    @property
    def dates(self) -> np.ndarray:
        return self.columns["date"]

    @property
    def days(self) -> np.ndarray:
        return self.columns["date"].astype("datetime64[D]")

    @property
    def close(self) -> np.ndarray:
        return self.columns["close"]

    @property
    def intraday(self) -> bool:
        return self.interval not in DAYS

    @property
    def by_session(self) -> bool:
        return self.intraday or self.interval == "1d"

    @property
    def local_days(self) -> np.ndarray:
        """The trading days, which for bars of minutes are those of the exchange's clock."""
        if not self.intraday or self.calendar is None:
            return self.days
        return local_times(self.dates, self.calendar.zone).astype("datetime64[D]")

    @property
    def has_bars(self) -> bool:
        return set(PRICES) <= set(self.columns)

    @property
    def volume(self) -> np.ndarray | None:
        """None where it says nothing."""
        volume = self.columns.get("volume")
        return None if volume is None or not (np.nan_to_num(volume) > 0).any() else volume

    @cached_property
    def priced(self) -> np.ndarray:
        """The rows that have a price."""
        return np.flatnonzero(np.isfinite(self.close) & (self.close > 0))

    @cached_property
    def crowd(self) -> np.ndarray | None:
        """How much more money changed hands than usual, by priced row: turnover over the median of the twenty bars
        before. Splits do not matter to it, but a wrong price would: the least of the bar's and the three before counts.
        None without volumes.
        """
        if self.volume is None:
            return None
        close, volume = self.close[self.priced], np.nan_to_num(self.volume[self.priced])
        padded = np.concatenate([np.full(LONGEST_SPIKE, np.inf), close])
        price = np.lib.stride_tricks.sliding_window_view(padded, LONGEST_SPIKE + 1).min(axis=1)
        before = _median_before(close * volume, 20)
        return np.divide(price * volume, before, out=np.ones(len(close)), where=before > 0)

    def splits(self, rows: np.ndarray) -> np.ndarray:
        """The logarithm of new shares for one, at these rows; 0 on ordinary days."""
        split = np.zeros(len(self.days))
        if self.actions is not None and len(self.actions["date"]):
            at = np.searchsorted(self.days, self.actions["date"].astype("datetime64[D]"))
            inside = at < len(self.days)
            split[at[inside]] = np.log(self.actions["split"][inside])
        return split[rows]

    def findings(self, kind: Kind, rows: np.ndarray, say: Callable[[int, str], str], reach: int = 1) -> list[Finding]:
        return of_rows(kind, self.days, np.asarray(rows), say, reach)


def local_times(dates: np.ndarray, zone: str) -> np.ndarray:
    """UTC instants on the clock of a zone. The offset is taken at noon of each day: it changes at night."""
    days, which = np.unique(dates.astype("datetime64[D]"), return_inverse=True)
    where = ZoneInfo(zone)
    noons = (days.astype("datetime64[s]") + np.timedelta64(12, "h")).tolist()
    offsets = np.array([int(where.utcoffset(noon).total_seconds()) for noon in noons], "timedelta64[s]")  # type: ignore[union-attr]
    return dates + offsets[which]


def _median_before(values: np.ndarray, count: int) -> np.ndarray:
    """The median of so many values before each; of those there are at the beginning, 0 for none."""
    result = np.zeros(len(values))
    for at in range(1, min(count, len(values))):
        result[at] = np.median(values[:at])
    if len(values) > count:
        result[count:] = np.median(np.lib.stride_tricks.sliding_window_view(values, count)[:-1], axis=1)
    return result
