"""How are target weights booked for all rebalancing dates at once? As arrays, with the arithmetic of the account.

Between two rebalancings nothing is decided, so the account grows by a factor that depends on weights and prices alone,
and the costs of a rebalancing are a fraction of the account that the old and the new weights determine. Both are
worked out for all dates together. Where that is not so (whole shares, a fixed commission, a halt, interest), the bars
are walked one by one, and the result is the same where both are possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qfp.conventions import PortfolioRules, _parts
from qfp.portfolio.account import DUST
from qfp.portfolio.market import Market

__all__ = ["Booked", "book"]


@dataclass
class Booked:
    """The account under target weights. bars: of the fills. owned: after them, in shares of the first row. cash: after
    them. value: of the account before each rebalancing. ratio: today's shares for one of the first row.
    """

    bars: np.ndarray
    equity: np.ndarray
    owned: np.ndarray
    cash: np.ndarray
    value: np.ndarray
    prices: np.ndarray
    ratio: np.ndarray | None
    rules: PortfolioRules

    @cached_property
    def units(self) -> np.ndarray:
        """What is held after the fills."""
        return self.owned if self.ratio is None else self.owned * self.ratio

    @cached_property
    def before(self) -> np.ndarray:
        """What is held before them."""
        earlier = np.zeros_like(self.owned)
        earlier[1:] = self.owned[:-1]
        return earlier if self.ratio is None else earlier * self.ratio

    @cached_property
    def fills(self) -> tuple[np.ndarray, ...]:
        """Bars, instruments, sizes, prices and commissions, in the order of the bars; what frees cash first."""
        sizes = self.units - self.before
        rows, numbers = np.nonzero(np.abs(sizes) * self.prices > DUST * self.value[:, None])
        sizes, prices = sizes[rows, numbers], self.prices[rows, numbers]
        paid = prices * (1 + np.copysign(self.rules.worse, sizes)) if self.rules.worse else prices
        share = _parts(self.rules.commission)[1] if self.rules.commission is not None else 0.0
        order = np.lexsort((numbers, self.before[rows, numbers] * sizes >= 0, rows))
        columns = (self.bars[rows], numbers, sizes, paid, np.abs(sizes) * paid * share)
        return tuple(column[order] for column in columns)


def book(market: Market, rules: PortfolioRules, cash: float, rows: np.ndarray, weights: np.ndarray) -> Booked | None:
    """The account that these weights, decided on these rows, lead to; None where the bars have to be walked.

    rows: ascending. weights: a row per decision, no missing values.
    """
    if not rules.fractional or rules.commission is None or _parts(rules.commission)[0]:
        return None
    lowest = weights.min(initial=0.0)
    if rules.interest or rules.borrow or (not rules.short and lowest < 0):
        return None
    count = len(market)
    bars = rows if rules.fill == "same-close" else rows + 1
    there = int(bars.searchsorted(count))  # what is decided on the last bar finds no bar to fill on
    bars, weights = bars[:there], weights[:there]
    if not there:
        return None
    invested = weights.sum(axis=1)
    if (np.abs(weights).sum(axis=1) if lowest < 0 else invested).max() > rules.leverage * (1 + DUST):
        return None
    prices = np.empty_like(weights)  # laid out as the weights are, so that both are gone through in one go
    prices[...] = market.price(rules.fill).take(bars, axis=0)
    if not market.complete:
        used = weights != 0
        used[1:] |= weights[:-1] != 0
        until = np.append(bars[1:], count - 1)
        known = market.marks[rows[:there]] > 0
        if (used & (np.isnan(prices) | ~known | (market.last < until[:, None]))).any():
            return None
        prices = np.where(used, prices, 1.0)  # where nothing is held or bought, any finite number does
    shares, paid = market.shares, market.paid
    now = prices if shares is None else prices * shares[bars]

    # From one rebalancing to the next, as fractions of the account after the earlier one.
    held = np.empty_like(weights)
    held[0] = 0.0
    drifted = np.divide(now[1:], now[:-1], out=held[1:])
    drifted *= weights[:-1]
    growth = 1.0 - invested[:-1] + drifted.sum(axis=1)
    if paid is not None:
        growth += (weights[:-1] * (np.diff(paid[bars], axis=0) / now[:-1])).sum(axis=1)
    if (growth <= 0).any():
        return None
    drifted /= growth[:, None]
    kept = _kept(weights, held, rules)
    value = np.ones(there)
    np.multiply(growth, kept[:-1], out=value[1:])
    np.multiply.accumulate(value, out=value)
    value *= cash
    after = value * kept
    owned = weights * after[:, None] / now  # in shares of the first row
    left = after * (1.0 - invested)

    lengths = np.empty_like(bars)
    np.subtract(bars[1:], bars[:-1], out=lengths[:-1])
    lengths[-1] = count - bars[-1]
    worth = market.marks if shares is None else market.marks * shares
    each = owned.repeat(lengths, axis=0)
    spare = left if paid is None else left - (owned * paid[bars]).sum(axis=1)
    equity = np.empty(count)
    equity[: bars[0]] = cash
    later = equity[bars[0] :]
    np.einsum("ij,ij->i", each, worth[bars[0] :], out=later)
    later += spare.repeat(lengths)
    if paid is not None:
        later += np.einsum("ij,ij->i", each, paid[bars[0] :])
    if equity.min() <= 0:
        return None
    return Booked(bars, equity, owned, left, value, prices, None if shares is None else shares[bars], rules)


def _kept(weights: np.ndarray, held: np.ndarray, rules: PortfolioRules) -> np.ndarray:
    """What is left of the account after the costs of each rebalancing, as fractions; account.value_after() for all."""
    share = _parts(rules.commission)[1] if rules.commission is not None else 0.0
    buying = rules.worse + share * (1 + rules.worse)
    selling = rules.worse + share * (1 - rules.worse)
    if not buying and not selling:
        return np.ones(len(weights))
    buys, kept = weights > held, np.empty(len(weights))
    first, end = 0, len(weights)
    for _ in range(30):
        sides, before, aims = buys[first:end], held[first:end], weights[first:end]
        cost = np.where(sides, buying, -selling)
        found = (1 + np.einsum("ij,ij->i", cost, before)) / (1 + np.einsum("ij,ij->i", cost, aims))
        kept[first:end] = found
        now = aims * found[:, None] > before
        if np.array_equal(now, sides):  # linear between changes of sides: this is the exact root
            break
        # The others have theirs. A part that lies in one piece adds up in the same order as the whole.
        turned = np.flatnonzero((now != sides).any(axis=1))
        sides[...] = now
        first, end = first + int(turned[0]), first + int(turned[-1]) + 1
    return kept
