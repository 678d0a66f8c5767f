"""What is a backtest given? Bars and a commission, checked and put into the shape that the engine reads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from qfp import pointing
from qfp.backtesting.curves import PIECE
from qfp.backtesting.lines import PRICES, capitalised, column_of

__all__ = ["Commission", "checked_bars", "commission_of"]

Commission = float | tuple[float, float] | Callable[[float, float], float]


class _Charge:
    """A commission of a fixed amount and a fraction of the value."""

    def __init__(self, fixed: float, share: float) -> None:
        self.fixed, self.share = fixed, share

    def __call__(self, size: float, price: float) -> float:
        return self.fixed + abs(size) * price * self.share


def commission_of(value: Commission) -> tuple[Callable[[float, float], float], float | None]:
    """(function of size and price, the fixed part of it or None where a function of the program's own decides)."""
    if callable(value):
        return value, None
    try:
        fixed, share = value if isinstance(value, (tuple, list)) else (0, value)
        fixed, share = float(fixed), float(share)
    except (TypeError, ValueError):
        raise TypeError(
            "commission is a fraction of the value, (fixed amount, fraction), or a function of size and price"
        ) from None
    if fixed < 0 or not -0.1 <= share < 0.1:
        raise ValueError(
            "commission is a fixed amount of 0 or more and a fraction between -0.1 and 0.1 (0.001 is 0.1 %)"
        )

    return _Charge(fixed, share), fixed


def checked_bars(data: pd.DataFrame, cash: float) -> tuple[pd.DataFrame, list[np.ndarray], tuple[float, float]]:
    """(the bars as the engine needs them: sorted, dated where the index looks like dates, with a Volume; their prices,
    as flat arrays; the lowest and the highest close).
    """
    if not isinstance(data, pd.DataFrame):
        raise TypeError("data is a DataFrame with the columns Open, High, Low, Close and, if wanted, Volume")
    if not math.isfinite(cash):
        raise ValueError(f"cash is an amount of money, such as 10_000, not {cash!r}")
    data = capitalised(data)
    missing = [name for name in PRICES if name not in data.columns]
    if missing:
        raise ValueError(f"data has no column {' and no '.join(missing)}; it needs {', '.join(PRICES)}")
    if not len(data):
        raise ValueError("data has no rows")
    data = data.copy(deep=False)
    index = data.index
    if not isinstance(index, (pd.DatetimeIndex, pd.RangeIndex)):
        numbers = pd.api.types.is_numeric_dtype(index)
        if not numbers or (index > pd.Timestamp("1975").timestamp()).mean() > 0.8:
            try:
                data.index = pd.to_datetime(index)
            except ValueError:
                pass
    if "Volume" not in data.columns:
        data["Volume"] = np.nan
    prices = _flat(data)
    lowest = [float(column.min()) for column in prices]
    if any(map(math.isnan, lowest)):
        raise ValueError("some prices are missing (NaN); drop those rows first, for example with data.dropna()")
    highest = float(prices[-1].max())
    if highest > cash:
        pointing.warn(
            "Some prices are above the cash the account begins with, so not even one unit can be bought there. "
            "Raise cash, or use FractionalBacktest."
        )
    if not _in_order(data.index):
        pointing.warn("The index of the bars is not in order; they are sorted.")
        data = data.sort_index()
        prices = _flat(data)
    if not isinstance(data.index, pd.DatetimeIndex):
        pointing.warn("The index is not datetime: bars are counted, and yearly figures are left out.")
    return data, prices, (lowest[-1], highest)


def _flat(data: pd.DataFrame) -> list[np.ndarray]:
    """The prices as the engine reads them."""
    return [np.ascontiguousarray(column_of(data, name, np.float64)) for name in PRICES]


def _in_order(index: Any) -> bool:
    """What index.is_monotonic_increasing says, without the table that pandas makes of a million times first; piece by
    piece, as a million answers are memory that is touched for the first time.
    """
    if not isinstance(index, pd.DatetimeIndex):
        return bool(index.is_monotonic_increasing)
    stamps = index.asi8
    pieces = (stamps[begin : begin + PIECE + 1] for begin in range(0, len(stamps), PIECE))
    there = bool(stamps[0] != -(2**63))  # the least stands for none
    return there and all((piece[1:] >= piece[:-1]).all() for piece in pieces)
