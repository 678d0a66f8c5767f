"""What else could have happened after a day? The same bars up to there, then nothing, or another path.

A decision on a day cannot depend on what comes later, so it has to be the same over all of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Variation", "other_tail", "other_values", "varied"]

WORDS = {0: "the data end there", 1: "prices rise after it", -1: "prices fall after it"}
MOST_DEVIATION = 0.05  # of a bar


@dataclass(frozen=True)
class Variation:
    """What happens after the bar `cut`: with `tail` 0 the data end there, else prices rise (1) or fall (-1) at first
    and then wander.
    """

    cut: int
    tail: int = 0
    seed: int = 0

    @property
    def words(self) -> str:
        return WORDS[self.tail]


def varied(frame: pd.DataFrame, variation: Variation) -> pd.DataFrame:
    """Bars of one instrument, varied; a new frame."""
    head = variation.cut + 1
    return frame.iloc[:head] if not variation.tail else other_tail(frame, head, variation.tail, variation.seed)


def other_tail(frame: pd.DataFrame, head: int, tail: int, seed: int) -> pd.DataFrame:
    """The frame with other rows from position `head` on: a different path of its prices, and other columns in another
    order. A new frame with the same index, columns and types.
    """
    random = np.random.default_rng(seed)
    count = len(frame) - head
    new = frame.copy()
    if count <= 0:
        return new
    by_name = {str(name).lower(): name for name in frame.columns}
    if "close" in by_name and head:
        close = frame[by_name["close"]].to_numpy(dtype=float)
        path = _path(close, head, tail, random)
        before = np.concatenate(([close[head - 1]], path[:-1]))
        opens = before * np.sqrt(path / before)
        spread = np.abs(random.normal(0.0, 0.003, count))
        made = {
            "open": opens,
            "high": np.maximum(opens, path) * (1 + spread),
            "low": np.minimum(opens, path) / (1 + spread),
            "close": path,
        }
        for name, values in made.items():
            if name in by_name:
                _put(new, by_name[name], head, values)
        others = [name for key, name in by_name.items() if key not in made]
    else:
        others = list(frame.columns)
    for name in others:
        _put(new, name, head, other_values(frame[name].to_numpy(), head, random, tail))
    return new


def other_values(values: np.ndarray, head: int, random: np.random.Generator, tail: int) -> np.ndarray:
    """Other values than the column has from `head` on: numbers of its size that begin higher or lower."""
    rest = values[head:]
    if values.dtype.kind == "f":
        known = values[np.isfinite(values)]
        spread = float(known.std()) if len(known) else 1.0
        shuffled = random.permutation(rest)
        if len(known) and (known > 0).all():  # like prices: another size, so that the last becomes first
            return np.where(np.isnan(rest), rest, shuffled * np.exp(tail * 0.5 + random.normal(0.0, 1.0)))
        shuffled = shuffled + tail * (spread or 1.0) * (0.5 + random.random(len(rest)))
        return np.where(np.isnan(rest), rest, shuffled)
    if values.dtype.kind == "b":
        return ~rest
    return random.permutation(rest)


def _path(close: np.ndarray, head: int, tail: int, random: np.random.Generator) -> np.ndarray:
    """Prices after close[head - 1] that move clearly to one side for a few bars and wander from there on."""
    count = len(close) - head
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.diff(np.log(close))
    steps = steps[np.isfinite(steps)]
    deviation = min(max(float(steps.std()) if len(steps) else 0.01, 1e-4), MOST_DEVIATION)
    moves = random.normal(0.0, 1.5 * deviation, count)
    first = min(count, 10)
    moves[:first] = tail * deviation * (2.0 + np.abs(random.normal(0.0, 1.0, first)))
    moves += random.normal(0.0, 1.0) / count  # who has won at the end is another one, too
    return close[head - 1] * np.exp(np.clip(np.cumsum(moves), -4.0, 4.0))


def _put(frame: pd.DataFrame, name: object, head: int, values: np.ndarray) -> None:
    column = frame[name].to_numpy(copy=True)
    if column.dtype.kind in "iu":
        values = np.rint(values)
    column[head:] = values.astype(column.dtype, copy=False)
    frame[name] = column
