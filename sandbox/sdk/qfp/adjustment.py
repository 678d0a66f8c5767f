"""How do raw prices become comparable over splits and dividends? Pure formulas on arrays.

Stored bars are raw: what was traded that day. Adjustment multiplies every bar *before* an ex-date by a
factor, so the last bar of a series keeps its raw price:

- split of S new shares for one: earlier prices / S, earlier volumes * S
- dividend of D a share: earlier prices * (1 - D / P), P being the close of the day before in shares of the
  ex-date (the convention of CRSP and Yahoo). The older WIKI files use 1 / (1 + D / C) with the close C of
  the ex-date itself; `dividend_convention="ex_close"` gives that one.

mode "all" applies both, "split" splits only, None nothing. Volumes are changed by splits only.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Mode = Literal["all", "split"] | None
DividendConvention = Literal["previous_close", "ex_close"]

PRICE_COLUMNS = ("open", "high", "low", "close")

__all__ = ["factors", "adjust"]


def factors(
    close: np.ndarray,
    split: np.ndarray,
    dividend: np.ndarray,
    mode: Mode = "all",
    dividend_convention: DividendConvention = "previous_close",
) -> tuple[np.ndarray, np.ndarray]:
    """The factors that adjusted prices and volumes are multiplied by, one per bar.

    close: raw closes, oldest first.
    split: new shares for one old share with the bar's date as ex-date; 1 on ordinary days.
    dividend: cash a share with the bar's date as ex-date, in shares of that day; 0 on ordinary days.
    mode: "all" (splits and dividends), "split" or None.
    dividend_convention: "previous_close" or "ex_close", see the module's text.

    Returns (price_factors, volume_factors), float64, both 1 at the last bar. A dividend on the first bar
    changes nothing, for no earlier bar exists. Raises ValueError for a split that is not positive, for a
    dividend that is negative or not below the price it is paid from, and for lengths that differ.
    """
    close, split, dividend = (np.asarray(values, dtype=np.float64) for values in (close, split, dividend))
    if not len(close) == len(split) == len(dividend):
        raise ValueError("close, split and dividend must have one value per bar each")
    if mode not in ("all", "split", None):
        raise ValueError(f'adjust must be "all", "split" or None, not {mode!r}')
    count = len(close)
    prices, volumes = np.ones(count), np.ones(count)
    if mode is None or count == 0:
        return prices, volumes
    if not np.all(split > 0):
        raise ValueError("a split ratio must be a positive number (2 for a two-for-one split)")
    step_price, step_volume = 1.0 / split, split.copy()
    if mode == "all":
        paying = np.flatnonzero(dividend != 0)
        for bar in paying[paying > 0]:
            if dividend_convention == "previous_close":
                factor = 1.0 - dividend[bar] / (close[bar - 1] / split[bar])
            else:
                factor = 1.0 / (1.0 + dividend[bar] / close[bar])
            if not (dividend[bar] > 0 and factor > 0):
                raise ValueError(f"the dividend of bar {bar} ({dividend[bar]:g}) does not fit its price")
            step_price[bar] *= factor
    # What happens on an ex-date reaches every bar before it, not the bar itself.
    prices[:-1] = np.cumprod(step_price[:0:-1])[::-1]
    volumes[:-1] = np.cumprod(step_volume[:0:-1])[::-1]
    return prices, volumes


def adjust(
    bars: dict[str, np.ndarray],
    mode: Mode = "all",
    dividend_convention: DividendConvention = "previous_close",
) -> dict[str, np.ndarray]:
    """Bars as asked for, from raw ones.

    bars: arrays of one length by name: any of open, high, low, close, volume, with close, split and
      dividend present. Missing values (NaN) stay missing.

    Returns a new dictionary in the same order. Prices times price factor, volume times volume factor, the
    dividend column in shares of the last bar (divided by later splits), the split column as it is. With
    mode None the arrays come back as they are.
    """
    price_factors, volume_factors = factors(bars["close"], bars["split"], bars["dividend"], mode, dividend_convention)
    if mode is None:
        return dict(bars)
    adjusted: dict[str, np.ndarray] = {}
    for name, values in bars.items():
        if name in PRICE_COLUMNS:
            adjusted[name] = values * price_factors
        elif name == "volume":
            adjusted[name] = values * volume_factors
        elif name == "dividend":
            adjusted[name] = values / volume_factors
        else:
            adjusted[name] = values
    return adjusted
