"""A program is run again with other values of its parameters, unheard, and its last backtest is what counts."""

from __future__ import annotations

import os

import pytest
from qfp import checking
from qfp.sweeps.programs import Program

PROGRAM = """
import numpy as np
import pandas as pd
from qfp import backtest, param
from qfp.backtesting import Strategy

hold, bars, side = param("hold", 3, 1, 20), param("bars", 60), param("side", "long", choices=["long", "none"])
close = 100 + np.sin(np.arange(bars))
days = pd.bdate_range("2020-01-01", periods=bars)
frame = pd.DataFrame({name: close for name in ("open", "high", "low", "close")}, days)


class Hold(Strategy):
    def init(self):
        pass

    def next(self):
        if len(self.data) % hold == 0:
            self.position.close() if self.position else self.buy(size=1)


print("heard")
if side != "none":
    backtest(Hold, frame, cash=500)
    backtest(Hold, frame, cash=1_000)
print("the end")
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "main.py"

    def new(source: str = PROGRAM, **given) -> Program:
        path.write_text(source)
        return Program(str(path), given)

    return new


def test_the_last_backtest_counts_and_nothing_of_the_rest_is_heard(program, capsys, monkeypatch):
    monkeypatch.setenv("QFP_PARAMS", '{"hold": 9}')
    count = checking.backtests
    found = program(hold=5)
    result = found.result({"bars": 80})
    assert len(result.equity) == 80 and result.equity.iloc[0] == 1_000
    short, long = found.outcome({"hold": 2}), found.outcome({"hold": 7})
    assert short.metrics["trades"] > long.metrics["trades"] > 0
    assert long.metrics == pytest.approx(found.result({"hold": 7}).metrics, nan_ok=True)
    assert capsys.readouterr() == ("", "")
    assert os.environ["QFP_PARAMS"] == '{"hold": 9}' and checking.backtests == count


def test_what_a_walk_forward_would_run_is_asked_for_without_running_it(program):
    found = program()
    found.result({})
    one, other = found.asked({"hold": 2}), found.asked({"hold": 4})
    assert one.options["cash"] == 1_000 and one.bars is other.bars and one.strategy is not other.strategy
    with pytest.raises(ValueError, match="takes other bars"):
        found.asked({"bars": 50})


def test_a_program_that_cannot_be_swept_says_why(program):
    with pytest.raises(ValueError, match="makes no backtest"):
        program().result({"side": "none"})
    with pytest.raises(ValueError, match="outside the range"):
        program().result({"hold": 50})
    with pytest.raises(SyntaxError, match=r"line 2 of .* is no plain Python"):
        program("import numpy\n%matplotlib inline\n")
