"""What was an account worth at every close? A curve looked at some bars at a time, whole only where it has to be.

Of a million bars the whole curve is eight million bytes; to touch them for the first time takes as long as the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

__all__ = ["PIECE", "Curve"]

PIECE = 32768  # bars at a time: a processor keeps them near


class Curve:
    """One value per bar."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = np.ascontiguousarray(values)

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def whole(self) -> np.ndarray:
        """All values."""
        return self.values

    def part(self, begin: int, end: int) -> np.ndarray:
        """Those from `begin` to before `end`; the next call may write over them."""
        return self.whole[begin:end]

    def at(self, bars: np.ndarray) -> np.ndarray:
        """Those of some bars, in order."""
        return self.whole[bars]

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The first value and the last."""
        first, last = self.at(np.array([0, len(self) - 1]))
        return float(first), float(last)

    def pieces(self, more: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """(the first bar, values) of one piece after the other, each with so many bars of the next."""
        for begin in range(0, len(self) - more, PIECE):
            yield begin, self.part(begin, min(begin + PIECE + more, len(self)))
