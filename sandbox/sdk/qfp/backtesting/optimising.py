"""Which parameters did best? Tries combinations of a backtest's parameters; start reading at optimize().

Only the figure asked for is computed per combination, and an indicator that several combinations share only once.
The best of many is flattered by luck: the more combinations, the more so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qfp.backtesting import attempts
from qfp.backtesting.many import Many
from qfp.backtesting.products import Parameters, Product

if TYPE_CHECKING:
    from qfp.backtesting.running import Backtest

__all__ = ["optimize"]

# Drawing from a product that is much larger than the number of tries, instead of listing it.
LISTED = 200_000


def optimize(
    backtest: Backtest,
    maximize: str | Callable[[Any], float],
    method: str,
    max_tries: float | None,
    constraint: Callable[[Any], bool] | None,
    return_heatmap: bool,
    return_optimization: bool,
    random_state: int | None,
    ranges: Mapping[str, Any],
) -> Any:
    """See Backtest.optimize(), which hands everything on."""
    if not ranges:
        raise ValueError("optimize() needs a range for at least one parameter, such as fast=range(5, 30, 5)")
    if method not in ("grid", "random", "sambo", "skopt"):
        raise ValueError(f'method is "grid", "random" or "sambo", not {method!r}')
    if return_optimization and method not in ("sambo", "skopt"):
        raise ValueError('return_optimization=True goes with method="sambo"')
    if isinstance(maximize, str):
        backtest_label = maximize
        _check_label(maximize)
    elif callable(maximize):
        backtest_label = getattr(maximize, "__name__", "maximize")
    else:
        raise TypeError("maximize is a label of the figures, or a function of them")
    values = {name: _values(name, given) for name, given in ranges.items()}
    score, known = _score(backtest, maximize), Many({})
    numbers: Sequence[float] | np.ndarray
    found = None
    everything = None if constraint is not None or max_tries is not None else Product.of(values)
    if method in ("sambo", "skopt"):
        scores, found = _by_sambo(score, values, constraint, max_tries, random_state)
        index, numbers = _index(scores, values), list(scores.values())
    elif isinstance(maximize, str) and everything is not None:
        numbers, known = _at_once(backtest, maximize, everything)
        index = pd.MultiIndex.from_product(everything.values.values(), names=list(values))
    else:
        combinations = list(_combinations(values, constraint, max_tries, random_state))
        if isinstance(maximize, str):
            figures, known = _at_once(backtest, maximize, combinations)
            each = figures.tolist()
        else:
            each = [score(one) for one in combinations]
        scores = {}
        for one, value in zip(combinations, each, strict=True):
            scores.setdefault(tuple(one.values()), value)  # of equal ones, such as 1 and True, the one that is named
        if len(scores) < len(combinations):  # a value was given twice: the places are not theirs any more
            known.runs.clear()
        index, numbers = _index(scores, values), list(scores.values())
    heatmap = pd.Series(numbers, index=index, name=backtest_label, dtype=float)
    attempts.count(backtest, _each(index, values), heatmap.to_numpy(), backtest_label)
    best = 0 if heatmap.isna().all() else int(np.nanargmax(heatmap.to_numpy()))
    run = known.runs.get(best)
    if run is None:
        tier = "compiled" if known.tier == "compiled" else None
        run = backtest.run_once(dict(zip(values, index[best], strict=True)), tier=tier)
    stats = backtest.reported(run)
    answer = [stats, *([heatmap] if return_heatmap else []), *([found] if return_optimization else [])]
    return stats if len(answer) == 1 else tuple(answer)


def _each(index: pd.MultiIndex, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The combinations, of which none is made before somebody asks for the first."""
    for key in index:
        yield dict(zip(names, key if isinstance(key, tuple) else (key,), strict=True))


def _index(scores: Mapping[tuple[Any, ...], float], names: Iterable[str]) -> pd.MultiIndex:
    if not scores:
        raise ValueError("No combination of parameters is allowed by the constraint.")
    return pd.MultiIndex.from_tuples(list(scores), names=list(names))


def _check_label(label: str) -> None:
    from qfp.backtesting.statistics import LABELS

    if label not in LABELS:
        raise ValueError(f"there is no figure {label!r} to maximize; there are {', '.join(LABELS)}")


def _score(backtest: Backtest, maximize: str | Callable[[Any], float]) -> Callable[[Mapping[str, Any]], float]:
    """The figure of a combination; NaN where nothing was traded."""
    memo: dict[Any, Any] = {}

    def score(parameters: Mapping[str, Any]) -> float:
        run = backtest.run_once(dict(parameters), memo)
        if not len(run.trades):
            return math.nan
        return float(run.figures.one(maximize) if isinstance(maximize, str) else maximize(backtest.report(run)))

    return score


def _at_once(backtest: Backtest, label: str, combinations: Sequence[Parameters]) -> tuple[np.ndarray, Many]:
    """(the figure of every combination, NaN where nothing was traded; what else is known of them)."""
    many = backtest.run_many(combinations, (label, "# Trades"))
    for error in many.errors.values():
        raise error
    found = np.where(many.columns["# Trades"] == 0, math.nan, many.columns[label])
    return found, many


def _values(name: str, given: Any) -> list[Any]:
    values = [given] if isinstance(given, str) or not hasattr(given, "__iter__") else list(given)
    if not values:
        raise ValueError(f"the range of {name} is empty")
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _combinations(
    values: Mapping[str, list[Any]],
    constraint: Callable[[Any], bool] | None,
    max_tries: float | None,
    random_state: int | None,
) -> Iterator[Parameters]:
    """Every allowed combination, or max_tries of them (a number, or a fraction up to 1) drawn at random."""
    total = math.prod(map(len, values.values()))
    everything = (Parameters(zip(values, one, strict=True)) for one in product(*values.values()))
    if max_tries is None or (isinstance(max_tries, float) and max_tries == 1):
        return (one for one in everything if constraint is None or constraint(one))
    if max_tries <= 0:
        raise ValueError("max_tries is a number of combinations, or a fraction of them above 0 and up to 1")
    tries = int(max_tries) if max_tries > 1 or isinstance(max_tries, int) else max(1, int(total * max_tries))
    random = np.random.default_rng(random_state)
    if total > LISTED and constraint is None:
        sizes = [len(one) for one in values.values()]
        drawn = random.choice(total, size=min(tries, total), replace=False)
        return (
            Parameters(
                (name, one[at]) for (name, one), at in zip(values.items(), np.unravel_index(number, sizes), strict=True)
            )
            for number in sorted(drawn)
        )
    allowed = [one for one in everything if constraint is None or constraint(one)]
    chosen: Any = random.choice(len(allowed), size=min(tries, len(allowed)), replace=False) if allowed else []
    return (allowed[at] for at in sorted(chosen))


def _by_sambo(
    score: Callable[[Mapping[str, Any]], float],
    values: Mapping[str, list[Any]],
    constraint: Callable[[Any], bool] | None,
    max_tries: float | None,
    random_state: int | None,
) -> tuple[dict[tuple[Any, ...], float], Any]:
    """Sequential model-based search between the ends of each range; values in between count as well."""
    try:
        import sambo
    except ImportError:
        raise ImportError('method="sambo" needs the package sambo:  pip install sambo') from None
    bounds: list[Any] = []
    for name, given in values.items():
        if all(isinstance(value, int) and not isinstance(value, bool) for value in given):
            bounds.append((min(given), max(given) + 1))
        elif all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in given):
            bounds.append((float(min(given)), float(max(given))))
        else:
            bounds.append(list(given))
        if len(given) < 2:
            raise ValueError(f'method="sambo" needs at least two values of {name}')
    scores: dict[tuple[Any, ...], float] = {}

    def parameters(point: Any) -> Parameters:
        return Parameters(
            (name, value.item() if isinstance(value, np.generic) else value)
            for name, value in zip(values, point, strict=True)
        )

    def loss(point: Any) -> float:
        one = parameters(point)
        key = tuple(one.values())
        if key not in scores:
            scores[key] = score(one)
        return 0.0 if math.isnan(scores[key]) else -scores[key]

    total = math.prod(map(len, values.values()))
    if max_tries is None:
        tries = 200
    else:
        tries = int(max_tries) if max_tries > 1 or isinstance(max_tries, int) else max(1, int(total * max_tries))
    found = sambo.minimize(
        loss,
        bounds=bounds,
        constraints=None if constraint is None else lambda point: bool(constraint(parameters(point))),
        max_iter=tries,
        method="smbo",
        rng=random_state,
    )
    return scores, found
