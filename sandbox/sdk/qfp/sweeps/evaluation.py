"""What did one combination give? A strategy run over bars, or a function called, and the figures of either."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qfp import metrics
from qfp.sweeps.space import Parameters
from qfp.sweeps.together import FIGURES, Together
from qfp.sweeps.trial import Trial, blocks_of, blocks_of_rows

if TYPE_CHECKING:
    from qfp.backtesting.many import Shared
    from qfp.backtesting.running import Backtest, Run

__all__ = ["Evaluation", "Objective", "of_function", "of_strategy", "test_of"]

Objective = str | Callable[[Any], float]
MOST_FIGURES = 20
MOST_ERROR = 300
MEMO_BYTES = 64_000_000


class Evaluation:
    """Called with (number, parameters) it gives a Trial, whatever happens in there."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def __call__(self, item: tuple[int, Parameters]) -> Trial:
        number, parameters = item
        try:
            score, figures, returns = self.tried(parameters)
        except Exception as error:
            return Trial(number, parameters, error=_text_of(error))
        blocks, length = ("", 0) if returns is None else blocks_of(returns)
        return Trial(number, parameters, score, figures, "", blocks, length)

    def tried(self, parameters: Parameters) -> tuple[float, dict[str, float], np.ndarray | None]:
        """(score, figures, returns per period or None)."""
        raise NotImplementedError

    def begin(self, count: int) -> None:
        """Before the first trial: count is how many there may be to try."""

    def warm_up(self, parameters: Parameters) -> None:
        """What is worth doing once, before copies of the program work."""

    def at_once(self, items: Sequence[tuple[int, Parameters]], maximize: bool) -> list[Trial]:
        """Trials of those that need no process of their own; the others are tried one by one."""
        return []


def _text_of(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MOST_ERROR]


class _Strategy(Evaluation):
    def __init__(self, objective: Objective, test: Backtest, periods: float) -> None:
        super().__init__(objective)
        self.test, self.periods = test, periods
        self.memo: dict[Any, Any] = {}
        self.tier: str | None = None
        self.together = Together(test, periods, self.memo)

    def begin(self, count: int) -> None:
        from qfp.backtesting.tiers import PAYS_FROM

        if count * len(self.test._data) >= PAYS_FROM:
            self.tier = "compiled"

    def warm_up(self, parameters: Parameters) -> None:
        if self.tier is not None:
            self((0, parameters))  # translated once, and every worker has it

    def tried(self, parameters: Parameters) -> tuple[float, dict[str, float], np.ndarray | None]:
        self._forget_much()
        run = self.test.run_once(dict(parameters), self.memo, self.tier)
        equity, returns = run.equity, metrics.returns_of(run.equity)
        figures = {
            "sharpe": metrics.sharpe_ratio(returns, periods_per_year=self.periods),
            "total_return": metrics.total_return(equity),
            "max_drawdown": metrics.max_drawdown(equity),
            "trades": float(len(run.trades)),
        }
        return self._score(figures, lambda: run), figures, returns

    def _score(self, figures: dict[str, float], run: Callable[[], Run]) -> float:
        """The objective; run() is asked for where the figures do not tell it."""
        from qfp.backtesting.statistics import LABELS

        if callable(self.objective):
            return float(self.objective(run().metrics))
        if self.objective in figures:
            return figures[self.objective]
        if self.objective in LABELS:
            return float(run().figures.one(self.objective))
        return run().metrics[self.objective]

    def _forget_much(self) -> None:
        if len(self.memo) * 8 * len(self.test._data) > MEMO_BYTES:
            self.memo.clear()

    def at_once(self, items: Sequence[tuple[int, Parameters]], maximize: bool) -> list[Trial]:
        if self.tier is None:
            return []
        found: list[Trial] = []
        for begin, shared in self.together.parts([parameters for _, parameters in items]):
            self._forget_much()
            trials = self._told(items[begin : begin + len(shared.combinations)], shared)
            scores = {at: trial.score if maximize else -trial.score for at, trial in trials.items() if not trial.error}
            if not self.together.right(shared, scores):
                break
            found += trials.values()
        return found

    def _told(self, items: Sequence[tuple[int, Parameters]], shared: Shared) -> dict[int, Trial]:
        """Trials of all that machine code can tell, by place among the items."""
        found: dict[int, Trial] = {}
        for rows in self.together.rows(shared):
            columns = zip(*(rows.figures[name].tolist() for name in FIGURES), strict=True)
            blocks, length = blocks_of_rows(rows.returns)
            for at, values, block in zip(rows.numbers, columns, blocks, strict=True):
                figures = dict(zip(FIGURES, values, strict=True))
                found[at] = self._trial(items[at], figures, block, length if block else 0, shared, at)
        return found

    def _trial(
        self, item: tuple[int, Parameters], figures: dict[str, float], block: str, length: int, shared: Shared, at: int
    ) -> Trial:
        number, parameters = item
        try:
            score = self._score(figures, lambda: shared.run(at))
        except Exception as error:
            return Trial(number, parameters, error=_text_of(error))
        return Trial(number, parameters, score, figures, "", block, length)


class _Function(Evaluation):
    def __init__(self, objective: Objective, function: Callable[..., Any]) -> None:
        super().__init__(objective)
        self.function = function

    def tried(self, parameters: Parameters) -> tuple[float, dict[str, float], np.ndarray | None]:
        found = self.function(**parameters)
        if hasattr(found, "metrics") and hasattr(found, "equity"):  # what backtest() and portfolio_backtest() give
            returns = metrics.returns_of(np.asarray(found.equity, dtype=float))
            kept = {name: found.metrics[name] for name in FIGURES}
            if callable(self.objective):
                return float(self.objective(found.metrics)), kept, returns
            return float(found.metrics[self.objective]), kept, returns
        if isinstance(found, Mapping):
            numbers = {
                str(name)[:60]: float(value)
                for name, value in found.items()
                if isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            }
            score = float(self.objective(found)) if callable(self.objective) else _named(numbers, self.objective)
            kept = dict(list(numbers.items())[:MOST_FIGURES])
            per_period = found.get("returns")
            return score, kept, None if per_period is None else np.asarray(per_period, dtype=float)
        if isinstance(found, (int, float, np.number)):
            return float(found), {}, None
        raise TypeError(
            f"the function gave {type(found).__name__}, not a number, a dictionary of figures or a backtest's result"
        )


def _named(numbers: dict[str, float], name: str) -> float:
    if name not in numbers:
        raise KeyError(f"the function gave no {name!r}; it gave {', '.join(numbers) or 'no numbers'}")
    return numbers[name]


def test_of(strategy: type, bars: Any, options: dict[str, Any]) -> Backtest:
    """The backtest itself, with what backtest() takes when it is not told otherwise."""
    from qfp import backtesting
    from qfp.backtests import as_ohlc

    given = {"cash": 10_000, "commission": 0.001, "finalize_trades": True, **options}
    rules = backtesting.USUAL if given.pop("rules", "qfp") == "qfp" else backtesting.COMPATIBLE
    return backtesting.Backtest(as_ohlc(bars), strategy, rules=rules, **given)


def of_strategy(strategy: type, bars: Any, objective: Objective, options: dict[str, Any]) -> Evaluation:
    if isinstance(objective, str):
        _check(objective)
    return _Strategy(objective, test_of(strategy, bars, options), metrics.periods_per_year(bars.index))


def _check(objective: str) -> None:
    from qfp.backtesting.statistics import LABELS

    names = metrics.summary([1.0, 1.0], [0, 0], [0, 0], [], [], benchmark=[1.0, 1.0])
    if objective not in LABELS and objective not in names:
        raise ValueError(f"there is no figure {objective!r}; there are {', '.join(sorted(names))}")


def of_function(function: Callable[..., Any], objective: Objective) -> Evaluation:
    return _Function(objective, function)
