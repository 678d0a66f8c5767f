"""Bars as tests look at them: those of a snapshot, and what is wrong with some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qfp.data.frames import adjusted_columns

from marketdata.store import read_manifest, snapshot_folder

PRICES = ("open", "high", "low", "close")


def read_bars(store: Path, snapshot: str, series_id: str, adjust: str | None) -> dict[str, np.ndarray]:
    """Columns of a series by name, `date` as datetime64[us], adjusted by the same code that a box uses.

    Raises SnapshotMissing, or KeyError when the snapshot has no such series with open, high, low and close.
    """
    entry = find_series(read_manifest(store, snapshot, with_objects=True), series_id)
    return adjusted_columns(snapshot_folder(store, snapshot), entry, adjust)


def find_series(manifest: dict[str, Any], series_id: str) -> dict[str, Any]:
    for entry in manifest["series"]:
        if entry["id"] == series_id and set(PRICES) <= set(entry["columns"]):
            return entry
    raise KeyError(series_id)


def faults(bars: dict[str, np.ndarray]) -> list[str]:
    """What is wrong with bars, a sentence each; empty when nothing is.

    bars: arrays of one length with date, open, high, low, close and, if there is one, volume.
    """
    found = []
    if len(bars["date"]) > 1 and not np.all(np.diff(bars["date"].astype(np.int64)) > 0):
        found.append("The dates are not in order or appear twice.")
    prices = np.vstack([bars[name] for name in PRICES])
    if not np.all(np.isfinite(prices) & (prices > 0)):
        found.append("Some prices are missing, infinite, zero or negative.")
        return found
    if np.any(bars["low"] > prices.min(axis=0)) or np.any(bars["high"] < prices.max(axis=0)):
        found.append("Some bars have a high or low that does not span open and close.")
    volume = bars.get("volume")
    if volume is not None and not np.all(np.isfinite(volume) & (volume >= 0)):
        found.append("Some volumes are missing or negative.")
    return found
