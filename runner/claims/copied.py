"""Could the fills of another library have been had? What can be compared without its rules is compared here.

Where a market order fills is named by the rules, so that is checked, and so is what is charged. Which limit and stop
orders were reached, and what the account could pay for, the library has decided by rules that are not replayed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from qfp.conventions import CopiedRules
from qfp.figures import signed
from qfp.portfolio.market import Market

from runner.claims import checks
from runner.claims.bars import NotVerified, our_market

__all__ = ["check_cash", "check_fills", "check_library", "left_to_the_library", "limits", "market_of", "ruined_on"]

MOST_WAITING = 1_000  # orders of one instrument and side
LIMIT_ROOM = 1e-6
PACKAGES = {"backtrader": ("backtrader",), "zipline": ("zipline", "zipline-reloaded")}
WORD = "the word of the library"


def check_library(rules: CopiedRules, packages: Collection[str]) -> None:
    """Nobody but the library fills by its rules. packages: names of those that the run had. Raises NotVerified."""
    if not any(name in packages for name in PACKAGES[rules.library]):
        raise NotVerified(f"It names the rules of {rules.library}, which is not among the run's packages.")


def left_to_the_library(conventions: dict[str, Any]) -> str:
    """What of a result by such rules nobody but the library can say, as a sentence; "" where nothing weighs."""
    if not conventions.get("library"):
        return ""
    parts = []
    if conventions.get("slippage") is None:
        parts.append("where in their bars its orders filled")
    if conventions["library"] == "backtrader" and not _pays_by_share(
        conventions.get("commission"), conventions.get("per_unit")
    ):
        parts.append("what the account could pay for")
    told = " and ".join(parts)
    return f"{told[0].upper()}{told[1:]} is {WORD}." if told else ""


def _pays_by_share(commission: float | None, per_unit: float | None) -> bool:
    """Whether what is bought is paid for in full, as far as is stated: contracts are held for a margin."""
    return commission is not None and per_unit == 0


def limits(rules: CopiedRules) -> str:
    """What was compared of fills by these rules, and what was not."""
    if rules.slippage is None:
        where = "All orders filled within their bars; where in them, a scheme of slippage decided that is not replayed."
    else:
        where = "Market orders filled at the prices that the rules name, all others within their bars."
    return f"{where} Which limit and stop orders were reached, and what the account could pay for, is {WORD}."


def ruined_on(date: str) -> str:
    """Of an account that was worth nothing or less at that close."""
    return (
        f"Nothing was left of the account on {date[:10]}: from there on it is worth 0, and what the library went on to "
        "trade does not count."
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
    fills: checks.Columns, orders: list[dict[str, Any]], market: Market, rules: CopiedRules, names: list[str]
) -> None:
    """Every fill on a bar there is, after it was decided, at a price that the rules name, and charged what they say."""
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
    if rules.fill == "same-close" and (share or rules.slippage_fixed):
        # The library fills on the next bar, at its high or low where the close and the slippage lie beyond it.
        after = np.minimum(bars + 1, len(market.close) - 1)
        worst = np.where(signs > 0, market.fields["high"][after, numbers], market.fields["low"][after, numbers])
        allowed |= (np.abs(prices - worst) <= room) & ((close * (1 + signs * share) - worst) * signs >= -room)
    # Slippage makes what is bought dearer and what is sold cheaper, and nothing the other way round.
    inside = (prices >= low + np.minimum(worse, 0.0) - room) & (prices <= high + np.maximum(worse, 0.0) + room)
    # By its rules a stop fills at the open or beyond it, so what is cheaper had a limit, at that price.
    cheaper = (opened - prices) * signs > room
    if rules.library != "backtrader" or rules.slippage is None:
        cheaper[:] = False
    allowed |= inside & _ordered(fills, ~allowed & inside, cheaper, orders, rules)
    if not allowed.all():
        at = int(np.flatnonzero(~allowed)[0])
        what = f"A fill of {names[numbers[at]]} at {prices[at]:g} on bar {bars[at]}"
        if inside[at]:
            raise NotVerified(f"{what} is not at a price that the stated rules name.")
        raise NotVerified(f"{what} lies outside that bar's range of {low[at]:g} to {high[at]:g}.")
    delay = 0 if rules.fill.startswith("same") else 1
    checks.check_decided_before(fills, checks.first_decisions(orders, len(names)), delay, names)
    _check_units(fills, orders, delay, len(market.close), names)
    if rules.commission_for(1.0, 1.0) is not None:
        checks.check_commissions(fills, rules)


def _check_units(
    fills: checks.Columns, orders: Sequence[dict[str, Any]], delay: int, count: int, names: list[str]
) -> None:
    """By every bar no more units were bought or sold than had been ordered by then; orders may fill in parts."""
    bars, numbers, sizes = fills[:3]
    # Of a thousand instruments, one after the other: tables of all bars of all of them take hundreds of megabytes.
    ordered: dict[tuple[int, bool], list[tuple[int, float]]] = defaultdict(list)
    for order in orders:
        if order["outcome"] in ("filled", "waiting"):
            ordered[order["instrument"], order["size"] > 0].append((order["bar"] + delay, abs(order["size"])))
    found: list[tuple[int, int, bool]] = []
    for number in np.unique(numbers).tolist():
        for bought in (False, True):
            own = (numbers == number) & ((sizes > 0) == bought)
            allowed, filled = np.zeros(count + delay), np.zeros(count + delay)
            for bar, units in ordered[number, bought]:
                allowed[bar] += units
            np.add.at(filled, bars[own], np.abs(sizes[own]))
            room = allowed.cumsum() * (1 + checks.PRICE_TOLERANCE) + checks.PRICE_TOLERANCE
            if len(over := np.flatnonzero(filled.cumsum() > room)):
                found.append((int(over[0]), number, bought))
    if found:
        bar, number, bought = min(found)
        what = "bought" if bought else "sold"
        raise NotVerified(f"By bar {bar} more of {names[number]} was {what} than was ordered.")


def check_cash(fills: checks.Columns, cash: float, count: int, rules: CopiedRules) -> None:
    """Where the library lets nobody buy without the money for it: what is bought can be paid for, with what the bar
    sold and the stated leverage; by units that were bought on the same bar only where they had been sold before.
    Contracts with a margin are left alone.
    """
    if rules.library != "backtrader" or not _pays_by_share(rules.commission, rules.per_unit):
        return
    left = np.full(count, np.inf)  # the least after what a bar bought, with what borrowing by the leverage pays
    sold = np.zeros(count)  # by each bar
    lent = 1 - 1 / rules.leverage
    held: dict[int, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))  # units and what the bought ones cost
    new: dict[int, float] = {}  # units that the bar bought
    borrowed, later, at, most = 0.0, 0.0, -1, abs(cash)
    for bar, number, size, price, commission in zip(*(column.tolist() for column in fills), strict=True):
        if bar != at:
            at, new, later = bar, defaultdict(float), 0.0
        units, cost = held[number]
        after = units + size
        if size > 0 and after > 0:
            changed = cost + min(size, after) * price
            new[number] += min(size, after)
        else:
            changed = cost * max(0.0, after) / units if units > 0 else 0.0
        borrowed += lent * (changed - cost)
        cash -= size * price + commission
        held[number] = after, changed
        if size < 0:
            # What was held before is sold first; its money counts for the whole bar.
            before = max(0.0, min(-size, units - new[number]) if units > 0 else -size)
            new[number] = max(0.0, new[number] - (-size - before))
            sold[bar] += before * price
            later += before * price
        if size > 0 and after > 0:
            left[bar] = min(left[bar], cash + borrowed - later)
        most = max(most, abs(cash + borrowed))
    left += sold
    if rules.fill == "same-close" or rules.at_close:
        # The library fills these on the next bar, and books them on this one.
        left += np.append(sold[1:], 0.0)
    short = np.flatnonzero(left < -checks.LEVERAGE_TOLERANCE * max(1.0, most))
    if len(short):
        bar = int(short[0])
        raise NotVerified(f"On bar {bar} it bought for {signed(-left[bar], 2, True)} more than the account could pay.")


def _ordered(
    fills: checks.Columns, wanted: np.ndarray, at_limit: np.ndarray, orders: list[dict[str, Any]], rules: CopiedRules
) -> np.ndarray:
    """Which of the wanted fills a limit or stop order explains that was decided before, and is not used up by others.
    Where a scheme of slippage decides, market orders explain them, too. Stops may trail, so their prices are not told.

    at_limit: which of them only a limit at their own price explains.
    """
    waiting: dict[tuple[int, bool], list[list[float]]] = defaultdict(list)
    for order in orders:
        if order["outcome"] == "filled" and (order["kind"] != "market" or rules.slippage is None):
            long = order["size"] > 0
            worst = order.get("limit") if order["kind"] == "limit" else None
            bound = (math.inf if long else 0.0) if worst is None else worst
            waiting[order["instrument"], long].append(
                [order["bar"], abs(order["size"]), bound, order.get("limit") or 0.0]
            )
    bars, numbers, sizes, prices, _ = fills
    delay = 0 if rules.fill.startswith("same") else 1
    found = np.zeros(len(bars), dtype=bool)
    # Those first that only one price explains, or others would use up what they have.
    for at in [*np.flatnonzero(wanted & at_limit).tolist(), *np.flatnonzero(wanted & ~at_limit).tolist()]:
        long, left, price = bool(sizes[at] > 0), abs(float(sizes[at])), float(prices[at])
        live = waiting.get((int(numbers[at]), long), [])
        # The order that could explain the fewest other fills comes first.
        for one in sorted(live[:MOST_WAITING], key=lambda one: one[2] if long else -one[2]):
            if left <= 0:
                break
            if one[0] + delay > bars[at] or (at_limit[at] and abs(price - one[3]) > LIMIT_ROOM * price):
                continue
            if (price <= one[2] * (1 + LIMIT_ROOM)) if long else (price >= one[2] * (1 - LIMIT_ROOM)):
                taken = min(left, one[1])
                one[1] -= taken
                left -= taken
        live[:MOST_WAITING] = [one for one in live[:MOST_WAITING] if one[1] > 0]
        found[at] = left <= checks.PRICE_TOLERANCE * abs(float(sizes[at]))
    return found
