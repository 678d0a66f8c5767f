"""Which combination is tried next? Listed, drawn at random, or proposed by what the earlier ones gave.

A search that learns is asked for generations of a fixed size and told their scores in order, so what it proposes does
not depend on how many workers there are. Optuna and SAMBO are loaded when they are asked for.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from qfp.sweeps.space import Between, Parameters, Space, key_of
from qfp.sweeps.trial import Trial

__all__ = ["METHODS", "Search", "search"]

METHODS = ("grid", "random", "tpe", "cma-es", "sambo")
GENERATION = 10


class Search(ABC):
    """Proposes combinations and hears how they did. generation: how many at a time; None where that changes nothing."""

    generation: int | None = None

    @abstractmethod
    def ask(self, count: int) -> list[Parameters]:
        """So many new combinations; fewer at the end, and none after it."""

    @abstractmethod
    def tell(self, trials: Sequence[Trial], maximize: bool) -> None:
        """What they gave, in the order in which they were asked for."""


class Listed(Search):
    """One combination after the other, whatever the earlier ones gave."""

    def __init__(self, combinations: Iterator[Parameters]) -> None:
        self.combinations = combinations

    def ask(self, count: int) -> list[Parameters]:
        return list(islice(self.combinations, count))

    def tell(self, trials: Sequence[Trial], maximize: bool) -> None:
        """Nothing follows from it."""


class Learning(Search):
    """A search that proposes points one by one; what is known or not allowed is answered without trying it.

    patience: after so many such points in a row the rest of a generation is drawn, as long as there is anything new.
    """

    generation = GENERATION
    patience = 200

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.drawn = space.random(seed)
        self.known: dict[str, float] = {}
        self.open: list[Any] = []

    def ask(self, count: int) -> list[Parameters]:
        asked: list[Parameters] = []
        self.open = []
        coming: set[str] = set()
        vain = 0
        while len(asked) < count and vain < self.patience:
            point, parameters = self.propose()
            key = key_of(parameters)
            if key in self.known or key in coming or not self.space.allows(parameters):
                vain += 1
                self.answer(point, self.known.get(key, math.nan))
                continue
            vain = 0
            coming.add(key)
            asked.append(parameters)
            self.open.append(point)
        new = (each for each in self.drawn if (key := key_of(each)) not in self.known and key not in coming)
        return [*asked, *islice(new, count - len(asked))]

    def tell(self, trials: Sequence[Trial], maximize: bool) -> None:
        """What was drawn is no answer to a proposal: it is only known from then on."""
        for at, trial in enumerate(trials):
            score = trial.score if maximize else -trial.score
            self.known[key_of(trial.params)] = score
            if at < len(self.open):
                self.answer(self.open[at], score)

    @abstractmethod
    def propose(self) -> tuple[Any, Parameters]:
        """A point in the words of the search, and as parameters."""

    @abstractmethod
    def answer(self, point: Any, score: float) -> None:
        """score: the higher the better; NaN for a failure."""


class Optuna(Learning):
    """The tree-structured Parzen estimator, or CMA-ES for spaces of numbers."""

    def __init__(self, space: Space, method: str, seed: int) -> None:
        super().__init__(space, seed)
        try:
            import optuna

            optuna.logging.set_verbosity(optuna.logging.ERROR)
            if method == "tpe":
                sampler: Any = optuna.samplers.TPESampler(seed=seed, n_startup_trials=2 * GENERATION)
            else:
                import cmaes  # noqa: F401  (what Optuna's sampler works with)

                self._check_numbers()
                alone = optuna.samplers.RandomSampler(seed=seed)
                sampler = optuna.samplers.CmaEsSampler(
                    seed=seed, independent_sampler=alone, warn_independent_sampling=False
                )
        except ImportError:
            raise ImportError(
                f'method="{method}" needs the packages optuna and cmaes:  pip install optuna cmaes'
            ) from None
        self.optuna = optuna
        self.study = optuna.create_study(direction="maximize", sampler=sampler)

    def _check_numbers(self) -> None:
        for name, part in self.space.parts.items():
            if isinstance(part, list) and not all(type(value) in (int, float) for value in part):
                raise ValueError(f'method="cma-es" takes numbers; {name} has other values')

    def propose(self) -> tuple[Any, Parameters]:
        trial = self.study.ask()
        return trial, Parameters((name, self._value(trial, name, part)) for name, part in self.space.parts.items())

    def _value(self, trial: Any, name: str, part: list[Any] | Between) -> Any:
        if isinstance(part, Between):
            if part.whole:
                return trial.suggest_int(name, int(part.low), int(part.high), log=part.log)
            return trial.suggest_float(name, part.low, part.high, log=part.log)
        if all(type(value) in (int, float) for value in part):
            # By place, so that neighbours are near each other.
            ordered = sorted(part)
            return ordered[trial.suggest_int(name, 0, len(ordered) - 1)]
        return trial.suggest_categorical(name, part)

    def answer(self, point: Any, score: float) -> None:
        if math.isfinite(score):
            self.study.tell(point, score)
        else:
            self.study.tell(point, state=self.optuna.trial.TrialState.FAIL)


class Sambo(Learning):
    """Sequential model-based search."""

    patience = 2 * GENERATION  # each proposal costs a fit

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        try:
            import sambo
        except ImportError:
            raise ImportError('method="sambo" needs the package sambo:  pip install sambo') from None
        bounds: list[Any] = []
        self.lists: list[list[Any] | None] = []
        for part in space.parts.values():
            if isinstance(part, Between):
                bounds.append((part.low, part.high + 1) if part.whole else (float(part.low), float(part.high)))
                self.lists.append(None)
            else:
                numbers = all(type(value) in (int, float) for value in part)
                self.lists.append(sorted(part) if numbers else part)
                bounds.append((0, len(part)) if len(part) > 1 else [0])
        self.search = sambo.Optimizer(fun=None, bounds=bounds, n_init=0, rng=seed)
        # It learns from what it is told; the first points are drawn.
        rng = np.random.default_rng(seed)
        self.waiting: list[Any] = [[_drawn(bound, rng) for bound in bounds] for _ in range(2 * GENERATION)]

    def propose(self) -> tuple[Any, Parameters]:
        if not self.waiting:
            self.waiting = [list(point) for point in self.search.ask(GENERATION)]
        point = self.waiting.pop(0)
        values = [
            (number.item() if hasattr(number, "item") else number)
            if listed is None
            else listed[min(int(number), len(listed) - 1)]
            for number, listed in zip(point, self.lists, strict=True)
        ]
        return point, Parameters(zip(self.space.parts, values, strict=True))

    def answer(self, point: Any, score: float) -> None:
        worst = -min((known for known in self.known.values() if math.isfinite(known)), default=0.0)
        self.search.tell([-score if math.isfinite(score) else worst], [point])


def _drawn(bound: Any, rng: np.random.Generator) -> Any:
    if isinstance(bound, list):
        return bound[0]
    low, high = bound
    return int(rng.integers(low, high)) if isinstance(low, int) else float(rng.uniform(low, high))


def search(space: Space, method: str, seed: int) -> Search:
    if method == "grid":
        return Listed(space.grid())
    if method == "random":
        return Listed(space.random(seed))
    if method in ("tpe", "cma-es"):
        return Optuna(space, method, seed)
    if method == "sambo":
        return Sambo(space, seed)
    raise ValueError(f"method is one of {', '.join(METHODS)}, not {method!r}")
