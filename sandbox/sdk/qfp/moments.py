"""How are the dates of bars written, and compared with those of others? As ISO text, and as moments in UTC."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["dates_of", "instants"]


def dates_of(index: Any) -> list[str]:
    """The moments of an index as ISO text; days where all of them are."""
    import pandas as pd

    whole_days = isinstance(index, pd.DatetimeIndex) and bool((index == index.normalize()).all())
    if whole_days:
        return list(index.strftime("%Y-%m-%d"))
    return [str(getattr(moment, "isoformat", lambda m=moment: m)()) for moment in index]


def instants(index: Any) -> np.ndarray:
    """Moments in UTC, from an index or from an array of them."""
    if isinstance(index, np.ndarray):
        return index
    values: np.ndarray = index.values  # of a zone's times, too, the moments in UTC
    return values
