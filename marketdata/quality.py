"""What is odd about a series? Rules on whole columns; what they find is told and never silently repaired.

check() looks at one series and knows neither database nor store. A finding says what, from when to when, and a plain
sentence. The rules are made to be right when they speak: a jump that stays, or that came with a crowd of buyers and
sellers, is news and not a fault (GameStop in January 2021; Apple on 29 September 2000).

A rule's tolerances stand beside it and are explained to readers in docs/data-quality.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from marketdata.calendars import Calendar

PRICES = ("open", "high", "low", "close")
# Kinds that have a price or a level above zero; an oil price or a yield may be anything.
POSITIVE = ("equity", "index", "fx", "crypto", "volatility")
MOST_OF_A_KIND = 5
DAYS = {"1d": 1, "1w": 7, "2w": 14, "1mo": 31, "3mo": 92, "6mo": 184, "1y": 366}

Columns = Mapping[str, np.ndarray]


class Kind(StrEnum):
    DISORDER = "disorder"
    DUPLICATE = "duplicate"
    GAP = "gap"
    CLOSED_DAY = "closed-day"
    MISSING_VALUE = "missing-value"
    NOT_POSITIVE = "not-positive"
    OHLC = "ohlc"
    SPIKE = "spike"
    UNIT = "unit"
    UNADJUSTED_SPLIT = "unadjusted-split"
    SPLIT_NOT_IN_PRICES = "split-not-in-prices"
    ZONE_SHIFT = "zone-shift"
    STALE = "stale"
    VOLUME = "volume"
    RESTATEMENT = "restatement"


# New rows with one of these are held back until somebody has looked; the rest is told.
SERIOUS = frozenset(Kind) - {Kind.GAP, Kind.CLOSED_DAY, Kind.STALE, Kind.VOLUME, Kind.RESTATEMENT}


@dataclass(frozen=True)
class Finding:
    """Something odd, from the first to the last day that it concerns."""

    kind: Kind
    first: date
    last: date
    message: str


def check(
    columns: Columns,
    *,
    kind: str = "equity",
    interval: str = "1d",
    adjustment: str = "raw",
    actions: Columns | None = None,
    calendar: Calendar | None = None,
) -> list[Finding]:
    """What is odd about a series, in the order of its days; empty when nothing is.

    columns: arrays of one length by name: date (datetime64; trading days when daily, UTC instants when shorter) and
      close, or open, high, low, close and perhaps volume. Series with other columns (factors, curves) are looked at
      for their dates alone.
    kind: of the instrument. adjustment: as the manifest says it; "raw" is as traded.
    actions: date, split and dividend, as stored beside raw prices.
    calendar: the exchange's; without one only holes of a week and more are seen.
    """
    if not len(columns["date"]) or kind == "options":  # a chain has many rows of a day
        return []
    found = _order(columns)
    columns = _sorted_once(columns)
    series = _Series(columns, kind, interval, adjustment, actions, calendar)
    shifts = _zone_shift(series)
    found += shifts
    found += [finding for finding in [*_gaps(series), *_closed_days(series)] if not _within(finding, shifts)]
    if "close" in columns:
        for rule in (_values, _ohlc, _spikes, _splits, _stale, _volume):
            found += rule(series)
    found = _plainest(found)
    return sorted(_bounded(found), key=lambda finding: (finding.first, finding.kind))


def check_entry(entry: Mapping[str, Any], read: Callable[[str], Columns]) -> list[Finding]:
    """What is odd about a series of a manifest. read: from the hash of an object to its columns."""
    from marketdata import calendars

    return check(
        read(entry["object"]),
        kind=entry["kind"],
        interval=entry["interval"],
        adjustment=entry.get("adjustment", ""),
        actions=read(entry["actions"]) if entry.get("actions") else None,
        calendar=calendars.find(entry.get("exchange", ""), entry["kind"]),
    )


@dataclass(frozen=True)
class _Series:
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
        return _local(self.dates, self.calendar.zone).astype("datetime64[D]")

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
        """One for each run of rows (numbers). say: gets the number of rows and a span of days in words."""
        return _findings(kind, self.days, np.asarray(rows), say, reach)


# Dates ------------------------------------------------------------------------------------------------------


def _order(columns: Columns) -> list[Finding]:
    dates = columns["date"]
    days = dates.astype("datetime64[D]")
    found = []
    back = np.flatnonzero(np.diff(dates.astype(np.int64)) < 0) + 1
    if len(back):
        found += _findings(
            Kind.DISORDER, days, back, lambda rows, span: f"The dates go backwards {span}: rows are out of order."
        )
    order = np.argsort(dates, kind="stable")
    same = np.flatnonzero(np.diff(dates[order].astype(np.int64)) == 0) + 1
    if len(same):
        others = [values[order] for name, values in columns.items() if name != "date"]
        differ = any(((values[same] != values[same - 1]) & ~np.isnan(values[same])).any() for values in others)
        how = "with different values" if differ else "with the same values"
        found += _findings(
            Kind.DUPLICATE,
            days[order],
            same,
            lambda rows, span: f"{_rows(rows)} there twice {how} {span}.",
        )
    return found


def _sorted_once(columns: Columns) -> dict[str, np.ndarray]:
    """In order and every date once, the first of several: so that the other rules can look."""
    _, rows = np.unique(columns["date"], return_index=True)
    return {name: values[rows] for name, values in columns.items()}


def _gaps(series: _Series) -> list[Finding]:
    days, calendar = np.unique(series.local_days), series.calendar
    if calendar is not None and series.by_session:
        expected = calendar.sessions(days[0].item(), days[-1].item())
        missing = ~np.isin(expected, days)
        if calendar.name == "FX":
            missing &= ~_christmas_or_new_year(expected)  # hardly anybody quotes then
        return _findings(
            Kind.GAP,
            expected,
            np.flatnonzero(missing),
            lambda rows, span: f"{_many(rows, 'session')} missing {span}, when {calendar.name} was open.",
        )
    usual = DAYS.get(series.interval, 1)
    # Without a calendar holidays are not known: more than a week from one row to the next is no holiday.
    longest = 7 if usual == 1 else 1.6 * usual
    steps = np.diff(days).astype(int)
    found = []
    for at in np.flatnonzero(steps > longest):
        first, last = (days[at] + 1).item(), (days[at + 1] - 1).item()
        found.append(Finding(Kind.GAP, first, last, f"Nothing is there {_span(first, last)}."))
    return found


def _christmas_or_new_year(days: np.ndarray) -> np.ndarray:
    of_year = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int)
    to_next = (days.astype("datetime64[Y]") + 1).astype("datetime64[D]") - days
    return (of_year == 0) | (to_next.astype(int) == 7)


def _closed_days(series: _Series) -> list[Finding]:
    calendar = series.calendar
    if calendar is None or calendar.name in ("FX", "CRYPTO") or not series.by_session:
        return []
    closed = calendar.knows(series.local_days) & ~calendar.open_on(series.local_days)
    return series.findings(
        Kind.CLOSED_DAY,
        np.flatnonzero(closed),
        lambda rows, span: f"{_rows(rows)} dated {span}, when {calendar.name} was closed.",
    )


def _zone_shift(series: _Series) -> list[Finding]:
    if series.intraday:
        return _shifted_hours(series)
    if series.interval != "1d":
        return []
    found = []
    clock = series.dates - series.days
    if (odd := np.flatnonzero(clock != np.timedelta64(0))).size:
        minutes = int(np.median(clock[odd].astype("timedelta64[m]").astype(int)))
        at = f"{minutes // 60:02d}:{minutes % 60:02d}"
        found += series.findings(
            Kind.ZONE_SHIFT,
            odd,
            lambda rows, span: (
                f"Daily bars carry a time of day, mostly {at}, {span}: midnight of another time zone. "
                "Their days may be one off."
            ),
            reach=5,
        )
    if series.calendar is None or series.calendar.week == "1111111":
        return found
    # A day early: Monday's bar on Sunday and none on Friday. A day late: Friday's on Saturday and none on Monday.
    days = series.days
    weekday = (days.astype(int) + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    early = days[(weekday == 6) & ~np.isin(days + 5, days)]
    late = days[(weekday == 5) & ~np.isin(days - 5, days)]
    for shifted, way, before, after in ((early, "early", 0, 4), (late, "late", 4, 0)):
        for run in _runs(shifted.astype(int), reach=15):
            if len(run) < 2:
                continue
            first, last = (
                (run[0] - before).astype("datetime64[D]").item(),
                (run[-1] + after).astype("datetime64[D]").item(),
            )
            weekend = "Sundays and none on Fridays" if way == "early" else "Saturdays and none on Mondays"
            found.append(
                Finding(
                    Kind.ZONE_SHIFT,
                    first,
                    last,
                    f"Bars {_span(first, last)} are dated a day too {way}: there are bars on {weekend}. Midnight was "
                    "probably taken in another time zone.",
                )
            )
    return found


def _shifted_hours(series: _Series) -> list[Finding]:
    """Sessions whose first and last bars are the same whole hours away from where they usually are."""
    calendar = series.calendar
    if calendar is None or calendar.name in ("FX", "CRYPTO"):
        return []
    local = _local(series.dates, calendar.zone)
    days, begins = np.unique(local.astype("datetime64[D]"), return_index=True)
    ends = np.append(begins[1:], len(local)) - 1
    first, last = ((local[rows] - days).astype("timedelta64[m]").astype(int) for rows in (begins, ends))
    usual_first, usual_last = np.median(first), np.median(last)
    opens = calendar.opening(days[-1].item()).astimezone(ZoneInfo(calendar.zone))
    away = usual_first - (opens.hour * 60 + opens.minute)
    if away and away % 60 == 0 and abs(away) <= 14 * 60:
        return [
            Finding(
                Kind.ZONE_SHIFT,
                days[0].item(),
                days[-1].item(),
                f"Sessions begin {_hours(away)} the opening of {calendar.name}: the times are of another zone.",
            )
        ]
    shift = first - usual_first
    odd = (shift != 0) & (shift % 60 == 0) & (last - usual_last == shift)
    found = []
    for run in _runs(np.flatnonzero(odd), reach=1):
        if len(run) < 2:
            continue
        begin, end = days[run[0]].item(), days[run[-1]].item()
        found.append(
            Finding(
                Kind.ZONE_SHIFT,
                begin,
                end,
                f"Sessions {_span(begin, end)} begin and end {_hours(shift[run[0]])} their usual times: summer time, "
                "or another zone.",
            )
        )
    return found


def _local(dates: np.ndarray, zone: str) -> np.ndarray:
    """UTC instants on the clock of a zone. The offset is taken at noon of each day: it changes at night."""
    days, which = np.unique(dates.astype("datetime64[D]"), return_inverse=True)
    where = ZoneInfo(zone)
    noons = (days.astype("datetime64[s]") + np.timedelta64(12, "h")).tolist()
    offsets = np.array([int(where.utcoffset(noon).total_seconds()) for noon in noons], "timedelta64[s]")  # type: ignore[union-attr]
    return dates + offsets[which]


# Values -----------------------------------------------------------------------------------------------------


def _values(series: _Series) -> list[Finding]:
    if series.kind not in POSITIVE:
        return []
    names = [name for name in PRICES if name in series.columns]
    prices = np.vstack([series.columns[name] for name in names])
    missing = ~np.isfinite(prices)
    found = []
    if series.has_bars:
        rows = np.flatnonzero(missing.any(axis=0))
    else:
        # Holidays stand in many sources as rows without a value, and a name begins and ends: only holes count.
        runs = _runs(np.flatnonzero(missing[0]), reach=1)
        holes = [run for run in runs if len(run) >= 5 and run[0] > 0 and run[-1] < len(missing[0]) - 1]
        rows = np.concatenate(holes) if holes else np.array([], int)
    found += series.findings(Kind.MISSING_VALUE, rows, lambda rows, span: f"{_rows(rows)} without a price {span}.")
    low = np.flatnonzero((prices <= 0).any(axis=0))
    found += series.findings(
        Kind.NOT_POSITIVE, low, lambda rows, span: f"Prices of zero or below {span}, in {_many(rows, 'row', 'rows')}."
    )
    return found


def _ohlc(series: _Series) -> list[Finding]:
    if not series.has_bars:
        return []
    open_, high, low, close = (series.columns[name] for name in PRICES)
    # Providers round prices that they have adjusted: a millionth is no violation.
    room = 1e-6 * np.abs(close)
    with np.errstate(invalid="ignore"):
        wrong = (high + room < np.maximum(open_, close)) | (low - room > np.minimum(open_, close)) | (high + room < low)
    return series.findings(
        Kind.OHLC,
        np.flatnonzero(wrong),
        lambda rows, span: f"High and low do not span open and close {span}, in {_many(rows, 'bar', 'bars')}.",
    )


# A spike comes back: this near to where it began, within so many bars.
RETURNS_WITHIN = np.log(1.25)
LONGEST_SPIKE = 3
ALWAYS_A_SPIKE = np.log(10)
# Smaller ones only where nobody traded more than usual. Without volumes there is no such witness.
QUIET_SPIKE, SPIKE_WITHOUT_VOLUME = np.log(2), np.log(3)
CROWD = 3.0
WITHIN_A_BAR = 5.0


def _spikes(series: _Series) -> list[Finding]:
    if series.kind not in POSITIVE:
        return []
    rows = series.priced
    if len(rows) < 3:
        return []
    level = np.log(series.close[rows])
    split, step = series.splits(rows), np.diff(level, prepend=level[0])
    # As if there had been no splits; one that prices do not show is another rule's.
    level = level + np.cumsum(np.where(np.abs(step + split) < np.abs(step), split, 0))
    crowd = series.crowd
    least = QUIET_SPIKE if crowd is not None else SPIKE_WITHOUT_VOLUME
    spike, count = np.zeros(len(rows), bool), len(rows)
    for length in range(1, LONGEST_SPIKE + 1):
        starts = np.arange(1, count - length)
        block = level[starts[:, None] + np.arange(length)] - level[starts - 1][:, None]
        size = np.where((block > 0).all(axis=1) | (block < 0).all(axis=1), np.abs(block).min(axis=1), 0)
        back = np.abs(level[starts + length] - level[starts - 1]) <= RETURNS_WITHIN
        quiet = np.ones(len(starts), bool)
        if crowd is not None:
            quiet = crowd[starts[:, None] + np.arange(length)].max(axis=1) < CROWD
        for start in starts[back & ((size >= ALWAYS_A_SPIKE) | ((size >= least) & quiet))]:
            spike[start : start + length] = True
    found = []
    for run in _runs(np.flatnonzero(spike), reach=1):
        first, last = (series.days[rows[at]].item() for at in (run[0], run[-1]))
        times = _fold(level[run[0]] - level[run[0] - 1])
        wrong = "a wrong value" if len(run) == 1 else f"{len(run)} wrong values"
        text = f"The price is {times} the one before {_span(first, last)} and then comes back: probably {wrong}."
        found.append(Finding(Kind.SPIKE, first, last, text))
    # What has not come back: at the end of the series nobody knows yet; before, it is another unit.
    jumps = np.flatnonzero(np.abs(np.diff(level)) >= ALWAYS_A_SPIKE) + 1
    jumps = jumps[~spike[jumps] & ~spike[jumps - 1]]
    if crowd is not None:
        jumps = jumps[crowd[jumps] < CROWD]
    for jump in jumps:
        day, times = series.days[rows[jump]].item(), _fold(level[jump] - level[jump - 1])
        if jump >= count - LONGEST_SPIKE:
            text = f"The price is {times} the day before's on {_day(day)}, at the end of the series, without a split."
            found.append(Finding(Kind.SPIKE, day, day, text))
        else:
            text = (
                f"From {_day(day)} on prices are {times} those before, without a split or more trading than usual: "
                "another unit, such as pence and pounds, or a split that is not recorded."
            )
            found.append(Finding(Kind.UNIT, day, day, text))
    if series.has_bars:
        high, low = series.columns["high"], series.columns["low"]
        body = np.vstack([series.columns["open"], series.close])
        with np.errstate(invalid="ignore"):
            far = (high > WITHIN_A_BAR * body.max(axis=0)) | ((low > 0) & (WITHIN_A_BAR * low < body.min(axis=0)))
            far &= (body > 0).all(axis=0)
        found += series.findings(
            Kind.SPIKE,
            np.setdiff1d(np.flatnonzero(far), rows[spike]),
            lambda number, span: f"High or low is more than {WITHIN_A_BAR:g} times away from open and close {span}.",
        )
    return found


def _median_before(values: np.ndarray, count: int) -> np.ndarray:
    """The median of so many values before each; of those there are at the beginning, 0 for none."""
    result = np.zeros(len(values))
    for at in range(1, min(count, len(values))):
        result[at] = np.median(values[:at])
    if len(values) > count:
        result[count:] = np.median(np.lib.stride_tricks.sliding_window_view(values, count)[:-1], axis=1)
    return result


# Splits that companies make; those that are easily mistaken for a bad day need volumes as witnesses.
RATIOS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50)
SMALL_RATIOS = (1.5, 4 / 3, 1.25)
NEAR_WITH_WITNESS, NEAR_WITHOUT, NEAR_SMALL = np.log(1.08), np.log(1.02), np.log(1.04)
STAYS_WITHIN = np.log(1.25)


def _splits(series: _Series) -> list[Finding]:
    if series.kind != "equity" or series.interval != "1d":
        return []
    rows = series.priced
    if len(rows) < 3:
        return []
    level, split = np.log(series.close[rows]), series.splits(rows)
    step = np.diff(level)
    found: list[Finding] = []
    crowd = series.crowd
    first = step
    if series.has_bars:
        with np.errstate(divide="ignore", invalid="ignore"):
            first = np.log(series.columns["open"][rows][1:]) - level[:-1]
    for ratio in (*RATIOS, *(SMALL_RATIOS if crowd is not None else ())):
        near = NEAR_WITHOUT if crowd is None else NEAR_SMALL if ratio < 2 else NEAR_WITH_WITNESS
        for sign in (-1.0, 1.0):
            jump = sign * np.log(ratio)
            fits = (np.abs(step - jump) <= near) & (np.abs(first - jump) <= near) & (split[1:] == 0)
            if crowd is not None:
                fits &= crowd[1:] < CROWD
            for at in np.flatnonzero(fits) + 1:
                if not _stays(level, at) or any(finding.first == series.days[rows[at]].item() for finding in found):
                    continue
                day = series.days[rows[at]].item()
                way = f"{ratio:g} new shares for one" if sign < 0 else f"one new share for {ratio:g}"
                found.append(
                    Finding(
                        Kind.UNADJUSTED_SPLIT,
                        day,
                        day,
                        f"The price becomes {_fold(step[at - 1])} on {_day(day)} and stays there, with no more trading "
                        f"than usual and no split recorded: it looks like a split of {way}.",
                    )
                )
    if series.adjustment == "raw":
        found += _splits_without_jump(series, rows, step, split)
    return found


def _stays(level: np.ndarray, at: int) -> bool:
    after, before = level[at + 1 : at + 6], level[max(0, at - 5) : at]
    calm = abs(np.median(before) - level[at - 1]) <= STAYS_WITHIN
    return bool(calm and (not len(after) or abs(np.median(after) - level[at]) <= STAYS_WITHIN))


def _splits_without_jump(series: _Series, rows: np.ndarray, step: np.ndarray, split: np.ndarray) -> list[Finding]:
    """Recorded, yet prices as traded do not show it: adjusting them would make a jump."""
    found = []
    for at in np.flatnonzero(np.abs(split) > np.log(1.2)):
        if at == 0 or abs(step[at - 1]) >= abs(step[at - 1] + split[at]):
            continue
        day = series.days[rows[at]].item()
        found.append(
            Finding(
                Kind.SPLIT_NOT_IN_PRICES,
                day,
                day,
                f"A split of {np.exp(split[at]):g} is recorded on {_day(day)}, but the price does not change with it: "
                "these prices are adjusted already, or the day is wrong.",
            )
        )
    return found


# Unchanged values are stale when chance would hardly ever make such a run, given how often this series stands still.
CHANCE = 1e-4
SHORTEST_STALE = {"bars": 8, "close": 10, "intraday": 60}


def _stale(series: _Series) -> list[Finding]:
    if series.kind not in POSITIVE or (series.interval != "1d" and not series.intraday) or len(series.close) < 3:
        return []
    names = PRICES if series.has_bars else ("close",)
    same = np.all([np.diff(series.columns[name]) == 0 for name in names], axis=0)
    often = float(np.clip(same.mean(), 0.01, 0.95))
    shortest = SHORTEST_STALE["intraday" if series.intraday else "bars" if series.has_bars else "close"]
    shortest = max(shortest, int(np.ceil(np.log(CHANCE / len(same)) / np.log(often))))
    runs = [run for run in _runs(np.flatnonzero(same), reach=1) if len(run) >= shortest]
    rows = np.concatenate([run + 1 for run in runs]) if runs else np.array([], int)
    return series.findings(
        Kind.STALE, rows, lambda number, span: f"The price does not change in {number + 1} rows {span}."
    )


# What a volume is when a program's integers were too small for it.
OVERFLOWS = (2.0**31 - 1, 2.0**31, 2.0**32 - 1, 2.0**32, 2.0**63 - 1, 2.0**64 - 1)


def _volume(series: _Series) -> list[Finding]:
    volume = series.volume
    if volume is None:
        return []
    with np.errstate(invalid="ignore"):
        wrong = ~np.isfinite(volume) | (volume < 0) | np.isin(volume, OVERFLOWS)
        found = series.findings(
            Kind.VOLUME,
            np.flatnonzero(wrong),
            lambda rows, span: f"The volume is missing, negative or the largest number of a program {span}.",
        )
        none = volume == 0
        moved = np.append(False, np.diff(series.close) != 0)
    if none.mean() < 0.01 and not series.intraday:
        found += series.findings(
            Kind.VOLUME,
            np.flatnonzero(none & moved),
            lambda rows, span: f"The volume is zero {span} although the price changed.",
        )
    return found


# Words and runs ---------------------------------------------------------------------------------------------


def _runs(rows: np.ndarray, reach: int) -> list[np.ndarray]:
    """Numbers in groups whose neighbours are at most so far apart."""
    return np.split(rows, np.flatnonzero(np.diff(rows) > reach) + 1) if len(rows) else []


def _findings(
    kind: Kind, days: np.ndarray, rows: np.ndarray, say: Callable[[int, str], str], reach: int = 1
) -> list[Finding]:
    spans: dict[date, tuple[date, int]] = {}
    for run in _runs(rows, reach):
        first, last = days[run[0]].item(), days[run[-1]].item()
        # Several of one day, in bars of minutes, are one finding.
        _, before = spans.get(first, (last, 0))
        spans[first] = (last, before + len(run))
    return [Finding(kind, first, last, say(count, _span(first, last))) for first, (last, count) in spans.items()]


def _bounded(found: Iterable[Finding]) -> list[Finding]:
    """A series that is wrong throughout needs no thousand sentences: after so many of a kind one says how many more."""
    by_kind: dict[Kind, list[Finding]] = {}
    for finding in found:
        by_kind.setdefault(finding.kind, []).append(finding)
    bounded = []
    for kind, findings in by_kind.items():
        # In bars of minutes one of a kind and day stands for all.
        ordered = list(
            {finding.first: finding for finding in sorted(findings, key=lambda finding: finding.first)}.values()
        )
        bounded += ordered[:MOST_OF_A_KIND]
        if rest := ordered[MOST_OF_A_KIND:]:
            first, last = rest[0].first, max(finding.last for finding in rest)
            bounded.append(Finding(kind, first, last, f"And {len(rest)} more of this kind {_span(first, last)}."))
    return bounded


def _plainest(found: list[Finding]) -> list[Finding]:
    """Of two names for the same jump the likelier one."""
    spikes = {finding.first for finding in found if finding.kind == Kind.SPIKE}
    splits = {finding.first for finding in found if finding.kind == Kind.UNADJUSTED_SPLIT} - spikes
    return [
        finding
        for finding in found
        if not (finding.kind == Kind.UNADJUSTED_SPLIT and finding.first in spikes)
        and not (finding.kind == Kind.UNIT and finding.first in splits)
    ]


def _within(finding: Finding, others: list[Finding]) -> bool:
    """Whether another one, with a few days around it, explains this one."""
    near = 7
    return any(
        (other.first - finding.last).days <= near and (finding.first - other.last).days <= near for other in others
    )


def _fold(log_step: float) -> str:
    return f"{np.exp(log_step):.3g} times"


def _hours(minutes: float) -> str:
    hours = abs(int(minutes)) // 60
    return f"{_many(hours, 'hour', 'hours')} {'after' if minutes > 0 else 'before'}"


def _many(number: int, one: str, several: str = "") -> str:
    if several:
        return f"{number} {one if number == 1 else several}"
    return f"1 {one} is" if number == 1 else f"{number} {one}s are"


def _rows(number: int) -> str:
    return _many(number, "row")


def _span(first: date, last: date) -> str:
    return f"on {_day(first)}" if first == last else f"from {_day(first)} to {_day(last)}"


def _day(day: date) -> str:
    return day.isoformat()
