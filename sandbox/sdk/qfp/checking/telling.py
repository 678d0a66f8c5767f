"""Which days of a backtest tell the most about what it knows? Those that decided the trades that earned most.

Orders are cheap: somebody who knows the future of a few days can place others on all the rest that never fill, or
hardly change anything. What was earned cannot be spread out like that, so that is where data are cut.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qfp.pairing import pair

__all__ = ["Telling", "of_account", "of_backtest"]


@dataclass(frozen=True)
class Telling:
    """opened, closed: bars that decided to begin trades with a profit, or to end them, and that profit. sides: of what
    was decided, 1 or -1. filled: bars whose orders filled.
    """

    opened: Mapping[int, float] = field(default_factory=dict)
    closed: Mapping[int, float] = field(default_factory=dict)
    sides: Mapping[int, int] = field(default_factory=dict)
    filled: frozenset[int] = frozenset()

    @property
    def best(self) -> list[int]:
        """Bars, those that earned most first."""
        earned = defaultdict(float, self.opened)
        for bar, profit in self.closed.items():
            earned[bar] += profit
        return sorted(earned, key=lambda bar: (-earned[bar], bar))


def of_backtest(
    orders: Iterable[Mapping[str, Any]], fills: Sequence[Mapping[str, Any]], flows: Sequence[dict[str, Any]] = ()
) -> Telling:
    """By its orders, fills and payments as claims list them."""
    decided: set[tuple[int, int, bool]] = set()
    filled = set()
    for order in orders:
        decided.add((int(order["bar"]), int(order.get("instrument") or 0), order["size"] > 0))
        if order.get("outcome") == "filled":
            filled.add(int(order["bar"]))
    names = (("bar", int), ("instrument", int), ("size", float), ("price", float), ("commission", float))
    columns = [np.array([fill.get(name) or 0 for fill in fills], dtype=kind) for name, kind in names]
    trades = pair(columns, flows)
    opened: dict[int, float] = defaultdict(float)
    closed: dict[int, float] = defaultdict(float)
    largest: dict[int, tuple[float, int]] = {}
    kept = (trades.column(name).tolist() for name in ("entry_bar", "exit_bar", "instrument", "size", "profit"))
    for entry, end, instrument, size, profit in zip(*kept, strict=True):
        if profit <= 0:
            continue
        for earned, filled_on, side in ((opened, entry, size), (closed, end, -size)):
            bar = filled_on - 1
            if (bar, instrument, side > 0) not in decided and (filled_on, instrument, side > 0) in decided:
                bar = filled_on  # at the close that decided
            earned[bar] += profit
            largest[bar] = max(largest.get(bar, (0.0, 1)), (profit, 1 if side > 0 else -1))
    return Telling(opened, closed, {bar: side for bar, (_, side) in largest.items()}, frozenset(filled))


def of_account(account: Any) -> Telling:
    """Of an account of qfp.backtesting, whose run may have ended early."""
    booked = account.fills
    columns = zip(booked.bars, booked.sizes, booked.prices, booked.commissions, strict=True)
    fills = [dict(zip(("bar", "size", "price", "commission"), each, strict=True)) for each in columns]
    return of_backtest(account.decisions.rows(), fills)
