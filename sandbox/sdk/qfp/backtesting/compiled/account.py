"""What did a compiled run leave? Its account; trades, orders and tables are made when somebody asks for them."""

from __future__ import annotations

from array import array
from functools import cached_property
from typing import Any

import numpy as np

from qfp.backtesting.compiled import machine
from qfp.backtesting.compiled.memory import Record
from qfp.backtesting.core import Account
from qfp.backtesting.curves import PIECE, Curve
from qfp.backtesting.ledger import (
    NO_STOP,
    NO_TARGET,
    ORDER,
    OUTCOMES,
    WAITING,
    WITHDRAWN,
    Decisions,
    Fills,
    Stretches,
)
from qfp.backtesting.orders import Order, Trade

__all__ = ["CompiledAccount"]

# What an account makes of its record when somebody asks for it.
LATER = ("orders", "trades", "closed_trades", "fills", "stretches", "decisions")
WAITS, KIND, OUTCOME = 1, 14, 4  # of an order's state; as in orders.py
MADE = {"fills": ("bars", "sizes", "prices", "commissions"), "stretches": ("bars", "cash", "units", "cost")}
STRETCH = ("s_bar", "s_cash", "s_units", "s_cost")
CLOSED = {
    "entry_bar": "bar",
    "exit_bar": "exit_bar",
    "size": "size",
    "entry_price": "price",
    "exit_price": "exit_price",
    "commission": "commission",
}
# By what orders.py calls DECIDED and so on.
KINDS = (ORDER, ORDER, NO_STOP, NO_TARGET, WITHDRAWN, ORDER)
TERMS = {"limits": "limit", "stops": "first_stop", "sls": "sl", "tps": "tp"}  # of decisions


class CompiledAccount(Account):
    """An account as a compiled run left it. Its trades and orders become objects when somebody asks for them."""

    def __init__(self, begun: Account, record: Record, tags: list[Any]) -> None:
        vars(self).update(vars(begun))
        for name in LATER:
            del vars(self)[name]
        for name in ("cash", "units", "cost", "bar", "danger_below", "danger_above", "placed", "deferred"):
            setattr(self, name, record[name])
        self.ruined_at = None if record["ruined_at"] < 0 else record["ruined_at"]
        self._record: Record | None = record
        self._orders = record.table("o_", record["orders"])
        self._terms = record.table("m_", record["terms"])
        self._trades = record.table("t_", record["trades"])
        self._ids = {
            "orders": record.column("waits", record["waiting"]),
            "trades": record.column("opened", record["open"]),
            "closed_trades": record.column("closed_ids", record["closed"]),
        }
        refused = (record.column(name, record["refused"]).tolist() for name in ("r_bar", "r_size", "r_reason"))
        self.refused = [(bar, size, str(OUTCOMES[reason][1])) for bar, size, reason in zip(*refused, strict=True)]
        self._tags = tags
        self._objects: dict[Any, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        for name in LATER:
            getattr(self, name)
        tables = {name: _copied(getattr(self, name)) for name in ("_orders", "_terms", "_trades", "_ids")}
        return {**super().__getstate__(), **tables, "_record": None}

    def curve(self) -> np.ndarray:
        if self._record is None:
            return super().curve()
        return self.write_equity(0, np.empty(len(self.closes)))

    @property
    def filled(self) -> int:
        return super().filled if self._record is None else int(self._record["fills"])

    def left_over(self) -> tuple[int, int]:
        # Without objects: those know the account, and would keep it until the garbage collector comes.
        ids = self._ids["orders"]
        trades = self._orders["trade"][ids]
        ids, trades = ids[trades >= 0], trades[trades >= 0]  # stops, targets, and orders that close
        brackets = sum(int((self._trades[name][trades] == ids).sum()) for name in ("sl", "tp"))
        return len(self._ids["trades"]), len(self._ids["orders"]) - brackets

    def by_parts(self) -> Curve:
        return Written(self)

    def write_equity(self, begin: int, out: np.ndarray) -> np.ndarray:
        """The account's value at as many closes as there is room for, from `begin` on."""
        assert self._record is not None
        machine.call("write_equity", self._record.address, begin, begin + len(out), out.ctypes.data)
        return out

    def first(self, table: str, count: int) -> Any:
        """The first decisions, or fills."""
        if table in vars(self):
            return getattr(self, table)
        return self._made_decisions(count) if table == "decisions" else self._made(table, count)

    def closed_columns(self) -> dict[str, Any]:
        ids = self._ids["closed_trades"]
        return {name: self._trades[column][ids] for name, column in CLOSED.items()}

    def closed_figures(self) -> tuple[np.ndarray, ...]:
        if self._record is None:
            return super().closed_figures()
        count = len(self._ids["closed_trades"])
        bars, reals = np.empty((2, count), dtype=np.int64), np.empty((3, count))
        machine.call("closed_figures", self._record.address, bars.ctypes.data, reals.ctypes.data)
        return (*bars, *reals)

    def closed_extras(self) -> dict[str, Any]:
        ids, found = self._ids["closed_trades"], dict[str, Any]()
        for name, price in (("sl", "stop"), ("tp", "limit")):
            orders = self._trades[name][ids]
            found[name] = np.full(len(ids), np.nan)
            known = self._term(price, orders[orders >= 0])
            found[name][orders >= 0] = np.where(known == 0, np.nan, known)
        found["tags"] = [self._tags[tag] for tag in self._trades["tag"][ids]] if len(self._tags) > 1 else None
        return found

    def _term(self, name: str, orders: np.ndarray) -> np.ndarray:
        """What some orders have in this column of the terms; 0 where they have none."""
        terms, column = self._orders["terms"][orders], self._terms[name]
        found = np.zeros(len(terms), dtype=column.dtype)
        found[terms >= 0] = column[terms[terms >= 0]]
        return found

    def __getattr__(self, name: str) -> Any:
        if name not in LATER or "_ids" not in vars(self):
            raise AttributeError(name)
        found: Any
        if name == "decisions":
            found = self._made_decisions(None)
        elif name in MADE:
            found = self._made(name, None)
        else:
            one = self._order if name == "orders" else self._trade
            found = [one(at) for at in self._ids[name].tolist()]
        vars(self)[name] = found
        return found

    def _made(self, name: str, count: int | None) -> Any:
        """Fills or stretches; all, or the first of them."""
        assert self._record is not None
        if name == "fills":
            found: Any = Fills()
            columns = self._fills(self._record.column("fill_of", self._record["fills"])[:count])
        else:
            found = Stretches(0.0)
            columns = [self._record.column(place, self._record["stretches"])[:count] for place in STRETCH]
        for column, values in zip(MADE[name], columns, strict=True):
            setattr(found, column, array(getattr(found, column).typecode, values.tobytes()))
        return found

    def _fills(self, of: np.ndarray) -> list[np.ndarray]:
        """Bars, sizes, prices and commissions of fills, from the trades that they opened or closed."""
        opens, trades = of >= 0, self._trades
        at = np.where(opens, of, -1 - of)
        bars = np.where(opens, trades["bar"][at], trades["exit_bar"][at])
        sizes = np.where(opens, trades["opened"][at], -trades["size"][at])
        prices = np.where(opens, trades["price"][at], trades["exit_price"][at])
        return [bars, sizes, prices, self.commission(sizes, prices)]  # type: ignore[list-item, arg-type]

    def _made_decisions(self, count: int | None) -> Decisions:
        found, flags = Decisions(), self._orders["state"]
        seen = len(flags) if count is None else 2 * count
        while len(decided := np.flatnonzero(flags[:seen] & KIND)[:count]) != count and seen < len(flags):
            seen *= 2
        state, trades = flags[decided], self._orders["trade"][decided]
        number = (state & KIND) >> 1
        kinds, outcomes = np.array(KINDS)[number], state >> OUTCOME
        numbers = np.append(np.cumsum(flags[:seen] & KIND != 0) - 1, -1)  # among the decisions, by an order's place
        known = (number == 1) & (trades >= 0)
        owners = np.where(kinds == ORDER, -1, outcomes)
        owners[known] = self._trades["order"][trades[known]]
        sizes, has_terms = self._orders["size"][decided], self._orders["terms"][decided] >= 0
        sizes[has_terms] = self._term("first_size", decided[has_terms])
        columns = {
            "bars": self._orders["bar"][decided],
            "outcomes": np.where(kinds == ORDER, outcomes, WAITING).astype(np.int8),
            "kinds": kinds.astype(np.int8),
            "closes": (trades >= 0).astype(np.int8),
            "owners": numbers[owners],
            "sizes": sizes,
        }
        for name, column in TERMS.items():
            values = self._term(column, decided)
            columns[name] = np.where(values == 0, np.nan, values)
        for name, values in columns.items():
            setattr(found, name, array(getattr(found, name).typecode, values.tobytes()))
        return found

    def _trade(self, at: int) -> Trade:
        found = self._objects.get((Trade, at))
        if found is None:
            one = {name: column[at].item() for name, column in self._trades.items()}
            tag = self._tags[one["tag"]]
            fee = self.commission(one["opened"], one["price"])
            found = Trade(self, int(one["size"]), one["price"], one["bar"], tag, fee)
            self._objects[Trade, at] = found
            found._opened, found._commission = int(one["opened"]), one["commission"]
            if one["exit_bar"] >= 0:
                found._exit_bar, found._exit_price = one["exit_bar"], one["exit_price"]
            found._sl_order = None if one["sl"] < 0 else self._order(one["sl"])
            found._tp_order = None if one["tp"] < 0 else self._order(one["tp"])
        return found

    def _order(self, at: int) -> Order:
        found = self._objects.get((Order, at))
        if found is None:
            one = {name: column[at].item() for name, column in self._orders.items()}
            terms = {name: self._term(name, np.array([at])).item() for name in ("limit", "stop", "sl", "tp", "tag")}
            limit, stop, sl, tp = (terms[name] or None for name in ("limit", "stop", "sl", "tp"))
            found = Order(self, one["size"], limit, stop, sl, tp, self._tags[terms["tag"]])
            self._objects[Order, at] = found
            if one["trade"] >= 0:
                found._trade = self._trade(one["trade"])
                if at in (self._trades["sl"][one["trade"]], self._trades["tp"][one["trade"]]):
                    found._size = int(found._size)  # as the trade's own
            found._waits = bool(one["state"] & WAITS)
            before = self._orders["state"][:at] & KIND
            found._number = int(np.count_nonzero(before)) if one["state"] & KIND else None
        return found


class Written(Curve):
    """The curve of a compiled run, written when it is looked at."""

    def __init__(self, account: CompiledAccount) -> None:
        self.account = account
        self._room = np.empty(min(PIECE + 1, len(account.closes)))

    def __len__(self) -> int:
        return len(self.account.closes)

    @cached_property
    def whole(self) -> np.ndarray:
        return self.account.curve()

    def part(self, begin: int, end: int) -> np.ndarray:
        if "whole" in vars(self) or self.account._record is None or end - begin > len(self._room):
            return super().part(begin, end)
        return self.account.write_equity(begin, self._room[: end - begin])

    def at(self, bars: np.ndarray) -> np.ndarray:
        record = self.account._record
        if "whole" in vars(self) or record is None or len(bars) * 16 > len(self):
            return super().at(bars)
        begins, cash, units, cost = (record.column(name, record["stretches"]) for name in STRETCH)
        places = np.searchsorted(begins, bars, side="right") - 1
        found = np.asarray(self.account.closes)[bars] * units[places] - cost[places] + cash[places]
        if self.account.ruined_at is not None:
            found[bars >= self.account.ruined_at] = 0.0
        return np.asarray(found)


def _copied(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: column.copy() for name, column in columns.items()}
