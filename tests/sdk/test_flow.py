"""Which statement or number of a program is named where it knew the future: what stands where, and what is used how."""

from __future__ import annotations

import ast
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from qfp.backtesting import Strategy
from qfp.checking.flow import giving, is_for_fitting
from qfp.checking.suspects import _number
from qfp.checking.variations import Variation


def test_statements_come_in_the_order_in_which_they_stand():
    blocks = "if a:\n    x = 1\nelse:\n    x = 2\ntry:\n    y = 1\nexcept E:\n    y = 2\nfinally:\n    y = 3\n"
    tree = ast.parse(f"{blocks}match z:\n    case 1:\n        w = 1\n")
    assert [each.statement.lineno for each in giving(tree)] == [2, 4, 6, 8, 10, 13]


@pytest.mark.parametrize(
    ("more", "only"),
    [
        ("", True),
        ("if close > 0:\n    model.fit(close, t)", True),
        ("if t > 0:\n    buy()", False),
        ("for each in t:\n    buy(each)", False),
        ("try:\n    model.fit(close, t)\nexcept E:\n    buy(t)", False),
    ],
)
def test_what_a_program_asks_before_it_decides_is_not_there_for_fitting_only(more, only):
    tree = ast.parse(f"t = close.shift(-1)\nmodel.fit(close, t)\n{more}\n")
    assert is_for_fitting(giving(tree)[0], tree) is only


def test_a_number_that_is_missing_both_times_did_not_know_the_future():
    class Keeping(Strategy):
        def init(self):
            self.stop = float("nan")
            self.mean = self.data.Close.mean()

        def next(self):
            pass

    close = np.linspace(10.0, 20.0, 30)
    prices = dict.fromkeys(("Open", "High", "Low", "Close"), close)
    frame = pd.DataFrame(prices, pd.date_range("2020-01-01", periods=30))
    kept = [SimpleNamespace(numbers={"stop": float("nan"), "mean": mean}) for mean in (1.0, 2.0)]
    runs = SimpleNamespace(strategy=Keeping, frame=frame, recorded=lambda frame, until: kept[1])
    assert _number(runs, kept[0], Variation(9, 1))["expression"] == "self.mean = self.data.Close.mean()"
