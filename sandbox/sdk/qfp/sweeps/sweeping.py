"""Which parameters hold up, and what is the best of many worth? sweep() tries combinations over all cores and hosts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qfp import forking
from qfp.calls import Call
from qfp.figures import signed
from qfp.forking import Failure
from qfp.parallel import run_call
from qfp.progressing import Progress
from qfp.sweeps.evaluation import Evaluation, Objective, of_function, of_strategy
from qfp.sweeps.recording import Record, digest_of_bars, record_of
from qfp.sweeps.result import SweepResult
from qfp.sweeps.searching import Search, search
from qfp.sweeps.space import Constraint, Parameters, Space, key_of
from qfp.sweeps.standing import stands_on, values_read
from qfp.sweeps.trial import Trial

__all__ = ["sweep"]

BATCH_SECONDS = 1.0  # of work at a time, so that the record is never far behind
MOST_AT_ONCE = 2_000
MOST_TRIALS = 20_000
USUAL_TRIALS = 200  # of a search without end


def sweep(
    target: type | Callable[..., Any],
    bars: Any = None,
    space: Mapping[str, Any] | None = None,
    *,
    method: str = "grid",
    constraint: Constraint | None = None,
    trials: int | None = None,
    seconds: float | None = None,
    early_stop: int | None = None,
    objective: Objective = "sharpe",
    maximize: bool = True,
    seed: int = 0,
    workers: int | None = None,
    where: str = "auto",
    record: str | Path | None = None,
    show: bool = True,
    **options: Any,
) -> SweepResult:
    """Try many combinations of parameters, and say which neighbourhood of them does well.

    target: a Strategy, run over the bars, or any function of the parameters that gives a number, a dictionary of
      figures (with "returns", one per period, for the probability of overfitting) or what backtest() gives.
    bars: for a Strategy, as in backtest(). space: values by parameter, such as {"fast": range(5, 30, 5)}, or
      Between(low, high).
    method: "grid" tries all, "random" draws them, "tpe", "cma-es" and "sambo" learn from what they tried.
    constraint: a function of the parameters that says which combinations are allowed.
    trials, seconds: the budget. early_stop: end after so many trials in a row without a better one.
    objective: a figure of backtest(), such as "sharpe", one of the function's dictionary, or a function of the figures.
    seed: the same seed gives the same trials and results, however many workers there are.
    workers, where: as in pmap(). record: on a laptop, a file that remembers trials, so that the same sweep goes on
      where it was; the site always remembers them, counts them for the project, and needs none.
    options: of backtest(), such as cash and commission. A combination that fails does not end the sweep.
    """
    if space is None and isinstance(bars, Mapping):
        bars, space = None, bars
    _check(target, trials, seconds, early_stop, seed)
    parts = Space(space or {}, constraint)
    if isinstance(target, type):
        if bars is None:
            raise TypeError("sweep() of a Strategy takes its bars, too: sweep(MyStrategy, bars, {...})")
        evaluation = of_strategy(target, bars, objective, dict(options))
    elif options:
        raise TypeError(f"a function takes no {', '.join(options)}; pass them inside of it")
    else:
        evaluation = of_function(target, objective)
    named = objective if isinstance(objective, str) else getattr(objective, "__name__", "objective")
    name = str(getattr(target, "__name__", type(target).__name__))
    attrs = getattr(bars, "attrs", None) or {}
    # A function may say itself what it stands on, in its attribute `reads`; bars, of what they are a window, and what
    # was read before the first one.
    reads, values = getattr(target, "reads", None) if bars is None else attrs.get("reads"), attrs.get("values_read")
    if values is None and (bars is not None or not reads):
        values = values_read(parts.names, target, options)
    about = {
        "target": name,
        "space": parts.as_dict(),
        "method": method,
        "objective": named,
        "maximize": maximize,
        "seed": seed,
        "options": {name: getattr(value, "__qualname__", value) for name, value in options.items()},
        "bars": reads if bars is None else reads or digest_of_bars(bars),
        "symbol": str(attrs.get("symbol") or ""),
        "stands_on": stands_on(target, objective, options),
        "values_read": values,
    }
    looking = search(parts, method, seed)
    kept, doubt = record_of(about, record)
    if doubt:
        print(doubt)
    whole = MOST_TRIALS if method == "grid" else USUAL_TRIALS
    limit = trials or whole
    going = _Sweep(evaluation, looking, kept, seed, workers, where, maximize, limit)
    with Progress(None, f"sweep of {name}", min(limit, parts.size or limit)) as bar:
        stopped = going.go(seconds, early_stop, bar)
    result = SweepResult(name, parts, named, maximize, going.tried, evaluation, kept)
    result.stopped, result.resumed = stopped, going.resumed
    if show:
        result.show()
    return result


class _Sweep:
    """The trials of one sweep, in the order in which they were asked for."""

    def __init__(
        self,
        evaluation: Evaluation,
        looking: Search,
        record: Record,
        seed: int,
        workers: int | None,
        where: str,
        maximize: bool,
        limit: int,
    ) -> None:
        self.evaluation, self.looking, self.record, self.seed = evaluation, looking, record, seed
        self.workers, self.where, self.maximize, self.limit = workers, where, maximize, limit
        self.tried: list[Trial] = []
        self.resumed = 0
        self.size = 2 * (workers or forking.cores())
        self.warm = False

    def go(self, seconds: float | None, early_stop: int | None, bar: Progress) -> str:
        """Until the budget is used up; says why it ended."""
        began, best, best_at = time.monotonic(), float("-inf"), 0
        self.evaluation.begin(self.limit)
        while len(self.tried) < self.limit:
            asked = self.looking.ask(min(self.looking.generation or self.size, self.limit - len(self.tried)))
            if not asked:
                return (
                    "Every combination was tried." if self.looking.generation is None else "Nothing new was proposed."
                )
            found = self._try(asked, bar)
            self.looking.tell(found, self.maximize)
            for trial in found:
                self.tried.append(trial)
                score = trial.score if self.maximize else -trial.score
                if score > best:
                    best, best_at = score, len(self.tried)
                if early_stop is not None and len(self.tried) - best_at >= early_stop:
                    return f"The last {signed(early_stop, 0)} trials were no better."
            bar.set(len(self.tried), "" if best == float("-inf") else f"best {best if self.maximize else -best:.4g}")
            if seconds is not None and time.monotonic() - began >= seconds:
                return f"The {seconds:g} seconds were used up."
        return f"The budget of {signed(self.limit, 0)} trials was used up."

    def _try(self, asked: Sequence[Parameters], bar: Progress) -> list[Trial]:
        first = len(self.tried)
        found: dict[int, Trial] = {}
        for number, parameters in enumerate(asked, first):
            if (known := self.record.known.get(key_of(parameters))) is not None:
                found[number] = known
                known.number, known.params = number, parameters
        self.resumed += len(found)
        began, fresh = time.monotonic(), 0
        new = self._at_once([(number, each) for number, each in enumerate(asked, first) if number not in found])
        if new:
            self._keep(new, found)
            fresh += len(new)
        for start, items in _stretches([number for number in range(first, first + len(asked)) if number not in found]):
            work = [(number, asked[number - first]) for number in items]
            new = self._evaluate(start, work, lambda done, fresh=fresh: bar.set(first + len(found) + done))  # type: ignore[misc]
            self._keep(new, found)
            fresh += len(new)
        if fresh:
            per_second = fresh / max(1e-6, time.monotonic() - began)
            least = self.workers or forking.cores()
            self.size = int(max(least, min(per_second * BATCH_SECONDS, 8 * self.size, MOST_AT_ONCE)))
        return [found[number] for number in sorted(found)]

    def _keep(self, new: list[Trial], found: dict[int, Trial]) -> None:
        self.record.add(new)
        found.update((trial.number, trial) for trial in new)

    def _at_once(self, work: list[tuple[int, Parameters]]) -> list[Trial]:
        """Those that one process answers sooner than many could."""
        return self.evaluation.at_once(work, self.maximize) if work else []

    def _evaluate(
        self, start: int, work: list[tuple[int, Parameters]], on_progress: Callable[[int], None]
    ) -> list[Trial]:
        """Every one of them, with random numbers that belong to its number. One that ends its process has failed."""
        if not work:
            return []
        if not self.warm:
            self.warm = True
            self.evaluation.warm_up(work[0][1])
        outcome = run_call(Call(self.evaluation, work, self.seed, start), self.workers, None, self.where, on_progress)
        if not isinstance(outcome, Failure):
            return outcome
        at = outcome.position
        number, parameters = work[at]
        failed = Trial(number, parameters, error=f"{outcome.kind}: {outcome.message}"[:300])
        before = self._evaluate(start, work[:at], on_progress)
        return [*before, failed, *self._evaluate(number + 1, work[at + 1 :], on_progress)]


def _stretches(numbers: list[int]) -> Iterator[tuple[int, list[int]]]:
    """Numbers that follow each other, as (first, all)."""
    stretch: list[int] = []
    for number in numbers:
        if stretch and number != stretch[-1] + 1:
            yield stretch[0], stretch
            stretch = []
        stretch.append(number)
    if stretch:
        yield stretch[0], stretch


def _check(target: Any, trials: Any, seconds: Any, early_stop: Any, seed: Any) -> None:
    if not callable(target):
        raise TypeError(f"sweep() takes a Strategy or a function, not {type(target).__name__}")
    for name, value in (("trials", trials), ("early_stop", early_stop)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
    if trials is not None and trials > MOST_TRIALS:
        raise ValueError(f"at most {MOST_TRIALS:,} trials; {trials:,} are too many")
    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds must be above 0, not {seconds!r}")
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, not {seed!r}")
