"""Could these fills have been had by the stated rules? Prices within their bars, costs, leverage, and the clock."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from qfp.conventions import BacktestingPy, CopiedRules, PortfolioRules, Usual
from qfp.portfolio.market import Market
from qfp.replay import PortfolioReplay

from runner.claim_bars import NotVerified, OurBars

# Box and host add the same numbers in another order.
EQUITY_TOLERANCE = 1e-6
PRICE_TOLERANCE = 1e-6
# Commission leaves cash with the fill, and other fills of the bar may come first.
LEVERAGE_TOLERANCE = 0.01

Columns = tuple[np.ndarray, ...]
# By bar and whether bought: units and value after none of its fills, the first, the first two, ...
Sides = dict[tuple[int, bool], tuple[np.ndarray, np.ndarray]]
NOTHING = np.zeros(1), np.zeros(1)


# One instrument ---------------------------------------------------------------------------------------------


def check_fills(fills: list[dict[str, float]], bars: OurBars, rules: BacktestingPy) -> None:
    """Every fill within its bar, worse by the spread at most, and charged what the rules say."""
    for fill in fills:
        low, high = bars.low[int(fill["bar"])], bars.high[int(fill["bar"])]
        room = PRICE_TOLERANCE * high
        above, below = (rules.spread * high, 0.0) if fill["size"] > 0 else (0.0, rules.spread * low)
        if not low - below - room <= fill["price"] <= high + above + room:
            raise NotVerified(f"A fill at {fill['price']:g} lies outside that bar's range of {low:g} to {high:g}.")
        charged = rules.commission_for(fill["size"], fill["price"])
        if charged is not None and abs(charged - fill["commission"]) > EQUITY_TOLERANCE * max(1.0, abs(charged)):
            raise NotVerified(f"A fill was charged {fill['commission']:g}; by the stated rules it is {charged:g}.")


def check_leverage(
    fills: list[dict[str, float]], closed: list[float], bars: OurBars, cash: float, rules: BacktestingPy
) -> None:
    """Nothing was opened that the account could not pay for. Values the account at the open of the bar of the fill,
    or at the close that decides; by backtesting.py's rules at the close of the bar of the fill, with fills at the
    deciding close of the next bar.

    closed: units of each fill that close a trade, where long and short ones may be open at once.
    """
    close = bars.close
    account = _Account(cash)
    later = _sides(fills, bars, rules) if rules.trade_on_close else {}
    before: dict[int, _Account] = {}  # the fills of a bar
    triggered: dict[int, _Account] = {}  # the same after those of the bar's fills that its prices have triggered
    opened: dict[int, float] = defaultdict(float)  # value
    for number, fill in enumerate(fills):
        size, price, bar = fill["size"], fill["price"], int(fill["bar"])
        before.setdefault(bar, account)
        triggered.setdefault(bar, account)
        opening = abs(size) - account.closed_by(size)
        if rules.hedging:
            opening = abs(size) - closed[number]
        if opening * price > 0:
            if isinstance(rules, Usual):
                marks = {bars.open[bar], close[bar]} if rules.trade_on_close else {bars.open[bar]}
            else:
                marks = {close[bar], close[min(bar + 1, len(close) - 1)]} if rules.trade_on_close else {close[bar]}
            accounts = [(account, 0.0)]
            if rules.trade_on_close:
                if _is_at_close(fill, bars, rules):  # dated back, before what the next bar did first
                    there = triggered[bar]
                    most = there.held_like(account) + max(0.0, there.cash + there.held * price) / price / rules.margin
                    accounts.append((account.after_closing(later, bar + 1, most), 0.0))
                accounts.append((before.get(bar - 1, account), opened[bar - 1] + opened[bar]))
            allowed = 0.0
            for each, taken in accounts:
                left = each.after(each.closed_by(size), size, price) if not rules.hedging else each
                allowed = max(allowed, *(left.free(mark, rules.margin) / rules.margin - taken for mark in marks))
            if opening * price > allowed * (1 + LEVERAGE_TOLERANCE) + 1e-9:
                raise NotVerified(
                    f"On bar {bar} it opened {opening * price:,.2f} with {allowed:,.2f} to pay for it by "
                    f"the stated rules."
                )
        opened[bar] += opening * price
        account = account.after_fill(fill)
        if not _is_at_close(fill, bars, rules):
            triggered[bar] = triggered[bar].after_fill(fill)


@dataclass(frozen=True)
class _Account:
    """Cash and units of one instrument."""

    cash: float
    held: float = 0.0

    def closed_by(self, size: float) -> float:
        """How much of an order of this size closes what is held."""
        return min(abs(size), abs(self.held)) if self.held * size < 0 else 0.0

    def after(self, units: float, size: float, price: float) -> _Account:
        """So many units bought or sold, as the sign of size says, before what that costs."""
        moved = units if size > 0 else -units
        return _Account(self.cash - moved * price, self.held + moved)

    def after_fill(self, fill: dict[str, float]) -> _Account:
        return _Account(self.cash - fill["size"] * fill["price"] - fill["commission"], self.held + fill["size"])

    def held_like(self, other: _Account) -> float:
        """Units on the side on which the other one has some."""
        return abs(self.held) if self.held * other.held > 0 else 0.0

    def after_closing(self, sides: Sides, bar: int, most: float) -> _Account:
        """What closes something on a later bar, in the order of its fills. most: units: as many as there were, and as
        many as could be paid for, since what looks like a closing fill may be the first one, which opened.
        """
        units, values = sides.get((bar, self.held < 0), NOTHING)
        closed = min(abs(self.held), most, float(units[-1]))
        moved = math.copysign(closed, -self.held)
        value = float(np.interp(closed, units, values))  # the last of them may close in part
        return _Account(self.cash - math.copysign(value, moved), self.held + moved)

    def free(self, mark: float, margin: float) -> float:
        return self.cash + self.held * mark - abs(self.held) * mark * margin


def _is_at_close(fill: dict[str, float], bars: OurBars, rules: BacktestingPy) -> bool:
    """Whether it was decided on its bar, where fills are at that close; otherwise a price has triggered it."""
    plain = float(bars.close[int(fill["bar"])])
    worse = plain * (1 + math.copysign(rules.spread, fill["size"]))
    return min(abs(fill["price"] - plain), abs(fill["price"] - worse)) <= PRICE_TOLERANCE * plain


def _sides(fills: list[dict[str, float]], bars: OurBars, rules: BacktestingPy) -> Sides:
    """Of the fills that a price has triggered: others come later than what the bar before decided."""
    sums: dict[tuple[int, bool], tuple[list[float], list[float]]] = defaultdict(lambda: ([0.0], [0.0]))
    for fill in fills:
        if not _is_at_close(fill, bars, rules):
            units, values = sums[int(fill["bar"]), fill["size"] > 0]
            units.append(units[-1] + abs(fill["size"]))
            values.append(values[-1] + abs(fill["size"]) * fill["price"])
    return {side: (np.array(units), np.array(values)) for side, (units, values) in sums.items()}


# Many instruments -------------------------------------------------------------------------------------------


def columns_of(fills: list[dict[str, float]]) -> Columns:
    """Bars, instruments, sizes, prices and commissions of fills."""
    kinds = {"bar": np.int64, "instrument": np.int64, "size": np.float64, "price": np.float64, "commission": np.float64}
    return tuple(np.array([fill.get(name, 0) for fill in fills], dtype=kind) for name, kind in kinds.items())


def check_portfolio_fills(
    fills: Columns, orders: list[dict[str, Any]] | None, market: Market, rules: PortfolioRules, names: list[str]
) -> None:
    """Every fill on a bar there is, after it was decided, at the price that the rules name or within the bar for limit
    and stop orders, and charged what the rules say. orders: None where not all of them are known.
    """
    bars, numbers, sizes, prices, _ = fills
    if not len(bars):
        return
    stated = market.price(rules.fill)[bars, numbers]
    missing = np.flatnonzero(np.isnan(stated))
    if len(missing):
        at = missing[0]
        raise NotVerified(f"{names[numbers[at]]} was filled on bar {bars[at]}, on which it has no bar.")
    worse = np.copysign(rules.worse, sizes)
    room = PRICE_TOLERANCE * stated
    as_stated = np.abs(prices - stated * (1 + worse)) <= room
    resting, first = resting_of(orders, len(names))
    high, low = (market.fields.get(name, market.close)[bars, numbers] for name in ("high", "low"))
    # Costs make what is bought dearer and what is sold cheaper, and nothing the other way round.
    above, below = np.maximum(worse, 0.0), np.minimum(worse, 0.0)
    within = (prices >= low * (1 + below) - room) & (prices <= high * (1 + above) + room)
    allowed = as_stated | (within & resting[numbers])
    if not allowed.all():
        at = int(np.flatnonzero(~allowed)[0])
        what = f"A fill of {names[numbers[at]]} at {prices[at]:g} on bar {bars[at]}"
        if within[at]:
            raise NotVerified(f"{what} is not at the price of the stated rules, {stated[at] * (1 + worse[at]):g}.")
        raise NotVerified(f"{what} lies outside that bar's range of {low[at]:g} to {high[at]:g}.")
    check_decided_before(fills, first, 0 if rules.fill == "same-close" else 1, names)
    if rules.commission is not None:
        check_commissions(fills, rules)
    unsplit = np.ones(len(names), dtype=bool) if market.split is None else (market.split == 1).all(axis=0)
    if not rules.fractional and np.any((sizes != np.round(sizes)) & unsplit[numbers]):
        raise NotVerified("It holds parts of a share, which the stated rules exclude.")


def check_decided_before(fills: Columns, first: np.ndarray | None, delay: int, names: list[str]) -> None:
    """Nothing was filled sooner than `delay` bars after the first decision for its instrument, as far as known."""
    if first is None:
        return
    bars, numbers = fills[:2]
    early = np.flatnonzero(bars < first[numbers] + delay)
    if len(early):
        at = early[0]
        raise NotVerified(f"{names[numbers[at]]} was filled on bar {bars[at]}, before anything was decided for it.")


def check_commissions(fills: Columns, rules: PortfolioRules | CopiedRules) -> None:
    """Every fill was charged what the rules say."""
    _, _, sizes, prices, commissions = fills
    charged = np.array([rules.commission_for(*fill) for fill in zip(sizes.tolist(), prices.tolist(), strict=True)])
    wrong = np.abs(charged - commissions) > EQUITY_TOLERANCE * np.maximum(1.0, np.abs(charged))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise NotVerified(f"A fill was charged {commissions[at]:g}; by the stated rules it is {charged[at]:g}.")


def resting_of(orders: list[dict[str, Any]] | None, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """For which instruments limit or stop orders were given, and the bar of the first decision for each."""
    if orders is None:
        return np.ones(count, dtype=bool), None
    resting, first = np.zeros(count, dtype=bool), np.full(count, np.iinfo(np.int64).max // 2)
    for order in reversed(orders):
        first[order["instrument"]] = order["bar"]
        if order["kind"] not in ("market", "target"):
            resting[order["instrument"]] = True
    return resting, first


def check_exposure(fills: Columns, account: PortfolioReplay, market: Market, rules: PortfolioRules) -> None:
    """After the fills of a bar no more is held than the rules allow: at the prices that the rules name, also with that
    of one of its fills, or at the closes.
    """
    bars = np.unique(fills[0])
    units = account.units
    if not rules.short and units.min(initial=0.0) < -EQUITY_TOLERANCE * max(1.0, float(np.abs(units).max(initial=0.0))):
        raise NotVerified("It sold more than it held, which the stated rules exclude.")
    before = np.vstack([np.zeros_like(units[:1]), units[:-1]])
    for bar in bars.tolist():
        if not (np.abs(units[bar]) > np.abs(before[bar])).any():
            continue
        fair = np.where(np.isnan(market.price(rules.fill)[bar]), market.marks[bar], market.price(rules.fill)[bar])
        shares = []
        within = [fair, market.marks[bar]]
        for at in np.flatnonzero(fills[0] == bar).tolist():  # a limit or stop order is paid for at its own price
            within.append(fair.copy())
            within[-1][fills[1][at]] = fills[3][at]
        for values in within:
            worth = units[bar] * values
            equity = float(account.cash[bar] + worth.sum())
            shares.append(float(np.abs(worth).sum()) / equity if equity > 0 else np.inf)
        if min(shares) > rules.leverage * (1 + LEVERAGE_TOLERANCE):
            raise NotVerified(
                f"On bar {bar} it held {min(shares):.3g} times the account; the stated rules allow {rules.leverage:g}."
            )


def compare_flows(ours: list[dict[str, Any]], claimed: list[dict[str, Any]], cash: float, names: list[str]) -> None:
    """The same dividends, splits, interest, fees and payments on the same bars."""

    def key(flow: dict[str, Any]) -> tuple[int, str, int]:
        return flow["bar"], flow["kind"], -1 if flow["instrument"] is None else flow["instrument"]

    room = EQUITY_TOLERANCE * max(1.0, cash)
    sums: dict[tuple[int, str, int], float] = {}
    for sign, flows in ((1.0, ours), (-1.0, claimed)):
        for flow in flows:
            sums[key(flow)] = sums.get(key(flow), 0.0) + sign * flow["amount"]
    # Interest on cash that is nothing but rounding is paid or not.
    dust = {where for where, amount in sums.items() if where[1] in ("interest", "borrow") and abs(amount) <= room}
    only_one_has = ({key(flow) for flow in ours} ^ {key(flow) for flow in claimed}) - dust
    worst = min(only_one_has, default=max(sums, key=lambda found: abs(sums[found]), default=None))
    if worst is not None and (only_one_has or abs(sums[worst]) > room):
        bar, kind, at = worst
        what = f"{kind} of {names[at]}" if at >= 0 else kind
        raise NotVerified(f"By our own data and its fills, the {what} on bar {bar} is another.")


def compare_equity(ours: np.ndarray, claimed: np.ndarray, cash: float) -> None:
    # What the account was worth until then, not what it became.
    apart = np.abs(ours - claimed) / np.maximum.accumulate(np.maximum(np.abs(ours), cash))
    worst = int(apart.argmax())
    if apart[worst] > EQUITY_TOLERANCE:
        raise NotVerified(
            f"Replaying the fills gives {ours[worst]:,.2f} on bar {worst}, the run said "
            f"{claimed[worst]:,.2f}: "
            "the bars were changed in the code, or the fills are not complete."
        )
