"""From fills to an account: equity, positions and trades, recomputed without the strategy.

A fill is (bar, size, price, commission): `size` units bought (negative: sold) at `price` on bar number `bar`, counted
from 0, for `commission` in currency; with several instruments also (instrument). Equity is cash plus what is held at
the bar's close. This is arithmetic: it proves that fills, prices and equity agree, not that the fills could have been
had. An account worth nothing or less at a close is at an end: from that bar on it holds nothing and is worth 0, as
backtesting.py has it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qfp.pairing import pair

__all__ = ["PortfolioReplay", "Replay", "replay", "replay_portfolio", "trades_of"]

# Sums of fractions that should cancel leave dust; a position that small beside what was traded is none.
DUST = 1e-12


@dataclass(frozen=True)
class Replay:
    """One value per bar: equity (currency), positions (units at the close), traded_value (currency, >= 0).

    commissions: one per fill, currency. trades: see trades_of().
    """

    equity: np.ndarray
    positions: np.ndarray
    traded_value: np.ndarray
    commissions: np.ndarray
    trades: Sequence[dict[str, Any]]


def replay(fills: Sequence[dict[str, float]], closes: Any, cash: float) -> Replay:
    """The account that these fills lead to, marked at these closes.

    fills: in order of bars. closes: one price per bar, no missing values. cash: at the start, currency.
    Raises ValueError when a fill lies outside the bars or the fills are out of order.
    """
    closes = np.asarray(closes, dtype=np.float64)
    count = len(closes)
    bars = np.array([fill["bar"] for fill in fills], dtype=np.int64)
    sizes = np.array([fill["size"] for fill in fills], dtype=np.float64)
    prices = np.array([fill["price"] for fill in fills], dtype=np.float64)
    commissions = np.array([fill["commission"] for fill in fills], dtype=np.float64)
    if len(bars) and (bars.min() < 0 or bars.max() >= count):
        raise ValueError(f"a fill lies outside the {count} bars")
    if np.any(np.diff(bars) < 0):
        raise ValueError("the fills are not in the order of their bars")
    cash_flow, units, traded = np.zeros(count), np.zeros(count), np.zeros(count)
    np.add.at(cash_flow, bars, -sizes * prices - commissions)
    np.add.at(units, bars, sizes)
    np.add.at(traded, bars, np.abs(sizes) * prices)
    positions = np.cumsum(units)
    largest = np.abs(positions)
    np.maximum.at(largest, bars, np.abs(sizes))
    # Beside what was held until then, not later: an account may grow to a million times of what it was.
    positions[np.abs(positions) < DUST * np.maximum.accumulate(np.maximum(largest, 1.0))] = 0.0
    equity = cash + np.cumsum(cash_flow) + positions * closes
    ruined = np.flatnonzero(equity <= 0)
    if len(ruined) and cash > 0:
        equity[ruined[0] :] = positions[ruined[0] :] = traded[ruined[0] + 1 :] = 0.0
    return Replay(equity, positions, traded, commissions, trades_of(fills))


@dataclass(frozen=True)
class PortfolioReplay(Replay):
    """A replay of many instruments. positions are the value of what is held, long and short added up.

    units: held at each close, a row per bar and a column per instrument. cash: at each close. flows: what was paid or
    changed without an order, oldest first: bar, instrument (None: the account), kind, amount, and what the kind needs.
    """

    units: np.ndarray
    cash: np.ndarray
    flows: list[dict[str, Any]]


def replay_portfolio(
    fills: Sequence[np.ndarray],
    closes: Any,
    cash: float,
    *,
    splits: Any = None,
    dividends: Any = None,
    ended: Any = None,
    years: Any = None,
    interest: float = 0.0,
    borrow: float = 0.0,
    with_trades: bool = True,
) -> PortfolioReplay:
    """The account that these fills of many instruments lead to, with everything their bars imply.

    fills: columns of bar, instrument, size, price and commission, in the order of the bars.
    closes: a row per bar and a column per instrument, NaN where it has no bar; the last close values what is held.
    splits, dividends: of the same shape, on ex-dates, or None. ended: the bar at which each instrument is paid out at
    its last close, or None where none is. years: from the bar before to each bar, for interest and borrow, which are
    fractions a year. with_trades: whether round trips are paired, which takes longer than the rest.
    Before the fills of a bar come interest, fees, splits, dividends and payments for what has ended. An account that is
    worth nothing at a close ends there: what it held is lost at that close.
    Raises ValueError when a fill lies outside the bars or the fills are out of order.
    """
    closes = np.asarray(closes, dtype=np.float64)
    count, width = closes.shape
    bars, numbers, sizes, prices, commissions = (np.asarray(column) for column in fills)
    if len(bars) and (bars.min() < 0 or bars.max() >= count or numbers.min() < 0 or numbers.max() >= width):
        raise ValueError(f"a fill lies outside the {count} bars of {width} instruments")
    if np.any(np.diff(bars) < 0):
        raise ValueError("the fills are not in the order of their bars")
    there = ~np.isnan(closes)
    rows = np.where(there, np.arange(count)[:, None], 0)
    np.maximum.accumulate(rows, axis=0, out=rows)
    marks = np.nan_to_num(np.take_along_axis(closes, rows, axis=0))
    ends: dict[int, list[int]] = {}
    for number, bar in enumerate([] if ended is None else np.asarray(ended).tolist()):
        ends.setdefault(bar, []).append(number)
    acts = set(ends)
    for table, usual in ((splits, 1.0), (dividends, 0.0)):
        if table is not None:
            acts |= set(np.flatnonzero((table != usual).any(axis=1)).tolist())
    edges = np.searchsorted(bars, np.arange(count + 1))
    filled = np.flatnonzero(np.diff(edges))
    charged = years is not None and bool(interest or borrow)
    visited = range(count) if charged else sorted({0, *filled.tolist(), *(bar for bar in acts if bar < count)})

    units, money = np.zeros(width), float(cash)
    largest = np.zeros(width)  # that was traded until then, in shares of today
    flows: list[dict[str, Any]] = []
    held_at, cash_at = [], []

    def flow(bar: int, instrument: int | None, kind: str, amount: float, **more: float) -> None:
        nonlocal money
        money += amount
        flows.append({"bar": bar, "instrument": instrument, "kind": kind, "amount": amount, **more})

    for bar in visited:
        if charged and bar:
            earned, short = money * interest * years[bar], float(np.minimum(units, 0.0) @ marks[bar - 1])
            if earned:
                flow(bar, None, "interest", float(earned))
            if short and borrow:
                flow(bar, None, "borrow", float(short * borrow * years[bar]))
        if bar in acts:
            if splits is not None:
                largest *= splits[bar]
                for number in np.flatnonzero((splits[bar] != 1) & (units != 0)).tolist():
                    units[number] *= splits[bar, number]
                    flow(bar, number, "split", 0.0, ratio=float(splits[bar, number]))
            if dividends is not None:
                for number in np.flatnonzero(dividends[bar] * units).tolist():
                    flow(bar, number, "dividend", float(units[number] * dividends[bar, number]))
            for number in ends.get(bar, ()):
                if owned := float(units[number]):
                    units[number], price = 0.0, float(marks[bar, number])
                    flow(bar, number, "delisting", owned * price, units=owned, price=price)
        own = slice(edges[bar], edges[bar + 1])
        if own.stop > own.start:
            np.add.at(units, numbers[own], sizes[own])
            np.maximum.at(largest, numbers[own], np.abs(sizes[own]))
            units[np.abs(units) < DUST * largest] = 0.0
            money -= float(sizes[own] @ prices[own] + commissions[own].sum())
        held_at.append(units.copy())
        cash_at.append(money)

    lengths = np.diff([*visited, count])
    held = np.repeat(np.array(held_at), lengths, axis=0)
    at_close = np.repeat(np.array(cash_at), lengths)
    equity = at_close + np.einsum("ij,ij->i", held, marks)
    traded = np.bincount(bars, np.abs(sizes) * prices, count) if len(bars) else np.zeros(count)
    positions = np.einsum("ij,ij->i", np.abs(held), marks)
    ruined = np.flatnonzero(equity <= 0)
    lost: list[tuple[int, int, float, float]] = []
    last = count
    if len(ruined) and cash > 0:
        last = int(ruined[0])
        # What it held is gone at its closes: trades like any other, or the largest losses would be in no figure.
        lost = [(last, n, float(held[last, n]), float(marks[last, n])) for n in np.flatnonzero(held[last]).tolist()]
        flows = [each for each in flows if each["bar"] <= last]
        equity[last:] = positions[last:] = traded[last + 1 :] = at_close[last:] = 0.0
        held[last:] = 0.0
    until = np.searchsorted(bars, last, side="right")
    columns = [column[:until] for column in (bars, numbers, sizes, prices, commissions)]
    trades = pair(columns, flows, lost) if with_trades else ()
    return PortfolioReplay(equity, positions, traded, np.asarray(commissions), trades, held, at_close, flows)


def trades_of(fills: Sequence[dict[str, float]]) -> list[dict[str, Any]]:
    """Closed round trips, oldest entries closed first (FIFO), commissions shared out by size.

    Each trade: entry_bar, exit_bar, size (negative: short), entry_price, exit_price, commission (both
    sides, currency), profit (currency, after commission) and return_fraction (profit over the entry's value).
    """
    trades: list[dict[str, Any]] = []
    open_lots: deque[list[float]] = deque()  # [size, price, commission per unit, bar]
    for fill in fills:
        size, price, bar = fill["size"], fill["price"], fill["bar"]
        if size == 0:
            continue
        unit_commission = fill["commission"] / abs(size)
        while size and open_lots and (open_lots[0][0] > 0) != (size > 0):
            lot = open_lots[0]
            closed = min(abs(size), abs(lot[0]))
            signed = closed if lot[0] > 0 else -closed
            commission = closed * (unit_commission + lot[2])
            profit = signed * (price - lot[1]) - commission
            trades.append(
                {
                    "entry_bar": int(lot[3]),
                    "exit_bar": int(bar),
                    "size": signed,
                    "entry_price": lot[1],
                    "exit_price": price,
                    "commission": commission,
                    "profit": profit,
                    "return_fraction": profit / (closed * lot[1]) if lot[1] else 0.0,
                }
            )
            lot[0] -= signed
            size += signed
            if abs(lot[0]) <= 1e-12 * closed:
                open_lots.popleft()
            if abs(size) <= 1e-12 * closed:
                size = 0.0
        if size:
            open_lots.append([size, price, unit_commission, bar])
    return trades
