"""Which points of a long series are drawn, so that no extreme is lost?"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

__all__ = ["thinned"]


def thinned(values: np.ndarray, most: int) -> list[int]:
    """Positions of at most `most` values: first, last, and the extremes of equal stretches between."""
    count = len(values)
    if count <= most:
        return list(range(count))
    edges = np.linspace(0, count, most // 2, dtype=int)
    picks = {0, count - 1}
    for start, stop in pairwise(edges):
        stretch = values[start:stop]
        if len(stretch):
            picks |= {int(start + stretch.argmin()), int(start + stretch.argmax())}
    return [*sorted(picks)[: most - 1], count - 1] if len(picks) > most else sorted(picks)
