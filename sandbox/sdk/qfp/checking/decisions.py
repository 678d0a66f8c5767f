"""What did a strategy decide, bar by bar, and where do two runs of it part? Decisions are orders, not fills.

Which price an order got, or whether the account could pay, follows from bars that came later; what was asked for does
not. So orders are what is compared, and limit orders or an empty account raise no false alarm. Fills are compared where
they can be had from two runs, too: those of bars before the last one that both runs have in common are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

__all__ = [
    "Decision",
    "first_difference",
    "first_other_fate",
    "first_other_fill",
    "is_at_market",
    "is_close",
    "of_claim",
    "of_fills",
    "otherwise_at_open",
]

# Sums over a longer and a shorter array differ in their last digits. Units that differ by more may be a choice: an
# account pays for one size and not for the other.
TOLERANCE = 1e-9


class Decision(NamedTuple):
    """An order placed or withdrawn on the close of a bar. size: units, a fraction or a weight; negative to sell."""

    bar: int
    instrument: int
    kind: str
    size: float
    limit: float = math.nan
    stop: float = math.nan


def of_claim(claim: dict[str, Any]) -> list[Decision]:
    """The decisions of a claimed backtest, by bar."""
    found = []
    for order in claim.get("orders") or ():
        if order.get("withdrawn") == order["bar"]:
            continue  # nothing was decided
        kind = ("close " if order.get("closes") else "") + str(order.get("kind") or "market")
        limit, stop = _price(order.get("limit")), _price(order.get("stop"))
        if order.get("sl") or order.get("tp"):  # with a stop-loss or target it is another order
            kind, limit, stop = f"{kind} bracket", _price(order.get("tp") or limit), _price(order.get("sl") or stop)
        found.append(
            Decision(int(order["bar"]), int(order.get("instrument") or 0), kind, float(order["size"]), limit, stop)
        )
    return sorted(found, key=lambda decision: decision.bar)


def of_fills(fills: Iterable[dict[str, Any]], until: int) -> list[Decision]:
    """What was filled up to a bar, to be compared as decisions are: of each instrument and side the sum."""
    by_bar = _fills_by_bar(fills, until).items()
    return [Decision(bar, side[0], f"filled {side[1]}", side[2]) for bar, sides in by_bar for side in sides]


def first_difference(one: Sequence[Decision], other: Sequence[Decision], until: int, prices: float = 1.0) -> int | None:
    """The first bar, up to `until`, on which two runs did not ask for the same; None when there is none.

    prices: what the prices of `other` were multiplied by. Units that cost as much money as before are the same then.
    """
    ours, theirs = _by_bar(one, until, 1.0), _by_bar(other, until, prices)
    return min(
        (bar for bar in ours.keys() | theirs.keys() if not _same(ours.get(bar), theirs.get(bar), prices)), default=None
    )


def first_other_fill(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]], until: int) -> int | None:
    """The first bar, up to `until`, on which two runs did not have the same fills; None when there is none.

    one, other: fills as claims list them.
    """
    ours, theirs = _fills_by_bar(one, until), _fills_by_bar(other, until)
    return min((bar for bar in ours.keys() | theirs.keys() if not _same(ours.get(bar), theirs.get(bar))), default=None)


def first_other_fate(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]], until: int) -> int | None:
    """The first bar, up to `until`, with an order that one run had certainly withdrawn or refused by then and the other
    certainly had not; None when there is none.

    one, other: the same orders, as claims list them. withdrawn: the bar on which that was decided, where it is known;
    gone: the last one on which it can have been. Where neither is told, nothing is certain. An order at the market that
    the account cannot pay is refused on the next bar.
    """
    ours, theirs = _fates(one, until), _fates(other, until)
    found = [
        key[0]
        for key in ours.keys() & theirs.keys()
        if len(ours[key]) == len(theirs[key])
        and any(
            each.count(fate) > len(beside) - beside.count(KEPT)
            for fate in (WITHDRAWN, REFUSED)
            for each, beside in ((ours[key], theirs[key]), (theirs[key], ours[key]))
        )
    ]
    return min(found, default=None)


WITHDRAWN, REFUSED, KEPT, UNCERTAIN = "withdrawn", "refused", "kept", ""
UNPAID = ("insufficient margin", "insufficient margin for a single unit")


def otherwise_at_open(
    one: Sequence[dict[str, Any]],
    other: Sequence[dict[str, Any]],
    fills: Sequence[dict[str, Any]],
    other_fills: Sequence[dict[str, Any]],
    bar: int,
) -> bool:
    """Whether two runs did not fill the same on a bar that opens alike in both, and reaches the same stops, limits and
    targets.

    one, other: their orders.
    """
    ours, theirs = ([fill for fill in each if int(fill["bar"]) == bar] for each in (fills, other_fills))
    if first_other_fill(ours, theirs, bar) is not None:
        return True
    fates, other_fates = _at_next_open(one, ours, bar), _at_next_open(other, theirs, bar)
    return any(
        len(fates[key]) == len(other_fates[key])
        and any(
            each.count(REFUSED) > len(beside) - beside.count(KEPT)
            for each, beside in ((fates[key], other_fates[key]), (other_fates[key], fates[key]))
        )
        for key in fates.keys() & other_fates.keys()
    )


def is_at_market(order: dict[str, Any]) -> bool:
    return not any(order.get(name) for name in ("limit", "stop", "sl", "tp"))


def _at_next_open(
    orders: Iterable[dict[str, Any]], fills: Iterable[dict[str, Any]], bar: int
) -> dict[tuple[Any, ...], list[str]]:
    """What became of the orders at the market that were to be filled at the open of a bar."""
    from qfp.portfolio.orders import ENDED, HALTED, NO_PRICE

    ends = (ENDED, HALTED, NO_PRICE)  # an instrument may have other bars where its data go on otherwise
    filled = {(int(fill.get("instrument") or 0), float(fill["size"]) > 0) for fill in fills if int(fill["bar"]) == bar}
    found: dict[tuple[Any, ...], list[str]] = {}
    for order in orders:
        if int(order["bar"]) != bar - 1 or not is_at_market(order):
            continue
        (decided,) = of_claim({"orders": [order]})
        fate = UNCERTAIN
        outcome = order.get("outcome")
        if outcome == "filled" and (decided.instrument, decided.size > 0) in filled:
            fate = KEPT
        elif outcome == "cancelled" or (outcome == "refused" and order.get("reason") not in ends):
            fate = REFUSED
        found.setdefault((decided.instrument, decided.kind, f"{decided.size:.9g}"), []).append(fate)
    return found


def _fates(orders: Iterable[dict[str, Any]], until: int) -> dict[tuple[Any, ...], list[str]]:
    """Whether each order was withdrawn by a bar, those that say the same together."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for order in orders:
        if int(order["bar"]) > until:
            continue
        fate = KEPT
        if order.get("outcome") == "cancelled":
            by_then = order.get("withdrawn", order.get("gone", until + 1)) <= until
            fate = WITHDRAWN if by_then else KEPT if "withdrawn" in order else UNCERTAIN
        elif order.get("outcome") == "refused" and order.get("reason") in UNPAID and is_at_market(order):
            fate = REFUSED if int(order["bar"]) < until else KEPT
        (decided,) = of_claim({"orders": [order]})
        key = decided[:3] + tuple(f"{value:.9g}" for value in decided[3:])
        found.setdefault(key, []).append(fate)
    return found


def _fills_by_bar(fills: Iterable[dict[str, Any]], until: int) -> dict[int, list[tuple[Any, ...]]]:
    """What changed hands, by bar: an order that fills in parts, or with others at one price, is told as one."""
    found: dict[int, dict[tuple[int, str], list[float]]] = {}
    for fill in fills:
        if (bar := int(fill["bar"])) <= until and (size := float(fill["size"])):
            side = int(fill.get("instrument") or 0), "buy" if size > 0 else "sell"
            sums = found.setdefault(bar, {}).setdefault(side, [0.0, 0.0])
            sums[0] += size
            sums[1] += size * float(fill["price"])
    return {bar: [(*side, *sums) for side, sums in sorted(sides.items())] for bar, sides in found.items()}


def _by_bar(decisions: Iterable[Decision], until: int, prices: float) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = {}
    for bar, instrument, kind, size, limit, stop in decisions:
        if bar <= until:
            found.setdefault(bar, []).append((instrument, kind, size, limit / prices, stop / prices))
    return {bar: sorted(orders, key=lambda order: order[:3]) for bar, orders in found.items()}


def _same(ours: list[tuple[Any, ...]] | None, theirs: list[tuple[Any, ...]] | None, prices: float = 1.0) -> bool:
    if ours is None or theirs is None or len(ours) != len(theirs):
        return False
    return all(
        one[:2] == other[:2]
        and (is_close(one[2], other[2]) or (prices != 1.0 and _cost_the_same(one[2], other[2] * prices, prices)))
        and all(is_close(a, b) for a, b in zip(one[3:], other[3:], strict=True))
        for one, other in zip(ours, theirs, strict=True)
    )


def _cost_the_same(one: float, other: float, prices: float) -> bool:
    """Whether these are the units that one amount of money buys, whole ones or parts."""
    return is_close(one, other) or (abs(one) >= prices and one * other > 0 and abs(one - other) < prices)


def is_close(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-12)


def _price(value: Any) -> float:
    return math.nan if value is None else float(value)
