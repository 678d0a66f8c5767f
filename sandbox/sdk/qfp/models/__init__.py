"""Which models of finance does qfp bring? Pricing, risk, portfolio construction and statistics, one module each.

    from qfp import models
    models.options.price("call", 100, 105, rate=0.03, volatility=0.25, years=0.5)

A module is loaded at its first use. What all of them share:

- Rates, dividend yields and volatilities are annual fractions, rates continuously compounded: 0.05 is 5 % a year.
  Times are in years. Prices, strikes and cash are in one currency.
- Returns are simple, per period, as fractions. Losses (value at risk, expected shortfall) are positive.
- What has no answer (a price below the option's intrinsic value, a probability outside 0 and 1) is refused with a
  ValueError that says why; functions of whole arrays give NaN there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "options",
    "digitals",
    "barriers",
    "asian",
    "lookback",
    "trees",
    "simulation",
    "heston",
    "bonds",
    "rates",
    "volatility",
    "risk",
    "allocation",
    "kelly",
    "cointegration",
    "cross_validation",
    "market_making",
]

if TYPE_CHECKING:
    from qfp.models import (
        allocation,
        asian,
        barriers,
        bonds,
        cointegration,
        cross_validation,
        digitals,
        heston,
        kelly,
        lookback,
        market_making,
        options,
        rates,
        risk,
        simulation,
        trees,
        volatility,
    )


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'qfp.models' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return import_module(f"qfp.models.{name}")


def __dir__() -> list[str]:
    return __all__
