"""The Series that run() returns: figures at once, tables when they are looked at, whichever way that is."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from qfp.backtesting import Backtest, Strategy
from qfp.backtesting.lines import column_of
from qfp.backtesting.statistics import Calendar, Figures, TradeColumns
from qfp.backtesting.stats import Stats

from tests.sdk.test_backtesting import mean, walk


class Above(Strategy):
    def init(self):
        self.line = self.I(mean, self.data.Close, 5)

    def next(self):
        if self.data.Close[-1] > self.line[-1] and not self.position:
            self.buy(size=10)
        elif self.data.Close[-1] < self.line[-1]:
            self.position.close()


def stats():
    return Backtest(walk(120), Above, finalize_trades=True).run()


@pytest.mark.parametrize(
    "look",
    [
        lambda found: found["_trades"],
        lambda found: found._trades,
        lambda found: found.loc["_trades"],
        lambda found: found.iloc[-1],
        lambda found: found.values[-1],
        lambda found: found.to_dict()["_trades"],
        lambda found: dict(found.items())["_trades"],
        lambda found: list(found)[-1],
        lambda found: found.drop("_strategy")["_trades"],
        lambda found: copy.copy(found)["_trades"],
        lambda found: found.filter(regex="^_t").iloc[0],
        lambda found: (found["SQN"], repr(found), found["_trades"])[2],
    ],
)
def test_whichever_way_one_looks_at_a_table_it_is_there(look):
    table = look(stats())
    assert isinstance(table, pd.DataFrame) and len(table) == stats()["# Trades"] > 3


def test_a_figure_is_that_of_the_series_before_and_after_the_tables_are_made():
    found = stats()
    before = found["SQN"]
    assert len(found["_equity_curve"]) == 120 and found["SQN"] == before == found.SQN
    found["SQN"] = 5.0
    assert found["SQN"] == 5.0 and found.get("nothing") is None


def test_who_writes_into_the_tables_changes_no_figure_of_the_run():
    found, other = stats(), stats()
    for name in ("_equity_curve", "_trades"):
        table = found[name]
        for column in range(table.shape[1]):
            if table.dtypes.iloc[column].kind in "if":
                table.iloc[:3, column] = 7
    pd.testing.assert_frame_equal(Stats.of(found._run)["_trades"], other["_trades"])
    pd.testing.assert_frame_equal(Stats.of(found._run)["_equity_curve"], other["_equity_curve"])
    assert found.metrics == pytest.approx(other.metrics, abs=0, rel=0, nan_ok=True)


@pytest.mark.parametrize("how", [lambda signals: (lambda: signals,), lambda signals: (np.asarray, signals)])
def test_an_array_of_the_program_is_no_indicator_of_two_runs(how):
    signals = np.tile([1.0, 1.0, -1.0, -1.0, 1.0, -1.0], 20)

    class Follows(Strategy):
        def init(self):
            self.signal = self.I(*how(signals), name="signal")

        def next(self):
            if self.signal[-1] > 0 and not self.position:
                self.buy(size=1)
            elif self.signal[-1] < 0:
                self.position.close()

    found, before = Backtest(walk(120), Follows, finalize_trades=True).run(), signals.copy()
    signals[:] = 0.0
    trades = found["_trades"]
    assert len(trades) > 9 and trades["Entry_signal"].tolist() == before[trades["EntryBar"]].tolist()


def test_prices_cannot_be_written_to_and_a_column_that_init_adds_is_of_its_own_run():
    class Writes(Above):
        def init(self):
            super().init()
            self.data.Close[0] = 1.0

    class Adds(Above):
        def init(self):
            super().init()
            self.data.df["Twice"] = self.data.Close * 2

        def next(self):
            assert self.data.Twice[-1] == self.data.Close[-1] * 2

    bars = walk(60)
    with pytest.raises(ValueError, match="read-only"):
        Backtest(bars, Writes).run()
    test = Backtest(bars, Adds)
    test.run()
    test.run()
    assert "Twice" not in bars.columns


@pytest.mark.parametrize("directly", [True, False])
@pytest.mark.parametrize("kind", [None, float])
def test_a_column_is_what_pandas_makes_of_it_and_the_frame_cannot_be_written_to_by_it(kind, directly, monkeypatch):
    if not directly:  # as with a pandas that has no such way
        monkeypatch.delattr(pd.DataFrame, "_get_column_array")
    whole = pd.DataFrame({"a": [1.5, 2.5], "b": [1, 2], "d": [True, False]})
    more = whole.assign(e=[None, 1.0], f=pd.array([1, None], dtype="Int64"))
    for frame in (whole, more, whole.astype(object), whole[["b", "a"]].astype(float), whole[::-1]):
        for name in frame.columns:
            found, wanted = column_of(frame, name, kind), frame[name].to_numpy(dtype=kind)
            assert found.dtype == wanted.dtype and pd.Series(found).equals(pd.Series(wanted))
            assert found.flags.writeable <= wanted.flags.writeable
    twice = pd.concat([whole[["a", "b"]], whole[["a"]]], axis=1)
    assert column_of(twice, "a").shape == (2, 2) and column_of(twice, "b").tolist() == [1, 2]


def test_a_column_is_read_without_a_series_in_between(monkeypatch):
    bars = walk(60)
    monkeypatch.delattr(pd.DataFrame, "__getitem__")
    assert len(column_of(bars, "Close", float)) == 60


@pytest.mark.parametrize("step", ["250us", "s", "7min", "h", "D", "W", "ME"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_durations_are_rounded_up_as_pandas_does(step, unit):
    if (step, unit) in (("250us", "s"), ("250us", "ms")):
        return  # bars that would have the same time
    index = pd.date_range("2024-01-31", periods=40, freq=step).as_unit(unit)
    trades = TradeColumns([1, 7], [6, 38], [0, 0], [1, -1], [0.1, -0.1])
    figures = Figures(index, np.linspace(100, 120, 40), 1000 + np.sin(np.arange(40)), trades, 1)
    lengths = np.array([index.asi8[6] - index.asi8[1], index.asi8[38] - index.asi8[7]])
    rounded = figures.calendar.period.resolution_string
    for label, length in (("Max. Trade Duration", lengths.max()), ("Avg. Trade Duration", lengths.mean())):
        wanted = pd.Timedelta(int(length), unit=unit).ceil(rounded)
        assert figures.one(label) == wanted and figures.one(label).unit == wanted.unit


@pytest.mark.parametrize(
    ("step", "of", "a_year"),
    [
        *((step, "W", 52) for step in ("W", "W-FRI", "W-MON")),
        *((step, "ME", 12) for step in ("ME", "MS")),
        *((step, "YE", 1) for step in ("YE", "YS")),
        *((step, "D", 365) for step in ("D", "7h", "2D")),
        *((step, "D", 252) for step in ("B", "bh")),
    ],
)
@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_returns_a_year_are_of_the_periods_that_the_bars_are_of(step, of, a_year, zone):
    index = pd.date_range("2019-12-30", periods=120, freq=step, tz=zone)
    found, ends = Calendar(index).periods
    assert found == a_year
    assert ends.tolist() == pd.Series(np.arange(120), index).resample(of).last().dropna().tolist()
