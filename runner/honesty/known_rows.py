"""When is a row of the site's series known, and what may be known to what is decided on a bar?

Where that is not certain, a row counts as known early and a decision as made late: rather miss a few hours of knowledge
than call what is honest a leak.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qfp import objects
from qfp.periods import ends, known_since
from qfp.publication import DAYS_LATER

from runner.models import Backtest
from runner.snapshot_series import entries

__all__ = ["decided_at", "first_unknown", "last_known", "whole_day"]

DAY = np.timedelta64(1, "D")
LAST = np.timedelta64(1, "us")
WITHIN_A_DAY = ("m", "h")  # how their intervals end


def whole_day(moment: np.datetime64) -> np.datetime64:
    """The last moment of its day where it is midnight, which stands for the day."""
    return moment + DAY - LAST if moment == moment.astype("datetime64[D]") else moment


def first_unknown(dates: np.ndarray, interval: str, columns: Mapping[str, np.ndarray], moment: np.datetime64) -> int:
    """The place of the first row from which on nothing was known at the moment; their number where all was."""
    if DAYS_LATER in columns:  # which are counted from the date itself
        known = ends(dates, "1d") + np.nan_to_num(columns[DAYS_LATER]).astype("timedelta64[D]")
    else:
        known = known_since(dates, interval, "open" in columns)
    return len(known) - int(np.argmin((known > moment)[::-1])) if (known <= moment).any() else 0


def last_known(store: Path, snapshot: str, backtests: Sequence[Backtest]) -> dict[int, np.ndarray]:
    """For each bar of each backtest, by position, the last moment whose rows may be known to what is decided on it."""
    wanted = {instrument.get("series") for backtest in backtests for instrument in backtest.instruments} - {None}
    moments = {
        entry["id"]: _of_series(store, entry)
        for entry in entries(store, snapshot, with_objects=True)
        if entry["id"] in wanted
    }
    return {
        backtest.position: _of_backtest(
            backtest, [moments[name] for each in backtest.instruments if (name := each.get("series") or "") in moments]
        )
        for backtest in backtests
    }


def _of_series(store: Path, entry: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    columns = objects.read(store, entry["object"])
    return columns["date"], decided_at(columns["date"], entry["interval"], columns)


def decided_at(dates: np.ndarray, interval: str, columns: Collection[str] = ()) -> np.ndarray:
    """The last moment that belongs to the bars of a series. After the last one of a day that is the day's end, if the
    next bar comes after that: what is decided then is not filled before.
    """
    over = ends(dates, interval, "open" in columns)
    if interval.endswith(WITHIN_A_DAY) and len(dates):
        day_over = (over.astype("datetime64[D]") + DAY).astype("datetime64[us]") - LAST
        closes = np.append(dates[1:] > day_over[:-1], True)
        over = np.where(closes, day_over, over)
    return over


def _of_backtest(backtest: Backtest, series: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The earliest of its series that have a bar there: portfolios trade all of them at once."""
    dates = np.array([date.replace("Z", "") for date in backtest.dates], dtype="datetime64[us]")
    found = np.full(len(dates), np.datetime64("NaT", "us"))
    for own, moments in series:
        at = np.minimum(np.searchsorted(own, dates), len(own) - 1)
        found = np.where(own[at] == dates, np.fmin(found, moments[at]), found)
    whole_days = bool((dates == dates.astype("datetime64[D]")).all())
    length = DAY if whole_days or len(dates) < 2 else np.diff(dates).min()
    return np.where(np.isnat(found), dates + length - LAST, found)
