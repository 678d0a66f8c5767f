"""What is a tear sheet made from? One backtest as arrays, whoever ran it: the site's record or a result on a laptop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from qfp import metrics
from qfp.tearsheet.hours import Closed, closed_hours

__all__ = ["FactorSet", "Prices", "Record"]


class Prices(NamedTuple):
    """Bars of the one instrument that was traded, one value each per bar of the backtest."""

    symbol: str
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray


class FactorSet(NamedTuple):
    """Returns of factors as fractions per period, with the risk-free rate: columns mkt_rf, rf and others.

    interval: "1mo", dated on any day of the month whose return it is, or "1d". dates: one per period, in order.
    """

    name: str
    interval: str
    dates: np.ndarray
    columns: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Record:
    """dates: one moment per bar. equity: the account's value at each, currency.

    trades: closed round trips as qfp.replay gives them. fills: {bar, size, price, ...} in the order of their bars.
    benchmark: another equity curve over the same bars. net, gross: value of what is held over the account's value, per
    bar. prices: of the instrument, if there is one and they may be shown. factors: those of the data it was run on.
    band: the result under other fills and costs, cells of qfp.checking.band as dictionaries. What is None is not known,
    and what needs it is left out.
    """

    strategy: str
    dates: np.ndarray
    equity: np.ndarray
    trades: Sequence[dict[str, Any]] = ()
    fills: Sequence[dict[str, Any]] = ()
    symbols: Sequence[str] = ()
    benchmark: np.ndarray | None = None
    benchmark_name: str = "Buy and hold"
    net: np.ndarray | None = None
    gross: np.ndarray | None = None
    prices: Prices | None = None
    factors: Sequence[FactorSet] = ()
    band: Sequence[Mapping[str, Any]] = ()
    figures: Sequence[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def returns(self) -> np.ndarray:
        return metrics.returns_of(self.equity)

    @cached_property
    def benchmark_returns(self) -> np.ndarray | None:
        return None if self.benchmark is None else metrics.returns_of(self.benchmark)

    @cached_property
    def periods_per_year(self) -> float:
        return metrics.periods_per_year(self.dates)

    @cached_property
    def closed(self) -> Closed:
        return closed_hours(self.dates)

    @cached_property
    def whole_days(self) -> bool:
        return bool((self.dates == self.dates.astype("datetime64[D]")).all())
