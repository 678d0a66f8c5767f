"""Which indicator do examples use? The simple moving average, by the name that backtesting.test has for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from qfp.backtesting.averages import averages

__all__ = ["SMA"]


def SMA(values: Any, n: int) -> np.ndarray:
    """The mean of the last n values, one for each; NaN where there are fewer, or one of them is missing.

    The same to the last bit as pd.Series(values).rolling(n).mean(), by machine code where that is ready.
    """
    return averages(values, [n])[0]
