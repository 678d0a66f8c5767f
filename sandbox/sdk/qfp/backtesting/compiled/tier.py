"""How does a compiled run go? Binds a strategy to its machine code, runs it, and makes an account of what came out."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from functools import cache, cached_property, partial
from typing import Any

import numpy as np

from qfp.backtesting.compiled import machine
from qfp.backtesting.compiled.sieve import WATCHED, WORDS, Sieve
from qfp.backtesting.compiled.translation import Bound, Refused, Translation, translate
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
from qfp.backtesting.strategy import Strategy
from qfp.threads import at_once

__all__ = ["CompiledAccount", "Program", "program_of"]

COLUMNS: dict[str, Any] = {"float": np.float64, "int": np.int64}


ONE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
LONG = 1_000_000  # calls of next() from which on it pays to compile it with more effort
LONG_SIFTED = 50_000_000  # where most bars are left out
MOST_PROGRAMS = 8  # of a class: for attributes of other kinds, and for other things that its names stand for


class Program:
    """A strategy's next() as machine code. Serves every strategy of the class whose things are of the same kinds."""

    def __init__(self, translation: Translation, calls: float) -> None:
        """calls: of next(), about so many are to come."""
        self.translation = translation
        self.enough = LONG if translation.sieve is None else LONG_SIFTED
        self.effort = 2 if calls >= self.enough else 0 if translation.sieve is not None else 1
        self._engine, addresses = machine.load(translation.functions, self.effort)
        self._address = addresses["run"]
        self._run = ONE(self._address)

    def serves(self, calls: float) -> bool:
        """Whether it is quick enough for so many calls."""
        return self.effort == 2 or calls < self.enough

    def run(
        self, account: Account, strategy: Strategy | None, bound: Bound, start: int, finalize: bool
    ) -> CompiledAccount | None:
        """The account after the run; None where the interpreted tier has to repeat it.

        strategy: is given the attributes that next() sets.
        """
        record = Record(account, bound, start, finalize, self.translation.sieve)
        if self._run(record.address) != 0:
            return None
        for number, name, kind in self.translation.state if strategy is not None else ():
            value = float(record.numbers[number])
            none = value != value and kind in ("optional", "none")
            setattr(strategy, name, None if none else _plain(value, kind))
        return CompiledAccount(account, record, self.translation.tags)

    def record_of_many(self, account: Account, finalize: bool) -> Record:
        """What many() works in; one record does for one call after the other."""
        translation = self.translation
        nothing = Bound([np.empty(0)] * len(translation.series), [0.0] * len(translation.arguments))
        return Record(account, nothing, 1, finalize, translation.sieve)

    def many(
        self,
        records: Sequence[Record],
        places: np.ndarray,
        numbers: np.ndarray,
        starts: np.ndarray,
        curves: np.ndarray | None = None,
    ) -> tuple[Any, Any]:
        """(equity at the end, number of trades) for each; -1 trades where the interpreted tier has to repeat it.

        records: of record_of_many(), each for a part of the rows and a thread of its own. places: where the columns
        begin, a row for each. numbers: the arguments, a row for each. curves: a row for each, to be filled with its
        equity by bar.
        """
        count, parts = len(places), len(records)
        lines, params = np.ascontiguousarray(places), np.ascontiguousarray(numbers)
        begin = np.ascontiguousarray(starts, dtype=np.int64)
        equity, trades = np.zeros(count), np.zeros(count, dtype=np.int64)

        def some(record: Record, first: int, last: int) -> None:
            at = [table[first:].ctypes.data for table in (lines, params, begin, equity, trades)]
            its_curves = 0 if curves is None else curves[first:].ctypes.data
            rows = [at[0], lines.shape[1], at[1], params.shape[1], *at[2:], its_curves]
            machine.call("many", record.address, self._address, last - first, *rows)

        bounds = [count * part // parts for part in range(parts + 1)]
        at_once([partial(some, *one) for one in zip(records, bounds[:-1], bounds[1:], strict=True)])
        return equity, trades


def _plain(value: float, kind: str) -> Any:
    return {"int": int, "bool": bool}.get(kind, float)(value)


_programs: dict[Any, list[Program] | Refused | machine.Unavailable] = {}


def program_of(strategy: Strategy, runs: int = 1) -> tuple[Program, Bound]:
    """The machine code for a strategy whose init() has run. Raises Refused or Unavailable, with the reason.

    runs: over all bars, that it is wanted for.
    """
    if len(strategy._account.decisions):  # which the record of an account that has not begun has no place for
        raise Refused("follows what init() has ordered")
    key = type(strategy)
    known = _programs.get(key)
    if isinstance(known, Exception):
        raise known
    calls = runs * len(strategy._clock.index)
    for one in known or ():
        bound = one.translation.bind(strategy) if one.serves(calls) else None
        if bound is not None:
            return one, bound
    try:
        program = Program(translate(strategy), calls)
    except (Refused, machine.Unavailable) as error:
        found: Refused | machine.Unavailable = error
    except Exception as error:  # a program is never worse off than without this tier
        found = Refused(f"is beyond the compiled tier ({type(error).__name__}: {error})")
    else:
        bound = program.translation.bind(strategy)
        if bound is not None:
            _programs[key] = [*(known or ())[1 - MOST_PROGRAMS :], program]
            return program, bound
        found = Refused("sets what it also reads as something else")
    if known is None:
        _programs[key] = found
    raise found


def forget(strategy: type) -> None:
    """Let go of the machine code of a class."""
    _programs.pop(strategy, None)


class Record:
    """The record of an account in memory, filled in from an Account that has not begun."""

    def __init__(self, account: Account, bound: Bound, start: int, finalize: bool, sieve: Sieve | None = None) -> None:
        self.layout = machine.kernel().layout
        self.whole = np.zeros(len(self.layout.fields), dtype=np.int64)
        self.real = self.whole.view(np.float64)
        self.address = self.whole.ctypes.data
        rules = account.rules
        self.numbers = np.array([*bound.numbers, 0.0])
        self._kept = (bound, [np.asarray(getattr(account, name)) for name in PRICES])
        for name, column in zip(PRICES, self._kept[1], strict=True):
            self[name] = column.ctypes.data
        columns = [*bound.columns, self._kept[1][-1]]  # the closes are a line, too
        self.lines = np.array([column.ctypes.data for column in columns], dtype=np.int64)
        self["count"], self["start"] = len(account.closes), start
        self["first_room"] = 64 + len(account.closes) // ORDERS_EVERY
        self["first_cash"], self["spread"], self["leverage"] = account.cash, account.spread, account.leverage
        fixed, share = account.commission.fixed, account.commission.share  # type: ignore[attr-defined]
        self["fee_fixed"], self["fee_share"] = fixed, share
        self["trade_on_close"], self["hedging"] = account.trade_on_close, account.hedging
        self["exclusive_orders"], self["finalize"] = account.exclusive_orders, finalize
        for name in RULES:
            self[name] = getattr(rules, name)
        self["lines"], self["params"] = self.lines.ctypes.data, self.numbers.ctypes.data
        if sieve is not None:
            self._sift(sieve, account)

    def _sift(self, sieve: Sieve, account: Account) -> None:
        """What next_bar() works with; its last operands are the closes and what is watched."""
        closes = self._kept[1][-1]
        self["lowest"], self["highest"] = account.range or (closes.min(), closes.max())
        numbers = np.zeros((WATCHED + len(sieve.numbers), 64))
        operands = [(line, back, int(line >= 0), numbers[number].ctypes.data) for line, back, number in sieve.operands]
        operands += [
            (-1, 0, 1, closes.ctypes.data),
            (-1, 0, 0, numbers[0].ctypes.data),
            (-1, 0, 0, numbers[1].ctypes.data),
        ]
        tables = {
            "step_rows": np.array(sieve.rows(), dtype=np.int64),
            "operand_rows": np.array(operands, dtype=np.int64),
            "numbers": numbers,
            "sifted": np.zeros(WORDS * len(sieve.steps), dtype=np.int64),
        }
        self._sieve = tables
        for name, table in tables.items():
            self[name] = table.ctypes.data
        self["steps"], self["operands"] = len(sieve.steps), len(sieve.operands)
        self["sieve_back"], self["sieve_begin"], self["block"] = sieve.back, sieve.begin, sieve.block

    def __setitem__(self, name: str, value: Any) -> None:
        column = self.real if self.layout.fields[name] == "float" else self.whole
        column[self.layout.places[name]] = value

    def __getitem__(self, name: str) -> Any:
        column = self.real if self.layout.fields[name] == "float" else self.whole
        return column[self.layout.places[name]].item()

    def column(self, name: str, count: int) -> np.ndarray:
        """The first values of a column, where they are: they last as long as the record."""
        cell = self.layout.cells.get(name)
        kind = COLUMNS[cell.kind if cell else self.layout.fields[name][5:-1]]  # list[...]
        if not count:
            return np.empty(0, dtype=kind)
        width, begin = (cell.width, cell.table) if cell else (1, name)
        place: Any = (ctypes.c_char * (8 * width * count)).from_address(int(self.whole[self.layout.places[begin]]))
        return np.frombuffer(place, dtype=kind)[cell.at if cell else 0 :: width]

    def table(self, prefix: str, count: int) -> dict[str, np.ndarray]:
        """The columns whose names begin so, by the rest of their names."""
        return {name[2:]: self.column(name, count) for name in _names(prefix)}

    def __del__(self) -> None:
        for place in self.whole[_grown()].tolist():
            if place:
                machine.release(place)


@cache
def _names(prefix: str) -> list[str]:
    return [name for name in machine.kernel().layout.cells if name.startswith(prefix)]


@cache
def _grown() -> list[int]:
    """Places of the columns that the record has taken memory for."""
    layout = machine.kernel().layout
    given = (*PRICES, "lines", "params", "step_rows", "operand_rows", "numbers", "sifted")
    return [
        layout.places[name] for name, kind in layout.fields.items() if kind.startswith("list") and name not in given
    ]


ORDERS_EVERY = 16  # bars, at first: columns that grow are copied, and memory that is not written to costs nothing
PRICES = ("opens", "highs", "lows", "closes")
RULES = (
    "size_at_close",
    "entry_bar_stops",
    "last_orders_fill",
    "stops_at_open",
    "all_trades_at_ruin",
    "shared_entry_fee",
    "all_cancelled",
)


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
