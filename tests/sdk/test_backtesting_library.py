"""Searches, and what qfp.backtesting.lib offers: resampling, trailing stops, fractions, several data sets."""

from __future__ import annotations

import pickle
import warnings

import pandas as pd
import pytest
from qfp.backtesting import Backtest
from qfp.backtesting.lib import (
    FractionalBacktest,
    MultiBacktest,
    TrailingStrategy,
    barssince,
    compute_stats,
    crossover,
    quantile,
    random_ohlc_data,
    resample_apply,
)

from tests.sdk.small_strategies import QUIET, Averages, bars_of, mean, walk


@pytest.fixture(autouse=True)
def no_warnings():
    """Warnings about open trades and refused orders are asked for where they matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_a_resampled_value_is_seen_once_its_period_is_over():
    hours = walk(24 * 28, freq="h")
    weeks = resample_apply("W-FRI", None, hours["Close"])
    fridays = weeks[weeks.index.dayofweek == 4]
    # On a Friday the week's last close is known at its last hour, not at its first.
    assert (fridays[fridays.index.hour < 23] != hours["Close"].reindex(fridays.index)[fridays.index.hour < 23]).all()
    ends = fridays[fridays.index.hour == 23]
    assert len(ends) == 4 and (ends == hours["Close"].reindex(ends.index)).all()


def test_a_trailing_stop_follows_and_never_moves_back():
    stops = []

    class Trail(TrailingStrategy):
        def init(self):
            super().init()
            self.set_trailing_pct(0.05)

        def next(self):
            super().next()
            if self.trades:
                stops.append(self.trades[0].sl)
            elif len(self.data) == 5:
                self.buy(size=1)

    bars = bars_of(*[QUIET] * 6, *[(100 + i, 101 + i, 99 + i, 100 + i) for i in range(10)], (104, 104, 100, 102))
    stats = Backtest(bars, Trail).run()
    assert stops[0] == 95 and stops == sorted(stops) and stops[-1] == pytest.approx(0.95 * 109)
    assert stats["_trades"]["ExitPrice"].tolist() == [pytest.approx(0.95 * 109)]


def test_a_search_tries_every_allowed_combination_and_returns_the_best():
    test = Backtest(walk(), Averages, commission=0.001)
    stats, heatmap = test.optimize(
        fast=range(2, 9, 2),
        slow=[5, 10, 20],
        constraint=lambda p: p.fast < p.slow,
        maximize="Return [%]",
        return_heatmap=True,
    )
    assert heatmap.index.names == ["fast", "slow"] and len(heatmap) == 2 + 4 + 4
    for (fast, slow), value in heatmap.items():
        assert value == test.run(fast=fast, slow=slow)["Return [%]"]
    assert stats["Return [%]"] == heatmap.max()
    drawn = [
        test.optimize(fast=range(2, 30), slow=range(30, 60), max_tries=6, random_state=3, return_heatmap=True)[1]
        for _ in "ab"
    ]
    assert len(drawn[0]) == 6 and drawn[0].equals(drawn[1])
    with pytest.raises(ValueError, match="no figure 'Retrun"):
        test.optimize(fast=[1, 2], maximize="Retrun")
    with pytest.raises(ValueError, match="No combination"):
        test.optimize(fast=[1, 2], constraint=lambda p: False)
    with pytest.raises(AttributeError, match="no parameter 'fsat'"):
        test.run(fsat=3)


def test_figures_of_some_trades_and_of_several_data_sets():
    bars = walk()
    stats = Backtest(bars, Averages).run()
    first = stats["_trades"].iloc[:2]
    part = compute_stats(stats=stats, data=bars, trades=first)
    assert part["# Trades"] == 2
    assert part["Equity Final [$]"] == pytest.approx(10_000 + first["PnL"].sum())
    assert compute_stats(stats=stats, data=bars)["Sharpe Ratio"] == stats["Sharpe Ratio"]
    both = MultiBacktest([bars, walk(seed=2)], Averages).run(fast=3)
    assert both[0]["Return [%]"] == Backtest(bars, Averages).run(fast=3)["Return [%]"] != both[1]["Return [%]"]


def test_fractions_of_a_unit_are_traded_where_one_is_too_dear():
    bars = walk() * 1000
    stats = FractionalBacktest(bars, Averages, fractional_unit=1e-6, finalize_trades=True).run()
    trades = stats["_trades"]
    assert 0 < trades["Size"].iloc[0] < 1
    assert trades["EntryPrice"].iloc[0] == pytest.approx(bars["Open"].iloc[trades["EntryBar"].iloc[0]])


def test_random_bars_are_bars():
    example = walk(200).assign(Volume=1.0)
    one, other = (next(random_ohlc_data(example, random_state=seed)) for seed in (1, 2))
    assert one.index.equals(example.index) and not one.equals(other)
    for frame in (one, other):
        assert (frame["High"] >= frame[["Open", "Close"]].max(axis=1) * (1 - 1e-12)).all()
        assert (frame["Low"] <= frame[["Open", "Close"]].min(axis=1) * (1 + 1e-12)).all()


def test_small_functions_of_the_library():
    assert crossover([1, 3], [2, 2]) and crossover(pd.Series([1, 3]), 2) and not crossover(2, 2)
    assert barssince([True, False, False]) == 2 and barssince([False], default=7) == 7
    assert quantile([1, 2, 3, 2.5]) == pytest.approx(2 / 3) and quantile([1, 2, 3], 0.5) == 2


def test_results_and_backtests_travel_between_processes():
    test = pickle.loads(pickle.dumps(Backtest(walk(), Averages)))
    stats = pickle.loads(pickle.dumps(test.run()))
    assert stats["_trades"].equals(test.run()["_trades"])


def test_an_indicator_shared_by_combinations_is_computed_once():
    calls = []

    def counted(values, count):
        calls.append(count)
        return mean(values, count)

    # As if it stood in a package: a function of the program that writes to a list would be asked every time.
    counted.__qualname__, counted.__module__ = "counted", "pandas.counted"

    class Shared(Averages):
        def init(self):
            self.fast_line = self.I(counted, self.data.Close, self.fast)
            self.slow_line = self.I(counted, self.data.Close, self.slow)

    Backtest(walk(), Shared).optimize(fast=[2, 3, 4], slow=[10, 20], maximize="Return [%]")
    assert sorted(calls[:5]) == [2, 3, 4, 10, 20] and len(calls) == 5 + 2  # and twice for the run of the best
