"""How many combinations did another library's optimisation try? Each is a trial of a sweep, and counts like one."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np

from qfp import checking, metrics
from qfp.copied.recording import CopiedResult
from qfp.results import simple
from qfp.sweeps.evaluation import Evaluation
from qfp.sweeps.recording import digest_of_bars, record_of
from qfp.sweeps.result import SweepResult
from qfp.sweeps.space import Parameters, Space, key_of
from qfp.sweeps.trial import Trial, blocks_of

__all__ = ["Tried", "record_scores", "record_trials", "tried"]

OBJECTIVE = "sharpe"
FIGURES = ("sharpe", "total_return", "max_drawdown", "trades", "final_equity")


class Tried(NamedTuple):
    """One combination, small enough to come back from another process. bars: hash of what it was tried on."""

    library: str
    strategy: str
    params: dict[str, Any]
    figures: dict[str, float]
    returns: np.ndarray
    bars: str


def tried(result: CopiedResult, params: dict[str, Any]) -> Tried:
    digest = hashlib.sha256()
    for feed in result.feeds:
        for values in (feed.stamps, *feed.prices.values()):
            digest.update(np.ascontiguousarray(values).tobytes())
    figures = {name: result.metrics[name] for name in FIGURES}
    plain = {str(key): simple(value) for key, value in params.items()}
    returns = metrics.returns_of(result.equity.to_numpy())
    return Tried(result.conventions.library, result.strategy, plain, figures, returns, digest.hexdigest())


class _Known(Evaluation):
    """What was tried stays as it was: nothing is run again."""

    def __init__(self, found: list[Tried]) -> None:
        super().__init__(OBJECTIVE)
        self.found = {key_of(each.params): each for each in found}

    def tried(self, parameters: Parameters) -> tuple[float, dict[str, float], np.ndarray | None]:
        each = self.found[key_of(parameters)]
        return each.figures[OBJECTIVE], each.figures, each.returns


def record_trials(given: list[Tried | None]) -> None:
    """Show an optimisation as a sweep, and have the site count its trials. Does nothing without any."""
    found = [each for each in given if each is not None and each.params]
    if not found or not checking.active:
        return
    names = list(dict.fromkeys(name for each in found for name in each.params))
    space = Space({name: [each.params[name] for each in found if name in each.params] for name in names})
    trials = []
    for number, each in enumerate(found):
        blocks, length = blocks_of(each.returns)
        figures = each.figures
        trials.append(Trial(number, Parameters(each.params), figures[OBJECTIVE], figures, "", blocks, length))
    strategy = found[0].strategy
    about = {
        "target": strategy,
        "space": space.as_dict(),
        "method": "grid",
        "objective": OBJECTIVE,
        "maximize": True,
        "seed": 0,
        "options": {"library": found[0].library},
        "bars": found[0].bars,
        "symbol": "",
    }
    record, doubt = record_of(about, None)
    if doubt:
        print(doubt)
    record.add([trial for trial in trials if key_of(trial.params) not in record.known])
    SweepResult(strategy, space, OBJECTIVE, True, trials, _Known(found)).show()


def record_scores(library: str, strategy: str, scores: Any, objective: str, bars: Any) -> None:
    """Have the site count the combinations that an optimisation of backtesting.py has tried, which shows its own.

    scores: a Series indexed by the parameters.
    """
    if not checking.active or not len(scores):
        return
    names = [str(name) for name in scores.index.names]
    combinations = [key if isinstance(key, tuple) else (key,) for key in scores.index]
    tried_ones = [{name: simple(value) for name, value in zip(names, key, strict=True)} for key in combinations]
    about = {
        "target": strategy,
        "space": Space({name: [each[name] for each in tried_ones] for name in names}).as_dict(),
        "method": "grid",
        "objective": objective,
        "maximize": True,
        "seed": 0,
        "options": {"library": library},
        "bars": digest_of_bars(bars),
        "symbol": str((bars.attrs or {}).get("symbol") or ""),
    }
    record, doubt = record_of(about, None)
    if doubt:
        print(doubt)
    trials = [
        Trial(number, Parameters(params), float(score), {})
        for number, (params, score) in enumerate(zip(tried_ones, scores.to_numpy(dtype=float), strict=True))
    ]
    record.add([trial for trial in trials if key_of(trial.params) not in record.known])
