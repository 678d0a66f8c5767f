"""What may a fill have been charged that is not told, where the commission is a function of the program?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = ["Dues"]

DEARER = 2.0  # than what was charged for the fills that are told


class Dues(NamedTuple):
    """fixed: the least that any fill was charged, but for those that cost nothing. rate: of what was traded, for all of
    them together, so that nobody makes trading look dear with a dear fill of next to nothing.
    """

    fixed: float
    rate: float

    @classmethod
    def of(cls, fills: Iterable[Mapping[str, float]]) -> Dues:
        """fills: as a claim lists them, with size, price and commission."""
        charged = worth = 0.0
        least = float("inf")
        for fill in fills:
            due = abs(fill["commission"])
            charged, worth = charged + due, worth + abs(fill["size"]) * fill["price"]
            least = min(least, due) if due else least
        return cls(least, charged / worth) if charged and worth else cls(0.0, 0.0)

    def at_most(self, worth: float) -> float:
        """For a fill that is worth so much, in currency."""
        return DEARER * (self.fixed + self.rate * worth)
