"""What is odd about a series? Rules on whole columns; what they find is told and never silently repaired.

check() looks at one series and knows neither database nor store. A finding says what, from when to when, and a plain
sentence. The rules are made to be right when they speak: a jump that stays, or that came with a crowd of buyers and
sellers, is news and not a fault (GameStop in January 2021; Apple on 29 September 2000).

A rule's tolerances stand beside it and are explained to readers in docs/data-quality.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marketdata import calendars
from marketdata.calendars import Calendar
from marketdata.quality.dates import closed_days, disorder, gaps, sorted_once, zone_shifts
from marketdata.quality.findings import SERIOUS, Finding, Kind, bounded, is_explained, plainest
from marketdata.quality.jumps import spikes, splits
from marketdata.quality.series import CheckedSeries, Columns
from marketdata.quality.values import ohlc, stale, unpriced, volumes

__all__ = ["SERIOUS", "Finding", "Kind", "check", "check_entry"]


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
    found = disorder(columns)
    columns = sorted_once(columns)
    series = CheckedSeries(columns, kind, interval, adjustment, actions, calendar)
    shifts = zone_shifts(series)
    found += shifts
    found += [finding for finding in [*gaps(series), *closed_days(series)] if not is_explained(finding, shifts)]
    if "close" in columns:
        for rule in (unpriced, ohlc, spikes, splits, stale, volumes):
            found += rule(series)
    found = plainest(found)
    return sorted(bounded(found), key=lambda finding: (finding.first, finding.kind))


def check_entry(entry: Mapping[str, Any], read: Callable[[str], Columns]) -> list[Finding]:
    """What is odd about a series of a manifest. read: from the hash of an object to its columns."""
    return check(
        read(entry["object"]),
        kind=entry["kind"],
        interval=entry["interval"],
        adjustment=entry.get("adjustment", ""),
        actions=read(entry["actions"]) if entry.get("actions") else None,
        calendar=calendars.find(entry.get("exchange", ""), entry["kind"]),
    )
