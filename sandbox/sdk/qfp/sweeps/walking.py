"""Would choosing parameters this way have worked? walk_forward() chooses on one stretch, trades the next, and goes on.

What is traded was never looked at when its parameters were chosen, so the joined equity is what somebody who chose this
way would have had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qfp import metrics
from qfp.sweeps.sweeping import sweep

if TYPE_CHECKING:
    import pandas as pd

    from qfp.output import Chart
    from qfp.resampling import Paths
    from qfp.windows import Stretch

__all__ = ["WalkForward", "Window", "walk_forward", "windows_of"]


@dataclass(frozen=True)
class Window:
    """Bars by number, the stops not included: what is learnt from, and what is traded."""

    train_start: int
    train_stop: int
    test_start: int
    test_stop: int


def windows_of(
    count: int, train: int, test: int, purge: int = 0, embargo: int = 0, anchored: bool = False
) -> list[Window]:
    """The windows over so many bars. Test windows follow each other without a gap and never overlap; between the bars
    that were learnt from and those that are traded lie purge + embargo bars that are in neither.
    """
    for name, value, least in (("train", train, 2), ("test", test, 1), ("purge", purge, 0), ("embargo", embargo, 0)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    gap = purge + embargo
    found = []
    at = train + gap
    while at < count:
        stop = min(at + test, count)
        found.append(Window(0 if anchored else at - gap - train, at - gap, at, stop))
        at = stop
    if not found:
        raise ValueError(f"{count} bars are too few: a window needs more than {train} to choose on and {gap} between")
    return found


def walk_forward(
    strategy: type,
    bars: pd.DataFrame,
    space: Mapping[str, Any],
    *,
    train: int,
    test: int,
    purge: int = 0,
    embargo: int = 0,
    anchored: bool = False,
    choose: str = "plateau",
    cash: float = 10_000,
    show: bool = True,
    **options: Any,
) -> WalkForward:
    """Choose parameters on `train` bars, trade the next `test` bars with them, move on, and join what was traded.

    purge: bars dropped at the end of what is learnt from, at least as many as a decision's outcome reaches ahead.
    embargo: so many more between learning and trading. anchored: learn from everything before, not the latest `train`.
    choose: "plateau", the middle of the best neighbourhood, or "best", the single best.
    options: of sweep() and of backtest(). Indicators warm up on earlier bars; orders are given from the first bar of a
    test window on, with the money that the one before left, and everything is closed at its end.
    """
    if choose not in ("plateau", "best"):
        raise ValueError(f'choose is "plateau" or "best", not {choose!r}')
    searching = {
        name: options.pop(name)
        for name in (
            [
                "method",
                "constraint",
                "trials",
                "seconds",
                "early_stop",
                "objective",
                "maximize",
                "seed",
                "workers",
                "where",
                "record",
            ]
        )
        if name in options
    }
    windows = windows_of(len(bars), train, test, purge, embargo, anchored)
    rows, pieces, money = [], [], float(cash)
    for window in windows:
        seen = bars.iloc[window.train_start : window.train_stop]
        found = sweep(strategy, seen, space, show=False, cash=cash, **searching, **options)
        params = found.plateau if choose == "plateau" else found.best
        equity, trades = _traded(strategy, bars, window, params, {"cash": money, **options})
        pieces.append(equity)
        chosen = next(trial for trial in found._tried if dict(trial.params) == dict(params))
        rows.append(
            {
                "train_start": bars.index[window.train_start],
                "train_end": bars.index[window.train_stop - 1],
                "test_start": bars.index[window.test_start],
                "test_end": bars.index[window.test_stop - 1],
                **params,
                "in_sample": chosen.score,
                "out_of_sample_return": equity[-1] / money - 1,
                "trades": trades,
            }
        )
        money = float(equity[-1])
    result = WalkForward(strategy.__name__, bars, windows, rows, pieces, float(cash))
    if show:
        result.show()
    return result


def _traded(
    strategy: type, bars: Any, window: Window, params: Mapping[str, Any], options: dict[str, Any]
) -> tuple[np.ndarray, int]:
    """(equity over the test window, closed trades): no order is given before it."""
    from qfp.sweeps.evaluation import test_of

    first = window.test_start

    class Late(strategy):
        def next(self) -> None:
            if len(self.data) > first:
                super().next()

    Late.__name__ = strategy.__name__
    run = test_of(Late, bars.iloc[: window.test_stop], options).run_once(dict(params), tier="interpreted")
    return run.equity[first:], len(run.trades)


class WalkForward:
    """windows: one row per window: its ends, what was chosen, its score then, and the return and trades afterwards.

    equity: Series over all test windows, joined. metrics: figures of it. pieces: equity of each window.
    """

    def __init__(
        self,
        strategy: str,
        bars: pd.DataFrame,
        places: list[Window],
        rows: list[dict[str, Any]],
        pieces: list[np.ndarray],
        cash: float,
    ) -> None:
        import pandas as pd

        self.strategy, self.places, self.pieces, self.cash = strategy, places, pieces, cash
        self.windows = pd.DataFrame(rows)
        index = bars.index[places[0].test_start : places[-1].test_stop]
        self.equity = pd.Series(np.concatenate(pieces), index=index, name="equity")
        year = metrics.periods_per_year(bars.index)
        self.returns = metrics.returns_of(self.equity.to_numpy())
        self.metrics = {
            "total_return": metrics.total_return(self.equity.to_numpy()),
            "sharpe": metrics.sharpe_ratio(self.returns, periods_per_year=year),
            "max_drawdown": metrics.max_drawdown(self.equity.to_numpy()),
            "trades": float(self.windows["trades"].sum()),
        }

    def monte_carlo(self, **options: Any) -> Paths:
        """The returns out of sample drawn again; see qfp.resampling.monte_carlo()."""
        from qfp.resampling import monte_carlo

        return monte_carlo(self.returns, **options)

    def crises(self) -> list[Stretch]:
        """How it went in the crises that lie within; see qfp.windows."""
        from qfp.windows import crisis_table

        return crisis_table(self.equity.to_numpy(), self.equity.index)

    def chart(self) -> Chart:
        from qfp.output import chart

        return chart(self.equity, title=f"{self.strategy}: equity out of sample, {len(self.pieces)} windows")

    def show(self) -> None:
        from qfp.output import show, table

        show(table(self.windows, caption=repr(self)), self.chart())

    def __repr__(self) -> str:
        found = self.metrics
        return (
            f"<WalkForward {self.strategy}: {len(self.pieces)} windows, out of sample {found['total_return']:.1%}, "
            f"Sharpe {found['sharpe']:.2f}>"
        )
