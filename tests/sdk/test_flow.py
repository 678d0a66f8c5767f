"""Which statement or number of a program is named where it knew the future: what stands where, and what is used how."""

from __future__ import annotations

import ast
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from qfp.backtesting import Strategy
from qfp.checking.advice import advice
from qfp.checking.flow import giving, is_for_fitting
from qfp.checking.statements import suspects
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


DAYS = pd.date_range("2020-01-01", periods=50)
AHEAD = 'df["close"].shift(-1)'


def named(source: str) -> tuple[int, str]:
    """The line and the text that are named for a program whose data go on differently after 30 days."""
    other = np.arange(50.0) + np.where(np.arange(50) < 30, 0.0, 5.0)
    before, after = ({"np": np, "df": pd.DataFrame({"close": close}, DAYS)} for close in (np.arange(50.0), other))
    for namespace in (before, after):
        exec(source, namespace)
    found = suspects(before, after, DAYS[29], {}, source)
    return found["line"], found["expression"]


@pytest.mark.parametrize(
    "statement",
    [
        f'df.loc[:, "ahead"] = {AHEAD}',
        f'df.loc[df.index[3]:, "ahead"] = {AHEAD}',
        f"one, (two, *rest) = 1, (2, {AHEAD}, 3)",
        'ahead = df["close"].shift(periods=-1).tolist()',
        "a = df.close.tolist()[1:]; settings['itself'] = settings; ahead = {'b': df.close.diff(periods=-1).tolist()}",
    ],
)
def test_the_statement_that_looks_ahead_is_named_however_it_gives_its_value(statement):
    source = f"df = df.copy()\nsettings, key = {{}}, 3**900\n{statement}\n"
    assert named(source) == (3, statement)


def test_the_text_of_a_line_is_that_of_its_number_also_behind_a_form_feed():
    assert named(f'df = df.copy()\n# one\x0cpage\ndf["ahead"] = {AHEAD}\n') == (3, f'df["ahead"] = {AHEAD}')


def test_advice_on_order_is_for_dates_and_not_for_ranks():
    assert "newest" in advice('df = df.sort_values("date", ascending=False)')
    assert "newest" not in advice("ranks = momentum.mean().rank(ascending=False)")
