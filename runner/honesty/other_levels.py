"""Are these the same orders, where prices are at another level? Limits and stops at the same share of the price, and
sizes as a program has them that knows no level: so many units, so much money, a share of the account or of what is
held, each as near as whole shares allow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qfp.checking.decisions import Decision, is_close, of_claim

__all__ = ["Side", "first_otherwise"]

CENT = 0.01  # prices are often rounded before an order is given
NEAR = 0.01  # of a size: whole shares are other parts of an account at other prices, and what was held drifts apart
MOST_RATIOS = 64  # latest ones of an instrument


@dataclass(frozen=True)
class Side:
    """What one of two runs did. orders, fills: as claims list them. equity: one value per bar."""

    orders: Sequence[Mapping[str, Any]]
    fills: Sequence[Mapping[str, Any]]
    equity: Sequence[float]


@dataclass
class _Held:
    """Units by instrument, and what the other run had for one unit of this one: of what was held, and of each fill."""

    ours: float = 0.0
    theirs: float = 0.0
    ratios: dict[int, float] = field(default_factory=dict)

    def note(self, ours: float, theirs: float) -> None:
        ratio = theirs / ours if ours else 0.0
        if 0 < ratio < math.inf:
            which = round(math.log(ratio) / NEAR)  # one for all that are as good as the same
            self.ratios.pop(which, None)
            self.ratios[which] = ratio
            if len(self.ratios) > MOST_RATIOS:
                del self.ratios[next(iter(self.ratios))]


def first_otherwise(
    ours: Side, theirs: Side, levels: Sequence[float], until: int, *, whole: bool = True, portfolio: bool = False
) -> int | None:
    """The first bar, up to `until`, on which two runs did not ask for the same; None when there is none.

    levels: by instrument, what a price of ours is for 1 of theirs. whole: whether only whole units are traded.
    portfolio: whether sizes below 1 are units, too, but for targets.
    """
    one, other = (_by_bar(of_claim({"orders": side.orders}), until) for side in (ours, theirs))
    fills = [_fills_by_bar(side.fills) for side in (ours, theirs)]
    exact = all(level == 1.0 for level in levels)
    others = tuple({level for level in levels if level})
    held: dict[int, _Held] = {}
    last = -1
    for bar in sorted(one.keys() | other.keys()):
        for at in range(last + 1, bar + 1):
            _book(held, *(each.get(at, {}) for each in fills))
        last = bar
        mine, beside = _parts(one.get(bar, ()), portfolio), _parts(other.get(bar, ()), portfolio)
        account = 1.0 if exact else _over(theirs.equity, ours.equity, bar)
        for key in mine.keys() | beside.keys():
            instrument, kind, units = key
            level = levels[instrument] if instrument < len(levels) else 1.0
            first, second = mine.get(key, []), beside.get(key, [])
            if len(first) != len(second):
                if exact or kind != "market" or not units:
                    return bar
                # Of whole shares none may be left to buy or sell at one of two prices.
                first, second = ([_sum(bar, instrument, kind, each)] for each in (first, second))
            same = _Same(level, 0.0 if exact else NEAR, whole, account, held.get(instrument, _Held()), others)
            if not all(same.agree(a, b, units) for a, b in zip(first, second, strict=True)):
                return bar
    return None


@dataclass(frozen=True)
class _Same:
    """near: as NEAR. account: theirs for 1 of ours, in currency. others: levels of all that is traded."""

    level: float
    near: float
    whole: bool
    account: float
    held: _Held
    others: tuple[float, ...] = ()

    def agree(self, one: Decision, other: Decision, units: bool) -> bool:
        cents = CENT * max(1.0, self.level)
        prices = ((one.limit, other.limit), (one.stop, other.stop))
        if not all(is_close(a, b * self.level) or abs(a - b * self.level) <= cents for a, b in prices):
            return False
        if not units:
            return is_close(one.size, other.size) or abs(one.size - other.size) <= self.near * abs(one.size)
        if not self.near:
            return is_close(one.size, other.size)
        return any(self._is(ratio, one.size, other.size) for ratio in self._ratios())

    def _ratios(self) -> list[float]:
        """Of theirs to ours, of a program that knows no level: of a pair one hedges so many units of the other."""
        hedged = (self.level / level for level in self.others)
        return [1.0, self.level, self.level * self.account, *hedged, *self.held.ratios.values()]

    def _is(self, ratio: float, ours: float, theirs: float) -> bool:
        """Whether the order, or what is held after it, is that many times ours."""
        after, beside = self.held.ours + ours, self.held.theirs + theirs
        share = max(1.0, ratio) if self.whole else 0.0  # of ours, or of theirs where that is worth more
        if abs(theirs - ratio * ours) <= max(share, self.near * ratio * abs(ours)):
            return True
        most = max(abs(self.held.ours), abs(after))
        return abs(beside - ratio * after) <= max(share, self.near * ratio * most)


def _by_bar(decisions: Sequence[Decision], until: int) -> dict[int, list[Decision]]:
    found: dict[int, list[Decision]] = {}
    for each in decisions:
        if each.bar <= until:
            found.setdefault(each.bar, []).append(each)
    return found


def _parts(decisions: Sequence[Decision], portfolio: bool) -> dict[tuple[int, str, bool], list[Decision]]:
    """Those of one bar by instrument, kind and whether their size is in units; what is bought and sold at the market is
    one kind where that is known to be units.
    """
    found: dict[tuple[int, str, bool], list[Decision]] = {}
    for each in decisions:
        units = abs(each.size) >= 1 or (portfolio and each.kind != "target")
        found.setdefault((each.instrument, each.kind, units), []).append(each)
    return found


def _sum(bar: int, instrument: int, kind: str, decisions: Sequence[Decision]) -> Decision:
    return Decision(bar, instrument, kind, sum(each.size for each in decisions))


def _fills_by_bar(fills: Sequence[Mapping[str, Any]]) -> dict[int, dict[tuple[int, bool], float]]:
    """Units, by instrument and whether they were bought."""
    found: dict[int, dict[tuple[int, bool], float]] = {}
    for fill in fills:
        size = float(fill["size"])
        key = int(fill.get("instrument") or 0), size > 0
        sums = found.setdefault(int(fill["bar"]), {})
        sums[key] = sums.get(key, 0.0) + size
    return found


def _book(
    held: dict[int, _Held], ours: Mapping[tuple[int, bool], float], theirs: Mapping[tuple[int, bool], float]
) -> None:
    for key in ours.keys() | theirs.keys():
        each = held.setdefault(key[0], _Held())
        a, b = ours.get(key, 0.0), theirs.get(key, 0.0)
        each.note(a, b)
        each.ours, each.theirs = each.ours + a, each.theirs + b
        each.note(each.ours, each.theirs)


def _over(theirs: Sequence[float], ours: Sequence[float], bar: int) -> float:
    """What their account is for 1 of ours."""
    if bar >= min(len(ours), len(theirs)) or not ours[bar] > 0 or not theirs[bar] > 0:
        return 1.0
    return theirs[bar] / ours[bar]
