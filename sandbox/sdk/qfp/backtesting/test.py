"""Which indicator do examples use? The simple moving average, by the name that backtesting.test has for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from qfp.backtesting.compiled import machine

__all__ = ["SMA"]


def SMA(values: Any, n: int) -> np.ndarray:
    """The mean of the last n values, one for each; NaN where there are fewer, or one of them is missing.

    The same to the last bit as pd.Series(values).rolling(n).mean(), by machine code where that is ready.
    """
    column = np.ascontiguousarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise ValueError(f"SMA() takes one value per bar, not an array of shape {column.shape}")
    if n != int(n) or n < 1:
        raise ValueError(f"n is a whole number of values, at least 1, not {n!r}")
    if not machine.is_ready() or not len(column):
        import pandas as pd

        return pd.Series(column).rolling(int(n)).mean().to_numpy(copy=True)
    room = np.empty(len(column) + 8)
    begin = -room.ctypes.data % 64 // 8
    found = room[begin : begin + len(column)]
    machine.call("moving_average", column.ctypes.data, len(column), int(n), found.ctypes.data)
    return found
