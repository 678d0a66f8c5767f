"""What waits and what is open while a claim's log is followed, and which fill does the claim tell next?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runner.claims.bars import NotVerified
from runner.claims.orders import ROOM

__all__ = ["UNIT_ROOM", "Order", "Told", "Trade", "Waiting"]

UNIT_ROOM = 1e-9

Order = dict[str, Any]


@dataclass(eq=False, slots=True)
class Trade:
    """row: of the order that opened it. sl, tp: what waits to close it."""

    row: int
    size: float
    price: float
    bar: int
    is_open: bool = True
    sl: Waiting | None = None
    tp: Waiting | None = None


@dataclass(eq=False, slots=True)
class Waiting:
    """An order that waits. rank: where it stands among the others. touched: whether its stop was reached before, where
    it has a limit, too. bar: from which on it is looked at. came: an order that is about no trade was reached.
    """

    order: Order
    row: int
    rank: int
    trade: Trade | None = None
    bar: int = 0
    waits: bool = True
    touched: bool = False
    came: bool = False
    size: float = 0.0
    limit: float = 0.0
    stop: float = 0.0

    def __post_init__(self) -> None:
        self.size = self.order["size"]
        self.limit, self.stop = self.order.get("limit") or 0.0, self.order.get("stop") or 0.0


@dataclass(eq=False, slots=True)
class Told:
    """The fills, by bar, of which the next one is known."""

    fills: list[dict[str, float]]
    ends: list[int]
    next: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, fills: list[dict[str, float]], count: int) -> Told:
        edges = np.searchsorted([fill["bar"] for fill in fills], np.arange(count + 1)).tolist()
        return cls(fills, edges[1:], edges[:-1])

    def peek(self, bar: int, ahead: int = 0) -> dict[str, float] | None:
        at = self.next[bar] + ahead
        return self.fills[at] if at < self.ends[bar] else None

    def is_next(self, bar: int, size: float, price: float) -> bool:
        fill = self.peek(bar)
        if fill is None or abs(fill["price"] - price) > ROOM * price:
            return False
        return abs(fill["size"] - size) <= UNIT_ROOM * max(1.0, abs(size))

    def take(self, bar: int, size: float, price: float, why: str) -> dict[str, float]:
        fill = self.peek(bar)
        if fill is None or not self.is_next(bar, size, price):
            told = "nothing" if fill is None else f"{fill['size']:g} at {fill['price']:g}"
            raise NotVerified(f"{why}, so that {size:g} filled at {price:g} on bar {bar}; the run told {told}.")
        self.next[bar] += 1
        # Ours from here on: a ten-millionth of each, on margin, would be an account of its own.
        fill["price"], fill["size"] = price, size
        return fill

    def check_all_of(self, bar: int) -> None:
        fill = self.peek(bar)
        if fill is not None:
            raise NotVerified(
                f"A fill of {fill['size']:g} at {fill['price']:g} on bar {bar} follows from no order: by what was "
                "placed, moved and taken away none filled then and at that price."
            )
