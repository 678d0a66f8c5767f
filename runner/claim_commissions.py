"""What may a fill have been charged that is not told, where the commission is a function of the program?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = ["Dues"]

DEARER = 2.5  # than what was charged for the fills that are told


class Dues(NamedTuple):
    """Of all fills of a run, so that neither one dear fill, nor one that costs next to nothing, nor what is paid back
    makes trading look dear or cheap.

    buying, selling: the least that any fill of that side was charged. rate: what all of them were charged of what was
    traded; negative where more was paid back.
    """

    buying: float
    selling: float
    rate: float

    @classmethod
    def of(cls, fills: Iterable[Mapping[str, float]]) -> Dues:
        """fills: as a claim lists them, with size, price and commission."""
        charged = worth = 0.0
        least = {True: float("inf"), False: float("inf")}
        for fill in fills:
            due, long = fill["commission"], fill["size"] > 0
            charged, worth = charged + due, worth + abs(fill["size"]) * fill["price"]
            least[long] = min(least[long], due)
        buying, selling = (max(0.0, due) if due < float("inf") else 0.0 for due in (least[True], least[False]))
        return cls(buying, selling, charged / worth if worth else 0.0)

    def at_most(self, worth: float, long: bool) -> float:
        """For a fill that is worth so much, in currency."""
        return DEARER * ((self.buying if long else self.selling) + max(0.0, self.rate) * worth)

    def at_least(self, worth: float) -> float:
        """The same; below 0 where the program is paid for trading."""
        return DEARER * min(0.0, self.rate) * worth
