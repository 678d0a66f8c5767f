"""Which strategy is translated before any program is? A plain one, for what the first translation leaves behind."""

from __future__ import annotations

from typing import Any

import numpy as np

from qfp.backtesting.compiled import tier
from qfp.backtesting.strategy import Strategy

__all__ = ["compile_example"]

BARS = 60


class _Example(Strategy):
    units = 1

    def init(self) -> None:
        self.quick, self.calm = (self.I(_before, self.data.Close, count) for count in (0, 1))

    def next(self) -> None:
        if self.quick[-2] < self.calm[-2] and self.quick[-1] > self.calm[-1]:
            self.buy(size=self.units)
        elif self.calm[-1] > self.quick[-1]:
            self.position.close()


def _before(values: Any, count: int) -> np.ndarray:
    return np.roll(np.asarray(values), count)


def compile_example() -> None:
    """Run it by the compiled tier, over a few bars."""
    import pandas as pd

    from qfp.backtesting.running import Backtest

    close = [100.0 + one % 7 for one in range(BARS)]
    frame = pd.DataFrame(
        dict.fromkeys(("Open", "High", "Low", "Close"), close), pd.date_range("2020-01-01", periods=BARS)
    )
    test = Backtest(frame, _Example)
    test.report(test.run_once({}, tier="compiled"))
    tier.forget(_Example)
