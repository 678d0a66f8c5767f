"""Do the fills of many instruments follow from what was decided? The same account is given the same orders once more,
over our bars, and has to come to the same fills and the same refusals.

Nothing is left to the claim but what a commission that is a function of the program has charged.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
from qfp.conventions import PortfolioRules
from qfp.portfolio import orders as o
from qfp.portfolio.account import Account
from qfp.portfolio.market import Market
from qfp.portfolio.orders import Order, Targets
from qfp.portfolio.running import walk
from qfp.replay import DUST

from runner.claims.bars import NotVerified
from runner.claims.checks import Columns
from runner.claims.commissions import Dues

__all__ = ["follow_many"]

ROOM = 1e-6  # of a size or price
# Weights are booked for all dates at once in a box, with other last digits: parts of the account, and of nothing.
ROUNDING = 1e-8
SIZE, PRICE, COMMISSION = 2, 3, 4  # columns of fills
NO_FILL = (2**62, 0)  # after all others
LEFT_OPEN = {("filled", ""), ("refused", o.TOO_SMALL), ("refused", o.NO_MONEY)}  # what becomes of a target
MOST_LOOKS = 20_000_000  # at what waits on a bar: some twenty seconds
QUICK = 16  # looks at fills that are told take as long as one at an order
MOST_TARGETS = 50_000_000  # instruments of all that is aimed at: half a gigabyte

Row = dict[str, Any]


class Fill(NamedTuple):
    """One of the claim. price: costs included."""

    instrument: int
    size: float
    price: float
    commission: float

    def is_of(self, instrument: int | None, size: float, price: float) -> bool:
        """instrument: None where it does not matter."""
        if instrument not in (None, self.instrument):
            return False
        return abs(self.size - size) <= ROOM * abs(size) and abs(self.price - price) <= ROOM * price


def follow_many(
    fills: Columns, orders: list[Row], market: Market, cash: float, rules: PortfolioRules, names: list[str]
) -> Columns:
    """The fills that follow from the orders by the rules. Raises NotVerified where the claim tells others, or another
    outcome of an order.

    fills, orders: as claimed, in the order of their bars.
    """
    decided = _Decided(orders, market, cash, rules, fills)
    walk(decided.account, decided.on, 0)
    decided.compare_fills(fills, names)
    decided.compare_outcomes(names)
    ours = decided.account.fills.columns()
    order = np.argsort(ours[0], kind="stable")
    return tuple(column[order] for column in ours)


class _Decided:
    """The orders as they were told, given to an account of ours."""

    def __init__(self, orders: list[Row], market: Market, cash: float, rules: PortfolioRules, fills: Columns) -> None:
        self.rules, self.width = rules, len(market.symbols)
        self.account = _Account(market, rules, cash, fills)
        self.aimed = 0
        self.placed: list[tuple[Row, Order | Targets]] = []
        self._by_bar: dict[int, list[Row]] = defaultdict(list)
        self._withdrawn: dict[int, list[Order]] = defaultdict(list)
        for row in orders:
            self._by_bar[row["bar"]].append(row)

    def on(self, bar: int) -> None:
        """What was decided at the close of a bar."""
        together: list[Row] = []
        for row in self._by_bar.pop(bar, ()):
            if together and not row.get("together"):
                self._aim(together)
                together = []
            if row["kind"] == "target":
                together.append(row)
            else:
                self._place(row)
        if together:
            self._aim(together)
        for order in self._withdrawn.pop(bar, ()):
            order.cancel()
        self.account.look(len(self.account.orders) + len(self.account.targets))

    def _aim(self, rows: list[Row]) -> None:
        self.aimed += self.width
        if self.aimed > MOST_TARGETS:
            raise NotVerified("It aims so often at parts of so many instruments that the site cannot follow it.")
        self.account.look(len(self.account.orders) // QUICK)
        weights = np.full(self.width, np.nan)
        for row in rows:
            weights[row["instrument"]] = row["size"]
        targets = self.account.aim(weights)
        self.placed += [(row, targets) for row in rows]

    def _place(self, row: Row) -> None:
        order = self.account.place(row["instrument"], row["size"], row.get("limit"), row.get("stop"))
        self.placed.append((row, order))
        if row["outcome"] == "cancelled":
            if "withdrawn" not in row:
                raise NotVerified("It does not say when its orders were withdrawn.")
            self._withdrawn[row["withdrawn"]].append(order)

    # What came of it

    def compare_fills(self, fills: Columns, names: list[str]) -> None:
        ours, told = _sorted(self.account.fills.columns()), _sorted(fills)
        count = min(len(ours[0]), len(told[0]))
        one, other = (tuple(column[:count] for column in columns) for columns in (ours, told))
        worth = np.maximum(self._worth(one[0]), 0.0)
        wrong = (one[0] != other[0]) | (one[1] != other[1])
        for at, least in ((SIZE, ROUNDING * worth / one[PRICE]), (PRICE, 0.0), (COMMISSION, ROUNDING * worth)):
            apart = np.abs(one[at] - other[at]) > ROOM * np.abs(one[at]) + least
            if at == COMMISSION and apart.any() and not wrong[: (first := int(apart.argmax())) + 1].any():
                charged, ruled = other[at][first], one[at][first]
                raise NotVerified(f"A fill was charged {charged:g}; by the stated rules it is {ruled:g}.")
            wrong |= apart
        if wrong.any() or len(ours[0]) != len(told[0]):
            raise self._other_fill(ours, told, int(np.flatnonzero(wrong)[0]) if wrong.any() else count, names)

    def _worth(self, bars: np.ndarray) -> np.ndarray:
        """Of the account at the closes of these bars."""
        account = self.account
        held = account.history()
        return (account.cash_at + np.einsum("ij,ij->i", held, account.market.marks))[bars]

    def _other_fill(self, ours: Columns, told: Columns, at: int, names: list[str]) -> NotVerified:
        def of(columns: Columns) -> tuple[int, int]:
            return (int(columns[0][at]), int(columns[1][at])) if at < len(columns[0]) else NO_FILL

        def said(columns: Columns) -> str:
            if of(columns) != (bar, number):
                return f"no {names[number]}"
            return f"{columns[2][at]:g} {names[number]} at {columns[3][at]:g}"

        bar, number = min(of(ours), of(told))
        return NotVerified(
            f"By what was ordered and the stated rules, {said(ours)} should have been filled on bar {bar}; the run "
            f"said {said(told)}."
        )

    def compare_outcomes(self, names: list[str]) -> None:
        if any(self._by_bar.values()):
            raise NotVerified("It has orders of a time when nothing was left of the account.")
        for row, decision in self.placed:
            number = row["instrument"]
            if isinstance(decision, Targets):
                outcome, reason = int(decision.outcomes[number]), decision.reasons.get(number, "")
            else:
                outcome, reason = decision.outcome, decision.reason
            if isinstance(decision, Targets) and not row["size"]:
                continue  # it may wait for what is sold by then, and a newer one like it is not told
            if (
                self.rules.commission is None
                and isinstance(decision, Targets)
                and not self.account.has_traded(decision, number)
            ):
                ways = {(o.OUTCOMES[outcome], reason), (row["outcome"], row.get("reason", ""))}
                if ways <= LEFT_OPEN:
                    continue  # a function's costs decide what was there for it; the fills are compared
            if row["outcome"] != o.OUTCOMES[outcome] or (reason and row.get("reason") != reason):
                told, ours = _said(row["outcome"], row.get("reason")), _said(o.OUTCOMES[outcome], reason)
                raise NotVerified(
                    f"The order for {names[number]} decided on bar {row['bar']} was told as {told}; by the stated "
                    f"rules it is {ours}."
                )


def _said(outcome: str, reason: str | None) -> str:
    return f"{outcome} ({reason})" if reason else outcome


def _sorted(columns: Columns) -> Columns:
    """By bar, instrument, side and price: what an account does on a bar comes in no other order that matters."""
    bars, numbers, sizes, prices, commissions = columns
    order = np.lexsort((sizes, prices, sizes > 0, numbers, bars))
    return tuple(column[order] for column in (bars, numbers, sizes, prices, commissions))


class _Account(Account):
    """Where the commission is a function of the program, it charges what the claim says that it did."""

    def __init__(self, market: Market, rules: PortfolioRules, cash: float, fills: Columns) -> None:
        super().__init__(market, rules, self._as_told if rules.commission is None else None, cash)
        self._looks = 0
        self._told: dict[int, list[Fill]] = defaultdict(list)
        self._given: dict[int, list[Fill]] = defaultdict(list)  # of orders
        if rules.commission is not None:
            return
        for bar, *fill in zip(*(column.tolist() for column in fills), strict=True):
            self._told[bar].append(Fill(*fill))
        told = [fill._asdict() for fills_of_bar in self._told.values() for fill in fills_of_bar]
        self._dues = Dues.of(told) if told else Dues.widest(told)
        self._dues_of: dict[int, Dues] = {
            number: Dues.of(fill for fill in told if fill["instrument"] == number)
            for number in {fill["instrument"] for fill in told}
        }
        self._number = 0  # of the instrument whose order is looked at
        self._booked: set[int] = set()  # instruments that the targets of a bar have traded
        self._traded: set[tuple[int, int]] = set()  # decisions and instruments

    def look(self, times: int) -> None:
        """Raises NotVerified where nobody could wait for it any longer."""
        self._looks += times
        if self._looks > MOST_LOOKS:
            raise NotVerified("So many orders wait for so long that the site cannot follow them.")

    def _fill_order(self, order: Order, bar: int, price: float, worse: float) -> None:
        self._number = order.instrument
        super()._fill_order(order, bar, price, worse)
        if order.outcome == o.FILLED and self.commission is not None:
            size = order.units
            self._given[bar].append(Fill(order.instrument, size, price * (1 + math.copysign(worse, size)), 0.0))

    def has_traded(self, targets: Targets, instrument: int) -> bool:
        """Whether something was bought or sold of an instrument to reach these; known where costs are as told."""
        return (id(targets), instrument) in self._traded

    def _fill_targets(self, bar: int) -> None:
        waiting = [(targets, targets.outcomes == o.WAITING) for targets in self.targets]
        super()._fill_targets(bar)
        if self.commission is not None:
            for targets, before in waiting:
                over = np.flatnonzero(before & (targets.outcomes != o.WAITING)).tolist()
                self._traded |= {(id(targets), number) for number in over if number in self._booked}
            self._booked.clear()

    def _book(self, bar: int, at: np.ndarray, *parts: np.ndarray) -> None:
        super()._book(bar, at, *parts)
        if self.commission is not None:
            self._booked |= {*at.tolist()}

    def _as_told(self, size: float, price: float) -> float:
        told = self._told[self.bar]
        self.look(len(told) // QUICK)
        for fill in told:
            if fill.is_of(None, size, price):
                return fill.commission
        # By the share it is a larger part of a low price than of a high one.
        return self._dues_of.get(self._number, self._dues).at_most(abs(size) * price, size > 0)

    def _rebalance(self, bar: int, at: np.ndarray, weights: np.ndarray, prices: np.ndarray) -> tuple[np.ndarray, str]:
        self._open = 0.0  # in currency, by how much what is held may be another
        self._first: dict[int, Fill] = {}  # of each instrument at the price of the rules: targets before other orders
        fair = dict(zip(at.tolist(), prices.tolist(), strict=True))
        given = self._given[bar].copy()
        for fill in self._told[bar]:
            order = next((each for each in given if fill.is_of(*each[:3])), None)
            if order is not None:
                given.remove(order)
                continue
            price = fair.get(fill.instrument, np.nan) * (1 + math.copysign(self.rules.worse, fill.size))
            if abs(fill.price - price) <= ROOM * price:
                self._first.setdefault(fill.instrument, fill)
        return super()._rebalance(bar, at, weights, prices)

    def _value_after(self, value: float, held: np.ndarray, weights: np.ndarray, prices: np.ndarray) -> float:
        if self.commission is None:
            return super()._value_after(value, held, weights, prices)
        worse, moved = self.rules.worse, np.abs(weights * value - held)
        costs = 0.0
        for fill in self._first.values():
            fair = fill.price / (1 + math.copysign(worse, fill.size))
            costs += fill.commission + abs(fill.size) * fair * worse
        buys = (weights * value > held).tolist()
        dearest = sum(map(self._dues.at_most, moved.tolist(), buys)) + worse * float(moved.sum())
        self._open = max(self._open, self.rules.leverage * (abs(costs) + dearest) + ROOM * value)
        if not self._first and value <= dearest:
            return value - dearest  # nothing was done, as there was nothing left to do it with
        return value - costs

    def _aims(self, at: np.ndarray, units: np.ndarray) -> np.ndarray:
        """As told where costs leave it open: they were found step by step, with what each step would have cost."""
        ours = super()._aims(at, units)
        if self.commission is None:
            return ours
        left_open = self._open / self._prices[self.bar][at]
        least, most = (super(_Account, self)._aims(at, units + way * left_open) for way in (-1, 1))
        sizes = np.array([self._first[each].size if each in self._first else 0.0 for each in at.tolist()])
        told = self.units[at] + sizes
        told[np.abs(told) <= DUST * np.abs(sizes)] = 0.0  # all was sold
        within = (told >= least - ROOM) & (told <= most + ROOM)
        return np.where(within, told, ours)
