"""Can it be that an order led to nothing? Who says with hindsight that orders which lost were refused, or still wait,
keeps the winners. Only where a run of backtesting.py tells no log, but for note_withdrawals().

A price that is certainly reached fills, and who could certainly pay is not refused: what is near either is believed.
What fills on the bar after its decision fills before a program can withdraw it; that another order was withdrawn is
believed where no log says when. Whether it would have been on another course of prices is asked by the runs that the
site makes again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from qfp.conventions import BacktestingPy

from runner.claims.bars import NotVerified, OurBars
from runner.claims.fields import Log
from runner.claims.orders import ROOM, Expected

__all__ = ["check_one", "note_withdrawals"]

SURELY = 1.02  # of what it costs

Order = dict[str, Any]


def check_one(
    fills: list[dict[str, float]],
    orders: list[Order],
    bars: OurBars,
    cash: float,
    rules: BacktestingPy,
    ruined: int | None,
) -> None:
    """Raises NotVerified where an order of one instrument has filled, or could have been paid for, by the rules."""
    expected = Expected([], [], bars, rules, ruined)
    last = len(bars.close) - 1 if ruined is None else ruined
    states = _states(fills, cash, len(bars.close))
    known: dict[tuple[int, float], tuple[float, float, float]] = {}
    both: list[_Sides] | None = None
    for order in orders:
        decided = int(order["bar"])
        if order["outcome"] == "waiting":
            for bar, price, _ in expected.places_of(_surely(order)):
                if decided < bar < last:  # on the last one there may be no time left
                    raise _filled(order, "the order", bar, price)
        elif order["outcome"] == "cancelled" and decided < last:
            if not order.get("closes"):
                if _fills_at_once(order, expected):
                    raise _withdrawn(order, "the order")
                _note_when(order, (bar for bar, _, _ in expected.places_of(_surely(order))))
        elif order["outcome"] == "refused" and decided + 1 < last:
            if rules.hedging and both is None:
                both = _both_sides(fills, Expected(fills, orders, bars, rules, ruined), len(bars.close))
            _check_refusal(order, expected, states, both, bars, rules, known)


def _filled(order: Order, what: str, bar: int, price: float) -> NotVerified:
    return NotVerified(
        f"By the stated rules {what} of {order['size']:g} decided on bar {order['bar']} was filled at {price:g} by bar "
        f"{bar}; the run said that it still waits."
    )


def _withdrawn(order: Order, what: str) -> NotVerified:
    return NotVerified(
        f"By the stated rules {what} of {order['size']:g} decided on bar {order['bar']} was filled before it could be "
        "withdrawn; the run said that it was cancelled."
    )


def _fills_at_once(order: Order, expected: Expected) -> bool:
    """Whether a program cannot withdraw it after the bar that gave it: the next one certainly fills it."""
    limit, stop = order.get("limit"), order.get("stop")
    if not (limit or stop):
        return True
    if limit and stop and (limit <= stop if order["size"] > 0 else limit >= stop):
        return False  # its limit has to be reached again
    bars = [bar for bar, _, _ in expected.places_of(_surely(order))]
    return bool(bars) and bars[0] == int(order["bar"]) + 1


def _note_when(order: Order, fills_on: Iterable[int]) -> None:
    """gone: the last bar on which it can have been withdrawn, where it would surely have filled. Companions read it."""
    if not (order.get("limit") and order.get("stop")) and (bar := next(iter(fills_on), None)) is not None:
        order["gone"] = bar - 1


def note_withdrawals(orders: list[Order], log: Log) -> None:
    """withdrawn: the bar on which that was decided, by a log that the fills follow from. Companions read it."""
    for taken in log.taken_away:
        if taken.what == "order" and orders[taken.of]["outcome"] == "cancelled":
            orders[taken.of]["withdrawn"] = taken.bar


def _surely(order: Order) -> Order:
    """The same order with prices that are reached only where its own are, without a doubt."""
    away = 3 * ROOM * (1 if order["size"] > 0 else -1)
    prices = {"limit": 1 - away, "stop": 1 + away}
    return {**order, **{name: order[name] * by for name, by in prices.items() if order.get(name)}}


def _states(fills: list[dict[str, float]], cash: float, count: int) -> list[list[tuple[float, float]]]:
    """Cash and units before, between and after the fills of each bar."""
    found: list[list[tuple[float, float]]] = []
    held, at = 0.0, 0
    for bar in range(count):
        found.append([(cash, held)])
        while at < len(fills) and fills[at]["bar"] == bar:
            fill = fills[at]
            cash, held, at = cash - fill["size"] * fill["price"] - fill["commission"], held + fill["size"], at + 1
            found[bar].append((cash, held))
    return found


@dataclass
class _Sides:
    """Of a bar where long and short may be open at once. held: the most units that may have been open at its end, on
    both sides together; opened: on it.
    """

    held: float = 0.0
    opened: float = 0.0
    fills: list[dict[str, float]] = field(default_factory=list)


def _both_sides(fills: list[dict[str, float]], expected: Expected, count: int) -> list[_Sides]:
    """By bar. What may open or close counts as opening, for as much as the orders there could open."""
    found = [_Sides() for _ in range(count)]
    ways = expected.ways()
    held, at = {True: 0.0, False: 0.0}, 0
    for bar, sides in enumerate(found):
        while at < len(fills) and fills[at]["bar"] == bar:
            fill, (may_open, may_close) = fills[at], ways[at]
            long, units, at = fill["size"] > 0, abs(fill["size"]), at + 1
            opens = min(units, sum(expected.opening[bar, long].values())) if may_open else 0.0
            opens = opens if may_close else units
            held[long] += opens
            held[not long] = max(0.0, held[not long] - (units - opens))
            sides.opened += opens
            sides.fills.append(fill)
        sides.held = held[True] + held[False]
    return found


def _check_refusal(
    order: Order,
    expected: Expected,
    states: list[list[tuple[float, float]]],
    both: list[_Sides] | None,
    bars: OurBars,
    rules: BacktestingPy,
    known: dict[tuple[int, float], tuple[float, float, float]],
) -> None:
    """known: what _free() has found, by bar and price: thousands of orders can be refused on a bar of thousands."""
    places = list(expected.places_of(order))
    size = abs(order["size"])
    for bar, price, _ in places:
        charged = rules.commission_for(size, price) if size else None
        if charged is None:
            return
        if (bar, price) not in known:
            known[bar, price] = _free(bar, price, states, both, bars, rules)
        least, most, dearest = known[bar, price]
        unit = dearest * (1 + rules.spread) + charged / size
        if size >= 1:
            payable = size * unit * SURELY < least
        else:
            payable = unit * SURELY < least * size and size * most * SURELY < least
        if not payable:
            return
    if places:
        raise NotVerified(
            f"An order of {order['size']:g} decided on bar {order['bar']} was told as refused, and the account could "
            "pay for it."
        )


def _free(
    bar: int,
    price: float,
    states: list[list[tuple[float, float]]],
    both: list[_Sides] | None,
    bars: OurBars,
    rules: BacktestingPy,
) -> tuple[float, float, float]:
    """The least and the most that could be bought for around a bar, and the highest price that may have counted."""
    near = range(max(bar - 1, 0), min(bar + 2, len(states))) if rules.trade_on_close else (bar,)
    marks = {price, *(float(prices[at]) for at in near for prices in (bars.open, bars.close)), bars.close[bar - 1]}
    if both is not None:
        # Whatever came first: everything that was opened is held, and every fill was at the worst price of all.
        filled = [fill for at in near for fill in both[at].fills]
        prices = marks | {fill["price"] for fill in filled}
        lost = sum(abs(fill["size"]) * (max(prices) - min(prices)) + fill["commission"] for fill in filled)
        worth = [cash + held * mark for at in near for cash, held in states[at] for mark in marks]
        most_held = both[max(near[0] - 1, 0)].held + sum(both[at].opened for at in near)
        least = (min(worth) - lost - most_held * max(marks) * rules.margin) / rules.margin
        return least, (max(worth) + lost) / rules.margin, max(marks)
    free = [
        (cash + held * mark - abs(held) * mark * rules.margin) / rules.margin
        for at in near
        for cash, held in states[at]
        for mark in marks
    ]
    return min(free), max(free), max(marks)
