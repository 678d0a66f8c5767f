"""What a test of honesty has found is said in plain words, with the statement that knew and what to do instead."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from qfp.checking.apart import Told, error_text
from qfp.checking.statements import suspects
from qfp.checking.verdict import joined
from qfp.checking.words import amnesia_sentence, sentence

from runner.honesty.checking import findings

HINDSIGHT = """
closes = table.copy()
n = len(closes)
scores = {}
for days in (2, 3):
    scores[days] = float(closes.iloc[-1] * days)
best = max(scores, key=scores.get)
mean = closes.mean()
distance = closes - mean
marks = np.zeros(n)
marks[int(closes.to_numpy().argmax())] = 1
label = closes.shift(-1) > closes
model = Model().fit(closes, label)
ahead = closes.shift(-2)
late = closes * 1.0
late[-3:] = ahead[-3:]
"""


@pytest.mark.parametrize(
    ("lines", "expression"),
    [
        (range(2, 10), "mean = closes.mean()"),  # not `distance`, which it made another one
        (range(2, 8), "scores[days] = float(closes.iloc[-1] * days)"),
        ([2, 3, 10, 11], "marks[int(closes.to_numpy().argmax())] = 1"),
        ([2, 12, 13], "model = Model().fit(closes, label)"),  # what is to be foretold lies ahead by itself
        ([2, 14, 15, 16], "ahead = closes.shift(-2)"),
    ],
)
def test_the_statement_that_is_named_is_the_one_that_knew(lines, expression):
    text = HINDSIGHT.splitlines()
    source = "\n".join(text[line - 1] for line in lines) + "\nclass S:\n    uses = [closes]\n"
    source += "    best = best\n" if "best =" in source else ""
    names = []
    for end in (1.0, 40.0):
        table = pd.Series([3.0, 5, 4, 6, 5, 7, end, end], pd.date_range("2020-01-01", periods=8), name="close")
        model = type("Model", (), {"fit": lambda self, *args: self})
        names.append({"table": table, "np": np, "Model": model})
        exec(source, names[-1])
    found = suspects(*names, pd.Timestamp("2020-01-06"), {8: 6}, source)
    assert found["expression"] == expression


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("x = close.shift(-1)", "shift(1)"),
        ("m = close.rolling(9, center=True).mean()", "end at the row itself"),
        ("z = (c - c.mean()) / c.std()", "expanding()"),
        ("m = close.rolling(9).mean() / 2", "known at the close"),
        ("w = close.resample('W', label='left').last()", "shift its value by one period"),
        ("f = filtfilt(b, a, close)", "filter forward"),
        ("model.fit(X, y)", "those before the day"),
    ],
)
def test_a_leak_is_said_with_what_to_do_instead(expression, words):
    found = {"state": "leak", "date": "2020-01-03", "expression": expression, "line": 3}
    assert sentence(found).startswith(
        f"Look-ahead: the decision of 2020-01-03 changes when later data change: {expression} (line 3). "
    )
    assert words in sentence(found)
    assert sentence({"state": "leak", "bar": 3}).endswith("when later data change.")


def test_what_keeps_a_test_from_saying_anything_is_told_in_plain_words():
    assert error_text(Told("one of its series has nothing")) == "one of its series has nothing"
    assert error_text(KeyError("close")) == "KeyError: 'close'"


def test_a_leak_of_either_test_is_one_and_a_class_alone_is_only_part():
    part = {"state": "partly", "cuts": 3, "tails": 1, "orders": 4, "why": "waits"}
    clean = {"state": "clean", "programs": 3}
    leak = {"state": "leak", "bar": 4, "expression": "x", "line": 2}
    assert joined(part, clean) == {"state": "clean", "cuts": 3, "tails": 1, "orders": 4, "programs": 3}
    assert joined(part, {"state": "untested", "why": "no"})["state"] == "partly"
    assert joined(part, leak)["state"] == joined(leak, clean)["state"] == "leak"
    assert joined({"state": "untested", "why": "no"}, clean)["state"] == "clean"


def test_where_time_ran_out_the_line_says_how_far_it_came():
    found = {"state": "clean", "cuts": 2, "tails": 1, "bars": 120, "programs": 1}
    assert sentence(found) == (
        "No look-ahead found: 2 cuts, 1 other course of prices in the first 120 bars and 1 run of the whole program "
        "left every earlier decision as it was."
    )
    assert amnesia_sentence(found).endswith("level of prices in the first 120 bars.")


def test_one_date_in_the_code_is_a_doubt_with_its_two_meanings_and_no_accusation():
    found = findings({"amnesia": {"state": "remembers", "what": "boundary", "day": "2006-06-30", "date": "2006-07-03"}})
    assert found["amnesia"]["state"] == "amber"
    assert "one date, 2006-06-30," in found["amnesia"]["sentence"] and "training" in found["amnesia"]["sentence"]
    assert findings({"amnesia": {"state": "remembers", "what": "dates"}})["amnesia"]["state"] == "red"
