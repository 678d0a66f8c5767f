"""Do target weights of many instruments lead to as much as they ask for? With the same room as claim_sizes."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from qfp.conventions import PortfolioRules
from qfp.portfolio.market import Market
from qfp.replay import PortfolioReplay

from runner.claim_bars import NotVerified
from runner.claim_many_orders import Expected
from runner.claim_sizes import SHARE

__all__ = ["check_targets"]

ROOM = 0.9  # of what positions may be worth, as prices of the bar are not those of every fill

Order = dict[str, Any]


def check_targets(
    orders: list[Order],
    account: PortfolioReplay,
    market: Market,
    rules: PortfolioRules,
    names: list[str],
) -> None:
    """Raises NotVerified where far less is held than a target asks for, and nothing else of it filled on that bar."""
    expected = Expected(market, rules)
    targets: dict[int, dict[int, float]] = defaultdict(dict)  # weights by bar and instrument
    others: set[tuple[int, int]] = set()
    # A target may count what trading it would be charged before it turns out to be less than a share.
    fixed = rules.commission_for(0.0, 0.0)
    each = float(np.max(account.commissions, initial=0.0)) if fixed is None else fixed
    charged: dict[int, float] = defaultdict(float)
    for order in orders:
        if order["outcome"] not in ("filled", "refused"):
            continue
        for bar, _, _ in expected.fills_of(order):
            if order["kind"] == "target":
                charged[bar] += each
            if order["outcome"] == "refused":
                continue
            if order["kind"] == "target":
                targets[bar][order["instrument"]] = order["size"]
            else:
                others.add((bar, order["instrument"]))
    for bar, weights in targets.items():
        fair = np.where(np.isnan(expected.prices[bar]), market.marks[bar], expected.prices[bar])
        held = account.units[bar]
        worth = np.nan_to_num(held * fair)
        value = min(float(account.cash[bar] + worth.sum()), float(account.equity[bar])) - charged[bar]
        stuck = float(np.abs(worth).sum()) - sum(abs(float(worth[number])) for number in weights)
        wanted = sum(abs(weight) for weight in weights.values()) * value
        if value <= 0 or wanted <= 0:
            continue
        scale = min(1.0, max(0.0, rules.leverage * value * ROOM - stuck) / wanted)
        for number, weight in weights.items():
            least = abs(weight) * value * scale / float(fair[number])
            units = float(held[number]) * (1 if weight > 0 else -1)
            if (bar, number) not in others and weight and units < least * SHARE - (0 if rules.fractional else 1):
                raise NotVerified(
                    f"A target of {weight:g} for {names[number]} led to {units:g} units on bar {bar}; by the stated "
                    f"rules to about {least:.0f}."
                )
