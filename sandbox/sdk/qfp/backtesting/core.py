"""What does the account do on one bar? Orders, fills, trades and cash; start reading at Account.process().

Prices are flat float64 buffers and a bar is a position in them; nothing here knows of dates, strategies or pandas.
What is booked goes into the columns of ledger.py, so that equity and statistics are computed afterwards over whole
arrays, and a bar without a waiting order and without a trade near ruin costs two comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from math import copysign, inf
from typing import Any

import numpy as np

from qfp.backtesting.curves import Curve
from qfp.backtesting.ledger import (
    CANCELLED,
    FILLED,
    OUTCOMES,
    UNPAID,
    UNPAID_UNIT,
    Decisions,
    Fills,
    Stretches,
)
from qfp.backtesting.orders import Order, Trade
from qfp.backtesting.rules import FillRules

__all__ = ["Account", "Ruined"]

NAN = math.nan
CLOSED = ("size", "entry_price", "exit_price", "commission")


class Ruined(Exception):
    """The account is worth nothing or less; the backtest ends on this bar."""


class Account:
    """Cash, waiting orders and open trades of one run, on the bar `bar`.

    prices: opens, highs, lows and closes, as contiguous arrays of float64. times: of the bars.
    commission: (size, price) -> currency; fixed_fee: the part of it that does not grow with size, None when a function
      of the program's own decides. spread: fraction of the price, paid on entry. leverage: value that may be
    held per unit of equity.
    """

    def __init__(
        self,
        prices: Sequence[Any],
        times: Any,
        cash: float,
        spread: float,
        commission: Callable[[float, float], float],
        leverage: float,
        trade_on_close: bool,
        hedging: bool,
        exclusive_orders: bool,
        rules: FillRules,
        fixed_fee: float | None = 0.0,
    ) -> None:
        # A memoryview hands out plain floats without a list of them: 23 ns an element, no memory of its own.
        self.opens, self.highs, self.lows, self.closes = (memoryview(column) for column in prices)
        self.times = times
        self.first_cash = self.cash = float(cash)
        self.spread, self.commission, self.leverage = spread, commission, leverage
        self.trade_on_close, self.hedging, self.exclusive_orders = trade_on_close, hedging, exclusive_orders
        self.rules, self.fixed_fee = rules, fixed_fee
        self.bar = len(self.closes) - 1
        self.orders: list[Order] = []
        self.trades: list[Trade] = []
        self.closed_trades: list[Trade] = []
        self.units = self.cost = 0.0  # of all open trades; cost: units times entry price
        self.fills, self.decisions = Fills(), Decisions()
        self.stretches = Stretches(cash)
        self.refused: list[tuple[int, float, str]] = []  # bar, size, reason
        self.placed = 0
        self.deferred = 0  # trades whose stop or target lay within their entry bar and was left for a later one
        self.ruined_at: int | None = None
        # Equity can only be gone at a close at or below the first, or at or above the second.
        self.danger_below, self.danger_above = -inf, inf
        self.range: tuple[float, float] | None = None  # the lowest and the highest close, where they are known

    def __getstate__(self) -> dict[str, Any]:
        prices = {name: np.asarray(getattr(self, name)) for name in ("opens", "highs", "lows", "closes")}
        return {**vars(self), **prices}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for name in ("opens", "highs", "lows", "closes"):
            setattr(self, name, memoryview(state[name]))

    # What a strategy asks --------------------------------------------------------------------------------------

    @property
    def last_price(self) -> float:
        """The close of the current bar."""
        return self.closes[self.bar]

    def equity(self, price: float | None = None) -> float:
        """Cash plus the profit of what is open, at this price or the current close."""
        if price is None:
            price = self.closes[self.bar]
        return self.cash + (self.units * price - self.cost)

    def curve(self) -> np.ndarray:
        """The account's value at the close of every bar, once the run is over."""
        equity = self.stretches.equity(np.asarray(self.closes))
        if self.ruined_at is not None:
            equity[self.ruined_at :] = 0.0
        return equity

    @property
    def filled(self) -> int:
        """How many fills were booked."""
        return len(self.fills)

    def left_over(self) -> tuple[int, int]:
        """(trades that are open, orders of the program that wait; stops and targets of trades are none)."""
        return len(self.trades), sum(not order.is_contingent for order in self.orders)

    def by_parts(self) -> Curve:
        """The same, to be looked at some bars at a time."""
        return Curve(self.curve())

    def margin_available(self, price: float) -> float:
        """Equity that no open trade needs as margin, at this price."""
        leverage = self.leverage
        used = sum([abs(trade._size) * price / leverage for trade in self.trades])
        return max(0, self.equity(price) - used)

    def closed_columns(self) -> dict[str, Any]:
        """Closed trades in columns: entry_bar, exit_bar, size, entry_price, exit_price, commission."""
        return {
            name: np.array([getattr(trade, f"_{name}") for trade in self.closed_trades], dtype=kind)
            for name, kind in (("entry_bar", int), ("exit_bar", int), *((name, float) for name in CLOSED))
        }

    def closed_figures(self) -> tuple[np.ndarray, ...]:
        """Of closed trades the bars of entry and exit, commissions, profits and returns, by the operations of Trade.pl
        and Trade.pl_pct.
        """
        columns = self.closed_columns()
        size, entry, last = columns["size"], columns["entry_price"], columns["exit_price"]
        paid = columns["commission"]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            profits = size * (last - entry) - paid
            returns = np.copysign(1, size) * (last / entry - 1) - paid / (np.abs(size) * entry)
        return columns["entry_bar"], columns["exit_bar"], paid, profits, returns

    def closed_extras(self) -> dict[str, Any]:
        """What only their table shows: sl, tp (NaN for none) and tags (None where no order was given one)."""
        trades, found = self.closed_trades, dict[str, Any]()
        found["sl"] = np.array([NAN if (price := trade.sl) is None else price for trade in trades], dtype=float)
        found["tp"] = np.array([NAN if (price := trade.tp) is None else price for trade in trades], dtype=float)
        tags = [trade._tag for trade in trades]
        found["tags"] = tags if any(tag is not None for tag in tags) else None
        return found

    # Placing orders --------------------------------------------------------------------------------------------

    def place(
        self,
        size: float,
        limit: float | None = None,
        stop: float | None = None,
        sl: float | None = None,
        tp: float | None = None,
        tag: object = None,
    ) -> Order:
        """A new order of the strategy. Raises ValueError when its prices contradict each other."""
        size = float(size)
        limit, stop, sl, tp = _price(limit), _price(stop), _price(sl), _price(tp)
        entry = limit or stop or self.closes[self.bar] * (1 + copysign(self.spread, size))
        below, above = (sl, tp) if size > 0 else (tp, sl)
        if (below is not None and not below < entry) or (above is not None and not entry < above):
            names = ("sl", "tp") if size > 0 else ("tp", "sl")
            raise ValueError(
                f"A {'long' if size > 0 else 'short'} order needs {names[0]} < entry < {names[1]}; "
                f"here {names[0]}={below}, entry={entry}, {names[1]}={above}"
            )
        order = Order(self, size, limit, stop, sl, tp, tag)
        if self.exclusive_orders:
            # Cancelling shortens the list: whoever walks it itself passes over the next order.
            for other in list(self.orders) if self.rules.all_cancelled else self.orders:
                if not other.is_contingent:
                    other.cancel()
            for trade in self.trades:
                trade.close()
        self.decisions.add(self.bar, order)
        self.orders.append(order)
        self.placed += 1
        return order

    def withdraw(self, order: Order) -> None:
        """Take an order out of those that wait."""
        self.orders.remove(order)
        order._waits = False

    def set_stop_loss(self, trade: Trade, price: float | None) -> None:
        """Replace the stop-loss of a trade; none for None. It is looked at before all other orders."""
        price = _price(price)
        if trade._sl_order is not None:
            trade._sl_order.take_back()
        if price:
            trade._sl_order = Order(self, -trade._size, stop=price, tag=trade._tag, trade=trade)
            self.orders.insert(0, trade._sl_order)

    def set_take_profit(self, trade: Trade, price: float | None) -> None:
        """Replace the take-profit of a trade; none for None. It is looked at after all other orders."""
        price = _price(price)
        if trade._tp_order is not None:
            trade._tp_order.take_back()
        if price:
            trade._tp_order = Order(self, -trade._size, limit=price, tag=trade._tag, trade=trade)
            self.orders.append(trade._tp_order)

    # One bar ---------------------------------------------------------------------------------------------------

    def process(self) -> None:
        """Fill what the prices of the current bar reach. Raises Ruined when nothing is left at its close."""
        bar = self.bar
        changes = len(self.fills)
        while self._fill_orders():
            pass
        if len(self.fills) != changes:
            self.stretches.add(bar, self.cash, self.units, self.cost)
            self._watch_ruin()
        close = self.closes[bar]
        if close <= self.danger_below or close >= self.danger_above:
            self.check_ruin()

    def check_ruin(self) -> None:
        """End the account when it is worth nothing or less at the current close."""
        if self.equity() > 0:
            return
        bar, close = self.bar, self.closes[self.bar]
        if self.rules.all_trades_at_ruin:
            for trade in list(self.trades):
                self._close(trade, close, bar)
        else:
            for trade in self.trades:  # closing shortens the list that is walked: the next one is passed over
                self._close(trade, close, bar)
        self.ruined_at = bar
        self.cash = 0.0
        raise Ruined

    def close_all(self) -> None:
        """Close every open trade at the current close."""
        bar, close = self.bar, self.closes[self.bar]
        for trade in list(self.trades):
            self._close(trade, close, bar)
        self.stretches.add(bar, self.cash, self.units, self.cost)

    def _watch_ruin(self) -> None:
        """Between which closes the account is certainly worth something, until trades change."""
        units, rest = self.units, self.cash - self.cost
        scale = 1e-9 * (abs(self.cash) + sum([abs(trade._size) * trade._entry_price for trade in self.trades]))
        self.danger_below, self.danger_above = -inf, inf
        if units > 0:
            self.danger_below = (scale - rest) / units
        elif units < 0:
            self.danger_above = (scale - rest) / units
        elif rest <= scale:
            self.danger_below = inf

    def _count(self) -> None:
        """Units and cost of what is open, summed afresh so that no rounding is carried along."""
        self.units = sum([trade._size for trade in self.trades])
        self.cost = sum([trade._size * trade._entry_price for trade in self.trades])

    def _fill_orders(self) -> bool:
        """One pass over the waiting orders; whether the stops and targets it opened have to be looked at again."""
        bar, rules = self.bar, self.rules
        high, low = self.highs[bar], self.lows[bar]
        again = False
        entered: list[tuple[Trade, float, Any]] = []
        for order in tuple(self.orders):
            if not order._waits:  # its trade was closed by an order before it
                continue
            size, stop, limit, trade = order._size, order._stop, order._limit, order._trade
            long = size > 0
            if stop:
                if (high < stop) if long else (low > stop):
                    continue
                order._stop = None
            if limit:
                if (low > limit) if long else (high < limit):
                    continue
                # The limit on the near side of the stop was passed before the stop was touched: it has to be
                # reached again, in a later bar.
                if stop and ((limit <= stop) if long else (limit >= stop)):
                    continue
                reference: float = self.opens[bar]
                if stop:
                    beyond = rules.stops_at_open and ((reference > stop) if long else (reference < stop))
                    reference = reference if beyond else stop
                price = min(reference, limit) if long else max(reference, limit)
                at_close = False
            else:
                at_close = self.trade_on_close and not order.is_contingent
                if at_close and not (stop and rules.stops_at_open):
                    price = self.closes[bar - 1]
                else:
                    price = self.opens[bar]
                if stop:
                    price = max(price, stop) if long else min(price, stop)
                    at_close = False
            market = not limit and not stop
            booked = bar - 1 if at_close else bar

            if trade is not None:
                self._fill_exit(order, trade, price, booked, stop)
                continue

            paid = price * (1 + copysign(self.spread, size))
            paid_with_fee = paid + self.commission(size, price) / abs(size)
            if rules.size_at_close:
                mark = self.closes[bar]
            else:
                mark = self.closes[bar - 1] if at_close else self.opens[bar]
            if -1 < size < 1:
                units = int((self.margin_available(mark) * self.leverage * abs(size)) // paid_with_fee)
                if not units:
                    self._refuse(order, UNPAID_UNIT)
                    continue
                need = units if long else -units
            else:
                need = int(size)

            if not self.hedging:
                for other in tuple(self.trades):
                    if (other._size > 0) == long:
                        continue
                    if abs(need) >= abs(other._size):
                        need += other._size
                        self._close(other, price, booked)
                    else:
                        self._reduce(other, price, need, booked)
                        need = 0
                    if not need:
                        break

            if need and abs(need) * paid_with_fee > self.margin_available(mark) * self.leverage:
                self._refuse(order, UNPAID)
                continue
            self.withdraw(order)
            self.decisions.came_to(order, FILLED)
            if need:
                sl, tp = order._sl, order._tp
                opened = self._open(need, paid, booked, sl, tp, order._tag)
                opened._number = -1 if order._number is None else order._number
                if (sl or tp) and rules.entry_bar_stops:
                    # Entered at the open: the whole bar follows. Entered at a touched stop: the price goes on from
                    # there towards the target. Entered at a limit: the target may have been passed before.
                    at_open = market or price == self.opens[bar]
                    entered.append((opened, self.opens[bar] if market else price, at_open or (stop and not limit)))
                elif sl or tp:
                    if market or self._target_only(order, stop, limit, high, low):
                        again = True
                    elif (sl and low <= sl <= high) or (tp and low <= tp <= high):
                        self.deferred += 1
        for opened, reference, target_counts in reversed(entered):
            self._act_on_entry_bar(opened, reference, bool(target_counts), high, low)
        return again

    def _act_on_entry_bar(self, trade: Trade, reference: float, target_counts: bool, high: float, low: float) -> None:
        """Stop or target within the bar of the entry; the stop first, which is worse for the trader."""
        stop, target, long = trade.sl, trade.tp, trade._size > 0
        if trade._exit_bar is not None:
            return
        if stop and (low <= stop if long else high >= stop):
            self._close(trade, min(reference, stop) if long else max(reference, stop), self.bar)
        elif target and (high >= target if long else low <= target):
            if target_counts:
                self._close(trade, max(reference, target) if long else min(reference, target), self.bar)
            else:
                self.deferred += 1

    @staticmethod
    def _target_only(order: Order, stop: float | None, limit: float | None, high: float, low: float) -> bool:
        """Whether a stop order opened a trade whose target, and not its stop, lies within the same bar."""
        sl, tp = order._sl, order._tp
        if not stop or limit or tp is None:
            return False
        return (tp <= high and (sl or -inf) < low) if order._size > 0 else (tp >= low and (sl or inf) > high)

    def _fill_exit(self, order: Order, trade: Trade, price: float, bar: int, stop: float | None) -> None:
        """Close the trade this order belongs to, or as much of it as is left and asked for."""
        before = trade._size
        size = copysign(min(abs(before), abs(order._size)), order._size)
        outcome = CANCELLED  # where the trade is gone already
        if trade._exit_bar is None:
            sl_order = trade._sl_order
            outcome = FILLED
            self._reduce(trade, price, int(size), bar)
            if order is sl_order:
                sl_order._stop = stop  # the table of trades shows it
        self.decisions.came_to(order, outcome)
        if order._waits:
            self.withdraw(order)

    def _refuse(self, order: Order, outcome: int) -> None:
        self.refused.append((self.bar, order._size, str(OUTCOMES[outcome][1])))
        self.decisions.came_to(order, outcome)
        self.withdraw(order)

    def _open(self, size: int, price: float, bar: int, sl: float | None, tp: float | None, tag: object) -> Trade:
        fee = self.commission(size, price)
        trade = Trade(self, size, price, bar, tag, fee)
        self.trades.append(trade)
        self._count()
        self.cash -= fee
        self.fills.add(bar, size, price, fee)
        if tp:
            self.set_take_profit(trade, tp)
        if sl:
            self.set_stop_loss(trade, sl)
        return trade

    def _reduce(self, trade: Trade, price: float, size: int, bar: int) -> None:
        """Close `size` units (of the other sign) of a trade; the rest stays open under the same stop and target."""
        left = trade._size + size
        if not left:
            self._close(trade, price, bar)
            return
        part = Trade(self, -size, trade._entry_price, trade._entry_bar, trade._tag, trade._fee)
        part._opened = trade._opened
        trade._size = left
        if trade._sl_order is not None:
            trade._sl_order._size = -left
        if trade._tp_order is not None:
            trade._tp_order._size = -left
        self.trades.append(part)  # counted in _close()
        self._close(part, price, bar)

    def _close(self, trade: Trade, price: float, bar: int) -> None:
        self.trades.remove(trade)
        self._count()
        for order in (trade._sl_order, trade._tp_order):
            if order is not None and order._waits:
                self.withdraw(order)
                self.decisions.came_to(order, CANCELLED)
        size = trade._size
        fee = self.commission(-size if self.rules.order_sign else size, price)
        trade._exit_price, trade._exit_bar = price, bar
        self.cash += size * (price - trade._entry_price) - fee
        if size == trade._opened:
            entry_fee = trade._fee
        elif self.rules.shared_entry_fee:
            entry_fee = self._share(trade)
        else:
            entry_fee = self.commission(size, trade._entry_price)
        trade._commission = fee + entry_fee
        self.closed_trades.append(trade)
        self.fills.add(bar, -size, price, fee)

    def _share(self, trade: Trade) -> float:
        """The part's share of the commission its whole was opened with."""
        share, fixed = trade._size / trade._opened, self.fixed_fee
        if fixed is None:
            return trade._fee * share
        return self.commission(trade._size, trade._entry_price) - fixed + fixed * share


def _price(value: Any) -> float | None:
    """A price as a plain float; None stays None. Raises ValueError for what is no price."""
    if value is None:
        return None
    price = float(value)
    if not 0 < price < math.inf:
        raise ValueError(f"a price has to be above 0 and finite; {value!r} is not")
    return price
