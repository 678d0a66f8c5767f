"""Could the account of one instrument pay for what it opened, by the stated margin? Only where a run of
backtesting.py tells no log.

Fills at the close that decides are dated back to it, though the engine fills them on the next bar, among the orders
that wait there. In which order is not told, so an order counts as paid for by one of those that may have been.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qfp.conventions import BacktestingPy
from qfp.figures import signed

from runner.claims.bars import NotVerified, OurBars
from runner.claims.checks import LEVERAGE_TOLERANCE, PRICE_TOLERANCE

__all__ = ["check_leverage"]

MOST_PLACES = 16  # between the fills of a close that are tried for one that came among them
MOST_TRIED = 300_000  # fills that are followed for that, in all: a few seconds

# By bar and whether bought: units and value after none of its fills, the first, the first two, ...
Sides = dict[tuple[int, bool], tuple[np.ndarray, np.ndarray]]
NOTHING = np.zeros(1), np.zeros(1)


def check_leverage(
    fills: list[dict[str, float]], closed: list[float], bars: OurBars, cash: float, rules: BacktestingPy
) -> None:
    """Nothing was opened that the account could not pay for. Values the account at the close of the bar of the fill,
    with fills at the deciding close also of the next bar. Raises NotVerified.

    closed: units of each fill that close a trade, where long and short ones may be open at once.
    """
    steps = [
        _Step(
            int(fill["bar"]),
            fill["size"],
            fill["price"],
            fill["commission"],
            rules.trade_on_close and _is_at_close(fill, bars, rules),
            closed[number] if rules.hedging else None,
        )
        for number, fill in enumerate(fills)
    ]
    book = _Book(steps, bars, cash, rules)
    for step in steps:
        book.check(step)


@dataclass(frozen=True)
class _Step:
    """A fill. at_close: decided on its bar, and filled at that close; otherwise a price has triggered it, or it is of
    the next bar's open. closes: units that close a trade, where that does not follow from what is held.
    """

    bar: int
    size: float
    price: float
    commission: float
    at_close: bool
    closes: float | None

    def opens(self, account: _Account) -> float:
        closes = account.closed_by(self.size) if self.closes is None else self.closes
        return abs(self.size) - closes


@dataclass(frozen=True)
class _Account:
    """Cash and units of one instrument, on each side: both at once only with hedging. Below nothing on a side where
    something is closed before what opened it is listed.
    """

    cash: float
    long: float = 0.0
    short: float = 0.0

    def closed_by(self, size: float) -> float:
        """How much of an order of this size closes what is held."""
        return max(0.0, min(abs(size), self.short if size > 0 else self.long))

    def after(self, step: _Step, closing_only: bool = False) -> _Account:
        """closing_only: before it opens anything, and is charged."""
        opens = step.opens(self)
        closes, paid = abs(step.size) - opens, 0.0 if closing_only else step.commission
        opens = 0.0 if closing_only else opens
        if step.size > 0:
            return _Account(self.cash - (closes + opens) * step.price - paid, self.long + opens, self.short - closes)
        return _Account(self.cash + (closes + opens) * step.price - paid, self.long - closes, self.short + opens)

    def after_closing(self, sides: Sides, bar: int, there: _Account, payable: float) -> _Account:
        """What closes something on a later bar, in the order of its fills: of each side as many units as there were,
        and as many as could be paid for, since what looks like a closing fill may be the first one, which opened.
        """
        cash, left = self.cash, []
        for bought in (False, True):
            units, values = sides.get((bar, bought), NOTHING)
            closed = min(self.held(bought), there.held(bought) + payable, float(units[-1]))
            value = float(np.interp(closed, units, values))  # the last of them may close in part
            cash += -value if bought else value
            left.append((self.short if bought else self.long) - closed)
        return _Account(cash, *left)

    def held(self, short: bool) -> float:
        """Units on a side that can be closed; less than nothing on the other one is as much on this one."""
        own, other = (self.short, self.long) if short else (self.long, self.short)
        return max(0.0, own) + max(0.0, -other)

    def worth(self, mark: float) -> float:
        return self.cash + (self.long - self.short) * mark

    def free(self, mark: float, margin: float) -> float:
        return self.worth(mark) - (max(0.0, self.long) + max(0.0, self.short)) * mark * margin


class _Book:
    """The account along its fills. before: every fill of a bar. triggered: the same after those of the bar's fills that
    its prices have triggered; decided: the bar's other fills, which come among those of the next bar.
    """

    def __init__(self, steps: list[_Step], bars: OurBars, cash: float, rules: BacktestingPy) -> None:
        self.bars, self.rules = bars, rules
        self.account = _Account(cash)
        self.later = _sides(steps) if rules.trade_on_close else {}
        self.before: dict[int, _Account] = {}
        self.triggered: dict[int, _Account] = {}
        self.decided: dict[int, list[_Step]] = defaultdict(list)
        self.so_far: list[_Step] = []  # triggered on the bar of the last fill
        self.opened: dict[int, float] = defaultdict(float)  # value
        self.at, self.tried = -1, 0

    def check(self, step: _Step) -> None:
        """The next fill. Raises NotVerified where the account could not pay for what it opened."""
        bar = step.bar
        if bar != self.at:
            self.at, self.so_far = bar, []
            self.before[bar] = self.triggered[bar] = self.account
        value = step.opens(self.account) * step.price
        if value > 0:
            allowed = self._allowed(step)
            # Looked for only where it matters, as it takes longer.
            paid = value <= allowed * (1 + LEVERAGE_TOLERANCE) + 1e-9 or self._came_before(step)
            if not paid:
                raise NotVerified(
                    f"On bar {bar} it opened {signed(value, 2, True)} with {signed(allowed, 2, True)} to pay for it by "
                    "the stated rules."
                )
        self.opened[bar] += value
        self.account = self.account.after(step)
        if step.at_close:
            self.decided[bar].append(step)
        else:
            self.so_far.append(step)
            self.triggered[bar] = self.triggered[bar].after(step)

    def _allowed(self, step: _Step) -> float:
        """What it may have opened as the fills are listed: value."""
        account, bar = self.account, step.bar
        accounts = [(account, 0.0)]
        if step.at_close:  # dated back, before what the next bar did first
            accounts.append((self._after_closing(account, step, bar + 1), 0.0))
        if self.rules.trade_on_close:
            accounts.append((self.before.get(bar - 1, account), self.opened[bar - 1] + self.opened[bar]))
        return max(0.0, *(self._buys(each.after(step, closing_only=True), bar) - taken for each, taken in accounts))

    def _came_before(self, step: _Step) -> bool:
        """Whether it was paid for before some of what the close before has decided, and that was paid for after it."""
        bar = step.bar
        decided = self.decided.get(bar - 1, [])
        if step.at_close or not decided:
            return False
        for order in (decided, sorted(decided, key=lambda each: each.closes == abs(each.size), reverse=True)):
            for place in range(min(len(order), MOST_PLACES)):
                self.tried += len(order) + len(self.so_far)
                if self.tried > MOST_TRIED:
                    raise NotVerified(
                        f"So many orders have filled together by bar {bar} that the site cannot try in which order "
                        "they were paid for."
                    )
                account = self._along(self.triggered[bar - 1], (*order[:place], *self.so_far))
                if not self._pays(account, step, bar):
                    continue
                account = account.after(step)
                for each in order[place:]:
                    if not self._pays(account, each, bar - 1):
                        break
                    account = account.after(each)
                else:
                    return True
        return False

    @staticmethod
    def _along(account: _Account, steps: Sequence[_Step]) -> _Account:
        for each in steps:
            account = account.after(each)
        return account

    def _pays(self, account: _Account, step: _Step, bar: int) -> bool:
        """Whether the account pays for it, also after what this bar or, at a close, the next one closed."""
        value = step.opens(account) * step.price
        accounts = [account, self._after_closing(account, step, bar + 1)] if step.at_close else [account]
        allowed = max(self._buys(each.after(step, closing_only=True), bar) for each in accounts)
        return value <= allowed * (1 + LEVERAGE_TOLERANCE) + 1e-9

    def _after_closing(self, account: _Account, step: _Step, bar: int) -> _Account:
        there = self.triggered[step.bar]
        payable = max(0.0, there.worth(step.price)) / step.price / self.rules.margin
        return account.after_closing(self.later, bar, there, payable)

    def _buys(self, account: _Account, bar: int) -> float:
        """What it may open at the prices of this bar: value."""
        close = self.bars.close
        marks = {close[bar], close[min(bar + 1, len(close) - 1)]} if self.rules.trade_on_close else {close[bar]}
        margin = self.rules.margin
        return max(account.free(mark, margin) for mark in marks) / margin


def _is_at_close(fill: dict[str, float], bars: OurBars, rules: BacktestingPy) -> bool:
    """Whether it was decided on its bar, where fills are at that close; otherwise a price has triggered it."""
    plain = float(bars.close[int(fill["bar"])])
    worse = plain * (1 + rules.spread * (1 if fill["size"] > 0 else -1))
    return min(abs(fill["price"] - plain), abs(fill["price"] - worse)) <= PRICE_TOLERANCE * plain


def _sides(steps: list[_Step]) -> Sides:
    """Of the fills that a price has triggered: others come later than what the bar before decided. Where it is known
    how much of them closes a trade, that much.
    """
    sums: dict[tuple[int, bool], tuple[list[float], list[float]]] = defaultdict(lambda: ([0.0], [0.0]))
    for step in steps:
        if not step.at_close:
            units, values = sums[step.bar, step.size > 0]
            closes = abs(step.size) if step.closes is None else step.closes
            units.append(units[-1] + closes)
            values.append(values[-1] + closes * step.price)
    return {side: (np.array(units), np.array(values)) for side, (units, values) in sums.items()}
