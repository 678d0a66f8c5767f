"""Does a strategy remember history? It is run on the same bars with other dates, and with other prices: a rule decides
the same, a memory of what happened in March 2020 does not.

Dates move by 28 years, after which weekdays, months and leap years fall alike from 1901 to 2099. Prices and cash are
multiplied by 4, which changes no digit of what is computed from them. Bars have numbers, too: where a strategy starts
some bars later and still gives its orders on the same numbers, it reads them from somewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from qfp.checking.decisions import Decision, first_difference

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DAYS",
    "DROPPED",
    "FACTOR",
    "KEEPS",
    "Remembered",
    "follows_numbers",
    "on_another_level",
    "own_columns",
    "remembers",
    "with_other_dates",
    "with_other_prices",
]

DAYS = 28 * 365 + 7
FACTOR = 4.0
DROPPED = 7  # no divisor of the usual months, weeks and fortnights
FEWEST_BARS, MOST_BARS = 10, 40  # with orders
FEWEST_GAPS = 4  # of different lengths between them: who counts bars has one or two
LONGEST_COUNT, COUNTED = 1_000, 0.95  # bars after which orders come again, and the share of them that does
ALIKE, APART = 0.8, 0.3
KEEPS = "what it keeps from one run to the next changes what it decides"
PRICES = ("open", "high", "low", "close", "adj close", "dividend")
NO_PRICES = ("volume", "split")
NEARLY_ALL = 0.9


@dataclass(frozen=True)
class Remembered:
    """dates, prices: the first bar that is decided otherwise with other ones, or None. untested: why, if so; but_dates:
    with other dates alone, while other prices change nothing.
    """

    dates: int | None = None
    prices: int | None = None
    untested: str = ""
    but_dates: bool = False


def with_other_dates(frame: pd.DataFrame) -> pd.DataFrame | None:
    """The bars 28 years earlier or, where there were no such days, later; None where they have no dates."""
    import pandas as pd

    if not isinstance(frame.index, pd.DatetimeIndex):
        return None
    back = frame.index[0].year >= 1929
    if not back and frame.index[-1].year > 2071:
        return None
    moved = frame.copy(deep=False)
    moved.index = frame.index + pd.Timedelta(days=-DAYS if back else DAYS)
    return moved


def with_other_prices(frame: pd.DataFrame, *, own: bool = False) -> pd.DataFrame:
    """own: whether columns of the program that look like prices are multiplied, too, such as an average."""
    names = [name for name in frame.columns if str(name).lower() in PRICES]
    if own:
        names += _like_prices(frame)
    return frame.assign(**{name: frame[name] * FACTOR for name in names})


def on_another_level(settings: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Cash and commission of an account where prices are so many times as high: the same fees in proportion."""
    found = {"cash": settings.get("cash", 10_000) * factor}
    commission = settings.get("commission")
    if callable(commission):
        found["commission"] = lambda size, price: factor * commission(size, price / factor)
    elif isinstance(commission, (tuple, list)):
        fixed, share = commission
        found["commission"] = (fixed * factor, share)
    return found


def own_columns(frame: pd.DataFrame) -> list[str]:
    """Those that the program has put beside the bars."""
    return [str(name) for name in frame.columns if str(name).lower() not in (*PRICES, *NO_PRICES)]


def _like_prices(frame: pd.DataFrame) -> list[str]:
    """Own columns that are about as large as the close on nearly all bars that have them."""
    found = []
    for name in own_columns(frame):
        if frame[name].dtype.kind == "f":
            share = (frame[name] / frame["Close"]).dropna()
            if len(share) and share.between(1 / FACTOR, FACTOR).mean() >= NEARLY_ALL:
                found.append(name)
    return found


def remembers(
    decide: Callable[[Any, float], Sequence[Decision]], frame: pd.DataFrame, base: Sequence[Decision], until: int
) -> Remembered:
    """decide: gives the decisions over other bars with so much more cash. base: those over `frame`."""
    dates = prices = None
    failed, moved = "", with_other_dates(frame)
    if moved is None:
        return Remembered(untested="its bars have no dates that could be moved")
    try:
        # Both at once, in one run; which of them it was is only asked where something differs.
        with suppress(Exception):
            if first_difference(base, decide(with_other_prices(moved), FACTOR), until, FACTOR) is None:
                return Remembered()
        try:
            dates = first_difference(base, decide(moved, 1.0), until)
        except Exception as error:
            failed = f"with other dates it fails: {_told(error)}"
        if dates is None:
            prices = first_difference(base, decide(with_other_prices(frame), FACTOR), until, FACTOR)
        if prices is not None and _like_prices(frame):
            level = with_other_prices(frame, own=True)
            if first_difference(base, decide(level, FACTOR), until, FACTOR) is None:
                prices = None
        if (dates, prices) != (None, None):
            # Each after a run that ended alike: what a program keeps from run to run, such as the last month, is no
            # memory of history.
            other, factor = (moved, 1.0) if dates is not None else (with_other_prices(frame), FACTOR)
            if first_difference(decide(frame, 1.0), decide(other, factor), until, factor) is None:
                return Remembered(untested=KEEPS)
    except Exception as error:
        return Remembered(untested=f"with other dates or prices it fails: {_told(error)}")
    if failed and prices is None:
        return Remembered(untested=failed, but_dates=True)
    return Remembered(dates, prices)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:150]}"


def follows_numbers(
    decide: Callable[[Any, int], Sequence[Decision]], frame: Any, base: Sequence[Decision], *, may_count: bool = True
) -> bool:
    """Whether the strategy orders on the same numbers of bars when it starts some bars later.

    decide: gives the decisions over other bars up to one. A start that fails says nothing. may_count: whether who gives
    orders again and again after so many bars counts them; otherwise its code holds a table that may say when.
    """
    bars = sorted({decision.bar for decision in base if decision.bar < len(frame) - DROPPED})[:MOST_BARS]
    gaps = {later - earlier for earlier, later in pairwise(bars)}
    if len(bars) < FEWEST_BARS or len(gaps) < FEWEST_GAPS:
        return False
    last = bars[-1]
    if may_count and _are_counted(base):
        return False
    try:
        theirs = decide(frame.iloc[DROPPED:], last)
    except Exception:
        return False
    by_number = _alike(base, theirs, 0, last)
    return by_number >= ALIKE and by_number - _alike(base, theirs, DROPPED, last - DROPPED) >= APART


def _are_counted(base: Sequence[Decision]) -> bool:
    """Whether the orders come again and again after so many bars, all of them or purchases and sales each by a count of
    its own: who buys on every 31st and sells on every 37th bar counts, and knows no history.
    """
    orders = {(each.bar, each.size > 0) for each in base}
    sides = [sorted(bar for bar, bought in orders if bool(bought) == side) for side in (True, False)]
    return _come_again(orders, FEWEST_BARS) or all(
        len(bars) < FEWEST_GAPS or _grow(bars) or _come_again({(bar, True) for bar in bars}, FEWEST_GAPS)
        for bars in sides
    )


def _come_again(orders: set[tuple[int, bool]], fewest: int) -> bool:
    """fewest: orders that have to be seen once more, or to be missing."""
    first, last = min(orders)[0], max(orders)[0]
    bars = np.zeros((2, last - first + 1), dtype=bool)
    for bar, bought in orders:
        bars[int(bought), bar - first] = True
    for step in range(1, min(LONGEST_COUNT, (last - first) // 2) + 1):
        earlier, later = bars[:, :-step], bars[:, step:]
        either = int((earlier | later).sum())
        if either >= fewest and int((earlier & later).sum()) >= COUNTED * either:
            return True
    return False


def _grow(bars: Sequence[int]) -> bool:
    """Whether each pause is longer, or shorter, than the one before by as much."""
    _, times = np.unique(np.diff(bars, 2), return_counts=True)
    return bool(times.max() >= COUNTED * times.sum())


def _alike(base: Sequence[Decision], theirs: Sequence[Decision], shift: int, last: int) -> float:
    """Which share of the orders up to a bar both have, those of `theirs` moved by so many bars."""
    ours = {(each.bar, each.size > 0) for each in base if shift <= each.bar <= last}
    moved = {(each.bar + shift, each.size > 0) for each in theirs if each.bar + shift <= last}
    return len(ours & moved) / max(1, len(ours | moved))
