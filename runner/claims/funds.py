"""What is the account worth while a claim's log is followed, and how many units can it pay for?"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Funds"]

MONEY = 1e-9  # of the account: sums in another order have other last digits


@dataclass(slots=True)
class Funds:
    """cash: without what open trades would bring. units: long less short; cost: their prices of entry, summed up by
    size; gross: long and short. margin: the part of a price that has to be there.
    """

    cash: float
    margin: float
    units: float = 0.0
    cost: float = 0.0
    gross: float = 0.0

    def change(self, size: float, entry: float, more: float) -> None:
        """size: by which what was entered at this price has changed. more: units, on whichever side."""
        self.units += size
        self.cost += size * entry
        self.gross += more

    def close(self) -> None:
        """Nothing is open any more, to the last digit."""
        self.units = self.cost = self.gross = 0.0

    def worth(self, price: float) -> float:
        return self.cash + self.units * price - self.cost

    def room(self, price: float) -> float:
        """By how much what it is worth may be another sum."""
        return MONEY * (abs(self.cash) + self.gross * price + abs(self.cost))

    def affordable(self, mark: float, unit: float, share: float) -> tuple[float, float, float]:
        """How many units a share of the account buys: at least, by our bars, and at most. Whole ones, if it is less
        than all of it. mark: the price of what is open. unit: what one costs.
        """
        if unit <= 0:
            return math.inf, math.inf, math.inf
        leverage = 1 / self.margin
        free = max(0.0, self.worth(mark) - self.gross * mark / leverage) * leverage
        room = self.room(mark) * leverage
        by = share / unit
        if share == 1.0:
            return (free - room) * by * (1 - MONEY), free * by, (free + room) * by * (1 + MONEY)
        return (
            float(math.floor(max(0.0, free - room) * by * (1 - MONEY))),
            float(math.floor(free * by)),
            float(math.floor((free + room) * by * (1 + MONEY))),
        )
