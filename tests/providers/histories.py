"""What do the stand-ins know? Made-up histories of a few shares, as traded, with splits and dividends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np


@dataclass(frozen=True)
class History:
    """Bars as traded by day (datetime64[D]); split and dividend by the same days."""

    days: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    split: np.ndarray
    dividend: np.ndarray

    @property
    def later_splits(self) -> np.ndarray:
        """The new shares of today for one of that day."""
        return np.append(np.cumprod(self.split[::-1])[::-1][1:], 1.0)


# NEWCO is in no catalogue.
SPLITS = {"AAPL": ((-200, 2.0), (-90, 4.0)), "MSFT": (), "IBM": ((-150, 3.0),), "NEWCO": ((-60, 2.0),)}
DIVIDENDS = {
    "AAPL": ((-250, 0.75), (-120, 0.5), (-30, 0.25)),
    "MSFT": ((-100, 3.08),),
    "IBM": (),
    "NEWCO": ((-40, 0.2),),
}


@cache
def history(symbol: str) -> History:
    """400 trading days until yesterday. KeyError for a symbol that nobody knows."""
    splits, dividends = SPLITS[symbol], DIVIDENDS[symbol]
    rng = np.random.default_rng(sum(symbol.encode()))
    yesterday = np.datetime64(datetime.now(UTC).date() - timedelta(days=1))
    days = np.array([day for day in np.arange(yesterday - 700, yesterday + 1) if np.is_busday(day)])[-400:]
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.01, len(days)))), 2)
    split, dividend = np.ones(len(days)), np.zeros(len(days))
    for at, ratio in splits:
        split[at] = ratio
        close[at:] = np.round(close[at:] / ratio, 2)
    for at, cash in dividends:
        dividend[at] = cash
    open_ = np.round(close * (1 + rng.normal(0, 0.002, len(days))), 2)
    return History(
        days=days,
        open=open_,
        high=np.round(np.maximum(open_, close) + 0.25, 2),
        low=np.round(np.minimum(open_, close) - 0.25, 2),
        close=close,
        volume=rng.integers(1_000, 9_000, len(days)).astype(float) * 24,
        split=split,
        dividend=dividend,
    )
