"""What has an account done? Every decision, every fill and what it held, in columns for whole-array arithmetic."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from qfp.backtesting.orders import Order

__all__ = ["OUTCOMES", "Decisions", "Fills", "Stretches"]

NO_MARGIN = "insufficient margin"
NO_UNIT = "insufficient margin for a single unit"
NAN = math.nan
# What became of an order, and why.
WAITING, FILLED, CANCELLED, UNPAID, UNPAID_UNIT = range(5)
# What a row of Decisions is: an order, or that a trade's stop-loss or target, or an order, was taken away.
ORDER, NO_STOP, NO_TARGET, WITHDRAWN = range(4)
TAKEN_AWAY = ("", "sl", "tp", "order")
OUTCOMES = (("waiting", None), ("filled", None), ("cancelled", None), ("refused", NO_MARGIN), ("refused", NO_UNIT))


class Fills:
    """Every fill in the order it was booked, in columns."""

    def __init__(self) -> None:
        self.bars = array("q")
        self.sizes, self.prices, self.commissions = array("d"), array("d"), array("d")

    def __len__(self) -> int:
        return len(self.bars)

    def add(self, bar: int, size: float, price: float, commission: float) -> None:
        self.bars.append(bar)
        self.sizes.append(size)
        self.prices.append(price)
        self.commissions.append(commission)


class Decisions:
    """Every order the strategy placed, as it was placed, oldest first, in columns; and what became of it.

    A close of a trade counts, and so does a stop-loss or target that is moved; those that a trade brings along from its
    order do not: they are in the order's sl and tp. Missing prices are NaN. kinds: ORDER, or what was taken away.
    owners: the number of the order whose trade it is about, of WITHDRAWN that of the order itself, or -1.
    """

    def __init__(self) -> None:
        self.bars, self.outcomes, self.closes = array("q"), array("b"), array("b")
        self.kinds, self.owners = array("b"), array("q")
        self.sizes, self.limits, self.stops = array("d"), array("d"), array("d")
        self.sls, self.tps = array("d"), array("d")

    def __len__(self) -> int:
        return len(self.bars)

    def add(self, bar: int, order: Order) -> None:
        """This order was decided on this bar."""
        order._number = len(self.bars)
        self.bars.append(bar)
        self.outcomes.append(WAITING)
        self.kinds.append(ORDER)
        self.closes.append(order._trade is not None)
        self.owners.append(-1 if order._trade is None else order._trade.owner)
        self.sizes.append(order._size)
        self.limits.append(order._limit or NAN)
        self.stops.append(order._stop or NAN)
        self.sls.append(order._sl or NAN)
        self.tps.append(order._tp or NAN)

    def take_away(self, bar: int, kind: int, owner: int) -> None:
        """It was decided on this bar that there is no such stop-loss, target or order any more; of a closed trade that
        leads to nothing.
        """
        if owner < 0:
            return
        self.bars.append(bar)
        self.outcomes.append(WAITING)
        self.kinds.append(kind)
        self.closes.append(False)
        self.owners.append(owner)
        self.sizes.append(0.0)
        for prices in self._prices()[1:]:
            prices.append(NAN)

    def came_to(self, order: Order, outcome: int) -> None:
        """What became of an order; those that a trade brought along are not among the decisions."""
        if order._number is not None:
            self.outcomes[order._number] = outcome

    def begin(self, bar: int) -> None:
        """What was ordered so far, in init(), counts as decided on this bar: the next one is the first that fills."""
        for at in range(len(self.bars)):
            self.bars[at] = bar

    def forget(self, count: int, orders: Sequence[Order]) -> None:
        """Only the first so many were the strategy's; these orders, the latest, were not."""
        columns: list[array[Any]] = [
            self.bars, self.outcomes, self.closes, self.kinds, self.owners, *self._prices()
        ]  # fmt: skip
        for column in columns:
            del column[count:]
        for order in orders:
            order._number = None

    def _prices(self) -> tuple[array[float], ...]:
        return self.sizes, self.limits, self.stops, self.sls, self.tps

    def rows(self) -> list[dict[str, Any]]:
        """One dict per decision: bar, size, kind (market, limit, stop or stop-limit), outcome (filled, cancelled,
        refused or waiting), and where they apply limit, stop, sl, tp, closes and reason. An order that was withdrawn
        on the bar that gave it is left out: nothing was decided.
        """
        return [row for _, row in self._numbered()]

    def told(self) -> tuple[list[dict[str, Any]], list[list[Any]]]:
        """rows(), with `of` where they are about an open trade: the place of the order that opened it. And what was
        taken away, [bar, rows before, of, "sl", "tp" or "order"].
        """
        rows: list[dict[str, Any]] = []
        places: dict[int, int] = {}
        taken: list[list[Any]] = []
        for number, row in self._numbered():
            places[number] = len(rows)
            owner = self.owners[number]
            rows.append(row if owner < 0 else {**row, "of": places[owner]})
        numbers = list(places)
        for number, kind in enumerate(self.kinds):
            if kind != ORDER and self.owners[number] in places:
                before, owner = bisect_left(numbers, number), places[self.owners[number]]
                taken.append([self.bars[number], before, owner, TAKEN_AWAY[kind]])
        return rows, taken

    def _undone(self) -> set[int]:
        """The numbers of orders that were withdrawn on the bar that gave them."""
        withdrawn = (number for number, kind in enumerate(self.kinds) if kind == WITHDRAWN)
        return {self.owners[number] for number in withdrawn if self.bars[number] == self.bars[self.owners[number]]}

    def _numbered(self) -> Iterator[tuple[int, dict[str, Any]]]:
        undone = self._undone()
        for number, (bar, outcome, kind_of_row, closes, size, *prices) in enumerate(
            zip(self.bars, self.outcomes, self.kinds, self.closes, *self._prices(), strict=True)
        ):
            if kind_of_row != ORDER or number in undone:
                continue
            named = dict(zip(("limit", "stop", "sl", "tp"), prices, strict=True))
            given = {name: price for name, price in named.items() if price == price}
            kind = "-".join(name for name in ("stop", "limit") if name in given) or "market"
            word, reason = OUTCOMES[outcome]
            row: dict[str, Any] = {"bar": bar, "size": size, "kind": kind, "outcome": word}
            row |= ({"reason": reason} if reason else {}) | given
            yield number, row | ({"closes": True} if closes else {})


class Stretches:
    """From which bar on the account held what, in columns: cash, units and what the units cost."""

    def __init__(self, cash: float) -> None:
        self.bars, self.cash = array("q", [0]), array("d", [cash])
        self.units, self.cost = array("d", [0.0]), array("d", [0.0])

    def add(self, bar: int, cash: float, units: float, cost: float) -> None:
        if self.bars[-1] == bar:  # more than one change within a bar: what holds at its close counts
            self.cash[-1], self.units[-1], self.cost[-1] = cash, units, cost
            return
        self.bars.append(bar)
        self.cash.append(cash)
        self.units.append(units)
        self.cost.append(cost)

    def equity(self, closes: np.ndarray) -> np.ndarray:
        """The account's value at every close, in the operations of Account.equity()."""
        bars = np.frombuffer(self.bars, dtype=np.int64)
        lengths = np.concatenate((bars[1:], [len(closes)])) - bars
        cash, units, cost = (np.frombuffer(column).repeat(lengths) for column in (self.cash, self.units, self.cost))
        units *= closes
        units -= cost
        units += cash
        return units
