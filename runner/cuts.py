"""After which day does the site change data, to see whether a program knew them? Drawn by what was earned.

Most orders of a program may say nothing: they never fill, or change little. What others would believe are the trades
that earned, so a day is drawn the more often the more came of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from qfp.checking.telling import of_backtest

from runner.models import Backtest

__all__ = ["draw", "worth_trying"]

EVENLY = 0.1  # the share of draws in which all days count the same

Day = tuple[str, float]  # and the side of what was decided on it, 1 or -1


def worth_trying(backtests: Sequence[Backtest], closing: bool) -> dict[Day, float]:
    """What was earned by what was decided on a day: by the beginnings of trades, or with `closing` by their ends.

    Days with orders are among them that earned nothing; without those whose orders never filled, where any did.
    """
    days: dict[Day, float] = {}
    for backtest in backtests:
        telling = of_backtest(backtest.orders, backtest.fills, backtest.flows)
        for order in backtest.orders:
            if order["bar"] in telling.filled or not telling.filled:
                days.setdefault((backtest.dates[order["bar"]], 1.0 if order["size"] > 0 else -1.0), 0.0)
        for bar, profit in (telling.closed if closing else telling.opened).items():
            if 0 <= bar < len(backtest.dates):
                day = backtest.dates[bar], float(telling.sides[bar])
                days[day] = days.get(day, 0.0) + profit / backtest.cash
    return days


def draw(days: Mapping[Day, float]) -> Day:
    """One of them at random."""
    chance = secrets.SystemRandom()
    among = sorted(days)
    weights = [days[day] for day in among]
    weighted = sum(weights) > 0 and chance.random() >= EVENLY
    return chance.choices(among, weights if weighted else None)[0]
