"""Do the fills of one instrument follow from the orders that were decided? By which bars and prices, and for how many.
Only where a run of backtesting.py tells no log; otherwise follow_one.py says it exactly.

An order leaves no choice: the rules and our bars say on which bar it fills and at what price, and a trade's stop-loss
and target likewise. So every fill is held against what the orders of its bar and side lead to.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from qfp.conventions import BacktestingPy

from runner.claims.bars import NotVerified, OurBars

__all__ = ["Expected", "check_orders", "reached"]

ROOM = 1e-9  # of a price: other last digits
MOST_PRICES = 200  # of orders of one bar and side
BLOCK = 256  # bars
MOST_BARS = 8  # on which prices come so close to a level that it may have been reached

Levels = dict[float, float]  # units by the price without spread
Order = dict[str, Any]


def check_orders(
    fills: list[dict[str, float]],
    orders: list[Order],
    bars: OurBars,
    rules: BacktestingPy,
    ruined: int | None,
) -> list[float]:
    """How many units of each fill close a trade, where long and short ones may be open at once; elsewhere nothing.
    Raises NotVerified where a fill has no order, another price, or more units. ruined: the bar on which nothing was
    left of the account, where every trade is closed.
    """
    expected = Expected(fills, orders, bars, rules, ruined)
    expected.check_prices()
    closed = expected.closed() if rules.hedging else []
    expected.compare()
    return closed


def reached(values: np.ndarray, level: float, rising: bool, start: int, peaks: np.ndarray | None = None) -> list[int]:
    """The first bar that reaches a level; before it also those that come so near that they may have.

    peaks: of peaks_of() the same values, where many levels are looked for.
    """
    found: list[int] = []
    side, room = (1 if rising else -1), ROOM * level
    for first, end in _stretches(max(start, 0), len(values), level, side, peaks):
        over = (values[first:end] - level) * side
        near, passed = np.flatnonzero(over >= -room), np.flatnonzero(over > room)
        until = passed[0] if len(passed) else len(over)
        found += (near[near <= until] + first).tolist()
        if len(passed) or len(found) >= MOST_BARS:
            break
    return found[:MOST_BARS]


def peaks_of(values: np.ndarray, rising: bool) -> np.ndarray:
    """The highest of each BLOCK of values, or the lowest; missing ones do not count."""
    return (np.fmax if rising else np.fmin).reduceat(values, np.arange(0, len(values), BLOCK))


def _stretches(start: int, count: int, level: float, side: int, peaks: np.ndarray | None) -> Iterator[tuple[int, int]]:
    """What to look through, in order: more each time, or only the blocks that come near the level."""
    if peaks is None:
        step = 64
        while start < count:
            yield start, start + step
            start, step = start + step, step * 4
        return
    for block in np.flatnonzero((peaks[start // BLOCK :] - level) * side >= -ROOM * level) + start // BLOCK:
        yield max(start, int(block) * BLOCK), (int(block) + 1) * BLOCK


class Expected:
    """What orders lead to, by bar and side: what they open or turn, and what they close."""

    def __init__(
        self,
        fills: list[dict[str, float]],
        orders: list[Order],
        bars: OurBars,
        rules: BacktestingPy,
        ruined: int | None,
    ) -> None:
        self.fills, self.bars, self.rules = fills, bars, rules
        self._peaks: dict[bool, np.ndarray] = {}
        self.last = len(bars.close) - 1
        self.opening: dict[tuple[int, bool], Levels] = defaultdict(lambda: defaultdict(float))
        self.closing: dict[tuple[int, bool], Levels] = defaultdict(lambda: defaultdict(float))
        # What turns a position and cannot be paid for has closed it all the same.
        self.unpaid: dict[tuple[int, bool], Levels] = defaultdict(lambda: defaultdict(float))
        self.filled: Counter[tuple[int, bool]] = Counter()
        for fill in fills:
            self.filled[int(fill["bar"]), fill["size"] > 0] += abs(fill["size"])  # type: ignore[assignment]
        for order in orders:
            if order["outcome"] in ("filled", "refused") and order["size"]:
                self._expect(order)
        self._expect_ruin(ruined)
        self._expect_the_end()
        self._tables = (self.opening, self.closing, self.unpaid)

    # What orders lead to

    def _expect(self, order: Order) -> None:
        long = order["size"] > 0
        # A fraction is of what the account can buy, which is looked at where leverage is.
        units = abs(order["size"]) if abs(order["size"]) >= 1 or order.get("closes") else math.inf
        refused = order["outcome"] == "refused"
        place = self.unpaid if refused else self.closing if order.get("closes") else self.opening
        for bar, price, at_close in self.places_of(order):
            place[bar, long][price] += units
            if place is self.opening and (bar, long) in self.filled:
                self._bracket(order, bar, price, at_close, long, min(units, self.filled[bar, long]))

    def places_of(self, order: Order) -> Iterator[tuple[int, float, bool]]:
        """(bar, price without spread, whether at the close that decides); more than one where levels are just met."""
        bars, decided, long = self.bars, int(order["bar"]), order["size"] > 0
        if decided == self.last and self.rules.finalize_trades:
            decided -= 1  # orders of the last bar fill on it
        limit: float | None = order.get("limit") or None
        stop: float | None = order.get("stop") or None
        if stop is None and limit is None:
            if self.rules.trade_on_close:
                yield decided, float(bars.close[decided]), True
            elif decided < self.last:
                yield decided + 1, float(bars.open[decided + 1]), False
            return
        if stop is None:
            assert limit is not None
            for bar in self._reached(limit, not long, decided + 1):
                yield bar, self._at_limit(float(bars.open[bar]), limit, long), False
            return
        for touched in self._reached(stop, long, decided + 1):
            opened = float(bars.open[touched])
            if limit is None:
                reference = opened
                if self.rules.trade_on_close and not order.get("closes"):
                    reference = float(bars.close[touched - 1])
                yield touched, max(reference, stop) if long else min(reference, stop), False
                continue
            far = limit > stop if long else limit < stop
            if far and self._reaches(limit, not long, touched):
                yield touched, self._at_limit(stop, limit, long), False
            # A bar may be looked at twice, so that the limit counts on the bar of the touch.
            again = {touched} if self._reaches(limit, not long, touched) else set()
            for bar in again.union(self._reached(limit, not long, touched + 1)):
                yield bar, self._at_limit(float(bars.open[bar]), limit, long), False

    def _bracket(self, order: Order, bar: int, price: float, at_close: bool, long: bool, units: float) -> None:
        """Stop-loss and target of the trade that an order opens."""
        for level, is_stop in ((order.get("sl"), True), (order.get("tp"), False)):
            if not level:
                continue
            rising = long != is_stop
            if not at_close and self._reaches(level, rising, bar):
                for reference in {price, float(self.bars.open[bar])}:
                    self.closing[bar, not long][self._beyond(reference, level, rising)] += units
            for later in self._reached(level, rising, bar + 1):
                self.closing[later, not long][self._beyond(float(self.bars.open[later]), level, rising)] += units

    def _expect_ruin(self, ruined: int | None) -> None:
        if ruined is None:
            return
        # Fills at the close that decides are dated back to it: what they cost may ruin the account a bar too soon.
        later = min(ruined + 1, self.last) if self.rules.trade_on_close else ruined
        for bar in {ruined, later}:
            for long in (True, False):
                self.closing[bar, long][float(self.bars.close[bar])] = math.inf

    def _expect_the_end(self) -> None:
        """What is open is closed, at the last open or the close before it."""
        if not self.rules.finalize_trades:
            return
        bar, price = self.last, float(self.bars.open[self.last])
        if self.rules.trade_on_close:
            bar = max(self.last - 1, 0)
            price = float(self.bars.close[bar])
        for long in (True, False):
            self.closing[bar, long][price] = math.inf

    @staticmethod
    def _at_limit(reference: float, limit: float, long: bool) -> float:
        return min(reference, limit) if long else max(reference, limit)

    @staticmethod
    def _beyond(reference: float, level: float, rising: bool) -> float:
        """At a level that a price passes upwards or downwards, or where it was beyond already."""
        return max(reference, level) if rising else min(reference, level)

    def _reaches(self, level: float, rising: bool, bar: int) -> bool:
        over = self.bars.high[bar] - level if rising else level - self.bars.low[bar]
        return bool(over >= -ROOM * level)

    def _reached(self, level: float, rising: bool, start: int) -> list[int]:
        values = self.bars.high if rising else self.bars.low
        if rising not in self._peaks:
            self._peaks[rising] = peaks_of(values, rising)
        return reached(values, level, rising, start, self._peaks[rising])

    # What was filled

    def check_prices(self) -> None:
        """What follows looks at every price of a bar for every fill of it."""
        if any(len(levels) > MOST_PRICES for table in self._tables for levels in table.values()):
            raise NotVerified(f"Orders at more than {MOST_PRICES} prices filled on one bar, too many to be compared.")

    def closed(self) -> list[float]:
        """How many units of each fill close a trade, with long and short ones at once: all where its price can only
        close; where it could also open, as many as are open on the other side, so that nobody opens what is not paid
        for beside an order that closes little. Raises NotVerified where more is closed than was opened.
        """
        ways = self.ways()
        self._check_open(ways)
        left = {True: 0.0, False: 0.0}  # open on each side; below nothing until what opens it is listed
        found = []
        for fill, (may_open, may_close) in zip(self.fills, ways, strict=True):
            long, units = fill["size"] > 0, abs(fill["size"])
            closes = 0.0
            if may_close:
                closes = min(units, max(left[not long], 0.0)) if may_open else units
            left[not long] -= closes
            left[long] += units - closes
            found.append(closes)
        return found

    def ways(self) -> list[tuple[bool, bool]]:
        """Whether each fill may open something, and whether it may close something."""
        return [
            (
                self._is_at(self.opening, fill, fill["price"] / (1 + self._worse(fill["size"]))),
                self._is_at(self.closing, fill, fill["price"]),
            )
            for fill in self.fills
        ]

    @staticmethod
    def _is_at(table: dict[tuple[int, bool], Levels], fill: dict[str, float], price: float) -> bool:
        levels = table.get((int(fill["bar"]), fill["size"] > 0), {})
        return any(abs(level - price) <= ROOM * level for level in levels)

    def _check_open(self, ways: list[tuple[bool, bool]]) -> None:
        """No more is closed than was opened; what may do either is left alone. ways: may open, may close, by fill."""
        count = self.last + 1
        for long in (True, False):
            opened, closed = np.zeros(count + 1), np.zeros(count + 1)
            for fill, (may_open, may_close) in zip(self.fills, ways, strict=True):
                if (fill["size"] > 0) == long and (may_open or not may_close):
                    opened[int(fill["bar"])] += abs(fill["size"])
                elif (fill["size"] > 0) != long and not may_open:
                    closed[int(fill["bar"])] += abs(fill["size"])
            opened, closed = np.cumsum(opened), np.cumsum(closed)
            # Fills at the close that decides are dated back to it, but for those that a price has triggered.
            known = np.append(opened[1:], opened[-1]) if self.rules.trade_on_close else opened
            over = np.flatnonzero(closed > known * (1 + ROOM) + ROOM)
            if len(over):
                raise NotVerified(f"On bar {over[0]} it closed more than was open on that side.")

    def _worse(self, size: float) -> float:
        return math.copysign(self.rules.spread, size)

    def compare(self) -> None:
        moved = np.zeros(self.last + 2)  # what is held before each bar
        np.add.at(moved, [int(fill["bar"]) + 1 for fill in self.fills], [fill["size"] for fill in self.fills])
        held = np.cumsum(moved)
        for fill in self.fills:
            if fill["size"]:
                self._explain(int(fill["bar"]), fill["size"], fill["price"], held)

    def _may_close(self, bar: int, long: bool, held: np.ndarray) -> bool:
        """Whether there is something of the other side that this can close. Within a bar, and with fills at the close
        that decides from bar to bar, what was filled first is not always listed first.
        """
        if self.rules.hedging:
            return True
        at_close = self.rules.trade_on_close
        before = held[max(bar - 1, 0) : bar + 1] if at_close else held[bar : bar + 1]
        near = (bar - 1, bar, bar + 1) if at_close else (bar,)
        dust = ROOM * float(np.abs(before).max(initial=0.0))
        other = (before < -dust if long else before > dust).any()
        return bool(other) or any((nearby, not long) in self.filled for nearby in near)

    def _explain(self, bar: int, size: float, price: float, held: np.ndarray) -> None:
        may_close = self._may_close(bar, size > 0, held)
        long, left = size > 0, abs(size)
        worse = price / (1 + self._worse(size))
        places = [(self.opening, worse)]
        if may_close:
            # What was refused can only close; another order may have to open, too.
            turning = [] if self.rules.hedging else [(self.unpaid, price), (self.opening, price)]
            places = [(self.closing, price), *turning, *places]
        elif not self.rules.spread:
            places = [(self.opening, price)]
        found = False
        for table, plain in places:
            levels = table.get((bar, long), {})
            for level in [level for level in levels if abs(level - plain) <= ROOM * level]:
                found = True
                taken = min(left, levels[level])
                levels[level] -= taken
                left -= taken
        if left <= ROOM * abs(size):
            return
        what = f"A fill of {size:g} at {price:g} on bar {bar}"
        if found:
            raise NotVerified(f"{what} is for more units than were ordered at that price.")
        raise NotVerified(f"{what} follows from no order: by the stated rules none filled then and at that price.")
