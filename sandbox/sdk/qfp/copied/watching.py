"""What does the broker of backtesting.py do while it runs? Its orders and trades are looked at, and nothing is changed.

Written down is what our own engine tells by the same rules: every decision, what became of it, what was taken away, and
the fills as they came. Where a release of the library fills otherwise, or has other objects, there is no such log.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from qfp.backtesting.ledger import (
    CANCELLED,
    FILLED,
    NAN,
    NO_STOP,
    NO_TARGET,
    ORDER,
    UNPAID,
    UNPAID_UNIT,
    WAITING,
    WITHDRAWN,
    Decisions,
)

__all__ = ["Watched", "watch", "watched"]

BOOK = "_qfp_book"
OF_ORDER, OF_TRADE = "_Order__broker", "_Trade__broker"
FOLLOWED = ("0.6.5", "0.6.6")  # releases that fill by the rules that the site follows; others differ in sizes and stops
BEFORE = -1  # the bar of what init() ordered, until it is known how many the indicators need

_blind = False  # whether the library is another one than we know, or something in it


class Watched(Decisions):
    """What one broker was asked for and did. fills: (bar, size, price, whether it opened a trade), in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.fills: list[tuple[int, float, float, bool]] = []
        self.numbers: dict[Any, int] = {}  # of orders, among the decisions
        self.openers: dict[Any, int] = {}  # the number of the order that opened a trade
        self.reduced: set[Any] = set()  # orders that have closed what was open on the other side
        self.opening = False  # a stop and target that come with their order are in it
        self.moving = False

    def decide(self, bar: int, order: Any, trade: Any = None) -> None:
        """trade: that it closes."""
        self.numbers[order] = len(self.bars)
        owner, prices = (-1 if trade is None else self.owner(trade)), (order.limit, order.stop, order.sl, order.tp)
        self._add(bar, ORDER, trade is not None, owner, float(order.size), prices)

    def _add(
        self, bar: int, kind: int, closes: bool, owner: int, size: float, prices: Sequence[float | None] = (None,) * 4
    ) -> None:
        self.bars.append(bar)
        self.outcomes.append(WAITING)
        self.closes.append(closes)
        self.kinds.append(kind)
        self.owners.append(owner)
        self.sizes.append(size)
        limit, stop, sl, tp = prices
        self.limits.append(limit or NAN)
        self.stops.append(stop or NAN)
        self.sls.append(sl or NAN)
        self.tps.append(tp or NAN)

    def owner(self, trade: Any) -> int:
        return self.openers.get(trade, -1) if trade.exit_bar is None else -1

    def drop(self, bar: int, kind: int, owner: int) -> None:
        """Take away, as Decisions does."""
        if owner >= 0:
            self._add(bar, kind, False, owner, 0.0)

    def became(self, order: Any, outcome: int) -> None:
        number = self.numbers.get(order)
        if number is not None:
            self.outcomes[number] = outcome

    def finish(self, waiting: Sequence[Any], before: int) -> None:
        """The run is over. waiting: orders. before: the bar before the first that was traded on."""
        left = set(waiting)
        for order, number in self.numbers.items():
            if self.outcomes[number] != WAITING or order in left:
                continue
            if self.closes[number]:
                self.outcomes[number] = CANCELLED  # its trade is gone
            else:
                # A fraction that was worth a unit can always pay for it, unless something was closed first.
                none = abs(self.sizes[number]) < 1 and order not in self.reduced
                self.outcomes[number] = UNPAID_UNIT if none else UNPAID
        for at, bar in enumerate(self.bars):
            if bar != BEFORE:
                break
            self.bars[at] = before

    def all_told(self) -> tuple[list[dict[str, Any]], list[list[Any]] | None]:
        """Orders and what was taken away; None for that where not everything could be seen."""
        return (self.rows(), None) if _blind else self.told()

    def all_fills(self, trades: Sequence[Any]) -> list[tuple[int, float, float, bool]]:
        """By bar: with fills at the deciding close, a stop of the next bar comes before them. trades: closed and open
        ones, from which the fills are put together where not everything could be seen.
        """
        return sorted(_fills_of(trades) if _blind else self.fills, key=lambda fill: fill[0])


def _fills_of(trades: Sequence[Any]) -> list[tuple[int, float, float, bool]]:
    """Entries and exits. A trade that was closed in parts was opened by one fill."""
    entries: dict[tuple[int, float, bool], float] = {}
    exits: list[tuple[int, float, float, bool]] = []
    for trade in trades:
        opened = (int(trade.entry_bar), float(trade.entry_price), trade.size > 0)
        entries[opened] = entries.get(opened, 0.0) + float(trade.size)
        if trade.exit_bar is not None:
            exits.append((int(trade.exit_bar), -float(trade.size), float(trade.exit_price), False))
    # An exit before an entry on the same bar: so a position that is turned stays as large as it was.
    return exits + [(bar, size, price, True) for (bar, price, _), size in entries.items()]


def watched(broker: Any) -> Watched:
    found: Watched | None = broker.__dict__.get(BOOK)
    if found is None:
        found = broker.__dict__[BOOK] = Watched()
    return found


def watch(module: Any, run: Callable[..., Any]) -> None:
    """module: backtesting.backtesting. run: its Backtest.run, which closes what is open at the end, undecided."""
    import backtesting

    if str(getattr(backtesting, "__version__", "")) not in FOLLOWED:
        _miss()
    broker, trade, order = module._Broker, module.Trade, module.Order
    for made, name, wrapped in (
        (broker, "new_order", _ordered),
        (broker, "_open_trade", _opened),
        (broker, "_reduce_trade", _reduced),
        (broker, "_close_trade", _closed),
        (order, "cancel", _cancelled),
        (trade, "close", lambda act: _closing(act, run.__code__)),
        (trade, "sl", lambda act: _moved(act, NO_STOP)),
        (trade, "tp", lambda act: _moved(act, NO_TARGET)),
    ):
        act = vars(made).get(name)
        if act is None:
            _miss()
        else:
            setattr(made, name, wrapped(act))


def _miss() -> None:
    global _blind
    _blind = True


def _bar_of(broker: Any) -> int:
    """The bar that decides; that before the first in init(), where all bars are in sight and there was none."""
    return len(broker._data) - 1 if hasattr(broker, "_i") else BEFORE


def _broker_of(made: Any, name: str) -> Any:
    """name: of the attribute in which an order or trade keeps it."""
    found = made.__dict__.get(name)
    if found is None:
        _miss()
    return found


def _order_of(frame: Any) -> Any:
    """Which order the broker is filling."""
    return frame.f_locals.get("order")


def _ordered(act: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(act)
    def new_order(self: Any, *args: Any, **named: Any) -> Any:
        made = act(self, *args, **named)
        book = watched(self)
        if not book.opening:
            book.decide(_bar_of(self), made, named.get("trade"))
        return made

    return new_order


def _closing(act: Callable[..., Any], run: Any) -> Callable[..., Any]:
    @wraps(act)
    def close(self: Any, portion: float = 1.0) -> None:
        act(self, portion)
        owner = _broker_of(self, OF_TRADE)
        if owner is not None and sys._getframe(1).f_code is not run:
            watched(owner).decide(_bar_of(owner), owner.orders[0], self)

    return close


def _moved(part: property, kind: int) -> property:
    """A stop-loss or target that is moved is a decision of its own, and one that is set to None is taken away."""
    if not isinstance(part, property) or part.fget is None or part.fset is None:
        _miss()
        return part
    get, set_ = part.fget, part.fset

    @wraps(set_)
    def move(self: Any, price: Any) -> None:
        owner = _broker_of(self, OF_TRADE)
        if owner is None or (book := watched(owner)).opening:
            set_(self, price)
            return
        before, book.moving = get(self), True
        try:
            set_(self, price)
        finally:
            book.moving = False
            if before and not get(self):
                book.drop(_bar_of(owner), kind, book.owner(self))

    return part.setter(move)


def _cancelled(act: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(act)
    def cancel(self: Any) -> None:
        owner = _broker_of(self, OF_ORDER)
        if owner is None:
            act(self)
            return
        book = watched(owner)
        kind, number = WITHDRAWN, book.numbers.get(self, -1)
        if self.is_contingent and (self.stop or self.limit):
            trade = getattr(self, "parent_trade", None)
            if trade is None:
                _miss()
            kind, number = (NO_STOP if self.stop else NO_TARGET), -1 if trade is None else book.owner(trade)
        act(self)
        book.became(self, CANCELLED)
        if not book.moving:
            book.drop(_bar_of(owner), kind, number)

    return cancel


def _opened(act: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(act)
    def open_trade(self: Any, *args: Any, **named: Any) -> Any:
        book, order = watched(self), _order_of(sys._getframe(1))
        book.opening = True
        made = act(self, *args, **named)
        book.opening = False
        trade = self.trades[-1]
        number = book.numbers.get(order, -1)
        if number < 0:
            _miss()
        book.openers[trade] = number
        book.became(order, FILLED)
        book.fills.append((int(trade.entry_bar), float(trade.size), float(trade.entry_price), True))
        return made

    return open_trade


def _reduced(act: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(act)
    def reduce_trade(self: Any, *args: Any, **named: Any) -> Any:
        watched(self).became(_order_of(sys._getframe(1)), FILLED)
        return act(self, *args, **named)

    return reduce_trade


def _closed(act: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(act)
    def close_trade(self: Any, trade: Any, *args: Any, **named: Any) -> Any:
        around = sys._getframe(1).f_locals
        order, need, size = around.get("order"), around.get("need_size"), trade.size
        made = act(self, trade, *args, **named)
        book = watched(self)
        book.fills.append((int(trade.exit_bar), -float(size), float(trade.exit_price), False))
        if order in book.numbers:  # which goes on with what is left of it, and may be refused
            if need is None:
                _miss()
            elif abs(need) == abs(size):
                book.became(order, FILLED)
            book.reduced.add(order)
        return made

    return close_trade
