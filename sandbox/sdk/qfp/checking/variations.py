"""What else could have happened after a day? The same bars up to there, then nothing, or another path.

A decision on a day cannot depend on what comes later, so it has to be the same over all of these.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Variation", "from_the_open", "other_columns", "other_stays", "other_tail", "other_values", "varied"]

WORDS = {0: "the data end there", 1: "prices rise after it", -1: "prices fall after it"}
MOST_DEVIATION = 0.05  # of a bar
JUMP = 0.3
LEAVING, DAYS_LEFT, DAYS_LATE = 0.3, 60, (30, 400)  # of those who stay, and when; and of those who come
PRICES = {"open", "high", "low", "close"}
# On other days, but each as it was: a split of 1.3 every day would be no data at all.
MOVED_ONLY = ("split", "dividend")


@dataclass(frozen=True)
class Variation:
    """What happens after the bar `cut`: with `tail` 0 the data end there, else prices rise (1) or fall (-1) at first
    and then wander.
    """

    cut: int
    tail: int = 0
    seed: int = 0

    @property
    def jump(self) -> float:
        """Every second time the first step is a large one: what is one of many in an average shows, too."""
        return JUMP if self.seed % 2 else 0.0

    @property
    def words(self) -> str:
        return WORDS[self.tail]


def varied(frame: pd.DataFrame, variation: Variation) -> pd.DataFrame:
    """Bars of one instrument, varied; a new frame."""
    head = variation.cut + 1
    if not variation.tail:
        return frame.iloc[:head]
    return other_tail(frame, head, variation.tail, variation.seed, variation.jump)


def other_tail(frame: pd.DataFrame, head: int, tail: int, seed: int, jump: float = 0.0) -> pd.DataFrame:
    """The frame with other rows from position `head` on. A new frame with the same index, columns and types."""
    new = frame.copy()
    names = {str(name): name for name in frame.columns}
    varied = other_columns({text: frame[name].to_numpy() for text, name in names.items()}, head, tail, seed, jump)
    for text, values in varied.items():
        new[names[text]] = values
    return new


def other_columns(
    columns: Mapping[str, np.ndarray], head: int, tail: int, seed: int, jump: float = 0.0
) -> dict[str, np.ndarray]:
    """New columns with other values from position `head` on: prices take another path, by `jump` further at once, and
    other columns another order.
    """
    random = np.random.default_rng(seed)
    by_name = {name.lower(): name for name in columns}
    made: dict[str, np.ndarray] = {}
    if head and "close" in by_name and head < len(columns[by_name["close"]]):
        close = columns[by_name["close"]].astype(float)
        path = _path(close, head, tail, random, jump)
        before = np.concatenate(([close[head - 1]], path[:-1]))
        opens = before * np.sqrt(path / before)
        spread = np.abs(random.normal(0.0, 0.003, len(path)))
        high, low = np.maximum(opens, path) * (1 + spread), np.minimum(opens, path) / (1 + spread)
        made = {"open": opens, "high": high, "low": low, "close": path}
    found = {}
    for name, values in columns.items():
        rest = made.get(name.lower())
        if name.lower() in MOVED_ONLY:
            rest = random.permutation(values[head:])
        elif rest is None:
            rest = other_values(values, head, random, tail)
        found[name] = _put(values, head, rest)
    return found


def from_the_open(
    columns: Mapping[str, np.ndarray],
    later: Mapping[str, np.ndarray],
    head: int,
    tail: int = 0,
    reached: tuple[float, float] | None = None,
) -> dict[str, np.ndarray]:
    """The other course of prices, begun at the open that there was.

    tail: 1 or -1, where prices go first. reached: where orders may wait for prices, the lowest and the highest one that
    filled some within the bar, as shares of its open. The bar then goes as far and nowhere further than it did, so that
    the same orders fill at the same prices; it ends where the tail leads, and where it went beyond those prices on the
    other side, it does not.
    """
    found = dict(later)
    bar = {name: float(columns[name][head]) for name in PRICES & columns.keys()}
    began, known = float(later["open"][head]), bar["open"]
    close = None
    if reached is not None and bar.keys() >= PRICES and bar["low"] <= known <= bar["high"]:
        bottom = max(bar["low"], min(1.0, reached[0]) * known)
        top = min(bar["high"], max(1.0, reached[1]) * known)
        high, low = (bar["high"], bottom) if tail > 0 else (top, bar["low"])
        close = high if tail > 0 else low
        if math.isclose(close, bar["close"], rel_tol=1e-9):
            close = low if tail > 0 else high
        began, known = float(later["close"][head]), close
    if known > 0 and began > 0:
        for name in PRICES & found.keys():
            moved = found[name].copy()
            moved[head:] = (moved[head:] * (known / began)).astype(moved.dtype, copy=False)
            if close is not None:
                moved[head] = {"high": high, "low": low, "close": close}.get(name, moved[head])
            found[name] = moved
    found["open"] = found["open"].copy()
    found["open"][head] = columns["open"][head]
    return found


def other_stays(
    members: Sequence[Mapping[str, Any]], day: str, tail: int, seed: int, going_on: Collection[str] = ()
) -> list[dict[str, Any]]:
    """The members of a universe with other dates after a day: many leave soon, and who was to come comes later. Nobody
    is a member on a day on which there was no membership, because prices may be missing there, but for those series
    that are going on. Where the data end (tail 0), nobody is known to leave. Members none of whom has a date stay as
    they are.
    """
    stays = [dict(member) for member in members]
    if not any(stay["entered"] or stay["left"] for stay in stays):
        return stays
    random = np.random.default_rng(seed)
    for stay in stays:
        late, leaves, soon = random.integers(*DAYS_LATE), random.random() < LEAVING, random.integers(1, DAYS_LEFT)
        entered, left = (stay["entered"] or "")[:10], (stay["left"] or "9999-12-31")[:10]
        if left <= day:
            continue
        if stay.get("series") in going_on:
            stay["left"], left = None, "9999-12-31"
        if entered > day:
            stay["entered"] = min(_days_after(entered, int(late)), left)
        if not tail:
            stay["left"] = None
        elif leaves:
            stay["left"] = min(_days_after(max(day, (stay["entered"] or "")[:10]), int(soon)), left)
    return stays


def _days_after(day: str, count: int) -> str:
    return str(np.datetime64(day, "D") + count)


def other_values(values: np.ndarray, head: int, random: np.random.Generator, tail: int) -> np.ndarray:
    """Other values than the column has from `head` on: numbers of its size that begin higher or lower."""
    rest = values[head:]
    if values.dtype.kind == "f":
        known = values[np.isfinite(values)]
        spread = float(known.std()) if len(known) else 1.0
        shuffled = random.permutation(rest)
        if len(known) and (known > 0).all():  # like prices: another size, so that the last becomes first
            before, after = values[:head][np.isfinite(values[:head])], rest[np.isfinite(rest)]
            level = before[-1] / np.median(after) if len(before) and len(after) else 1.0  # who has won wins no more
            return np.where(np.isnan(rest), rest, shuffled * level * np.exp(tail * 0.5 + random.normal(0.0, 1.0)))
        shuffled = shuffled + tail * (spread or 1.0) * (0.5 + random.random(len(rest)))
        return np.where(np.isnan(rest), rest, shuffled)
    if values.dtype.kind == "b":
        return ~rest
    return random.permutation(rest)


def _path(close: np.ndarray, head: int, tail: int, random: np.random.Generator, jump: float) -> np.ndarray:
    """Prices after close[head - 1] that move clearly to one side for a few bars, by `jump` more at first, and wander
    from there on.
    """
    count = len(close) - head
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.diff(np.log(close))
    steps = steps[np.isfinite(steps)]
    deviation = min(max(float(steps.std()) if len(steps) else 0.01, 1e-4), MOST_DEVIATION)
    moves = random.normal(0.0, 1.5 * deviation, count)
    first = min(count, 10)
    moves[:first] = tail * deviation * (2.0 + np.abs(random.normal(0.0, 1.0, first)))
    moves[:1] += tail * jump
    moves[first:] += random.normal(0.0, 1.0) / count  # who has won at the end is another one, too
    return close[head - 1] * np.exp(np.clip(np.cumsum(moves), -4.0, 4.0))


def _put(values: np.ndarray, head: int, rest: np.ndarray) -> np.ndarray:
    new = values.copy()
    if new.dtype.kind in "iu":
        rest = np.rint(rest)
    new[head:] = rest.astype(new.dtype, copy=False)
    return new
