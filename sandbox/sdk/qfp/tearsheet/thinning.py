"""Which points of a long series are drawn, so that no extreme is lost?"""

from __future__ import annotations

import numpy as np

__all__ = ["thinned"]


def thinned(values: np.ndarray, most: int) -> list[int]:
    """Positions of at most `most` values: first, last, and the extremes of equal stretches between."""
    count = len(values)
    if count <= most:
        return list(range(count))
    edges = np.linspace(0, count, most // 2, dtype=int)
    picks = {0, count - 1}
    if len(edges) > 1:
        picks.update(_first(values, edges, np.minimum), _first(values, edges, np.maximum))
    return [*sorted(picks)[: most - 1], count - 1] if len(picks) > most else sorted(picks)


def _first(values: np.ndarray, edges: np.ndarray, extreme: np.ufunc) -> list[int]:
    """Where the extreme of each stretch first stands; where a value is missing, the first that is."""
    starts, lengths = edges[:-1], np.diff(edges)
    found = extreme.reduceat(values, starts).repeat(lengths)
    there = np.flatnonzero((values == found) | (values != values))
    stretch = np.arange(len(starts)).repeat(lengths)[there]
    ahead = np.ones(len(there), bool)
    np.not_equal(stretch[1:], stretch[:-1], out=ahead[1:])
    at: list[int] = there[ahead].tolist()
    return at
