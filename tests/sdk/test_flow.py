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
from qfp.checking.recording import StrategyRuns
from qfp.checking.statements import suspects
from qfp.checking.suspects import _number, suspect
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


class Whole(Strategy):
    def init(self):
        self.table = self.data.df.copy()

    def next(self):
        at = len(self.data)
        if at < len(self.table) and self.table["Close"].iloc[at] > self.data.Close[-1]:
            self.buy()


def two_sided(values):
    calm = pd.Series(values).rolling(3).mean()
    return calm - np.gradient(values)


class Kept(Strategy):
    def init(self):
        self.slope = two_sided(np.array(self.data.Close))
        self.line = self.I(self.both, self.data.Close)

    def both(self, values):
        return two_sided(values)

    def next(self):
        if self.line[-1] > 0:
            self.buy()


@pytest.mark.parametrize(
    ("strategy", "expression"),
    [
        (Whole, 'if at < len(self.table) and self.table["Close"].iloc[at] > self.data.Close[-1]:'),
        (Kept, "return calm - np.gradient(values)"),
    ],
)
def test_the_line_that_looks_ahead_is_named_also_in_a_function_and_where_a_table_is_kept(strategy, expression):
    close = 50.0 + np.random.default_rng(1).normal(size=60).cumsum()
    prices = dict.fromkeys(("Open", "High", "Low", "Close"), close)
    frame = pd.DataFrame(prices, pd.date_range("2020-01-01", periods=60))
    runs = StrategyRuns(strategy, frame, {}, {})
    assert suspect(runs, runs.recorded(frame, 60), Variation(29, 1, 1), 29)["expression"] == expression


DAYS = pd.date_range("2020-01-01", periods=50)
AHEAD = 'df["close"].shift(-1)'


def named(source: str) -> tuple[int, str]:
    """The line and the text that are named for a program whose data go on differently after 30 days."""
    other = np.arange(50.0) + np.where(np.arange(50) < 30, 0.0, 5.0)
    model = type("Model", (), {"fit": lambda self, x, y: self})
    common = {"np": np, "pd": pd, "Model": model, "train_test_split": lambda x, y: (x[::2], x[1::2], y[::2], y[1::2])}
    before, after = (common | {"df": pd.DataFrame({"close": close}, DAYS)} for close in (np.arange(50.0), other))
    for namespace in (before, after):
        exec(source, namespace)
    found = suspects(before, after, DAYS[29], {50: 30}, source)
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


IN_FUNCTIONS = """
def usual(values):
    return values.rolling(5).mean()

def helper(values):
    \"\"\"No savgol_filter here.\"\"\"
    calm = usual(values)
    return calm - values.rolling(5, center=True).mean()

def signals(table):
    return table.assign(signal=helper(table["close"]))

df = signals(df)
"""
NOT_COMPARED = """
def seasonal_decompose(values):
    return type("Parts", (), {"trend": values[::-1].cumsum()[::-1]})

parts = seasonal_decompose(df["close"].to_numpy())
signal = pd.Series(parts.trend)
"""
SPLIT = f"""
x = df["close"].diff()
y = {AHEAD} - df["close"]
train, rest, aim, _ = train_test_split(x, y)
model = Model().fit(train, aim)
"""


@pytest.mark.parametrize(
    ("source", "expression"),
    [
        (IN_FUNCTIONS, "return calm - values.rolling(5, center=True).mean()"),
        (NOT_COMPARED, 'parts = seasonal_decompose(df["close"].to_numpy())'),
        ('joined = pd.DataFrame({"next": [*df["close"][1:], 0.0]})\n', "joined = pd.DataFrame("),
        ('draws = np.random.default_rng(int(df["close"].iloc[-1]))\nclass Mine:\n    uses = draws\n', "draws = "),
        (SPLIT, "model = Model().fit(train, aim)"),
    ],
)
def test_what_looks_ahead_by_way_of_functions_tables_without_dates_and_models_is_named(source, expression):
    assert named(source)[1].startswith(expression)


def test_the_text_of_a_line_is_that_of_its_number_also_behind_a_form_feed():
    assert named(f'df = df.copy()\n# one\x0cpage\ndf["ahead"] = {AHEAD}\n') == (3, f'df["ahead"] = {AHEAD}')


def test_advice_on_order_is_for_dates_and_not_for_ranks():
    assert "newest" in advice('df = df.sort_values("date", ascending=False)')
    assert "newest" not in advice("ranks = momentum.mean().rank(ascending=False)")
    assert "latest_at" in advice('gdp = data.series("us_quarterly")["realgdp"].pct_change()')
