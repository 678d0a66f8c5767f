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
TOGETHER = 8192  # steps whose products are added up by themselves


class Drawdowns:
    """Every drawdown, by machine code that writes nothing by bar, and the highest value."""

    def __init__(self, curve: Curve, closes: np.ndarray) -> None:
        from qfp.backtesting.compiled import machine

        self.count, self.number = len(curve), 0
        self.possible = self.count >= ONE_PASS and machine.is_ready()
        self.call = machine.call
        self.room = self.count // BARS_A_DRAWDOWN + 64
        self.highest: list[float] = []  # of the pieces that machine code has not seen
        self.state = np.array([curve.ends[0], 0, math.inf, 0, 0])
        self.columns = [np.empty(self.room if self.possible else 0, dtype=kind) for kind in (np.int64, np.int64, float)]
        self.given = (*(column.ctypes.data for column in self.columns), self.room, self.state.ctypes.data)

    def see(self, first: int, piece: np.ndarray) -> None:
        if self.possible:
            # The bar of the next piece is seen there, but for the last of all.
            count = len(piece) if first + len(piece) == self.count else PIECE
            self.number = self.call("drawdowns", piece.ctypes.data, count, first, self.count - 1, *self.given)
            self.possible = self.number >= 0
        if not self.possible:
            self.highest.append(piece.max())

    def peak(self) -> float:
        return float(np.array([self.state[0], *self.highest]).max())

    def found(self) -> tuple[Any, float] | None:
        """((begins, ends, depths), the deepest); None where machine code cannot tell."""
        if not self.possible:
            return None
        begins, ends, depths = (column[: self.number].copy() for column in self.columns)
        return (begins, ends, depths), float(self.state[3])


class Slope:
    """Of the account's logarithmic returns over the price's."""

    def __init__(self, curve: Curve, closes: np.ndarray) -> None:
        from qfp.backtesting.compiled import machine

        self.closes, self.count = closes, len(closes) - 1
        self.possible = self.count >= ONE_PASS and machine.is_ready()
        self.call = machine.call
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = (curve.ends, closes[[0, -1]])
            means = [np.log(np.float64(last) / first) / (self.count or 1) for first, last in ends]
        self.sums = np.array([*means, 0.0, 0.0])  # the means of the steps, and two sums
        self.rooms = np.empty((2, min(self.count, PIECE) + 1))
        self.given = (*(room.ctypes.data for room in self.rooms), self.sums.ctypes.data)

    def see(self, first: int, piece: np.ndarray) -> None:
        count = len(piece) - 1
        own, market = self.rooms[:, : count + 1]
        np.log(piece, out=own)
        np.log(self.closes[first : first + len(piece)], out=market)
        left = count
        if self.possible:
            left = self.call("products", *self.given[:2], count, self.given[2])
        else:
            steps = [one[1:] - one[:-1] - mean for one, mean in zip((own, market), self.sums[:2], strict=True)]
            own[:count], market[:count] = steps[0] * steps[1], steps[1] * steps[1]  # np.dot() would wake threads for it
        for begin in range(count - left, count, TOGETHER):
            self.sums[2:] += [room[begin : min(begin + TOGETHER, count)].sum() for room in (own, market)]

    def found(self) -> float:
        together, alone = self.sums[2:].tolist()
        return together / alone if alone and self.count >= 2 else math.nan


WALKERS: dict[str, Any] = {"drawdowns": Drawdowns, "slope": Slope}
