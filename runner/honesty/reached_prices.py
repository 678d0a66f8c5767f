"""How far did a bar have to go for the orders that filled within it? Where the site changes the rest of a bar, these
have to fill as they did: they decide who is paid for at the bar's open, and who is not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qfp.checking.decisions import is_at_market

from runner.claims.bars import NotVerified, our_bars, our_market
from runner.honesty.differences import last_decided
from runner.models import Backtest

__all__ = ["held_bars", "reached_prices"]

ROUNDING = 1e-9
NEARLY = 0.8  # of a bar's range


def reached_prices(
    store: Path, backtests: Sequence[Backtest], moment: np.datetime64, known: Mapping[int, np.ndarray]
) -> dict[str, tuple[float, float]]:
    """By series the lowest and the highest price at which something filled on the first bar after a moment, as shares
    of its open; of all series that are traded where an order could wait for a price, and of none where none could.

    known: as of last_known().
    """
    shown = [backtest for backtest in backtests if backtest.verified]
    if not any(map(_waits, shown)):
        return {}
    found: dict[str, tuple[float, float]] = {}
    for backtest in shown:
        bar = last_decided(backtest, moment, known) + 1
        fills = [fill for fill in backtest.fills if int(fill["bar"]) == bar]
        prices = _prices(store, backtest, bar) if fills else {}
        for at, instrument in enumerate(backtest.instruments):
            series, own = instrument.get("series") or "", [each for each in fills if _of(each) == at]
            opened = prices["open"][at] if own else 1.0
            low, high = found.get(series, (1.0, 1.0))
            if opened > 0:
                lowest, highest = _least_range(backtest, own, opened)
                found[series] = min(low, lowest), max(high, highest)
            else:
                found[series] = 0.0, np.inf
    return found


def held_bars(store: Path, backtest: Backtest, bars: Collection[int]) -> int:
    """On how many of these bars what filled within them lies so far apart that next to nothing of their range could be
    another: only where they close. Of several instruments that counts of which most was traded there.
    """
    if not bars or not _waits(backtest):
        return 0
    by_bar: dict[int, dict[int, list[dict[str, Any]]]] = {}
    for fill in backtest.fills:
        if int(fill["bar"]) in bars:
            by_bar.setdefault(int(fill["bar"]), {}).setdefault(_of(fill), []).append(fill)
    every, held = _prices(store, backtest, slice(None)), 0
    for bar, instruments in by_bar.items():
        at, fills = max(instruments.items(), key=lambda each: _traded(each[1]))
        opened, low, high = (float(every[name][bar, at]) for name in ("open", "low", "high"))
        if opened > 0 and high > low:
            lowest, highest = _least_range(backtest, fills, opened)
            held += min(high, highest * opened) - max(low, lowest * opened) > NEARLY * (high - low)
    return held


def _traded(fills: Sequence[Mapping[str, Any]]) -> float:
    return sum(abs(float(fill["size"])) * float(fill["price"]) for fill in fills)


def _waits(backtest: Backtest) -> bool:
    """Whether any of its orders could wait for a price."""
    return not all(map(is_at_market, backtest.orders))


def _of(fill: Mapping[str, Any]) -> int:
    return int(fill.get("instrument") or 0)


def _least_range(backtest: Backtest, fills: Sequence[Mapping[str, Any]], opened: float) -> tuple[float, float]:
    """From which price to which a bar has to go for these fills, as shares of its open. A limit of which a fill is
    worse by the spread is further away.
    """
    worse = sum(backtest.conventions.get(name) or 0.0 for name in ("spread", "slippage")) + ROUNDING
    shares = [float(fill["price"]) / opened for fill in fills]
    shares += [near for share in shares for near in (share / (1 + worse), share / max(1 - worse, ROUNDING))]
    return min([1.0, *shares]), max([1.0, *shares])


def _prices(store: Path, backtest: Backtest, bars: int | slice) -> dict[str, np.ndarray]:
    """Of each instrument on these bars, adjusted as they were traded; NaN where they are not known."""
    stamps = np.array([date.replace("Z", "") for date in backtest.dates], dtype="datetime64[us]")
    try:
        if "fill" in backtest.conventions:
            fields = our_market(store, backtest.snapshot, backtest.instruments, stamps).fields
            return {name: fields[name][bars] for name in ("open", "low", "high")}
        one = our_bars(store, backtest.snapshot, backtest.instruments[0], stamps)
        return {name: getattr(one, name)[:, None][bars] for name in ("open", "low", "high")}
    except (NotVerified, KeyError):
        unknown = np.full((len(stamps), len(backtest.instruments)), np.nan)[bars]
        return dict.fromkeys(("open", "low", "high"), unknown)
