"""What is an account worth, bar by bar, after these fills at these prices? Pure arithmetic on arrays.

The site runs it over its own bars to check what a program claimed; the library runs it to build its claim. Positions
are marked at each bar's close; a fill counts from its own bar on; commission leaves cash at the fill.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Account", "account"]


@dataclass(frozen=True)
class Account:
    """One value per bar: cash, units held, account value at the close, value bought or sold during the bar."""

    cash: np.ndarray
    positions: np.ndarray
    equity: np.ndarray
    traded_value: np.ndarray


def account(
    close: np.ndarray,
    cash: float,
    fill_bars: np.ndarray,
    fill_sizes: np.ndarray,
    fill_prices: np.ndarray,
    fill_commissions: np.ndarray,
) -> Account:
    """The account over all bars.

    close: closing price of every bar, oldest first, in currency.
    cash: currency at the start.
    fill_bars: position of the bar of each fill, 0 <= bar < len(close), in any order.
    fill_sizes: units, positive bought, negative sold. fill_prices, fill_commissions: currency per unit, currency.

    Returns an Account of float64 arrays as long as close. equity = cash + units * close. Margin needs no term of its own:
    borrowed money is negative cash. Raises ValueError for lengths that differ and bars outside.
    """
    close = np.asarray(close, dtype=np.float64)
    bars = np.asarray(fill_bars, dtype=np.int64)
    sizes, prices, commissions = (
        np.asarray(values, dtype=np.float64) for values in (fill_sizes, fill_prices, fill_commissions)
    )
    if not len(bars) == len(sizes) == len(prices) == len(commissions):
        raise ValueError("every fill needs a bar, a size, a price and a commission")
    if len(bars) and not (0 <= bars.min() and bars.max() < len(close)):
        raise ValueError("a fill lies outside the bars")
    count = len(close)
    paid = np.bincount(bars, weights=sizes * prices + commissions, minlength=count)
    bought = np.bincount(bars, weights=sizes, minlength=count)
    traded = np.bincount(bars, weights=np.abs(sizes * prices), minlength=count)
    remaining = cash - np.cumsum(paid)
    positions = np.cumsum(bought)
    # Halves and thirds of units do not cancel to exactly 0 in floating point; what is left is no position.
    positions[np.abs(positions) < 1e-9 * max(1.0, float(np.abs(sizes).max(initial=0.0)))] = 0.0
    return Account(remaining, positions, remaining + positions * close, traded)
