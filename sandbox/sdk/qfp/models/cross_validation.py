"""How is a model tested on samples whose labels look into the future, without telling it the answers?

A label made of the next h returns shares them with its neighbours, so a plain random fold tests on what it trained
on. Lopez de Prado, Advances in Financial Machine Learning (2018), chapters 7 and 12.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

__all__ = ["purged_folds", "combinatorial_folds"]


def purged_folds(
    samples: int, folds: int = 5, *, horizon: int = 1, ends: Any = None, embargo: float = 0.01
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions (train, test) for each fold; test folds are neighbouring samples, oldest first.

    samples: how many, in the order of time. horizon: sample i's label uses data up to position i + horizon; or
      ends, that position for each sample. embargo: part of all samples left out after each test fold, because what
      follows it is still correlated with it.
    A training sample is left out where the data of its label and that of a test label overlap.
    """
    yield from combinatorial_folds(samples, folds, 1, horizon=horizon, ends=ends, embargo=embargo)


def combinatorial_folds(
    samples: int, groups: int = 6, tested: int = 2, *, horizon: int = 1, ends: Any = None, embargo: float = 0.01
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same with every choice of `tested` out of `groups` groups as the test: more paths through the data than
    one. The other arguments are those of `purged_folds`.
    """
    if not 1 <= tested < groups <= samples:
        raise ValueError("there must be more groups than tested ones, and no more groups than samples")
    if not 0 <= embargo < 1:
        raise ValueError("embargo must be a fraction from 0 to below 1")
    positions = np.arange(samples)
    last = np.minimum(positions + horizon, samples) if ends is None else np.asarray(ends)
    if len(last) != samples or np.any(last < positions):
        raise ValueError("ends must hold one position for each sample, none before the sample itself")
    pause = int(np.ceil(embargo * samples))
    parts = np.array_split(positions, groups)
    for chosen in combinations(range(groups), tested):
        usable = np.ones(samples, dtype=bool)
        for index in chosen:
            first, final = parts[index][0], int(last[parts[index]].max())
            usable[(last >= first) & (positions <= final)] = False
            usable[parts[index][-1] + 1 : max(final, parts[index][-1]) + 1 + pause] = False
        yield np.flatnonzero(usable), np.concatenate([parts[index] for index in chosen])
