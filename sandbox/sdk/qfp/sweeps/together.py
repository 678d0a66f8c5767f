"""Which trials does machine code answer many at a time? Their equity by bar, and the usual figures row by row.

What Backtest.run_many() is for a search, this is for a sweep, whose trials also keep figures of the returns. The
figures are those of qfp.metrics to the last bit: the same operations over the rows of a table instead of over one row.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qfp import metrics
from qfp.metrics.series import NOISE
from qfp.sweeps.space import Parameters

if TYPE_CHECKING:
    from qfp.backtesting.many import Made, Shared
    from qfp.backtesting.running import Backtest, Run

__all__ = ["FIGURES", "Rows", "Together", "rows_of"]

FIGURES = ("sharpe", "total_return", "max_drawdown", "trades")
ROWS_BYTES = 400_000  # of equity at a time: what a core keeps near
PART_BYTES = 64_000_000  # of indicators at a time
WHOLE = 20_000  # bars up to which a comparison with the interpreted tier goes to the end


class Rows:
    """What became of some combinations. numbers: which of them. figures: a column by name. returns: a row for each."""

    def __init__(self, numbers: list[int], figures: dict[str, np.ndarray], returns: np.ndarray) -> None:
        self.numbers, self.figures, self.returns = numbers, figures, returns


def rows_of(numbers: list[int], equity: np.ndarray, trades: np.ndarray, periods: float) -> Rows:
    """The usual figures of many curves, one a row."""
    plain = equity.shape[1] > 2 and np.isfinite(equity).all() and (equity > 0).all()
    if plain:
        before = equity[:, :-1]
        returns = np.subtract(equity[:, 1:], before)
        with np.errstate(over="ignore"):
            np.divide(returns, before, out=returns)
        plain = bool(np.isfinite(returns).all())
    if not plain:  # ruined accounts and the like; metrics knows what their figures are
        alone = [metrics.returns_of(row) for row in equity]
        figures = {
            "sharpe": np.array([metrics.sharpe_ratio(one, periods_per_year=periods) for one in alone]),
            "total_return": np.array([metrics.total_return(row) for row in equity]),
            "max_drawdown": np.array([metrics.max_drawdown(row) for row in equity]),
        }
        returns = np.array(alone)
    else:
        deviation = returns.std(axis=1, ddof=1)
        largest = np.maximum(returns.max(axis=1), -returns.min(axis=1))
        deviation[deviation <= NOISE * np.maximum(1.0, largest)] = 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            sharpe = returns.mean(axis=1) / deviation * math.sqrt(periods)
        sharpe[~(deviation > 0)] = np.nan
        below = np.maximum.accumulate(equity, axis=1)
        peak = below.copy()
        np.subtract(equity, peak, out=below)
        np.divide(below, peak, out=below)
        growth = equity[:, -1] / equity[:, 0]
        figures = {"sharpe": sharpe, "total_return": growth - 1, "max_drawdown": below.min(axis=1)}
    return Rows(numbers, {**figures, "trades": trades.astype(float)}, returns)


class Together:
    """Trials of one backtest by machine code, for as long as that can be done and is right."""

    def __init__(self, test: Backtest, periods: float, memo: dict[Any, Any]) -> None:
        self.test, self.periods, self.memo = test, periods, memo
        self.made: dict[Any, Made] = {}
        self.possible = hasattr(test._commission, "share")
        self.best = -math.inf
        self.compared = False

    def parts(self, combinations: Sequence[Parameters]) -> Iterator[tuple[int, Shared]]:
        """(number of the first, combinations that share their indicators), as many at a time as memory allows."""
        size = max(1, PART_BYTES // (32 * len(self.test._data)))
        for begin in range(0, len(combinations), size):
            shared = self._shared(combinations[begin : begin + size]) if self.possible else None
            if shared is None:
                self.possible = False
                return
            yield begin, shared

    def _shared(self, combinations: Sequence[Parameters]) -> Shared | None:
        from qfp.backtesting.compiled import Refused, Unavailable, program_of
        from qfp.backtesting.many import Shared

        drawn, drawn_by_numpy = random.getstate(), np.random.get_state()
        try:
            program, _ = program_of(self.test.prepare(combinations[0], self.memo).strategy, len(combinations))
            if len(self.made) * 8 * len(self.test._data) > PART_BYTES:
                self.made.clear()
            shared = Shared.of(self.test, combinations, program, self.memo, self.made)
        except (Refused, Unavailable):
            return None
        except Exception:  # of init(), for these parameters; found again by the trial itself
            return None
        if random.getstate() != drawn or not _same(np.random.get_state(), drawn_by_numpy):
            random.setstate(drawn)
            np.random.set_state(drawn_by_numpy)
            return None  # init() draws numbers, and every trial has its own
        return shared

    def rows(self, shared: Shared) -> Iterator[Rows]:
        """All that machine code can tell, some at a time. The rows are written over by the next ones."""
        count, bars = len(shared.combinations), len(self.test._data)
        equity = np.empty((max(1, min(count, ROWS_BYTES // (8 * bars))), bars))
        for begin in range(0, count, len(equity)):
            part = slice(begin, min(begin + len(equity), count))
            curves = equity[: part.stop - begin]
            _, trades = shared.ends(part, curves)
            told = np.flatnonzero(trades >= 0)
            if len(told) < len(curves):
                curves = curves[told]
            if len(told):
                yield rows_of((told + begin).tolist(), curves, trades[told], self.periods)

    def right(self, shared: Shared, scores: dict[int, float]) -> bool:
        """Whether the first of all, some more of those that come with it, and the best so far where it is among these,
        run interpreted come out the same.

        scores: by number, the higher the better. The interpreted runs go to the end of the bars where those are not
        many, and over the first ones otherwise.
        """
        from qfp.backtesting.many import drawn

        chosen = set()
        if scores and not self.compared:
            chosen |= {min(scores), *drawn(np.array(sorted(scores)), shared.combinations)}
        known = {number: score for number, score in scores.items() if score > self.best}
        if known:
            best = max(known, key=known.__getitem__)
            chosen.add(best)
        if not all(self._same_interpreted(shared, number) for number in chosen):
            self.possible = False
            return False
        self.compared = self.compared or bool(chosen)
        self.best = max([self.best, *known.values()])
        return True

    def _same_interpreted(self, shared: Shared, number: int) -> bool:
        """Compared with a run that has an init() of its own."""
        prepared = self.test.prepare(shared.combinations[number])
        alone = self.test.compiled(prepared, whole=len(self.test._data) <= WHOLE).account
        if alone is None:
            return False
        run: Run = shared.run(number)
        return alone.curve().tobytes() == run.equity.tobytes() and len(alone.closed_columns()["size"]) == len(
            run.trades
        )


def _same(one: Any, other: Any) -> bool:
    return all(np.array_equal(mine, its) for mine, its in zip(one, other, strict=True))
