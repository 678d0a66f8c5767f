"""The Series that run() returns: figures at once, tables when they are looked at, whichever way that is."""

from __future__ import annotations

import copy

import pandas as pd
import pytest
from qfp.backtesting import Backtest, Strategy

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
