"""What is odd about single values of a series? Prices that are none, bars that contradict themselves, values that
stand still, and volumes that cannot be.
"""

from __future__ import annotations

import numpy as np

from marketdata.quality.findings import Finding, Kind, grouped, how_many, rows_are
from marketdata.quality.series import POSITIVE, PRICES, CheckedSeries


def unpriced(series: CheckedSeries) -> list[Finding]:
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
        runs = grouped(np.flatnonzero(missing[0]), reach=1)
        holes = [run for run in runs if len(run) >= 5 and run[0] > 0 and run[-1] < len(missing[0]) - 1]
        rows = np.concatenate(holes) if holes else np.array([], int)
    found += series.findings(Kind.MISSING_VALUE, rows, lambda rows, span: f"{rows_are(rows)} without a price {span}.")
    low = np.flatnonzero((prices <= 0).any(axis=0))
    found += series.findings(
        Kind.NOT_POSITIVE,
        low,
        lambda rows, span: f"Prices of zero or below {span}, in {how_many(rows, 'row', 'rows')}.",
    )
    return found


def ohlc(series: CheckedSeries) -> list[Finding]:
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
        lambda rows, span: f"High and low do not span open and close {span}, in {how_many(rows, 'bar', 'bars')}.",
    )


# Unchanged values are stale when chance would hardly ever make such a run, given how often this series stands still.
CHANCE = 1e-4
SHORTEST_STALE = {"bars": 8, "close": 10, "intraday": 60}


def stale(series: CheckedSeries) -> list[Finding]:
    if series.kind not in POSITIVE or (series.interval != "1d" and not series.intraday) or len(series.close) < 3:
        return []
    names = PRICES if series.has_bars else ("close",)
    same = np.all([np.diff(series.columns[name]) == 0 for name in names], axis=0)
    often = float(np.clip(same.mean(), 0.01, 0.95))
    shortest = SHORTEST_STALE["intraday" if series.intraday else "bars" if series.has_bars else "close"]
    shortest = max(shortest, int(np.ceil(np.log(CHANCE / len(same)) / np.log(often))))
    runs = [run for run in grouped(np.flatnonzero(same), reach=1) if len(run) >= shortest]
    rows = np.concatenate([run + 1 for run in runs]) if runs else np.array([], int)
    return series.findings(
        Kind.STALE, rows, lambda number, span: f"The price does not change in {number + 1} rows {span}."
    )


# What a volume is when a program's integers were too small for it.
OVERFLOWS = (2.0**31 - 1, 2.0**31, 2.0**32 - 1, 2.0**32, 2.0**63 - 1, 2.0**64 - 1)


def volumes(series: CheckedSeries) -> list[Finding]:
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
