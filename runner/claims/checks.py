"""Could these fills have been had by the stated rules? Prices within their bars, costs, leverage, and the clock."""

from __future__ import annotations

from typing import Any

import numpy as np
from qfp.conventions import BacktestingPy, CopiedRules
from qfp.figures import signed

from runner.claims.bars import NotVerified, OurBars

# Box and host add the same numbers in another order.
EQUITY_TOLERANCE = 1e-6
PRICE_TOLERANCE = 1e-9
# Commission leaves cash with the fill, and other fills of the bar may come first.
LEVERAGE_TOLERANCE = 0.01
MOST_NAMED = 3  # of the orders that a sentence is about

Columns = tuple[np.ndarray, ...]


# One instrument ---------------------------------------------------------------------------------------------


def check_prices(fills: list[dict[str, float]], bars: OurBars, rules: BacktestingPy) -> None:
    """Every fill within its bar, worse by the spread at most."""
    for fill in fills:
        low, high = bars.low[int(fill["bar"])], bars.high[int(fill["bar"])]
        room = PRICE_TOLERANCE * high
        above, below = (rules.spread * high, 0.0) if fill["size"] > 0 else (0.0, rules.spread * low)
        if not low - below - room <= fill["price"] <= high + above + room:
            raise NotVerified(f"A fill at {fill['price']:g} lies outside that bar's range of {low:g} to {high:g}.")


def check_charges(fills: list[dict[str, float]], rules: BacktestingPy) -> None:
    """Every fill charged what the rules say."""
    for fill in fills:
        charged = rules.commission_for(fill["size"], fill["price"])
        if charged is not None and abs(charged - fill["commission"]) > EQUITY_TOLERANCE * max(1.0, abs(charged)):
            raise NotVerified(f"A fill was charged {fill['commission']:g}; by the stated rules it is {charged:g}.")


def filled_outside(decided: list[str]) -> NotVerified:
    """Of orders that the rules of backtesting.py have filled beyond their bars. decided: the dates of the decisions."""
    many, first = len(decided), decided[:MOST_NAMED]
    more = f" and {many - len(first)} more" if many > len(first) else ""
    which = f"those decided on {', '.join(first)}{more}" if many > 1 else f"that decided on {decided[0]}"
    what = f"{many} orders at prices outside their bars" if many > 1 else "an order at a price outside its bar"
    return NotVerified(
        f"The rules of backtesting.py filled {what}, which nobody could have had: {which}. Run it by the rules of "
        "qfp.backtesting, which fill within the bar."
    )


# Many instruments -------------------------------------------------------------------------------------------


def columns_of(fills: list[dict[str, float]]) -> Columns:
    """Bars, instruments, sizes, prices and commissions of fills."""
    kinds = {"bar": np.int64, "instrument": np.int64, "size": np.float64, "price": np.float64, "commission": np.float64}
    return tuple(np.array([fill.get(name, 0) for fill in fills], dtype=kind) for name, kind in kinds.items())


def check_decided_before(fills: Columns, first: np.ndarray, delay: int, names: list[str]) -> None:
    """Nothing was filled sooner than `delay` bars after the first decision for its instrument."""
    bars, numbers = fills[:2]
    early = np.flatnonzero(bars < first[numbers] + delay)
    if len(early):
        at = early[0]
        raise NotVerified(f"{names[numbers[at]]} was filled on bar {bars[at]}, before anything was decided for it.")


def check_commissions(fills: Columns, rules: CopiedRules) -> None:
    """Every fill was charged what the rules say."""
    _, _, sizes, prices, commissions = fills
    charged = np.array([rules.commission_for(*fill) for fill in zip(sizes.tolist(), prices.tolist(), strict=True)])
    wrong = np.abs(charged - commissions) > EQUITY_TOLERANCE * np.maximum(1.0, np.abs(charged))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise NotVerified(f"A fill was charged {commissions[at]:g}; by the stated rules it is {charged[at]:g}.")


def first_decisions(orders: list[dict[str, Any]], count: int) -> np.ndarray:
    """The bar of the first decision for each of so many instruments."""
    first = np.full(count, np.iinfo(np.int64).max // 2)
    for order in reversed(orders):
        first[order["instrument"]] = order["bar"]
    return first


def compare_flows(ours: list[dict[str, Any]], claimed: list[dict[str, Any]], cash: float, names: list[str]) -> None:
    """The same dividends, splits, interest, fees and payments on the same bars."""

    def key(flow: dict[str, Any]) -> tuple[int, str, int]:
        return flow["bar"], flow["kind"], -1 if flow["instrument"] is None else flow["instrument"]

    room = EQUITY_TOLERANCE * max(1.0, cash)
    sums: dict[tuple[int, str, int], float] = {}
    for sign, flows in ((1.0, ours), (-1.0, claimed)):
        for flow in flows:
            sums[key(flow)] = sums.get(key(flow), 0.0) + sign * flow["amount"]
    # On what is nothing but rounding something is paid or not, and what we do not have at all may be split.
    splits = {key(flow) for flow in ours if flow["kind"] == "split"}
    dust = {where for where, amount in sums.items() if where not in splits and abs(amount) <= room}
    only_one_has = ({key(flow) for flow in ours} ^ {key(flow) for flow in claimed}) - dust
    worst = min(only_one_has, default=max(sums, key=lambda found: abs(sums[found]), default=None))
    if worst is not None and (only_one_has or abs(sums[worst]) > room):
        bar, kind, at = worst
        what = f"{kind} of {names[at]}" if at >= 0 else kind
        raise NotVerified(f"By our own data and its fills, the {what} on bar {bar} is another.")


def compare_equity(ours: np.ndarray, claimed: np.ndarray, cash: float, filled: bool = True) -> None:
    """filled: whether the claim lists any fill."""
    # What the account was worth until then, not what it became.
    apart = np.abs(ours - claimed) / np.maximum.accumulate(np.maximum(np.abs(ours), cash))
    worst = int(apart.argmax())
    if not apart[worst] <= EQUITY_TOLERANCE:  # nor is what is no number the same
        own, theirs = signed(ours[worst], 2, True), signed(claimed[worst], 2, True)
        if not filled:
            raise NotVerified(
                f"It lists no fill, and without any the account is worth {own} on bar {worst}; the run said {theirs}."
            )
        raise NotVerified(
            f"Replaying the fills gives {own} on bar {worst}, the run said {theirs}: the bars were changed in the "
            "code, or the fills are not complete."
        )
