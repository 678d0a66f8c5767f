"""Where do neighbours do well, too? A single peak is mostly luck; a plateau is less so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qfp.metrics.series import median
from qfp.sweeps.trial import Trial

__all__ = ["Plateau", "around", "plateau"]

FEW_VALUES = 30  # of a parameter: neighbours are one value apart; with more, a tenth of the range
REACH = 0.1
PIECE = 2_000_000
NEAR = 20_000  # pairs of trials at a time: what a core keeps near


@dataclass(frozen=True)
class Plateau:
    """The middle of the best neighbourhood. params: of the middle. score: mean of it and of its neighbours, those that
    failed counted as the worst there was, and median of the same. own: the middle's own. lowest: the worst neighbour.
    neighbours: how many.
    """

    number: int
    params: dict[str, Any]
    score: float
    median: float
    own: float
    lowest: float
    neighbours: int


def plateau(trials: Sequence[Trial], maximize: bool = True) -> Plateau | None:
    """None where no trial has a score. Only combinations with at least half as many neighbours as others have count, so
    that a corner, or a point that nothing was tried around, does not win for want of neighbours.
    """
    scores = np.array([trial.score for trial in trials], dtype=float)
    known = np.isfinite(scores)
    if not known.any():
        return None
    scores = scores if maximize else -scores
    filled = np.where(known, scores, scores[known].min())
    coordinates = _coordinates(trials)
    count = len(trials)
    means, counts = np.zeros(count), np.zeros(count, dtype=int)
    rows = max(1, PIECE // max(1, count))
    weights = np.empty((min(rows, count), count))
    some = max(1, NEAR // count)
    for at in range(0, count, rows):
        end = min(at + rows, count)
        for first in range(at, end, some):
            near = _near(coordinates, count, first, min(first + some, end))
            counts[first : first + len(near)] = np.count_nonzero(near, axis=1)
            weights[first - at : first - at + len(near)] = near
        means[at:end] = (weights[: end - at] @ filled) / counts[at:end]
    fit = known & (2 * counts >= counts.max())
    fit = fit if fit.any() else known
    best = int(np.flatnonzero(fit)[means[fit].argmax()])
    sign = 1.0 if maximize else -1.0
    chosen = trials[best]
    there = filled[_near(coordinates, count, best, best + 1)[0]]
    return Plateau(
        chosen.number,
        dict(chosen.params),
        sign * float(means[best]),
        sign * median(there),
        chosen.score,
        sign * float(there.min()),
        int(counts[best]) - 1,
    )


def _near(coordinates: list[tuple[np.ndarray, float]], count: int, begin: int, end: int) -> np.ndarray:
    """Which of all trials are neighbours of those from `begin` to before `end`: a row for each of these."""
    found = np.ones((end - begin, count), dtype=bool)
    for line, reach in coordinates:
        apart = line[begin:end, None] - line
        found &= np.abs(apart, out=apart) <= reach
    return found


def around(trials: Sequence[Trial], number: int, maximize: bool = True) -> Plateau | None:
    """The neighbourhood of one combination, reckoned as the plateau's is; None where it has no score."""
    at = next((place for place, trial in enumerate(trials) if trial.number == number), None)
    if at is None or not np.isfinite(trials[at].score):
        return None
    scores = np.array([trial.score for trial in trials], dtype=float)
    known = scores[np.isfinite(scores)]
    worst = known.min() if maximize else known.max()
    near = np.ones(len(trials), dtype=bool)
    for line, reach in _coordinates(trials):
        near &= np.abs(line - line[at]) <= reach
    there = np.where(np.isfinite(scores), scores, worst)[near]
    lowest = there.min() if maximize else there.max()
    chosen = trials[at]
    mean, middle = float(there.mean()), median(there)
    return Plateau(number, dict(chosen.params), mean, middle, chosen.score, float(lowest), len(there) - 1)


def _coordinates(trials: Sequence[Trial]) -> list[tuple[np.ndarray, float]]:
    """Per parameter where each trial lies, and how far away a neighbour may be."""
    found = []
    for name in dict.fromkeys(name for trial in trials for name in trial.params):
        values = [trial.params.get(name) for trial in trials]
        distinct = list(dict.fromkeys(values))
        if not all(type(value) in (int, float) for value in distinct):
            places = {value: place for place, value in enumerate(distinct)}
            found.append((np.array([places[value] for value in values], dtype=float), 0.0))
        elif len(distinct) <= FEW_VALUES:
            found.append(
                (
                    np.searchsorted(np.sort(np.array(distinct, dtype=float)), np.array(values, dtype=float)).astype(
                        float
                    ),
                    1.0,
                )
            )
        else:
            line = np.array(values, dtype=float)
            found.append((line, REACH * float(line.max() - line.min())))
    return found
