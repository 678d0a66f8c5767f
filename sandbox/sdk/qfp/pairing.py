"""Which buys and sells belong together? Round trips of many instruments, oldest entry closed first, as columns.

For one instrument, let everything opened lie end to end on a line of units, and everything closed on another. First in,
first out means that what lies at the same place of both lines belongs together, so the ends of all pieces cut the line
into trades. That takes a sort, where walking a million fills takes a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

__all__ = ["Trades", "pair"]

NAMES = (
    "entry_bar",
    "exit_bar",
    "size",
    "entry_price",
    "exit_price",
    "commission",
    "profit",
    "return_fraction",
    "instrument",
)
WHOLE = {"entry_bar", "exit_bar", "instrument"}
# Sums of fractions that should meet miss each other by less than this share of the largest fill.
DUST = 1e-11


class Trades(Sequence[dict[str, Any]]):
    """Round trips: a dictionary each, as replay.trades_of() gives them with their instrument, kept as columns."""

    def __init__(self, columns: dict[str, np.ndarray]) -> None:
        self._columns = columns

    def column(self, name: str) -> np.ndarray:
        """One value of every trade."""
        return self._columns[name]

    def __len__(self) -> int:
        return len(self._columns["size"])

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, at: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(at, slice):
            rows = zip(*(self._columns[name][at].tolist() for name in NAMES), strict=True)
            return [dict(zip(NAMES, row, strict=True)) for row in rows]
        return {name: self._columns[name][at].item() for name in NAMES}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self[:])

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


def pair(
    fills: Sequence[np.ndarray], flows: Sequence[dict[str, Any]], lost: Sequence[tuple[int, int, float, float]] = ()
) -> Trades:
    """The round trips of these fills, in the order of their exits.

    fills: columns of bar, instrument, size, price and commission, in the order of the bars. flows: of which splits
    change what is held, and payments for an instrument that has ended are exits. lost: what an account held when it was
    worth nothing, (bar, instrument, units, price), exits after the fills of their bar. Sizes and entry prices are those
    of the day of the exit.
    """
    bars, numbers, sizes, prices, commissions = (np.asarray(column) for column in fills)
    splits: dict[int, list[tuple[int, float]]] = {}
    ends: list[tuple[int, int, float, float]] = []
    for flow in flows:
        if flow["kind"] == "split":
            splits.setdefault(flow["instrument"], []).append((flow["bar"], flow["ratio"]))
        elif flow["kind"] == "delisting":
            ends.append((flow["bar"], flow["instrument"], -flow["units"], flow["price"]))
    if ends:
        when, which, held, paid = (np.array(column) for column in zip(*ends, strict=True))
        bars, numbers = np.concatenate([when, bars]), np.concatenate([which, numbers])
        sizes, prices = np.concatenate([held, sizes]), np.concatenate([paid, prices])
        commissions = np.concatenate([np.zeros(len(ends)), commissions])
    if lost:
        when, which, held, paid = (np.array(column) for column in zip(*lost, strict=True))
        bars, numbers = np.concatenate([bars, when]), np.concatenate([numbers, which])
        sizes, prices = np.concatenate([sizes, -held]), np.concatenate([prices, paid])
        commissions = np.concatenate([commissions, np.zeros(len(lost))])
    order = np.lexsort((bars, numbers))  # stable: on one bar payments come before fills, and what is lost after them
    bars, numbers, sizes, prices, commissions = (c[order] for c in (bars, numbers, sizes, prices, commissions))
    edges = np.flatnonzero(np.diff(numbers, prepend=-1, append=-1))
    parts: list[tuple[np.ndarray, ...]] = []
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        own, number = slice(start, stop), int(numbers[start])
        shares = np.ones(stop - start)
        for bar, ratio in splits.get(number, ()):
            shares[bars[own] >= bar] *= ratio
        pieces = _of_one(bars[own], sizes[own], prices[own], commissions[own], shares)
        if pieces is not None:
            parts.append((*pieces, np.full(len(pieces[0]), number)))
    columns = {
        name: np.concatenate([part[at] for part in parts])
        if parts
        else np.empty(0, np.int64 if name in WHOLE else float)
        for at, name in enumerate(NAMES)
    }
    order = np.lexsort((columns["entry_bar"], columns["instrument"], columns["exit_bar"]))
    return Trades({name: column[order] for name, column in columns.items()})


def _of_one(
    bars: np.ndarray, sizes: np.ndarray, prices: np.ndarray, commissions: np.ndarray, shares: np.ndarray
) -> tuple[np.ndarray, ...] | None:
    """The round trips of one instrument, whose share of the first day has become so many; None where nothing closed."""
    units = sizes / shares
    largest = float(np.abs(units).max())
    after = np.cumsum(units)
    after[np.abs(after) <= DUST * largest] = 0.0
    before = np.concatenate([[0.0], after[:-1]])
    amounts = np.abs(units)
    closing = np.where(before * units < 0, np.minimum(amounts, np.abs(before)), 0.0)
    closing = np.where((closing > 0) & (after == 0), amounts, closing)
    opened, closed = np.flatnonzero(amounts > closing), np.flatnonzero(closing > 0)
    if not len(closed):
        return None
    into, out = np.cumsum((amounts - closing)[opened]), np.cumsum(closing[closed])
    cuts = np.unique(np.concatenate([into, out]))
    cuts = cuts[cuts <= min(into[-1], out[-1]) + DUST * largest]
    lengths = np.diff(cuts, prepend=0.0)
    kept = lengths > DUST * largest
    middles, lengths = (cuts - lengths / 2)[kept], lengths[kept]
    entry = opened[np.minimum(np.searchsorted(into, middles), len(opened) - 1)]
    exit_ = closed[np.minimum(np.searchsorted(out, middles), len(closed) - 1)]
    size = np.copysign(lengths, units[entry]) * shares[exit_]
    paid = prices[entry] * (shares[entry] / shares[exit_])
    cost = lengths * (commissions[entry] / amounts[entry] + commissions[exit_] / amounts[exit_])
    profit = size * (prices[exit_] - paid) - cost
    value = np.abs(size) * paid
    share = np.divide(profit, value, out=np.zeros_like(profit), where=value != 0)
    return bars[entry], bars[exit_], size, paid, prices[exit_], cost, profit, share
