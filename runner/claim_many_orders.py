"""Do the fills of many instruments follow from the orders that were decided? One order explains one fill."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from qfp.conventions import PortfolioRules
from qfp.portfolio.market import Market

from runner.claim_bars import NotVerified
from runner.claim_orders import ROOM, reached

__all__ = ["Expected", "check_orders"]

Place = tuple[int, int, bool]  # bar, instrument, whether bought


def check_orders(
    fills: tuple[np.ndarray, ...], orders: list[dict[str, Any]], market: Market, rules: PortfolioRules, names: list[str]
) -> None:
    """Raises NotVerified where a fill has no order, another price, or more units than were ordered."""
    expected = Expected(market, rules)
    units: dict[Place, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for order in orders:
        if order["outcome"] == "filled":
            for bar, price, size in expected.fills_of(order):
                sides = (True, False) if order["kind"] == "target" else (size > 0,)
                for bought in sides:
                    units[bar, order["instrument"], bought][price] += abs(size)
    for bar, number, size, price in zip(*(column.tolist() for column in fills[:4]), strict=True):
        left, found = abs(size), False
        levels = units.get((bar, number, size > 0), {})
        for level in [level for level in levels if abs(level - price) <= ROOM * level]:
            found = True
            taken = min(left, levels[level])
            levels[level] -= taken
            left -= taken
        if left > ROOM * abs(size):
            what = f"A fill of {size:g} {names[number]} at {price:g} on bar {bar}"
            if found:
                raise NotVerified(f"{what} is for more units than were ordered at that price.")
            raise NotVerified(f"{what} follows from no order: by the stated rules none filled then and at that price.")


class Expected:
    """Where orders fill, by our bars."""

    def __init__(self, market: Market, rules: PortfolioRules) -> None:
        self.rules, self.prices = rules, market.price(rules.fill)
        self.fields = {name: market.fields.get(name, market.close) for name in ("open", "high", "low")}
        shape = market.close.shape
        self.shares = np.ones(shape) if market.split is None else np.cumprod(market.split, axis=0)
        self._there: dict[int, np.ndarray] = {}
        self._columns: dict[tuple[str, int], np.ndarray] = {}

    def fills_of(self, order: dict[str, Any]) -> Iterator[tuple[int, float, float]]:
        """(bar, price, units in shares of that day); several bars where a level is just met."""
        number, decided, long = order["instrument"], order["bar"], order["size"] > 0
        shares = self.shares[:, number] / self.shares[decided, number]
        if order["kind"] in ("market", "target"):
            there = self._there.get(number)
            if there is None:
                there = self._there[number] = np.flatnonzero(~np.isnan(self.prices[:, number]))
            at = int(np.searchsorted(there, decided + (0 if self.rules.fill == "same-close" else 1)))
            if at < len(there):
                bar = int(there[at])
                fair = float(self.prices[bar, number])
                if order["kind"] == "target":  # it buys or sells, for as much as the account is worth
                    yield bar, fair * (1 + self.rules.worse), math.inf
                    yield bar, fair * (1 - self.rules.worse), math.inf
                    return
                yield bar, self._worse(fair, long), order["size"] * float(shares[bar])
            return
        for bar, price, worse in self._resting(order, number, decided, long):
            ratio = float(shares[bar])
            yield bar, self._worse(price / ratio, long) if worse else price / ratio, order["size"] * ratio

    def _worse(self, price: float, long: bool) -> float:
        return price * (1 + math.copysign(self.rules.worse, 1 if long else -1))

    def _column(self, name: str, number: int) -> np.ndarray:
        """Prices of the shares there were at first."""
        key = (name, number)
        if key not in self._columns:
            self._columns[key] = self.fields[name][:, number] * self.shares[:, number]
        return self._columns[key]

    def _resting(
        self, order: dict[str, Any], number: int, decided: int, long: bool
    ) -> Iterator[tuple[int, float, bool]]:
        """(bar, price in shares of the day of the decision, whether the spread and slippage are paid)."""
        then = float(self.shares[decided, number])
        opened, high, low = (self._column(name, number) / then for name in ("open", "high", "low"))
        limit, stop = order.get("limit"), order.get("stop")
        up, down = (high, low) if long else (low, high)
        better, beyond = (min, max) if long else (max, min)
        if stop is None:
            if limit is not None:
                for bar in reached(down, limit, not long, decided + 1):
                    yield bar, better(float(opened[bar]), limit), False
            return
        for touched in reached(up, stop, long, decided + 1):
            reference = beyond(float(opened[touched]), stop)
            if limit is None:
                yield touched, reference, True
                continue
            if (limit >= reference) if long else (limit <= reference):
                yield touched, reference, False
            for bar in reached(down, limit, not long, touched + 1):
                yield bar, better(float(opened[bar]), limit), False
