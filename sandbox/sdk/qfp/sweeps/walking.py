"""Would choosing parameters this way have worked? walk_forward() chooses on one stretch, trades the next, and goes on.

What is traded was never looked at when its parameters were chosen, so the joined equity is what somebody who chose this
way would have had.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from qfp import metrics
from qfp.sweeps.joining import joined
from qfp.sweeps.recording import digest_of_bars
from qfp.sweeps.space import Parameters
from qfp.sweeps.standing import values_read
from qfp.sweeps.stretches import Window, places_of, windows_of
from qfp.sweeps.sweeping import sweep

if TYPE_CHECKING:
    import pandas as pd

    from qfp.backtesting.running import Run
    from qfp.backtests import BacktestResult
    from qfp.output import Chart
    from qfp.resampling import Paths
    from qfp.sweeps.result import SweepResult
    from qfp.windows import Stretch

__all__ = ["WalkForward", "Window", "walk", "walk_forward", "windows_of"]

USUAL_CASH = 10_000  # of backtest()
NOT_TESTED = {
    "state": "untested",
    "why": "a walk-forward joins many runs of the program; the test stands at a backtest of the program itself",
}


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
    cash: float = USUAL_CASH,
    show: bool = True,
    **options: Any,
) -> WalkForward:
    """Choose parameters on `train` bars, trade the next `test` bars with them, move on, and join what was traded.

    purge: bars dropped at the end of what is learnt from, at least as many as a decision's outcome reaches ahead.
    embargo: so many more between learning and trading. anchored: learn from everything before, not the latest `train`.
    choose: "plateau", the middle of the best neighbourhood, or "best", the single best.
    options: of sweep() and of backtest(). Indicators warm up on earlier bars; orders are given from the first bar of a
    test window on (those of init() with it), with the money that the one before left, and everything is closed at its
    end, at the close.
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
    digest, asked = digest_of_bars(bars), {"cash": cash, **options}
    # As sweep() is asked, so that what it has tried over all bars is the same trial.
    told = options if cash == USUAL_CASH else asked
    read = values_read(space, strategy, told)  # before the first window: a strategy may change what it reads

    def chosen(window: Window) -> SweepResult:
        seen = bars.iloc[window.train_start : window.train_stop]
        reads = {"bars": digest, **places_of(bars.index, window)}
        seen.attrs = {**bars.attrs, "reads": reads, "values_read": read}
        return sweep(strategy, seen, space, show=False, **searching, **told)

    result = walk(strategy.__name__, bars, windows, chosen, lambda params: (strategy, bars, asked, params), choose)
    if show:
        result.show()
    return result


# Strategy, bars, options of backtest() and parameters of the strategy, for a combination.
Tested = tuple[type, Any, dict[str, Any], Mapping[str, Any]]


def walk(
    name: str,
    bars: pd.DataFrame,
    windows: Sequence[Window],
    chosen: Callable[[Window], SweepResult],
    tested: Callable[[Parameters], Tested],
    choose: str,
) -> WalkForward:
    """Over the windows: what is chosen on each, and what its strategy then did with the money the one before left."""
    rows, pieces, runs = [], [], []
    money: float | None = None
    for window in windows:
        found = chosen(window)
        params = Parameters(found.plateau if choose == "plateau" else found.best)
        strategy, its_bars, options, its_params = tested(params)
        money = float(options["cash"]) if money is None else money
        run = _traded(strategy, its_bars, window, its_params, {**options, "cash": money, "finalize_trades": True})
        equity = run.equity[window.test_start :]
        pieces.append(equity)
        runs.append(run)
        score = next(trial.score for trial in found.tried if dict(trial.params) == dict(params))
        rows.append(
            {
                "train_start": bars.index[window.train_start],
                "train_end": bars.index[window.train_stop - 1],
                "test_start": bars.index[window.test_start],
                "test_end": bars.index[window.test_stop - 1],
                **params,
                "in_sample": score,
                "out_of_sample_return": float(equity[-1] / money - 1),
                "trades": len(run.trades),
            }
        )
        money = float(equity[-1])
        if found.record is not None and math.isfinite(change := rows[-1]["out_of_sample_return"]):
            found.record.traded(change)
    return WalkForward(name, bars, list(windows), rows, pieces, runs, options)


def _traded(strategy: type, bars: Any, window: Window, params: Mapping[str, Any], options: dict[str, Any]) -> Run:
    """The strategy until the end of the test window: no order is given before its first bar, also none of init(), and
    what is open at its end is closed there, by any rules: other orders of its last bar would open something that the
    next window knows nothing of.
    """
    from qfp.sweeps.evaluation import test_of

    first = window.test_start
    begun: list[Any] = []

    class Late(strategy):
        def init(self) -> None:
            super().init()
            begun.extend(self._account.orders)
            self._account.orders.clear()

        def next(self) -> None:
            if len(self.data) > first:
                if begun:
                    self._account.decisions.begin(self._account.bar)
                    self._account.orders.extend(begun)
                    begun.clear()
                super().next()

    Late.__name__ = strategy.__name__
    test = test_of(Late, bars.iloc[: window.test_stop], options)
    test.rules = replace(test.rules, last_orders_fill=False)
    return test.run_once(dict(params), tier="interpreted")


class WalkForward:
    """windows: one row per window: its ends, what was chosen, its score then, and the return and trades afterwards.

    equity: Series over all test windows, joined. metrics: figures of it. pieces: equity of each window.
    result: all of it as one BacktestResult.
    """

    def __init__(
        self,
        strategy: str,
        bars: pd.DataFrame,
        places: list[Window],
        rows: list[dict[str, Any]],
        pieces: list[np.ndarray],
        runs: list[Run],
        options: dict[str, Any],
    ) -> None:
        import pandas as pd

        self.strategy, self.places, self.pieces, self.cash = strategy, places, pieces, runs[0].cash
        self._bars = bars.copy(deep=False)  # pandas copies when somebody writes to the caller's
        self._runs, self._options = runs, options
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

    @cached_property
    def result(self) -> BacktestResult:
        """All test windows as one backtest: from the first bar that was traded to the last, with one account."""
        return joined(self.strategy, self._bars, self.places, self._runs, self._options)

    def hand_over(self) -> None:
        """Print and show it as backtest() does its result, and record it on the site."""
        from qfp import checking

        checking.backtests += 1
        self.result._announce()
        if self.result.number is not None:
            checking.tell(checking.backtests - 1, dict.fromkeys(("lookahead", "amnesia"), NOT_TESTED))

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
