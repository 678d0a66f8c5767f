"""What may a fill have been charged that is not told, where the commission is a function of the program?"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

__all__ = ["Dues"]

DEARER = 2.5  # than what was charged for the fills that are told


class Dues(NamedTuple):
    """Of all fills of a run, so that neither one dear fill, nor one that costs next to nothing, nor what is paid back
    makes trading look dear or cheap.

    buying, selling: the least that any fill of that side was charged. rate: what all of them were charged of what was
    traded; negative where more was paid back. back_buying, back_selling: the least that was paid back for any fill of
    that side, and what was of its worth; both 0 or below.
    """

    buying: float
    selling: float
    rate: float
    back_buying: tuple[float, float] = (0.0, 0.0)
    back_selling: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, fills: Iterable[Mapping[str, float]], unseen: float | None = None) -> Dues:
        """fills: as a claim lists them, with size, price and commission. unseen: what the least is on a side on which
        nothing was filled, if that is not as much as on the other.
        """
        sides: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        for fill in fills:
            sides[fill["size"] > 0].append((fill["commission"], abs(fill["size"]) * fill["price"]))
        # Where nothing was filled on a side it may cost as much as on the other, or be paid for by that.
        told = {long: sides[long] or (sides[not long] if unseen is None else []) for long in sides}
        least = {long: max(0.0, min((due for due, _ in told[long]), default=unseen or 0.0)) for long in sides}
        back = {long: _back(sides[long]) if sides[long] else (0.0, -abs(_rate(sides[not long]))) for long in sides}
        return cls(least[True], least[False], _rate([*sides[True], *sides[False]]), back[True], back[False])

    @classmethod
    def widest(cls, fills: Collection[Mapping[str, float]]) -> Dues:
        """Where it is not known yet which side each fill was charged as."""
        charged = [0.0, *(fill["commission"] for fill in fills)]
        shares = [0.0, *(fill["commission"] / (abs(fill["size"]) * fill["price"] or math.inf) for fill in fills)]
        back = min(charged), -max(map(abs, shares))
        return cls(math.inf, math.inf, max(shares), back, back)

    def at_most(self, worth: float, long: bool) -> float:
        """For a fill that is worth so much, in currency."""
        return DEARER * ((self.buying if long else self.selling) + max(0.0, self.rate) * worth)

    def likely(self, worth: float, long: bool) -> float:
        """The same; as far as anything is known."""
        fixed = self.buying if long else self.selling
        return (0.0 if math.isinf(fixed) else fixed) + max(0.0, self.rate) * worth

    def at_least(self, worth: float, long: bool) -> float:
        """The same; below 0 where the program is paid for trading."""
        fixed, share = self.back_buying if long else self.back_selling
        return DEARER * (fixed + share * worth)


# fills: (commission, worth).


def _rate(fills: list[tuple[float, float]]) -> float:
    worth = sum(each for _, each in fills)
    return sum(due for due, _ in fills) / worth if worth else 0.0


def _back(fills: list[tuple[float, float]]) -> tuple[float, float]:
    return min(0.0, max(due for due, _ in fills)), min(0.0, _rate(fills))
