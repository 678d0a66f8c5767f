"""What are the moving averages of a column? One of them, or those over many windows at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qfp.backtesting.compiled import machine
from qfp.backtesting.compiled.lanes import LANES

__all__ = ["averages"]


PAGE = 1 << 21  # bytes of a large page
LONG = 100_000  # values: so many have memory of their own, which is used again by the next who needs as much


def averages(values: Any, windows: Sequence[int]) -> np.ndarray | list[np.ndarray]:
    """A row for each window: the means of the last so many values; NaN where there are fewer, or one is missing.

    The same to the last bit as pd.Series(values).rolling(window).mean(), by machine code where that is ready.
    """
    column = np.ascontiguousarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise ValueError(f"SMA() takes one value per bar, not an array of shape {column.shape}")
    for one in windows:
        if one != int(one) or one < 1:
            raise ValueError(f"n is a whole number of values, at least 1, not {one!r}")
    count, whole = len(column), [int(one) for one in windows]
    if not machine.is_ready() or not count:
        import pandas as pd

        series = pd.Series(column)
        return np.array([series.rolling(one).mean().to_numpy() for one in whole])
    found = _rows(len(whole), count) if count < LONG else [_rows(1, count)[0] for _ in whole]
    if len(whole) == 1 or not _side_by_side(column, whole, found):
        for row, one in zip(found, whole, strict=True):
            machine.call("moving_average", column.ctypes.data, count, one, row.ctypes.data)
    return found


def _rows(number: int, count: int) -> np.ndarray:
    """Rows of floats that begin where machine code likes them to, at multiples of 64 bytes.

    Large tables begin at a large page. NumPy asks the system for such pages from four million bytes on, and memory
    that comes in them is touched for the first time in a tenth of the time; what is not touched costs nothing.
    """
    width = -(-count // 8) * 8
    size, alike = number * width, 64
    if 8 * size >= PAGE // 2:
        alike = PAGE
    room = np.empty(size + 8 if alike == 64 else max(size + PAGE // 8, 2 * PAGE // 8))
    begin = -room.ctypes.data % alike // 8
    return room[begin : begin + size].reshape(number, width)[:, :count]


def _side_by_side(column: np.ndarray, windows: list[int], found: np.ndarray | list[np.ndarray]) -> bool:
    """Fill the rows. False where a value of the column has a minus or is missing."""
    lanes = next((some for some in LANES if some >= len(windows)), LANES[-1])
    if isinstance(found, np.ndarray):
        outs = found.ctypes.data + found.strides[0] * np.arange(len(windows))
    else:
        outs = np.array([row.ctypes.data for row in found], dtype=np.int64)
    spare = -len(windows) % lanes  # the last window stands in for windows that there are not
    periods = np.array([*windows, *windows[-1:] * spare], dtype=np.int64)
    outs = np.concatenate([outs, outs[-1:].repeat(spare)])
    for begin in range(0, len(periods), lanes):
        some = periods[begin : begin + lanes]
        places = (some.ctypes.data, outs[begin:].ctypes.data)
        if machine.call(f"moving_averages{lanes}", column.ctypes.data, len(column), *places, int(some.max())) < 0:
            return False
    return True
