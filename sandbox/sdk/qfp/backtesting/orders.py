"""What does a strategy hold in its hands? Orders that wait and trades that are open; the account does the rest."""

from __future__ import annotations

from math import copysign
from typing import TYPE_CHECKING, Any

from qfp.backtesting.ledger import CANCELLED, NO_STOP, NO_TARGET, WITHDRAWN

if TYPE_CHECKING:
    from qfp.backtesting.core import Account

__all__ = ["Order", "Trade"]


class Order:
    """An order that waits. size: units, or a fraction of what can be bought; negative to sell."""

    __slots__ = ("_account", "_limit", "_number", "_size", "_sl", "_stop", "_tag", "_tp", "_trade", "_waits")

    def __init__(
        self,
        account: Account,
        size: float,
        limit: float | None = None,
        stop: float | None = None,
        sl: float | None = None,
        tp: float | None = None,
        tag: object = None,
        trade: Trade | None = None,
    ) -> None:
        self._account, self._size, self._tag, self._trade = account, size, tag, trade
        self._limit, self._stop, self._sl, self._tp = limit, stop, sl, tp
        self._waits = True
        self._number: int | None = None  # among the decisions; none where a trade brought it along

    @property
    def size(self) -> float:
        """Units, or a fraction between 0 and 1 of what the account can buy; negative for a short order."""
        return self._size

    @property
    def limit(self) -> float | None:
        """The worst price it may fill at; None for a market order."""
        return self._limit

    @property
    def stop(self) -> float | None:
        """The price that has to be touched before it becomes a market or limit order; None once it was."""
        return self._stop

    @property
    def sl(self) -> float | None:
        """Stop-loss of the trade it will open."""
        return self._sl

    @property
    def tp(self) -> float | None:
        """Take-profit of the trade it will open."""
        return self._tp

    @property
    def tag(self) -> object:
        """Whatever the program gave it; the trade inherits it."""
        return self._tag

    @property
    def is_long(self) -> bool:
        """Whether it buys."""
        return self._size > 0

    @property
    def is_short(self) -> bool:
        """Whether it sells."""
        return self._size < 0

    @property
    def is_contingent(self) -> bool:
        """Whether it is the stop-loss or take-profit of an open trade; closing the trade cancels it."""
        trade = self._trade
        return trade is not None and (self is trade._sl_order or self is trade._tp_order)

    def cancel(self) -> None:
        """Withdraw it."""
        account, trade = self._account, self._trade
        kind, owner = WITHDRAWN, -1 if self._number is None else self._number
        if trade is not None and self.is_contingent:
            kind, owner = (NO_STOP if self is trade._sl_order else NO_TARGET), trade.owner
        self.take_back()
        account.decisions.take_away(account.bar, kind, owner)

    def take_back(self) -> None:
        """The same where another one takes its place."""
        self._account.withdraw(self)
        self._account.decisions.came_to(self, CANCELLED)
        trade = self._trade
        if trade is not None:
            if self is trade._sl_order:
                trade._sl_order = None
            elif self is trade._tp_order:
                trade._tp_order = None

    def __repr__(self) -> str:
        parts: list[tuple[str, object]] = [
            ("size", self._size),
            ("limit", self._limit),
            ("stop", self._stop),
            ("sl", self._sl),
        ]
        parts += [("tp", self._tp), ("contingent", self.is_contingent or None), ("tag", self._tag)]
        return f"<Order {', '.join(f'{name}={value}' for name, value in parts if value is not None)}>"


class Trade:
    """An open or closed trade. size: units, negative for a short one."""

    __slots__ = (
        "_account",
        "_commission",
        "_entry_bar",
        "_entry_price",
        "_exit_bar",
        "_exit_price",
        "_fee",
        "_number",
        "_opened",
        "_size",
        "_sl_order",
        "_tag",
        "_tp_order",
    )

    def __init__(self, account: Account, size: int, price: float, bar: int, tag: object, fee: float) -> None:
        self._account, self._size, self._tag = account, size, tag
        self._entry_price, self._entry_bar = price, bar
        self._exit_price: float | None = None
        self._exit_bar: int | None = None
        self._sl_order: Order | None = None
        self._tp_order: Order | None = None
        self._commission = 0.0
        self._number = -1  # among the decisions, of the order that opened it
        self._opened, self._fee = size, fee  # what the entry's commission was paid for, and how much

    @property
    def size(self) -> int:
        """Units; negative for a short trade."""
        return self._size

    @property
    def entry_price(self) -> float:
        """Price it was opened at, spread included."""
        return self._entry_price

    @property
    def exit_price(self) -> float | None:
        """Price it was closed at; None while it is open."""
        return self._exit_price

    @property
    def entry_bar(self) -> int:
        """Number of the bar it was opened on, counted from 0."""
        return self._entry_bar

    @property
    def exit_bar(self) -> int | None:
        """Number of the bar it was closed on; None while it is open."""
        return self._exit_bar

    @property
    def entry_time(self) -> Any:
        """Date of the bar it was opened on, or its number where bars have no dates."""
        return self._account.times[self._entry_bar]

    @property
    def exit_time(self) -> Any:
        """Date of the bar it was closed on; None while it is open."""
        return None if self._exit_bar is None else self._account.times[self._exit_bar]

    @property
    def tag(self) -> object:
        """What the order that opened it was given."""
        return self._tag

    @property
    def is_long(self) -> bool:
        """Whether it gains when the price rises."""
        return self._size > 0

    @property
    def is_short(self) -> bool:
        """Whether it gains when the price falls."""
        return self._size < 0

    @property
    def pl(self) -> float:
        """Profit in currency; after both commissions once it is closed."""
        price = self._account.last_price if self._exit_price is None else self._exit_price
        return self._size * (price - self._entry_price) - self._commission

    @property
    def pl_pct(self) -> float:
        """Profit as a fraction of the value at entry; after both commissions once it is closed."""
        price = self._account.last_price if self._exit_price is None else self._exit_price
        gross = copysign(1, self._size) * (price / self._entry_price - 1)
        return gross - self._commission / (abs(self._size) * self._entry_price)

    @property
    def value(self) -> float:
        """Units times price, without sign."""
        price = self._account.last_price if self._exit_price is None else self._exit_price
        return abs(self._size) * price

    @property
    def sl(self) -> float | None:
        """Stop-loss price; set it to move it, to None to remove it."""
        return None if self._sl_order is None else self._sl_order._stop

    @sl.setter
    def sl(self, price: float | None) -> None:
        before = self._sl_order
        self._account.set_stop_loss(self, price)
        if self._sl_order is not None:
            self._account.decisions.add(self._account.bar, self._sl_order)
        elif before is not None:
            self._account.decisions.take_away(self._account.bar, NO_STOP, self.owner)

    @property
    def tp(self) -> float | None:
        """Take-profit price; set it to move it, to None to remove it."""
        return None if self._tp_order is None else self._tp_order._limit

    @tp.setter
    def tp(self, price: float | None) -> None:
        before = self._tp_order
        self._account.set_take_profit(self, price)
        if self._tp_order is not None:
            self._account.decisions.add(self._account.bar, self._tp_order)
        elif before is not None:
            self._account.decisions.take_away(self._account.bar, NO_TARGET, self.owner)

    @property
    def owner(self) -> int:
        """The number among the decisions of the order that opened it; -1 once it is closed."""
        return self._number if self._exit_bar is None else -1

    def close(self, portion: float = 1.0) -> None:
        """Place a market order that closes this share of it, at least one unit."""
        if not 0 < portion <= 1:
            raise ValueError("portion is a fraction above 0 and up to 1, such as .5 for one half")
        units = max(1, round(abs(self._size) * portion))
        account = self._account
        order = Order(account, copysign(units, -self._size), tag=self._tag, trade=self)
        account.decisions.add(account.bar, order)
        account.orders.insert(0, order)

    def __repr__(self) -> str:
        until = "" if self._exit_bar is None else self._exit_bar
        return (
            f"<Trade size={self._size} bars={self._entry_bar}-{until} price={self._entry_price}-"
            f"{'' if self._exit_price is None else self._exit_price} pl={self.pl:.0f}"
            f"{'' if self._tag is None else f' tag={self._tag}'}>"
        )
