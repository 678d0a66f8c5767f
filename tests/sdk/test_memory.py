"""Who counts bars knows no history; who has a table of them does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from qfp.backtesting import Strategy
from qfp.checking.amnesia import FACTOR, KEEPS, Remembered, follows_numbers, on_another_level, remembers
from qfp.checking.decisions import Decision, first_difference
from qfp.checking.recording import StrategyRuns

BARS = pd.DataFrame({"close": np.arange(1_000.0)})


def is_doubted(orders: Callable[[int], list[tuple[int, float]]]) -> bool:
    """orders: the bars and sides of a strategy that sees nothing but how many bars there are."""

    def decided(frame: Any, last: int) -> list[Decision]:
        return [Decision(bar, 0, "market", side) for bar, side in orders(len(frame)) if bar <= last]

    return follows_numbers(decided, BARS, decided(BARS, len(BARS)))


@pytest.mark.parametrize("every", [3, 4, 5, 9, 10, 20, 21])
def test_who_buys_and_sells_on_every_so_many_bars_remembers_nothing(every: int) -> None:
    def always(count: int) -> list[tuple[int, float]]:
        return [(bar, -1.0 if bar % 7 == 6 else 1.0) for bar in range(count) if bar % 7 == 6 or bar % every == 0]

    def when_held(count: int) -> list[tuple[int, float]]:
        found: list[tuple[int, float]] = []
        for bar, side in always(count):
            if side != (found[-1][1] if found else -1.0):
                found.append((bar, side))
        return found

    assert not is_doubted(always) and not is_doubted(when_held)


def test_who_buys_and_sells_by_counts_of_their_own_or_holds_longer_each_time_remembers_nothing() -> None:
    def growing(count: int) -> list[tuple[int, float]]:
        return [(7 * held + held * (held + 1) // 2 + at * held, 1.0 - 2 * at) for held in range(1, 38) for at in (0, 1)]

    clocks = [(bar, 1.0 if bar % 31 == 0 else -1.0) for bar in range(30, 1000) if 0 in (bar % 31, bar % 37)]
    assert not is_doubted(lambda count: [order for order in clocks if order[0] < count])
    assert not is_doubted(lambda count: [order for order in growing(count) if order[0] < count])


@pytest.mark.parametrize("days", [15, 60, 250])
def test_who_orders_on_bars_from_a_table_is_doubted(days: int) -> None:
    random = np.random.default_rng(days)
    table = sorted(zip(random.choice(900, days, replace=False), random.choice([-1.0, 1.0], days), strict=True))
    assert is_doubted(lambda count: [(int(bar), side) for bar, side in table if bar < count])


def test_what_a_program_keeps_from_run_to_run_is_no_memory_of_history() -> None:
    frame = pd.DataFrame({"close": np.arange(100.0)}, index=pd.date_range("2001-01-01", periods=100))
    last = [0]

    def by_month(frame: pd.DataFrame, factor: float, *, table: bool = False) -> list[Decision]:
        """Orders in each new month; the one that it ended in is kept, and is one before the first run no more."""
        found = []
        for bar, day in enumerate(frame.index):
            if day.month != last[0] or (table and str(day)[:10] == "2001-02-14"):
                last[0] = day.month
                found.append(Decision(bar, 0, "market", 1.0))
        last[0] = 1
        return found

    base = by_month(frame, 1.0)
    assert remembers(by_month, frame, base, 100) == Remembered(untested=KEEPS)
    last[0] = 0
    told = remembers(partial(by_month, table=True), frame, by_month(frame, 1.0, table=True), 100)
    assert told.dates is not None and not told.untested


@pytest.mark.parametrize(("level", "told"), [(1e9, (None, True)), (250.0, (50, False))])
def test_who_fails_with_other_dates_is_still_asked_about_other_prices(level: float, told: tuple[Any, bool]) -> None:
    frame = pd.DataFrame({"close": 100.0 + np.arange(100.0)}, index=pd.date_range("2001-01-01", periods=100))

    def decide(frame: pd.DataFrame, factor: float) -> list[Decision]:
        if frame.index[0].year != 2001:
            raise KeyError("its own table has no such day")
        return [Decision(bar, 0, "market", 1.0) for bar in range(50, 100) if frame["close"].iloc[bar] < level]

    found = remembers(decide, frame, decide(frame, 1.0), 100)
    assert (found.prices, found.but_dates) == told and (told[0] or "KeyError" in found.untested)


def test_as_much_money_for_each_order_is_no_memory_of_prices() -> None:
    def spent(size: float, times: float, **more: float) -> list[Decision]:
        return [Decision(3, 0, "market", size * times, **more)]

    assert first_difference(spent(11, 1), [Decision(3, 0, "market", 2.0)], 9, FACTOR) is None
    assert first_difference(spent(0.31, 1), spent(0.31, 1 / FACTOR), 9, FACTOR) is None
    assert first_difference(spent(11, 1), [Decision(3, 0, "market", 2.0)], 9) == 3, "at the same prices it is another"
    assert first_difference(spent(40, 1), spent(40, 0.5), 9, FACTOR) == 3
    assert first_difference(spent(40, 1, stop=8.0), spent(40, 0.25, stop=30.0), 9, FACTOR) == 3, "two dollars below"


@pytest.mark.parametrize("commission", [0.001, (5, 0.001), lambda size, price: max(1.0, 0.005 * abs(size))])
def test_fees_in_currency_are_as_high_in_proportion_on_another_level_of_prices(commission: Any) -> None:
    class Three(Strategy):
        def init(self) -> None:
            pass

        def next(self) -> None:
            close = self.data.Close
            if self.position:
                self.position.close()
            elif len(close) > 2 and close[-1] < close[-2]:
                self.buy(size=0.8)

    closes = 100 + 10 * np.sin(np.arange(300.0))
    bars = pd.DataFrame(dict.fromkeys(("Open", "High", "Low", "Close"), closes))
    bars.index = pd.date_range("2020-01-01", periods=300)
    options = {"cash": 10_000.0, "commission": commission}
    runs = StrategyRuns(Three, bars, options, {})

    def decide(frame: pd.DataFrame, factor: float) -> list[Decision]:
        return runs.recorded(frame, 299, options=on_another_level(options, factor)).decisions

    base = decide(bars, 1.0)
    assert len(base) > 100 and remembers(decide, bars, base, 299) == Remembered()
