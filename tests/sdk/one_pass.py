"""Are averages, drawdowns and slopes of one pass those that pandas and NumPy make in several? Prints JSON.

Runs in the boxes' environment.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
from qfp.backtesting import compiled, curves, statistics, walkers
from qfp.backtesting.averages import averages
from qfp.backtesting.test import SMA


def awkward(random: np.random.Generator, number: int) -> np.ndarray:
    """Values of many sizes; rounded, repeated, missing, infinite or zero ones in some."""
    count = int(random.integers(1, 300))
    values = random.standard_normal(count) * 10.0 ** random.integers(-8, 9)
    values += random.integers(-1, 2) * 10.0 ** random.integers(0, 10)
    if number % 3 == 0:
        values = np.round(values, 1)
    if number % 4 == 0:
        values[random.random(count) < 0.1] = np.nan
    if number % 5 == 0:
        values[random.random(count) < 0.05] = np.inf * random.choice((-1, 1))
    if number % 7 == 0:
        values = np.repeat(values, 5)[:count]
    if number % 11 == 0:
        values = np.where(random.random(count) < 0.5, 0.0, -0.0)
    return values


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def main() -> None:
    compiled.warm_up()
    random = np.random.default_rng(3)
    found = {"averages": 0, "drawdowns": 0, "apart": []}
    equity, closes = (np.exp(np.cumsum(random.standard_normal(100_000) * 0.01)) for _ in range(2))
    walked = []
    for walkers.ONE_PASS in (10_000, 200_000):  # from which number of bars on machine code adds up
        figures = statistics.Figures(pd.RangeIndex(len(equity)), closes, equity, None, 0)  # type: ignore[arg-type]
        walked.append(figures._walked("slope"))
    if [one.possible for one in walked] != [True, False] or walked[0].found() != walked[1].found():
        found["apart"].append("slope")
    walkers.ONE_PASS = 1
    walkers.BARS_A_DRAWDOWN = 4  # so that there are too many in some
    curves.PIECE = walkers.PIECE = 50
    for number in range(300):
        values, window = awkward(random, number), int(random.integers(1, 60))
        found["averages"] += 1
        if not same(SMA(values, window), pd.Series(values).rolling(window).mean().to_numpy()):
            found["apart"].append(f"average {number}")
        for column in (values, np.abs(values), np.abs(np.nan_to_num(values))):
            windows = [window, *random.integers(1, 80, number % 11).tolist()]
            one_by_one = [averages(column, [one])[0] for one in windows]
            if not all(map(same, averages(column, windows), one_by_one)):
                found["apart"].append(f"averages {number}")
        equity = 100 * np.exp(np.cumsum(random.standard_normal(len(values)) * 0.05)) - (90 if number % 11 == 0 else 0)
        if number % 3 == 0:
            equity = np.round(equity / 10) * 10
        if number % 7 == 0:
            equity[len(equity) // 2 :] = 0.0
        if number % 13 == 0:
            equity[random.random(len(equity)) < 0.05] = np.nan
        figures = statistics.Figures(pd.RangeIndex(len(equity)), equity, equity, None, 0)  # type: ignore[arg-type]
        with np.errstate(all="ignore"):
            below = statistics.below_peak(equity)
        spans = statistics.drawdown_spans(below)
        found["drawdowns"] += 1
        deepest = figures._group("drawdowns")["Max. Drawdown [%]"]
        if not (all(map(same, figures.spans, spans)) and deepest == -float(np.nan_to_num(below.max())) * 100):
            found["apart"].append(f"drawdown {number}")
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
