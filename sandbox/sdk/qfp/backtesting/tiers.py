"""By which engine does a run go, over all bars or some? The interpreted loop, the compiled one, and their comparison.

The interpreted tier takes every strategy and decides what is right. The compiled tier (qfp.backtesting.compiled) takes
those whose next() it can translate, pays from some ten thousand calls of next() on, and is compared with the
interpreted one on the first bars of every run; where they differ, or where Python would raise, the interpreted result
is the one that counts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qfp.backtesting.core import Account, Ruined
from qfp.backtesting.lines import Clock
from qfp.backtesting.strategy import Position, Strategy

if TYPE_CHECKING:
    from qfp.backtesting.compiled.account import CompiledAccount

__all__ = ["CHECKED", "PAYS_FROM", "Compiled", "Prepared", "missing_before", "run_compiled", "run_over"]

PAYS_FROM = 50_000  # calls of next(): translating costs what so many cost
CHECKED = 500  # bars of every compiled run that are run by the interpreted tier as well


@dataclass
class Prepared:
    """A strategy whose init() has run. warm_up: bars before the indicators have values; missing: one never has."""

    strategy: Strategy
    account: Account
    clock: Clock
    frame: pd.DataFrame
    warm_up: int
    missing: bool


@dataclass
class Compiled:
    """What the compiled tier made of a run: the account, or the reason there is none."""

    account: Account | None = None
    reason: str | None = None


def missing_before(line: np.ndarray) -> tuple[int, bool]:
    """(bars before every row has a value, whether some row never has one)."""
    values = np.asarray(line)
    if values.dtype.kind in "biu":
        return 0, False
    if values.ndim == 1 and values.dtype == float:
        known = (values[:1000] == values[:1000]).nonzero()[0]
        if len(known):
            return int(known[0]), False
    values = np.atleast_2d(values)
    for seen in (1000, values.shape[-1]):  # the first bars tell it as a rule
        missing = np.isnan(values[:, :seen]) if values.dtype.kind == "f" else pd.isna(values[:, :seen])
        never = bool(missing.all(axis=-1).any())
        if not never:
            break
    return int(missing.argmin(axis=-1).max()), never


def run_over(
    strategy: Strategy, account: Account, clock: Clock, start: int, finalize: bool, stop: int | None = None
) -> None:
    """Every bar from `start` on: the clock, the account, the strategy's next(); then the end of the run.

    stop: leave before this bar, in the middle of the run.
    """
    count = len(account.closes)
    until = count if stop is None else min(stop, count)
    orders, closes, lengths = account.orders, account.closes, clock.lengths
    try:
        for bar in range(start, until):
            clock.length = seen = bar + 1
            for length in lengths:  # clock.set(), without a call per bar
                length.value = seen
            account.bar = bar
            if orders:
                account.process()
            else:
                close = closes[bar]
                if close <= account.danger_below or close >= account.danger_above:
                    account.check_ruin()
            strategy.next()
        if until < count:
            return
        if finalize and start < count and account.trades:
            if account.rules.last_orders_fill:
                decided, waiting = len(account.decisions), len(orders)
                for trade in reversed(account.trades):
                    trade.close()
                account.decisions.forget(decided, orders[: len(orders) - waiting])  # the end of the run decided them
                account.process()
            else:
                account.close_all()
        elif finalize and start < count and account.rules.last_orders_fill:
            account.process()
    except Ruined:
        pass


def run_compiled(
    prepared: Prepared,
    account: Callable[[], Account],
    start: int,
    finalize: bool,
    whole: bool = False,
    compared: bool = False,
) -> Compiled:
    """Run a prepared strategy by the compiled tier, where that can be. The strategy is untouched where it cannot.

    account: makes one at its beginning. whole: compare all bars with the interpreted tier, not the first ones only.
    compared: the same run was before, to its end.
    """
    from qfp.backtesting.compiled import Refused, Unavailable, program_of

    strategy = prepared.strategy
    if not hasattr(prepared.account.commission, "share"):
        return Compiled(reason="The commission is a function of the program, so the run was interpreted.")
    try:
        program, bound = program_of(strategy)
    except Refused as refused:
        return Compiled(reason=f"next() {refused}, so the run was interpreted.")
    except Unavailable as unavailable:
        return Compiled(reason=f"The run was interpreted: {unavailable}.")
    twin = copy.copy(strategy)
    before = dict(vars(strategy))
    found = program.run(prepared.account, strategy, bound, start, finalize)
    if found is None:  # Python would raise, and does so in the interpreted tier
        return Compiled(reason="A step of next() needs Python itself, so the run was interpreted.")
    stop = None if whole else start + CHECKED
    if not compared and not _same_at_first(twin, account(), prepared.clock, start, finalize, stop, found):
        vars(strategy).clear()
        vars(strategy).update(before)
        return Compiled(reason="The compiled tier came to another result; that of the interpreted one counts.")
    strategy._account, strategy._position = found, Position(found)
    return Compiled(found)


def _same_at_first(
    twin: Strategy, account: Account, clock: Clock, start: int, finalize: bool, stop: int | None, found: CompiledAccount
) -> bool:
    """Whether the interpreted tier orders and fills the same before the bar `stop`."""
    twin._account, twin._position = account, Position(account)
    try:
        run_over(twin, account, clock, start, finalize, stop)
    except Exception:
        return False  # raised again by the interpreted run that follows
    counts = len(account.decisions), len(account.fills)
    if stop is None and counts != (len(found.decisions), len(found.fills)):
        return False
    tables: list[tuple[Any, Any, tuple[str, ...]]] = [
        (
            account.decisions,
            found.first("decisions", counts[0] + 1),
            ("bars", "sizes", "limits", "stops", "sls", "tps", "kinds", "owners"),
        ),
        (account.fills, found.first("fills", counts[1]), ("bars", "sizes", "prices", "commissions")),
    ]
    for mine, other, names in tables:
        for name in names:
            if getattr(mine, name).tobytes() != getattr(other, name)[: len(mine)].tobytes():
                return False
    decided = tables[0][1].bars
    return stop is None or len(decided) == counts[0] or decided[counts[0]] >= stop
