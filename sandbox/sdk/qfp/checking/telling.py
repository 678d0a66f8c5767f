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

__all__ = ["Telling", "largest_moves", "of_account", "of_backtest"]

MOST_LOOKED_AT = 20  # instruments


@dataclass(frozen=True)
class Telling:
    """opened, closed: bars that decided to begin trades with a profit, or to end them, and that profit. sides: of what
    was decided, 1 or -1. filled: bars whose orders filled. moves: see largest_moves(). held: entry, exit, side and
    profit of those trades.
    """

    opened: Mapping[int, float] = field(default_factory=dict)
    closed: Mapping[int, float] = field(default_factory=dict)
    sides: Mapping[int, int] = field(default_factory=dict)
    filled: frozenset[int] = frozenset()
    moves: Sequence[int] = ()
    held: Sequence[tuple[int, int, int, float]] = ()

    @property
    def best(self) -> list[int]:
        """Bars, those that earned most first."""
        earned = defaultdict(float, self.opened)
        for bar, profit in self.closed.items():
            earned[bar] += profit
        return sorted(earned, key=lambda bar: (-earned[bar], bar))


def largest_moves(close: np.ndarray) -> list[int]:
    """The bars of the largest fall and of the largest rise: what a program does on few days only, it does on those.

    close: a row per bar, and a column per instrument where there are many.
    """
    if len(close) < 3:
        return []
    if close.ndim == 2:
        close = close[:, :: max(1, close.shape[1] // MOST_LOOKED_AT)]
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = close[1:] / close[:-1] - 1
    steps[~np.isfinite(steps)] = 0.0
    steps = steps.mean(axis=1) if steps.ndim == 2 else steps
    known = steps[:-1]  # something has to come after them
    return [int(known.argmin()) + 1, int(known.argmax()) + 1]


def of_backtest(
    orders: Iterable[Mapping[str, Any]],
    fills: Sequence[Mapping[str, Any]],
    flows: Sequence[dict[str, Any]] = (),
    moves: Sequence[int] = (),
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
    held: list[tuple[int, int, int, float]] = []
    kept = (trades.column(name).tolist() for name in ("entry_bar", "exit_bar", "instrument", "size", "profit"))
    for entry, end, instrument, size, profit in zip(*kept, strict=True):
        if profit <= 0:
            continue
        held.append((entry, end, 1 if size > 0 else -1, profit))
        for earned, filled_on, side in ((opened, entry, size), (closed, end, -size)):
            bar = filled_on - 1
            if (bar, instrument, side > 0) not in decided and (filled_on, instrument, side > 0) in decided:
                bar = filled_on  # at the close that decided
            earned[bar] += profit
            largest[bar] = max(largest.get(bar, (0.0, 1)), (profit, 1 if side > 0 else -1))
    sides = {bar: side for bar, (_, side) in largest.items()}
    return Telling(opened, closed, sides, frozenset(filled), moves, held)


def of_account(account: Any, moves: Sequence[int]) -> Telling:
    """Of an account of qfp.backtesting, whose run may have ended early."""
    booked = account.fills
    columns = zip(booked.bars, booked.sizes, booked.prices, booked.commissions, strict=True)
    fills = [dict(zip(("bar", "size", "price", "commission"), each, strict=True)) for each in columns]
    return of_backtest(account.decisions.rows(), fills, moves=moves)
