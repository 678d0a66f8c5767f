"""What does Backtest.run() return? A Series of figures by label, with the strategy and two tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from qfp.backtesting.rules import FillRules
from qfp.backtesting.statistics import equity_table, trades_table

if TYPE_CHECKING:
    from qfp.backtesting.running import Run

__all__ = ["Stats"]


@lru_cache(maxsize=16)
def _labels(labels: tuple[str, ...]) -> pd.Index:
    """An index of them. Most runs have the same, and making one takes as long as a tenth of all figures."""
    return pd.Index(labels, dtype=object)


class Stats(pd.Series):
    """The figures of a run by label, with `_strategy`, `_equity_curve` and `_trades`.

    notes: sentences about refused orders and missing trades. refused_orders: one row each, with the reason.
    fills: every fill in the order it was booked. metrics: the site's own figures, by qfp.metrics. rules: what orders
    were filled by.

    The tables are made when somebody looks at more than a figure by its label: over a million bars they take longer
    than all figures.
    """

    _metadata: ClassVar[list[str]] = ["_run"]
    _run: Run

    @classmethod
    def of(cls, run: Run) -> Stats:
        """All figures of a run."""
        index = run.frame.index
        figures = {**run.figures.all(), "_strategy": run.strategy}
        tables: dict[str, Callable[[], pd.DataFrame]] = {
            "_equity_curve": lambda: equity_table(index, run.equity, run.figures),
            "_trades": lambda: trades_table(index, run.trades, run.strategy._indicators),
        }
        values = np.empty(len(figures) + len(tables), dtype=object)
        for at, value in enumerate(figures.values()):
            values[at] = value
        self = cls(values, index=_labels((*figures, *tables)).view(), copy=False)
        self._run = run

        def make() -> None:
            for at, table in enumerate(tables.values(), len(figures)):
                values[at] = table()

        self.__dict__.update(_figures=figures, _make=make)
        return self

    @property
    def _mgr(self) -> Any:  # all that pandas does with a Series begins with this attribute
        make = self.__dict__.pop("_make", None)
        if make is not None:
            make()
        return self.__dict__["_manager"]

    @_mgr.setter
    def _mgr(self, manager: Any) -> None:
        self.__dict__["_manager"] = manager

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str) and "_make" in self.__dict__ and key in self.__dict__["_figures"]:
            return self.__dict__["_figures"][key]
        return super().__getitem__(key)

    @property
    def notes(self) -> list[str]:
        return self._run.notes()

    @property
    def rules(self) -> FillRules:
        return self._run.account.rules

    @property
    def refused_orders(self) -> pd.DataFrame:
        refused = self._run.account.refused
        found = pd.DataFrame(refused, columns=["Bar", "Size", "Reason"])
        found.insert(0, "Time", self._run.frame.index[found["Bar"].to_numpy(dtype=int)])
        return found

    @property
    def fills(self) -> pd.DataFrame:
        fills = self._run.account.fills
        return pd.DataFrame(
            {
                "Time": self._run.frame.index[np.array(fills.bars, dtype=int)],
                "Bar": np.array(fills.bars),
                "Size": np.array(fills.sizes),
                "Price": np.array(fills.prices),
                "Commission": np.array(fills.commissions),
            }
        )

    @property
    def metrics(self) -> dict[str, float]:
        return self._run.metrics

    def __repr__(self) -> str:
        with pd.option_context("display.max_colwidth", 20, "display.max_rows", None):
            return super().__repr__()
