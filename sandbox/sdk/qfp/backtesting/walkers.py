"""Which figures look at every bar? They see a curve piece by piece, together, so that each piece is made once.

A piece has one bar of the next, for what goes from bar to bar; see Curve.pieces().
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qfp.backtesting.curves import PIECE, Curve

__all__ = ["WALKERS"]

ONE_PASS = 10_000  # bars from which on machine code pays for its call
BARS_A_DRAWDOWN = 16  # at least, where machine code finds the drawdowns


class Peak:
    """The highest value."""

    def __init__(self, curve: Curve, closes: np.ndarray) -> None:
        self.highest = [np.float64(curve.ends[0])]

    def see(self, first: int, piece: np.ndarray) -> None:
        self.highest.append(piece.max())

    def found(self) -> float:
        return float(np.max(self.highest))


class Drawdowns:
    """Every drawdown, by machine code that writes nothing by bar."""

    def __init__(self, curve: Curve, closes: np.ndarray) -> None:
        from qfp.backtesting.compiled import machine

        self.count, self.number = len(curve), 0
        self.possible = self.count >= ONE_PASS and machine.is_ready()
        self.call = machine.call
        self.room = self.count // BARS_A_DRAWDOWN + 64
        self.state = np.array([curve.ends[0], 0, 0, 0, 0])
        self.columns = [np.empty(self.room if self.possible else 0, dtype=kind) for kind in (np.int64, np.int64, float)]

    def see(self, first: int, piece: np.ndarray) -> None:
        if self.possible:
            # The bar of the next piece is seen there, but for the last of all.
            count = len(piece) if first + len(piece) == self.count else PIECE
            given = (piece.ctypes.data, count, first, self.count - 1)
            columns = [column.ctypes.data for column in self.columns]
            self.number = self.call("drawdowns", *given, *columns, self.room, self.state.ctypes.data)
            self.possible = self.number >= 0

    def found(self) -> tuple[Any, float] | None:
        """((begins, ends, depths), the deepest); None where machine code cannot tell."""
        if not self.possible:
            return None
        begins, ends, depths = (column[: self.number].copy() for column in self.columns)
        return (begins, ends, depths), float(self.state[3])


class Slope:
    """Of the account's logarithmic returns over the price's."""

    def __init__(self, curve: Curve, closes: np.ndarray) -> None:
        self.closes, self.count = closes, len(closes) - 1
        self.together = self.alone = 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = (curve.ends, closes[[0, -1]])
            self.own_mean, self.mean = (np.log(np.float64(last) / first) / (self.count or 1) for first, last in ends)

    def see(self, first: int, piece: np.ndarray) -> None:
        own, market = (np.diff(np.log(values)) for values in (piece, self.closes[first : first + len(piece)]))
        own -= self.own_mean
        market -= self.mean
        self.together += float(np.multiply(own, market).sum())  # np.dot() would wake threads for it
        self.alone += float(np.multiply(market, market).sum())

    def found(self) -> float:
        return self.together / self.alone if self.alone and self.count >= 2 else math.nan


WALKERS: dict[str, Any] = {"peak": Peak, "drawdowns": Drawdowns, "slope": Slope}
