"""What does a trading rule look like? Derive from Strategy and write init() and next()."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from qfp.backtesting.core import Account
from qfp.backtesting.lines import Bars, Clock, Line
from qfp.backtesting.orders import Order, Trade
from qfp.backtesting.purity import exactly, from_library, reads_of

__all__ = ["Position", "Strategy"]

# All that the account can buy; a hair less than 1, because 1 is one unit.
EVERYTHING = 1 - sys.float_info.epsilon


class Position:
    """What is open altogether. True in an `if` while something is."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def __bool__(self) -> bool:
        return self._account.units != 0

    @property
    def size(self) -> float:
        """Units, short ones negative."""
        return self._account.units

    @property
    def pl(self) -> float:
        """Profit of what is open, in currency, before commissions."""
        account = self._account
        return account.units * account.last_price - account.cost

    @property
    def pl_pct(self) -> float:
        """Profit of what is open over its value at entry, in percent."""
        trades = self._account.trades
        invested = sum([abs(trade._size) * trade._entry_price for trade in trades])
        return self.pl / invested * 100 if invested else 0.0

    @property
    def is_long(self) -> bool:
        """Whether it gains when the price rises."""
        return self._account.units > 0

    @property
    def is_short(self) -> bool:
        """Whether it gains when the price falls."""
        return self._account.units < 0

    def close(self, portion: float = 1.0) -> None:
        """Place orders that close this share of every open trade."""
        for trade in self._account.trades:
            trade.close(portion)

    def __repr__(self) -> str:
        return f"<Position: {self.size} ({len(self._account.trades)} trades)>"


class Strategy(ABC):
    """A trading rule. init() prepares indicators with self.I(); next() is called on every bar and places orders.

    Class attributes are its parameters: `run(fast=10)` and `optimize(fast=range(5, 30, 5))` set them.
    """

    def __init__(self, account: Account, bars: Bars, clock: Clock, params: dict[str, Any]) -> None:
        self._account, self._data, self._clock = account, bars, clock
        self._indicators: list[Line] = []
        self._memo: dict[Any, Any] | None = None
        self._ahead: dict[Any, Any] = {}  # indicators that are there before init() asks, by what _key() tells
        self._position = Position(account)
        self._params = self._check_params(params)

    def _check_params(self, params: dict[str, Any]) -> dict[str, Any]:
        for name, value in params.items():
            if not hasattr(type(self), name):
                raise AttributeError(
                    f"{type(self).__name__} has no parameter {name!r}: write `{name} = ...` in the class to give it one"
                )
            setattr(self, name, value)
        return params

    def __repr__(self) -> str:
        return f"<Strategy {self}>"

    def __str__(self) -> str:
        params = ",".join(f"{name}={_short(value)}" for name, value in self._params.items())
        return f"{type(self).__name__}{f'({params})' if params else ''}"

    def I(  # noqa: E743  the name strategies are written with
        self,
        func: Callable[..., Any],
        *args: Any,
        name: str | Sequence[str] | None = None,
        plot: bool = True,
        overlay: bool | None = None,
        color: str | None = None,
        scatter: bool = False,
        **kwargs: Any,
    ) -> Any:
        """An indicator: func(*args, **kwargs), computed once over all bars and then seen up to the current one.

        func: returns one value per bar, or several such arrays. Trading begins once every indicator has values.
        name, plot, overlay, color, scatter: for charts; scatter ones do not delay the beginning.
        """
        if name is None:
            inputs = ",".join(filter(None, map(_short, [*args, *kwargs.values()])))
            name = f"{_short(func)}({inputs})" if inputs else str(_short(func))
        elif isinstance(name, (list, tuple)):
            name = [_formatted(one, args, kwargs) for one in name]
        elif isinstance(name, str):
            name = _formatted(name, args, kwargs)
        else:
            raise TypeError(f"name is a word, or a list of words with one for each row, not {name!r}")
        found = self._computed(func, args, kwargs, name)
        if type(found).__name__ == "DataFrame":
            found = found.to_numpy().T
        try:
            values = None if found is None else np.asarray(found, order="C")
        except ValueError:
            values = None  # rows of different lengths
        bars = self._clock.length
        if values is not None and values.ndim == 2 and values.shape[0] == bars != values.shape[1]:
            values = np.ascontiguousarray(values.T)
        if values is None or not 1 <= values.ndim <= 2 or values.shape[-1] != bars:
            shape = "nothing" if values is None else f"shape {values.shape}"
            raise ValueError(
                f"An indicator returns one value for each of the {bars} bars, or several such arrays; "
                f"{name!r} returned {shape}"
            )
        rows = 1 if values.ndim == 1 else len(values)
        if isinstance(name, list) and len(name) != rows:
            raise ValueError(f"{len(name)} names for {rows} rows of an indicator")
        given = [one for one in args if isinstance(one, np.ndarray)]
        if not from_library(func) or any(np.may_share_memory(values, one) for one in given):
            # The program may have it, too, and write to it while tables are still to be made of this one.
            values = values.copy() if values.flags.writeable else values
        line = self._clock.follow(np.asarray(values), name, plot=plot, overlay=overlay, color=color, scatter=scatter)
        self._indicators.append(line)
        return line

    def _computed(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: Any) -> Any:
        key = None if self._memo is None and not self._ahead else self._key(func, args, kwargs)
        if key is not None and key in self._ahead:
            return self._ahead.pop(key)
        if key is not None and self._memo is not None and key in self._memo:
            return self._memo[key].copy()
        try:
            found = func(*args, **kwargs)
        except Exception as error:
            raise RuntimeError(f"The indicator {name!r} failed: {type(error).__name__}: {error}") from error
        if key is not None and self._memo is not None and hasattr(found, "copy"):
            self._memo[key] = found.copy()
        return found

    def _key(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a value of this indicator depends on, where that can be told: a function of a module, columns of the
        bars, numbers and words.
        """
        reads = reads_of(func)
        if reads is None:
            return None
        parts: list[Any] = [func, *reads]
        named: list[tuple[str, Any]] = [*(("", value) for value in args), *sorted(kwargs.items())]
        for word, value in named:
            if isinstance(value, Line) and self._data.holds(value):
                parts.append((word, Line, str(value.name)))
            elif value is None or isinstance(value, (int, float, str)):
                parts.append((word, *exactly(value)))
            else:
                return None
        return tuple(parts)

    @abstractmethod
    def init(self) -> None:
        """Prepare: called once before the first bar. Classes that extend a strategy call super().init()."""

    @abstractmethod
    def next(self) -> None:
        """Decide: called on every bar once the indicators have values. Orders fill on the next bar."""

    def buy(
        self,
        *,
        size: float = EVERYTHING,
        limit: float | None = None,
        stop: float | None = None,
        sl: float | None = None,
        tp: float | None = None,
        tag: object = None,
    ) -> Order:
        """Place a long order.

        size: a fraction below 1 of what the account can buy, or whole units. limit: worst price. stop: price that
        has to be touched first. sl, tp: stop-loss and take-profit of the trade. tag: anything, kept with the trade.
        """
        return self._account.place(_checked(size), limit, stop, sl, tp, tag)

    def sell(
        self,
        *,
        size: float = EVERYTHING,
        limit: float | None = None,
        stop: float | None = None,
        sl: float | None = None,
        tp: float | None = None,
        tag: object = None,
    ) -> Order:
        """Place a short order; see buy(). To close a long trade, use self.position.close() or trade.close()."""
        return self._account.place(-_checked(size), limit, stop, sl, tp, tag)

    @property
    def equity(self) -> float:
        """What the account is worth at the current close."""
        return self._account.equity()

    @property
    def data(self) -> Any:
        """The bars up to the current one, see Bars; data.Close[-1] is the current close."""
        return self._data

    @property
    def position(self) -> Position:
        """What is open altogether."""
        return self._position

    @property
    def orders(self) -> tuple[Order, ...]:
        """Orders that wait, those that close trades first."""
        return tuple(self._account.orders)

    @property
    def trades(self) -> tuple[Trade, ...]:
        """Open trades, oldest first."""
        return tuple(self._account.trades)

    @property
    def closed_trades(self) -> tuple[Trade, ...]:
        """Closed trades, in the order they were closed."""
        return tuple(self._account.closed_trades)


_prepared: ContextVar[Strategy | None] = ContextVar("prepared", default=None)


@contextmanager
def preparing(strategy: Strategy) -> Iterator[None]:
    """While a strategy's init() runs, functions that make indicators find it by prepared()."""
    token = _prepared.set(strategy)
    try:
        yield
    finally:
        _prepared.reset(token)


def prepared() -> Strategy | None:
    """The strategy whose init() runs now."""
    return _prepared.get()


def _checked(size: float) -> float:
    if 0 < size < 1 or (size >= 1 and round(size) == size):
        return size
    raise ValueError(f"size is a fraction above 0 and below 1 of the account, or a whole number of units; not {size!r}")


def _formatted(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """`SMA({1})` with the arguments put in."""
    if "{" not in name:
        return name
    return name.format(*map(_short, args), **{key: _short(value) for key, value in kwargs.items()})


def _short(value: Any) -> str:
    """A few letters for an argument in an indicator's name."""
    if isinstance(value, (int, float, str, np.number)):
        return str(value)
    if type(value).__name__ == "DataFrame":
        return "df"
    name = getattr(value, "name", None)
    if name is None and callable(value):
        name = getattr(value, "__name__", type(value).__name__).replace("<lambda>", "λ")
    if not isinstance(name, str):
        return ""
    if name in ("Open", "High", "Low", "Close", "Volume"):
        return name[0]
    return name if len(name) <= 16 else name[:15] + "…"
