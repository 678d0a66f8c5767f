"""Where does a compiled run keep its account? In memory, laid out as record.py says, filled in and read from here."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from qfp.backtesting.compiled import machine
from qfp.backtesting.compiled.sieve import WATCHED, WORDS, Sieve
from qfp.backtesting.compiled.translation import Bound
from qfp.backtesting.core import Account

__all__ = ["Record"]

COLUMNS: dict[str, Any] = {"float": np.float64, "int": np.int64}
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
