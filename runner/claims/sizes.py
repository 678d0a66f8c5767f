"""Was as much filled as the account could buy? An order for a fraction of it leaves no choice of its units.
Only where a run of backtesting.py tells no log; otherwise follow_one.py says it exactly.

Who tells orders for the same fraction, and fills much of what won and little of what lost, is found by this. The least
it may have been is computed with room: half of it is enough, so that rounding, costs and what filled together with it
never make an honest backtest look forged.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from qfp.conventions import BacktestingPy

from runner.claims.bars import NotVerified, OurBars
from runner.claims.orders import ROOM, Expected

__all__ = ["SHARE", "check_sizes"]

SHARE = 0.5  # of the least it may have been

Order = dict[str, Any]


class _State(NamedTuple):
    """Cash, units, the most that long and short trades may add up to, and the fill that comes next."""

    cash: float
    held: float
    gross: float
    fill: dict[str, float]


def check_sizes(
    fills: list[dict[str, float]],
    orders: list[Order],
    bars: OurBars,
    cash: float,
    rules: BacktestingPy,
) -> None:
    """Raises NotVerified where an order for a fraction of the account filled far less than that."""
    opening = [each for each in orders if each["outcome"] == "filled" and not each.get("closes") and each["size"]]
    fractions = [each for each in opening if abs(each["size"]) < 1]
    if not fractions:
        return
    expected = Expected([], [], bars, rules, None)
    may_open = {(bar, each["size"] > 0) for each in opening if rules.hedging for bar, _, _ in expected.places_of(each)}
    account = _Account(fills, may_open, bars, cash, rules)
    for order in fractions:
        places = {(bar, price) for bar, price, _ in expected.places_of(order)}
        if not places:
            continue
        long, share = order["size"] > 0, abs(order["size"])
        filled = sum(account.filled[bar, long] for bar in {bar for bar, _ in places})
        least = min(account.least(bar, long, price, share) for bar, price in places)
        if filled < least * SHARE - 1:
            raise NotVerified(
                f"An order of {order['size']:g} of the account, decided on bar {order['bar']}, was filled with "
                f"{filled:g} units; by the stated rules the account was enough for about {least:.0f}."
            )


class _Account:
    """What could be bought around each fill. may_open: bars and sides where something was opened, with hedging."""

    def __init__(
        self,
        fills: list[dict[str, float]],
        may_open: set[tuple[int, bool]],
        bars: OurBars,
        cash: float,
        rules: BacktestingPy,
    ) -> None:
        self.bars, self.rules = bars, rules
        self.filled: dict[tuple[int, bool], float] = defaultdict(float)
        self.charged: dict[tuple[int, bool], float] = defaultdict(float)
        self.states: dict[int, list[_State]] = {}
        held, most = 0.0, {True: 0.0, False: 0.0}  # most: that can be open on each side, with hedging
        for fill in fills:
            bar, size = int(fill["bar"]), fill["size"]
            gross = abs(held) + 2 * min(most.values())
            states = self.states.setdefault(bar, [])
            states.append(_State(cash, held, gross, fill))
            cash -= size * fill["price"] + fill["commission"]
            held += size
            if (bar, size > 0) in may_open:
                most[size > 0] += abs(size)
            self.filled[bar, size > 0] += abs(size)
            self.charged[bar, size > 0] = max(self.charged[bar, size > 0], fill["commission"])
        self._free: dict[tuple[int, bool, float], float] = {}

    def least(self, bar: int, long: bool, price: float, share: float) -> float:
        """Units that an order for a share of the account buys at least."""
        paid = price * (1 + self.rules.spread * (1 if long else -1))
        charged = self.rules.commission_for(share, price)
        if charged is None:  # as much as a fixed one would be
            charged = self.charged[bar, long]
        key = (bar, long, price)
        if key not in self._free:
            self._free[key] = self._lowest(bar, long, price, paid)
        return max(0.0, self._free[key]) * share / (paid + charged / share)

    def _lowest(self, bar: int, long: bool, price: float, paid: float) -> float:
        """The least that could be bought for, in currency, before a fill that may be one of those of an order."""
        bars, margin = self.bars, self.rules.margin
        around = (bar - 1, bar, bar + 1) if self.rules.trade_on_close else (bar,)
        near = [each for each in around if 0 <= each < len(bars.close)]
        marks = {price, *(float(column[each]) for each in near for column in (bars.open, bars.close))}
        moved, states = 0.0, []
        for each in near:
            for state in self.states.get(each, ()):
                fill = state.fill
                own = each == bar and (fill["size"] > 0) == long
                own = own and min(abs(fill["price"] - paid), abs(fill["price"] - price)) <= ROOM * price
                states.append(state)
                if not own:
                    moved += abs(fill["size"])
        swing = moved * (max(marks) - min(marks))
        free = [
            (state.cash + state.held * mark - swing - (state.gross + moved) * mark * margin) / margin
            for state in states
            for mark in marks
        ]
        return min(free, default=0.0)
