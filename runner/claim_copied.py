"""Could the fills of another library have been had? What can be compared without its rules is compared here.

Where a market order fills is named by the rules, so that is checked, and so is what is charged. Which limit and stop
orders were reached, and what the account could pay for, the library has decided by rules that are not replayed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from qfp.conventions import CopiedRules
from qfp.portfolio.market import Market

from runner import claim_checks as checks
from runner.claim_bars import NotVerified, our_market

__all__ = ["check_fills", "limits", "market_of"]


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
    bars, numbers, sizes, prices, commissions = fills
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
    resting, first = checks.resting_of(orders, len(names))
    # Slippage makes what is bought dearer and what is sold cheaper, and nothing the other way round.
    inside = (prices >= low + np.minimum(worse, 0.0) - room) & (prices <= high + np.maximum(worse, 0.0) + room)
    allowed |= inside & (resting[numbers] | (rules.slippage is None))
    if not allowed.all():
        at = int(np.flatnonzero(~allowed)[0])
        what = f"A fill of {names[numbers[at]]} at {prices[at]:g} on bar {bars[at]}"
        if inside[at]:
            raise NotVerified(f"{what} is not at a price that the stated rules name.")
        raise NotVerified(f"{what} lies outside that bar's range of {low[at]:g} to {high[at]:g}.")
    if first is not None:
        early = np.flatnonzero(bars < first[numbers] + (0 if rules.fill.startswith("same") else 1))
        if len(early):
            at = early[0]
            raise NotVerified(f"{names[numbers[at]]} was filled on bar {bars[at]}, before anything was decided for it.")
    if rules.commission_for(1.0, 1.0) is not None:
        charged = np.array([rules.commission_for(*fill) for fill in zip(sizes.tolist(), prices.tolist(), strict=True)])
        wrong = np.abs(charged - commissions) > checks.EQUITY_TOLERANCE * np.maximum(1.0, np.abs(charged))
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            raise NotVerified(f"A fill was charged {commissions[at]:g}; by the stated rules it is {charged[at]:g}.")
