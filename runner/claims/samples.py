"""Which bars come with backtesting.py? The samples that first programs trade, read from the boxes' environment."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

import numpy as np

from runner.claims.bars import PRICES, NotVerified, OurBars

__all__ = ["SAMPLES", "said_of", "sample_bars"]

SAMPLES = ("GOOG", "EURUSD", "BTCUSD")
FILES = "lib/python3*/site-packages/backtesting/test"


def sample_bars(environment: Path, name: str, stamps: np.ndarray) -> OurBars:
    """Those of a sample at these dates. Raises NotVerified where they are not a stretch of it."""
    dates, prices = _read(environment, name)
    first = int(np.searchsorted(dates, stamps[0]))
    last = first + len(stamps)
    if last > len(dates) or not np.array_equal(dates[first:last], stamps):
        raise NotVerified(f"The dates are not an unbroken stretch of the sample {name}.")
    opened, high, low, close = (prices[first:last, at] for at in range(len(PRICES)))
    return OurBars(opened, high, low, close)


def said_of(name: str) -> str:
    """Why a result over a sample is not verified though its fills follow, and what to do, in sentences."""
    instead = 'data.prices("GOOG")' if name == "GOOG" else "data.prices()"
    return (
        f"Its prices came with backtesting.py (the sample {name}), not from this site, so nobody here knows where they "
        f"are from; its fills follow from them. With {instead} of qfp instead, it can be verified."
    )


@lru_cache(maxsize=len(SAMPLES))
def _read(environment: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Dates, and a row of open, high, low and close for each; none where the environment has no such file."""
    found = next(iter(environment.glob(f"{FILES}/{name}.csv")), None)
    if found is None:
        return np.empty(0, dtype="datetime64[us]"), np.empty((0, len(PRICES)))
    with found.open(newline="") as file:
        _, *rows = csv.reader(file)
    dates = np.array([row[0] for row in rows], dtype="datetime64[us]")
    return dates, np.array([row[1 : 1 + len(PRICES)] for row in rows], dtype=float)
