"""Could the fills of another library have been had? What can be compared without its rules is compared here.

Where a market order fills is named by the rules, so that is checked, and so is what is charged. Which limit and stop
orders were reached, and what the account could pay for, the library has decided by rules that are not replayed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from qfp.conventions import CopiedRules
from qfp.portfolio.market import Market

from runner import claim_checks as checks
from runner.claim_bars import NotVerified, our_market

__all__ = ["check_fills", "limits", "market_of"]

MOST_WAITING = 1_000  # orders of one instrument and side
LIMIT_ROOM = 1e-6


def limits(rules: CopiedRules) -> str:
    """What was compared of fills by these rules, and what was not."""
    if rules.slippage is None:
        where = "All orders filled within their bars; where in them, a scheme of slippage decided that is not replayed."
    else:
        where = "Market orders filled at the prices that the rules name, all others within their bars."
    return (
        f"{where} Which limit and stop orders were reached, and what the account could pay for, is the word of the "
        "library."
    )


def market_of(store: Path, snapshot: str | None, instruments: list[dict[str, Any]], stamps: np.ndarray) -> Market:
    """Our bars without splits and dividends, which the library books nowhere. Of series with one price a day, that one
    is open and close. Raises NotVerified, also where prices jump by a split.
    """
    market = our_market(store, snapshot, instruments, stamps, one_price=True)
    if market.split is not None:
        raise NotVerified("Its prices are not adjusted for splits, which the library does not know of.")
    return replace(market, split=None, dividend=None)


def check_fills(
    fills: checks.Columns, orders: list[dict[str, Any]] | None, market: Market, rules: CopiedRules, names: list[str]
) -> None:
    """Every fill on a bar there is, after it was decided, at a price that the rules name, and charged what they say.

    orders: None where not all of them are known.
    """
    bars, numbers, sizes, prices, _ = fills
    if not len(bars):
        return
    missing = np.flatnonzero(np.isnan(market.close[bars, numbers]))
    if len(missing):
        at = missing[0]
        raise NotVerified(f"{names[numbers[at]]} was filled on bar {bars[at]}, on which it has no bar.")
    opened, high, low, close = (market.fields[name][bars, numbers] for name in ("open", "high", "low", "close"))
    room = checks.PRICE_TOLERANCE * close
    signs, share = np.sign(sizes), rules.slippage or 0.0
    worse = signs * (prices * share / (1 + signs * share) + rules.slippage_fixed)
    plain = prices - worse

    def at_price(stated: np.ndarray) -> np.ndarray:
        """At it, or worse by the slippage, or as much worse as the bar allowed."""
        between = (prices - stated) * signs
        edge = (np.abs(prices - high) <= room) | (np.abs(prices - low) <= room)
        slipped = (between >= -room) & (between <= np.abs(worse) + room) & edge
        return (np.abs(plain - stated) <= room) | (np.abs(prices - stated) <= room) | slipped

    allowed = at_price(close if rules.fill in ("next-close", "same-close") else opened)
    if rules.at_close:
        allowed |= at_price(close)
    _, first = checks.resting_of(orders, len(names))
    # Slippage makes what is bought dearer and what is sold cheaper, and nothing the other way round.
    inside = (prices >= low + np.minimum(worse, 0.0) - room) & (prices <= high + np.maximum(worse, 0.0) + room)
    allowed |= inside & _ordered(fills, ~allowed & inside, orders or [], rules)
    if not allowed.all():
        at = int(np.flatnonzero(~allowed)[0])
        what = f"A fill of {names[numbers[at]]} at {prices[at]:g} on bar {bars[at]}"
        if inside[at]:
            raise NotVerified(f"{what} is not at a price that the stated rules name.")
        raise NotVerified(f"{what} lies outside that bar's range of {low[at]:g} to {high[at]:g}.")
    checks.check_decided_before(fills, first, 0 if rules.fill.startswith("same") else 1, names)
    if rules.commission_for(1.0, 1.0) is not None:
        checks.check_commissions(fills, rules)


def _ordered(fills: checks.Columns, wanted: np.ndarray, orders: list[dict[str, Any]], rules: CopiedRules) -> np.ndarray:
    """Which of the wanted fills a limit or stop order explains that was decided before, and is not used up by others.
    Where a scheme of slippage decides, market orders explain them, too. Stops may trail, so their prices are not told.
    """
    waiting: dict[tuple[int, bool], list[list[float]]] = defaultdict(list)
    for order in orders:
        if order["outcome"] == "filled" and (order["kind"] != "market" or rules.slippage is None):
            long = order["size"] > 0
            worst = order.get("limit") if order["kind"] == "limit" else None
            bound = (math.inf if long else 0.0) if worst is None else worst
            waiting[order["instrument"], long].append([order["bar"], abs(order["size"]), bound])
    bars, numbers, sizes, prices, _ = fills
    delay = 0 if rules.fill.startswith("same") else 1
    found = np.zeros(len(bars), dtype=bool)
    for at in np.flatnonzero(wanted).tolist():
        long, left, price = bool(sizes[at] > 0), abs(float(sizes[at])), float(prices[at])
        live = waiting.get((int(numbers[at]), long), [])
        for one in live[:MOST_WAITING]:
            if one[0] + delay > bars[at] or left <= 0:
                break
            if (price <= one[2] * (1 + LIMIT_ROOM)) if long else (price >= one[2] * (1 - LIMIT_ROOM)):
                taken = min(left, one[1])
                one[1] -= taken
                left -= taken
        live[:MOST_WAITING] = [one for one in live[:MOST_WAITING] if one[1] > 0]
        found[at] = left <= checks.PRICE_TOLERANCE * abs(float(sizes[at]))
    return found
