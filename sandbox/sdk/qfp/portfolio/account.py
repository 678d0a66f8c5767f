"""What does an account with many instruments do on one bar? Start reading at Account.open().

Prices are tables with a row per bar and a column per instrument. The account's value is cash plus units times prices,
and every change of either is a fill or a flow that the site can book again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from qfp.conventions import PortfolioRules, _parts
from qfp.portfolio import orders as o
from qfp.portfolio.market import Market
from qfp.portfolio.orders import Order, Targets

__all__ = ["DUST", "Account", "Fills", "value_after"]

# A trade below this share of the account is rounding, not a trade.
DUST = 1e-9


class Fills:
    """Every fill in the order it was booked, in columns."""

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._columns: tuple[np.ndarray, ...] | None = None
        self.count = 0

    def add(self, bar: Any, instruments: Any, sizes: Any, prices: Any, commissions: Any) -> None:
        """One fill or many; `bar` may be one number for all."""
        instruments = np.atleast_1d(instruments)
        bars = np.broadcast_to(bar, len(instruments))
        self._parts.append((bars, instruments, *(np.atleast_1d(values) for values in (sizes, prices, commissions))))
        self.count += len(instruments)
        self._columns = None

    def columns(self) -> tuple[np.ndarray, ...]:
        """Bars, instruments, sizes, prices and commissions."""
        if self._columns is None:
            kinds = (np.int64, np.int64, np.float64, np.float64, np.float64)
            self._columns = tuple(
                np.concatenate([part[at] for part in self._parts]).astype(kind) if self._parts else np.empty(0, kind)
                for at, kind in enumerate(kinds)
            )
        return self._columns


def value_after(
    value: float, held: np.ndarray, weights: np.ndarray, buying: float, selling: float, fixed: float = 0.0
) -> float:
    """What the account is worth once it holds these weights of it, after the costs of getting there.

    value, held: before, in currency. buying, selling: cost of a trade as a fraction of its value at the price before
    costs. The equation is linear between changes of sides, so Newton's steps end at its exact root. They come from
    above: once one is not above 0, the account cannot pay for it.
    """
    after = value
    for _ in range(30):
        trades = weights * after - held
        buys, sells = trades > 0, trades < 0
        count = fixed and int(np.count_nonzero(np.abs(trades) > DUST * value))
        refined = (value + buying * held[buys].sum() - selling * held[sells].sum() - fixed * count) / (
            1 + buying * weights[buys].sum() - selling * weights[sells].sum()
        )
        if refined <= 0 or abs(refined - after) <= 1e-15 * value:
            return float(refined)
        after = refined
    return float(min(after, refined))


class Account:
    """Cash, units, waiting orders and everything that happened to them.

    commission: (size, price) -> currency. It is used only where the rules do not say it in numbers.
    """

    def __init__(
        self, market: Market, rules: PortfolioRules, commission: Callable[[float, float], float] | None, cash: float
    ) -> None:
        self.market, self.rules, self.commission = market, rules, commission
        self.cash, self.units = float(cash), np.zeros(len(market.symbols))
        self.bar = 0
        self.orders: list[Order] = []
        self.targets: list[Targets] = []
        self.decisions: list[Order | Targets] = []
        self.fills = Fills()
        self.flows: list[dict[str, Any]] = []
        self.ruined_at: int | None = None
        self.cash_at = np.empty(len(market))
        self._held: list[tuple[int, np.ndarray]] = [(0, self.units.copy())]
        self._weights = np.zeros_like(self.units)  # decided last
        self._aimed = np.full(len(self.units), -1)  # by which of the decisions; others do not wait for it any more
        self._prices = market.price(rules.fill)
        self._limits = all(name in market.fields for name in ("open", "high", "low"))
        fixed, share = (0.0, 0.0) if rules.commission is None else _parts(rules.commission)
        self._fixed, self._share = fixed, share
        self._buying = rules.worse + share * (1 + rules.worse)
        self._selling = rules.worse + share * (1 - rules.worse)
        self._may_be_ruined = rules.leverage > 1 or rules.short or commission is not None or fixed > 0
        self._acts = self._bars_with_actions()
        self._over = self._ends()
        self._years = market.years if rules.interest or rules.borrow else None

    def _bars_with_actions(self) -> set[int]:
        found: set[int] = set()
        for table, usual in ((self.market.split, 1.0), (self.market.dividend, 0.0)):
            if table is not None:
                found |= set(np.flatnonzero((table != usual).any(axis=1)).tolist())
        return found

    def _ends(self) -> dict[int, list[int]]:
        """Bar -> instruments that count as ended from then on."""
        found: dict[int, list[int]] = {}
        for number, bar in enumerate(self.market.ended.tolist()):
            found.setdefault(bar, []).append(number)
        return found

    # What a strategy asks -------------------------------------------------------------------------------------

    def equity(self) -> float:
        """Cash plus what is held, at the last closes there were."""
        return float(self.cash + self.units @ self.market.marks[self.bar])

    def today(self) -> int:
        """The number of the bar."""
        return self.bar

    def place(self, instrument: int, size: Any, limit: float | None = None, stop: float | None = None) -> Order:
        """An order for units. What is impossible from the start is refused at once, with its reason."""
        try:
            units = float(size)
        except (TypeError, ValueError):
            units = np.nan
        order = Order(self.bar, instrument, units if np.isfinite(units) else 0.0, limit, stop, today=self.today)
        self.decisions.append(order)
        if not np.isfinite(units) or units == 0:
            order.refuse(o.BAD_SIZE)
        elif not self.rules.fractional and units != round(units) and abs(units + self.units[instrument]) > DUST:
            order.refuse(o.NOT_WHOLE)
        elif reason := self._untradable(instrument):
            order.refuse(reason)
        else:
            self.orders.append(order)
        return order

    def aim(self, weights: np.ndarray) -> Targets:
        """Target weights: NaN where nothing is decided."""
        # What an order bought is sold as well, and so is what one given before buys before this fills.
        others = self.units != 0
        others[[order.instrument for order in self.orders]] = True
        targets = Targets.of(self.bar, weights, self._weights, others)
        targets.outcomes[~targets.shown] = o.CANCELLED  # nothing to sell, also not what is bought later
        decided = ~np.isnan(weights)
        for number in np.unique(self._aimed[decided]).tolist():
            if number >= 0:
                older = self.decisions[number]
                older.outcomes[(older.outcomes == o.WAITING) & decided] = o.CANCELLED
        self._aimed[decided] = len(self.decisions)
        self.decisions.append(targets)
        if not self.rules.short and (weights < 0).any():
            targets.refuse(weights < 0, o.NO_SHORT)
        for number in np.flatnonzero(decided & (weights != 0) & self._without_price()).tolist():
            targets.refuse(np.array([number]), self._untradable(number))
        waiting = targets.outcomes == o.WAITING
        if np.abs(weights[waiting]).sum() > self.rules.leverage * (1 + DUST):
            targets.refuse(waiting, o.TOO_MUCH)
        if (targets.outcomes == o.WAITING).any():
            self.targets.append(targets)
        return targets

    def _without_price(self) -> np.ndarray:
        market = self.market
        if market.complete:
            return np.zeros(len(self.units), dtype=bool)
        return (market.marks[self.bar] == 0) | (market.ended <= self.bar)

    def _untradable(self, instrument: int) -> str:
        if self.market.ended[instrument] <= self.bar:
            return o.ENDED
        return o.NO_PRICE if self.market.marks[self.bar, instrument] == 0 else ""

    # One bar --------------------------------------------------------------------------------------------------

    def open(self, bar: int) -> None:
        """What happens before the first trade of a bar: interest, splits, dividends, the end of an instrument."""
        self.bar = bar
        if self._years is not None and bar:
            self._charge(bar)
        if bar in self._acts:
            self._act(bar)
        if bar in self._over:
            self._end(bar)

    def _flow(self, bar: int, instrument: int | None, kind: str, amount: float, **more: float) -> None:
        self.cash += amount
        self.flows.append({"bar": bar, "instrument": instrument, "kind": kind, "amount": amount, **more})

    def _charge(self, bar: int) -> None:
        assert self._years is not None
        years, rules = float(self._years[bar]), self.rules
        interest = self.cash * rules.interest * years
        short = float(np.minimum(self.units, 0) @ self.market.marks[bar - 1])
        if interest:
            self._flow(bar, None, "interest", interest)
        if short and rules.borrow:
            self._flow(bar, None, "borrow", short * rules.borrow * years)

    def _act(self, bar: int) -> None:
        market, changed = self.market, False
        if market.split is not None:
            for number in np.flatnonzero(market.split[bar] != 1).tolist():
                ratio = float(market.split[bar, number])
                for order in self.orders:
                    if order.instrument == number:
                        order.shares *= ratio
                if self.units[number]:
                    self.units[number] *= ratio
                    self._flow(bar, number, "split", 0.0, ratio=ratio)
                    changed = True
        if market.dividend is not None:
            for number in np.flatnonzero(market.dividend[bar] * self.units).tolist():
                self._flow(bar, number, "dividend", float(self.units[number] * market.dividend[bar, number]))
        if changed:
            self._note(bar)

    def _end(self, bar: int) -> None:
        """Instruments without further bars: paid out at the last close; what waits for them is refused."""
        for number in self._over[bar]:
            for order in self.orders:
                if order.instrument == number and order.outcome == o.WAITING:
                    order.refuse(o.ENDED)
            for targets in self.targets:
                if targets.outcomes[number] == o.WAITING:
                    targets.refuse(np.array([number]), o.ENDED)
            units = float(self.units[number])
            if units:
                self.units[number] = 0.0
                price = float(self.market.marks[bar, number])
                self._flow(bar, number, "delisting", units * price, units=units, price=price)
                self._note(bar)

    def fill(self, bar: int) -> None:
        """Fill what waits with the prices of this bar."""
        at_open = self.rules.fill == "next-open"
        if at_open:
            self.fill_market(bar)
        self._fill_within(bar)
        if not at_open and self.rules.fill != "same-close":
            self.fill_market(bar)

    def fill_market(self, bar: int) -> None:
        """Market orders and target weights, at the price that the rules name."""
        if self.targets:
            self._fill_targets(bar)
        if not self.orders:
            return
        prices, waiting = self._prices[bar], [order for order in self.orders if order.kind == "market"]
        # What frees cash comes first.
        waiting.sort(key=lambda order: self.units[order.instrument] * order.size >= 0)
        for order in waiting:
            if order.outcome != o.WAITING:
                continue
            price = float(prices[order.instrument])
            if price == price:
                self._fill_order(order, bar, price, self.rules.worse)
            elif self.rules.halted == "refuse":
                order.refuse(o.HALTED)
        self.orders = [order for order in self.orders if order.outcome == o.WAITING]

    def _fill_within(self, bar: int) -> None:
        """Stop and limit orders of earlier bars; of those that one bar reaches, stops come first."""
        waiting = [order for order in self.orders if order.kind != "market" and order.bar < bar]
        if not waiting:
            return
        fields = self.market.fields
        for order in sorted(waiting, key=lambda order: order.kind != "stop"):
            at, long = order.instrument, order.size > 0
            opened, high, low = (float(fields[name][bar, at]) for name in ("open", "high", "low"))
            if order.outcome != o.WAITING or opened != opened:
                continue
            stop = None if order.touched or order.stop is None else order.stop / order.shares
            if stop is not None:
                if high < stop if long else low > stop:
                    continue
                order.touched = True
            reference = opened if stop is None else max(opened, stop) if long else min(opened, stop)
            if order.limit is None:
                self._fill_order(order, bar, reference, self.rules.worse)
                continue
            limit = order.limit / order.shares
            if low > limit if long else high < limit:
                continue
            # A limit on the near side of the stop was passed before the stop was touched.
            if stop is not None and (limit <= reference if long else limit >= reference) and limit != reference:
                continue
            self._fill_order(order, bar, min(reference, limit) if long else max(reference, limit), 0.0)
        self.orders = [order for order in self.orders if order.outcome == o.WAITING]

    def _values(self, bar: int) -> np.ndarray:
        """What units are worth when orders fill: the price of the fill, and the last close where there is none."""
        prices = self._prices[bar]
        if self.market.complete:
            return prices
        return np.where(np.isnan(prices), self.market.marks[max(bar - 1, 0)], prices)

    def _fill_order(self, order: Order, bar: int, price: float, worse: float) -> None:
        number, size = order.instrument, order.units
        held = float(self.units[number])
        after = held + size
        if not self.rules.short and after < -DUST * max(1.0, abs(size)):
            order.refuse(o.NO_SHORT)
            return
        paid = price * (1 + worse if size > 0 else 1 - worse)
        fee = self._fee(size, paid)
        cash = self.cash - size * paid - fee
        if abs(after) > abs(held):
            values = self._values(bar).copy()
            values[number] = price
            units = self.units.copy()
            units[number] = after
            worth = units * values
            if np.abs(worth).sum() > self.rules.leverage * (cash + worth.sum()) * (1 + DUST) + DUST:
                order.refuse(o.NO_MONEY)
                return
        order.outcome = o.FILLED
        self.cash = cash
        self.units[number] = 0.0 if abs(after) <= DUST * abs(size) else after
        self.fills.add(bar, number, size, paid, fee)
        self._note(bar)

    def _fee(self, size: float, price: float) -> float:
        if self.commission is not None:
            return float(self.commission(size, price))
        return self._fixed + abs(size) * price * self._share

    def _fill_targets(self, bar: int) -> None:
        prices = self._prices[bar]
        there = None if self.market.complete else ~np.isnan(prices)
        aims = np.full(len(self.units), np.nan)
        filled: list[tuple[Targets, np.ndarray]] = []
        for targets in self.targets:
            mask = targets.outcomes == o.WAITING
            if there is not None:
                if self.rules.halted == "refuse":
                    targets.refuse(mask & ~there, o.HALTED)
                mask = mask & there
            aims[mask] = targets.weights[mask]
            filled.append((targets, mask))
        at = np.flatnonzero(~np.isnan(aims))
        if len(at):
            done, reason = self._rebalance(bar, at, aims[at], prices[at])
            for targets, mask in filled:
                targets.outcomes[mask] = o.FILLED
                refused = mask.copy()
                refused[at[done]] = False
                if reason and refused.any():
                    targets.refuse(refused, reason)
        self.targets = [targets for targets in self.targets if (targets.outcomes == o.WAITING).any()]

    def _rebalance(self, bar: int, at: np.ndarray, weights: np.ndarray, prices: np.ndarray) -> tuple[np.ndarray, str]:
        """Trade to these weights of the account's value after costs. Returns which were reached, and why not others."""
        worth = self.units * self._values(bar)
        value = float(self.cash + worth.sum())
        held = worth[at]
        stuck = float(np.abs(worth).sum() - np.abs(held).sum())
        everything = np.ones(len(at), dtype=bool)
        if value <= 0:
            return ~everything, o.NO_MONEY
        after = self._value_after(value, held, weights, prices)
        for _ in range(20):
            room = self.rules.leverage * after - stuck
            wanted = float(np.abs(weights).sum()) * after
            if wanted <= room * (1 + DUST) or wanted == 0:
                break
            # What is tied up in positions that cannot be traded today is not there for the others.
            weights = weights * max(0.0, room / wanted)
            after = self._value_after(value, held, weights, prices)
        if after <= 0:
            return ~everything, o.NO_MONEY
        aims = self._aims(at, weights * after / prices)
        reached = everything
        if not self.rules.fractional:
            reached = ~((aims == 0) & (weights != 0) & (held == 0))
        sizes = aims - self.units[at]
        traded = np.abs(sizes) * prices > DUST * value
        if traded.any():
            self._book(bar, at[traded], aims[traded], sizes[traded], prices[traded])
        return reached, o.TOO_SMALL

    def _aims(self, at: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Whole shares, unless parts of them may be held. at: the instruments."""
        return units if self.rules.fractional else np.trunc(units + np.copysign(DUST, units))

    def _value_after(self, value: float, held: np.ndarray, weights: np.ndarray, prices: np.ndarray) -> float:
        if self.commission is None:
            return value_after(value, held, weights, self._buying, self._selling, self._fixed)
        after, worse = value, self.rules.worse
        for _ in range(60):
            sizes = (weights * after - held) / prices
            if not self.rules.fractional:
                sizes = np.trunc(weights * after / prices + np.copysign(DUST, weights)) - held / prices
            costs = 0.0
            for size, price in zip(sizes.tolist(), prices.tolist(), strict=True):
                if abs(size) * price > DUST * value:
                    paid = price * (1 + worse if size > 0 else 1 - worse)
                    costs += abs(size) * price * worse + self._fee(size, paid)
            refined = value - costs
            if abs(refined - after) <= 1e-12 * value:
                return refined
            after = min(refined, after) if after != value else refined
        return after

    def _book(self, bar: int, at: np.ndarray, aims: np.ndarray, sizes: np.ndarray, prices: np.ndarray) -> None:
        worse = self.rules.worse
        paid = prices * (1 + np.copysign(worse, sizes)) if worse else prices
        if self.commission is None:
            fees = np.abs(sizes) * paid * self._share
            if self._fixed:
                fees = fees + self._fixed
        else:
            fees = np.array([self._fee(*fill) for fill in zip(sizes.tolist(), paid.tolist(), strict=True)])
        self.cash -= float((sizes * paid).sum() + fees.sum())
        first = np.argsort(self.units[at] * sizes >= 0, kind="stable")  # what frees cash
        self.units[at] = aims
        self.fills.add(bar, at[first], sizes[first], paid[first], fees[first])
        self._note(bar)

    def close(self, bar: int) -> bool:
        """Value the account at the close of a bar. False when nothing is left of it."""
        if self._may_be_ruined and self.equity() <= 0:
            self.ruined_at, self.cash = bar, 0.0
            self.units[:] = 0.0
            self._note(bar)
            self.cash_at[bar:] = 0.0
            return False
        self.cash_at[bar] = self.cash
        return True

    def _note(self, bar: int) -> None:
        """What is held at the close of a bar changed."""
        if self._held[-1][0] == bar:
            self._held[-1] = (bar, self.units.copy())
        else:
            self._held.append((bar, self.units.copy()))

    def history(self) -> np.ndarray:
        """Units held at every close: a row per bar."""
        bars = [bar for bar, _ in self._held]
        lengths = np.diff([*bars, len(self.market)])
        return np.repeat(np.array([units for _, units in self._held]), lengths, axis=0)
