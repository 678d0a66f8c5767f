"""What may a strategy see and do at the close of a bar? Past shows what is known by then, Context also takes orders.

Everything handed out is a copy that ends at the current bar.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from qfp.portfolio.account import Account
from qfp.portfolio.market import Market, UnknownInstrument
from qfp.portfolio.orders import WAITING, Order

__all__ = ["Context", "Members", "Past", "as_weights"]


class Past:
    """What is known at the close of a bar.

    bar: its number, counted from 0. date: of the bar. symbols: every instrument of the backtest.
    """

    def __init__(self, market: Market, members: Any = None) -> None:
        self._market, self._members = market, members
        self._columns: Any = None
        self.bar = 0
        self.symbols = tuple(market.symbols)

    def __len__(self) -> int:
        return self.bar + 1

    @property
    def date(self) -> Any:
        """Date of the bar that has just closed."""
        return self._market.index[self.bar]

    @property
    def members(self) -> list[str]:
        """Who belongs to the universe on this day; every instrument where no universe was given."""
        return list(self.symbols) if self._members is None else self._members.on(self.date)

    def prices(self, field: str = "close", count: int | None = None) -> Any:
        """The last `count` values (all, unless told) of open, high, low, close or volume: a row per date, a column per
        symbol, missing where an instrument had no bar. They are what was traded, unless the bars were adjusted.
        """
        if field not in self._market.fields:
            raise ValueError(f"there is no {field}; every instrument has {', '.join(self._market.fields)}")
        return self._frame(self._market.fields[field], count)

    def closes(self, count: int | None = None) -> Any:
        """The last `count` closes that are comparable over splits and dividends: adjusted as of today, so that the
        last row is what was traded and nothing that happens later changes them.
        """
        market = self._market
        if market.split is None and market.dividend is None:
            return self._frame(market.close, count)
        frame = self._frame(market.growth, count)
        known = frame.ffill().iloc[-1].to_numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            return frame * (market.marks[self.bar] / known)

    def _frame(self, table: np.ndarray, count: int | None) -> Any:
        import pandas as pd

        if self._columns is None:
            self._columns = pd.Index(self._market.symbols)
        start = 0 if count is None else max(0, self.bar + 1 - int(count))
        rows = slice(start, self.bar + 1)
        return pd.DataFrame(table[rows].copy(), index=self._market.index[rows], columns=self._columns)

    def price(self, symbol: str) -> float:
        """The last close there was; NaN before the first."""
        return float(self._market.marks[self.bar, self._market.at(symbol)]) or float("nan")

    def is_traded(self, symbol: str) -> bool:
        """Whether it has a bar today."""
        return bool(self._market.traded[self.bar, self._market.at(symbol)])


class Memory(SimpleNamespace):
    """What a strategy keeps from bar to bar, by names of its own: ctx.memory.days = 3."""

    def __getattr__(self, name: str) -> Any:
        keep = f'Write ctx.memory.{name} = … first, or ask with getattr(ctx.memory, "{name}", None).'
        raise AttributeError(f"ctx.memory has kept no {name} yet. {keep}", name=name, obj=None)

    def __getitem__(self, name: Any) -> Any:
        raise TypeError(_by_name(name))

    def __setitem__(self, name: Any, value: Any) -> None:
        raise TypeError(f"{_by_name(name)} = …")

    def __contains__(self, name: Any) -> bool:
        return name in vars(self)


def _by_name(name: Any) -> str:
    if isinstance(name, str) and name.isidentifier():
        return f"ctx.memory keeps things by name: write ctx.memory.{name}"
    return f"ctx.memory keeps things by name: write ctx.memory.kept = {{}} once, then ctx.memory.kept[{name!r}]"


class Context(Past):
    """What is known at the close of a bar, the account, and orders to it. `memory` is for what a strategy keeps."""

    def __init__(self, market: Market, account: Account, members: Any = None) -> None:
        super().__init__(market, members)
        self._account = account
        self.memory = Memory()

    @property
    def cash(self) -> float:
        """Money that is not invested; below 0 where it is owed."""
        return self._account.cash

    @property
    def equity(self) -> float:
        """Cash plus what is held, at the last closes."""
        return self._account.equity()

    @property
    def positions(self) -> dict[str, float]:
        """Units held by symbol, without those of which nothing is held; negative when sold short."""
        units = self._account.units
        return {self.symbols[at]: float(units[at]) for at in np.flatnonzero(units)}

    def position(self, symbol: str) -> float:
        """Units held of one instrument."""
        return float(self._account.units[self._market.at(symbol)])

    @property
    def weights(self) -> dict[str, float]:
        """Value of each position as a fraction of the account."""
        account = self._account
        worth, equity = account.units * self._market.marks[self.bar], account.equity()
        return {self.symbols[at]: float(worth[at] / equity) for at in np.flatnonzero(account.units)}

    @property
    def orders(self) -> list[Order]:
        """Orders that wait. order.cancel() withdraws one."""
        return [order for order in self._account.orders if order.outcome == WAITING]

    def order(self, symbol: str, units: float, *, limit: float | None = None, stop: float | None = None) -> Order:
        """Buy so many units, or sell them where negative. A limit or stop order waits until it is reached or cancelled.
        What cannot be done is refused with a reason that the result lists; nothing is raised.
        """
        at = self._market.at(symbol)
        limit, stop = _price(limit, "limit"), _price(stop, "stop")
        if limit is not None or stop is not None:
            self._market.need("open", "high", "low", hint=", which limit and stop orders need")
        return self._account.place(at, units, limit, stop)

    def target_units(self, symbol: str, units: float) -> Order | None:
        """Buy or sell what is missing to so many units, counting market orders that wait."""
        at = self._market.at(symbol)
        waiting = sum(order.units for order in self.orders if order.instrument == at and order.kind == "market")
        missing = float(units) - float(self._account.units[at]) - waiting
        return self._account.place(at, missing) if missing else None

    def target(self, symbol: str, weight: float) -> None:
        """Bring one instrument to this fraction of the account's value; the others stay as they are."""
        weights = np.full(len(self.symbols), np.nan)
        weights[self._market.at(symbol)] = _number(weight, symbol)
        self._account.aim(weights)

    def target_weights(self, weights: Any) -> None:
        """Bring the whole account to these fractions of its value, by symbol; what is not named is sold."""
        self._account.aim(as_weights(weights, self._market))

    def close(self, symbol: str) -> Order | None:
        """Sell, or buy back, all of one instrument."""
        return self.target_units(symbol, 0)


def as_weights(weights: Any, market: Market) -> np.ndarray:
    """A weight per instrument from a mapping, a Series or one value for each; 0 for what is not named or missing."""
    found = np.zeros(len(market.symbols))
    if isinstance(weights, Mapping) or hasattr(weights, "items"):
        for symbol, weight in weights.items():
            found[market.at(symbol)] = _number(weight, symbol)
        return found
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != found.shape:
        raise ValueError(f"weights are a dictionary by symbol, or {len(found)} numbers, one per instrument")
    return _finite(np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf))


def _finite(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError("a weight is not finite")
    return values


def _number(value: Any, symbol: Any) -> float:
    number = float(value)
    if number != number:
        return 0.0
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the weight of {symbol} is not finite")
    return number


def _price(value: Any, name: str) -> float | None:
    if value is None:
        return None
    price = float(value)
    if not 0 < price < float("inf"):
        raise ValueError(f"a {name} is a price above 0, not {value!r}")
    return price


class Members:
    """Who belonged to a universe on which day, from the rows of data.members()."""

    def __init__(self, rows: Any, market: Market) -> None:
        self._stays = []
        for row in rows.itertuples(index=False):
            symbol = next((name for name in (row.symbol, row.series) if name in market.column), None)
            if symbol is not None:
                self._stays.append((symbol, row.entered, row.left))
        if not self._stays:
            raise UnknownInstrument(rows["symbol"].iloc[0] if len(rows) else "", market.symbols)

    def on(self, moment: Any) -> list[str]:
        """Both ends of a stay are included; missing ends are open."""
        day = moment.tz_localize(None).normalize() if moment.tzinfo else moment.normalize()
        return list(
            dict.fromkeys(
                symbol
                for symbol, entered, left in self._stays
                if not (entered == entered and day < entered) and not (left == left and day > left)
            )
        )
