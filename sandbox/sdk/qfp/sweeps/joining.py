"""What did a walk-forward earn as one account? The fills of its test windows, one after the other, as one backtest."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from qfp.backtesting.running import Run
    from qfp.backtests import BacktestResult
    from qfp.sweeps.stretches import Window

__all__ = ["joined"]

COLUMNS = ("bars", "sizes", "prices", "commissions")


class _Joined:
    """What BacktestResult reads of a run, over the bars from the first test window to the end of the last."""

    def __init__(self, frame: pd.DataFrame, windows: Sequence[Window], runs: Sequence[Run]) -> None:
        self.frame, self.windows, self.runs = frame, windows, runs
        self.first = windows[0].test_start
        self.cash = runs[0].cash
        pieces = [run.equity[window.test_start :] for window, run in zip(windows, runs, strict=True)]
        self.equity = np.concatenate(pieces)
        columns = {
            name: np.concatenate([np.asarray(getattr(run.account.fills, name)) for run in runs]) for name in COLUMNS
        }
        columns["bars"] = columns["bars"] - self.first
        refused = [(bar - self.first, *rest) for run in runs for bar, *rest in run.account.refused]
        self.account = SimpleNamespace(
            fills=SimpleNamespace(**{name: values.tolist() for name, values in columns.items()}), refused=refused
        )

    def told(self) -> tuple[list[dict[str, Any]], list[list[Any]]]:
        orders: list[dict[str, Any]] = []
        taken_away = []
        for run in self.runs:
            own, taken = run.told()
            at = len(orders)
            moved = ({**order, "bar": order["bar"] - self.first} for order in own)
            orders += [{**order, "of": order["of"] + at} if "of" in order else order for order in moved]
            taken_away += [[bar - self.first, before + at, of + at, what] for bar, before, of, what in taken]
        return orders, taken_away

    def notes(self) -> list[str]:
        many = len(self.windows)
        return [
            f"Out of sample: {many} test {'window' if many == 1 else 'windows'}, each traded with what was chosen on "
            "earlier bars alone; what is open at the end of a window is closed there."
        ]

    def why_no_trades(self) -> str:
        """Of the first window, where there were none in any."""
        told = [run.why_no_trades() for run in self.runs]
        return told[0] if all(told) else ""


def joined(
    name: str, bars: pd.DataFrame, windows: Sequence[Window], runs: Sequence[Run], options: dict[str, Any]
) -> BacktestResult:
    from qfp.backtests import BacktestResult, as_ohlc, conventions_of
    from qfp.sweeps.evaluation import test_of

    traded = bars.iloc[windows[0].test_start : windows[-1].test_stop]
    traded.attrs = dict(bars.attrs)
    run: Any = _Joined(as_ohlc(traded), windows, runs)
    test = test_of(type(runs[0].strategy), traded, options)
    conventions = conventions_of({**options, "finalize_trades": True})
    about = {"windows": len(windows), "window_bars": windows[0].test_stop - windows[0].test_start}
    return BacktestResult(f"{name}, walk-forward", traded, test, run, conventions, about)
