"""When are weights decided? On given dates, or on the first bar of every week, month, quarter or year.

The first bar, not the last: that a bar is the last of its month is known only when the next one is there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qfp.moments import instants
from qfp.portfolio.context import Past, as_weights
from qfp.portfolio.market import Market

__all__ = ["decided", "rows_of"]

PERIODS = {"weekly": "W-SUN", "monthly": "M", "quarterly": "Q", "yearly": "Y"}


def rows_of(rebalance: Any, market: Market) -> np.ndarray:
    """The bars on which weights are decided, ascending. Raises ValueError for what is neither a word nor dates."""
    import pandas as pd

    if isinstance(rebalance, str):
        if rebalance == "daily":
            return np.arange(len(market))
        if rebalance not in PERIODS:
            raise ValueError(f"rebalance is daily, {', '.join(PERIODS)} or a list of dates, not {rebalance!r}")
        index = market.index if market.index.tz is None else market.index.tz_localize(None)
        period = index.to_period(PERIODS[rebalance]).asi8
        return np.flatnonzero(np.diff(period, prepend=period[0] - 1))
    try:
        wanted = pd.DatetimeIndex(rebalance)
    except (TypeError, ValueError):
        raise ValueError("rebalance is daily, weekly, monthly, quarterly, yearly or a list of dates") from None
    return np.unique(_bars_from(wanted, market))


def _bars_from(dates: Any, market: Market) -> np.ndarray:
    """The bar of each date, or the next one after it; dates after the last bar are left out."""
    if dates.tz is None and market.index.tz is not None:
        dates = dates.tz_localize(market.index.tz)
    elif dates.tz is not None and market.index.tz is None:
        dates = dates.tz_localize(None)
    bars = market.times.searchsorted(instants(dates))
    return bars[: bars.searchsorted(len(market))]


def decided(
    weights: Any, rebalance: Any, market: Market, members: Any, warm_up: int, params: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Bars and the weights decided on each: from a function of the past, a table by date, or the same for every date.

    A function that returns None decides nothing on that bar; so does a row of a table that is empty.
    """
    import pandas as pd

    if isinstance(weights, pd.DataFrame):
        rows, table = _of_table(weights, market)
        if rebalance is not None:
            wanted = np.isin(rows, rows_of(rebalance, market))
            rows, table = rows[wanted], table[wanted]
    else:
        rows = rows_of(rebalance or "monthly", market)
        if callable(weights):
            rows, table = _of_function(weights, rows[rows >= warm_up], market, members, params)
        else:
            table = np.tile(as_weights(weights, market), (len(rows), 1))
    if not warm_up:
        return rows, table
    late = rows >= warm_up
    return rows[late], table[late]


def _of_table(weights: Any, market: Market) -> tuple[np.ndarray, np.ndarray]:
    import pandas as pd

    if not isinstance(weights.index, pd.DatetimeIndex) or not weights.index.is_monotonic_increasing:
        raise ValueError("weights have a row per date, in the order of the dates, and a column per symbol")
    at = market.columns_of(weights.columns)
    values = weights.to_numpy(dtype=np.float64, copy=True)
    dates = weights.index
    if not np.isfinite(values).all():
        if np.isinf(values).any():
            raise ValueError("a weight is not finite")
        said = ~np.isnan(values).all(axis=1)
        dates, values = dates[said], np.nan_to_num(values[said])
    rows = _bars_from(dates, market)
    values = values[: len(rows)]
    apart = rows[1:] > rows[:-1]
    if not apart.all():  # of two dates before one bar the later counts
        last = np.append(apart, True)
        rows, values = rows[last], values[last]
    if at == list(range(len(market.symbols))):
        return rows, values
    table = np.zeros((len(rows), len(market.symbols)))
    table[:, at] = values
    return rows, table


def _of_function(
    weights: Any, rows: np.ndarray, market: Market, members: Any, params: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    past, kept, table = Past(market, members), [], []
    for row in rows.tolist():
        past.bar = row
        found = weights(past, **params)
        if found is not None:
            kept.append(row)
            table.append(as_weights(found, market))
    empty = np.zeros((0, len(market.symbols)))
    return np.array(kept, dtype=np.int64), np.array(table) if table else empty
