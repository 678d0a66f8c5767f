"""After which day does the site change data, to see whether a program knew them? Drawn by what was earned.

Most orders of a program may say nothing: they never fill, or change little. What others would believe are the trades
that earned, so a day is drawn the more often the more came of it. What one trade earns another may lose, on the same
days and on purpose, so one day is drawn by what the whole account gained.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from qfp.checking.telling import of_backtest
from qfp.conventions import Usual

from runner.models import Backtest

__all__ = ["INSIDE", "WAYS", "draw", "fills_at_open", "worth_trying"]

INSIDE = ("entered", "left")

# By the beginnings of trades, by the days on which they were held, by their ends, by the account, and all days alike:
# whoever earns most of it honestly, as by holding one share with much leverage, does not hide the rest behind that.
# By fills at an open, right after which data become others: who chose among them knew the rest of their bar, and no
# other way finds that. Runs that take long are made again in the first ways only.
WAYS = ("opened", "entered", "held", "closed", "gained", "alike", "left")

AFTERWARDS = 3  # bars after an end, where what was told of it may follow what came next, whatever that was

EVENLY = 0.1  # the share of draws in which all days count the same

Day = tuple[str, float]  # and the side of what was decided on it, 1 or -1


def worth_trying(backtest: Backtest, way: str) -> dict[Day, float]:
    """What was earned by what was decided on a day. way: one of WAYS.

    Days with orders are among them that earned nothing; without those whose orders never filled, where any did.
    """
    days: dict[Day, float] = {}
    telling = of_backtest(backtest.orders, backtest.fills, backtest.flows)
    if way in INSIDE:
        return _inside(backtest, telling.held, way) if fills_at_open(backtest.conventions) else {}
    sides: dict[int, float] = {}  # of what was decided, by bar
    for order in backtest.orders:
        if order["bar"] in telling.filled or not telling.filled:
            side = sides[order["bar"]] = 1.0 if order["size"] > 0 else -1.0
            days.setdefault((backtest.dates[order["bar"]], side), 0.0)
    if way in ("held", "closed"):
        for day, profit in _around(backtest, telling.held, way).items():
            days[day] = days.get(day, 0.0) + profit / backtest.cash
    earned: dict[int, float] = {}
    if way == "held":
        return days
    if way == "gained":
        earned = _gained(backtest, sorted(sides))
    elif way != "alike":
        earned = {bar: profit / backtest.cash for bar, profit in getattr(telling, way).items()}
        sides |= telling.sides
    for bar, profit in earned.items():
        if 0 <= bar < len(backtest.dates):
            day = backtest.dates[bar], float(sides[bar])
            days[day] = days.get(day, 0.0) + profit
    return days


def _around(backtest: Backtest, held: Iterable[tuple[int, int, int, float]], way: str) -> dict[Day, float]:
    """What trades earned, spread over the bars on which they were held, or over those from their end on, for each side:
    a fill may have been told, or left out, with what followed it, and that has been told by then.
    """
    spread = np.zeros((2, len(backtest.dates) + 1))  # by side; what begins to count on a bar, less what ends
    for entry, end, side, profit in held:
        last = end if way == "held" else end + 1 + AFTERWARDS
        first, last = (max(0, min(bar, len(backtest.dates))) for bar in (entry if way == "held" else end, last))
        if first < last:
            sides = (int(side > 0),) if way == "held" else (0, 1)
            each = profit / (last - first) / len(sides)
            for at in sides:
                spread[at, first] += each
                spread[at, last] -= each
    sums = spread.cumsum(axis=1)[:, :-1]
    least = 1e-9 * max(float(sums.max(initial=0.0)), 1e-12)  # sums that should be nothing miss it by less
    return {
        (backtest.dates[bar], side): float(sums[at, bar])
        for at, side in ((1, 1.0), (0, -1.0))
        for bar in np.flatnonzero(sums[at] > least).tolist()
    }


def fills_at_open(conventions: Mapping[str, Any]) -> bool:
    """Whether an order at the market is filled, or refused, by what is known at an open."""
    if "library" in conventions:
        return False
    own = conventions.get("id") == "next-open" and conventions.get("version") == Usual.version
    return own or conventions.get("id") == "portfolio-next-open"


def _inside(backtest: Backtest, held: Iterable[tuple[int, int, int, float]], way: str) -> dict[Day, float]:
    """What trades earned, by the days before their first or their last fill."""
    days: dict[Day, float] = {}
    for entry, end, side, profit in held:
        bar, against = (entry, side) if way == "entered" else (end, -side)
        if 0 < bar < len(backtest.dates) - 1 and backtest.equity[bar] > 0:
            day = backtest.dates[bar - 1], float(against)
            days[day] = days.get(day, 0.0) + profit / backtest.cash
    return days


def _gained(backtest: Backtest, decided: list[int]) -> dict[int, float]:
    """By how much the account grew on bars after a decision, until the next one."""
    if not decided:
        return {}
    equity = np.maximum(np.array(backtest.equity, dtype=float), 1e-9)
    grown = np.maximum(np.diff(np.log(equity)), 0.0)  # from each bar to the next
    last = np.searchsorted(decided, np.arange(len(grown)), side="right") - 1
    sums = np.bincount(last[last >= 0], grown[last >= 0], minlength=len(decided))
    return dict(zip(decided, sums.tolist(), strict=True))


def draw(days: Mapping[Day, float], chance: random.Random) -> Day:
    """One of them at random."""
    among = sorted(days)
    weights = [days[day] for day in among]
    weighted = sum(weights) > 0 and chance.random() >= EVENLY
    return chance.choices(among, weights if weighted else None)[0]
