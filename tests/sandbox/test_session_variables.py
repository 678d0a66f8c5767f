"""What does a live interpreter say of its variables, and what if its program answers instead?"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.client import BoxRefused
from tests.sandbox.conftest import MEGABYTE

FRAME = """
import numpy as np, pandas as pd
rng = np.random.default_rng(7)
frame = pd.DataFrame(rng.normal(size=(1_000_000, 9)), columns=list("abcdefghi"))
frame["j"] = pd.date_range("1990-01-01", periods=len(frame), freq="min")
"""
TABLES = """
import numpy as np, pandas as pd
series = pd.Series([3, 1, None], index=list("xyz"), name="n")
array = np.arange(6).reshape(3, 2)
mixed = pd.DataFrame({"a": ["b", 2, None], "a2": pd.date_range("2024", periods=3)})
twice = pd.DataFrame([[1, 2]], columns=["same", "same"])
empty = pd.DataFrame()
wide = pd.DataFrame(np.zeros((300, 300)))
texts = pd.DataFrame({"t": ["é" * 5000] * 500})
levels = mixed.set_index(["a", "a2"])
index = pd.Index([2, 1])
"""
FORGED_REPLY = """
from qfp import channel
old = channel.emit
def emit(message, **options):
    return old({**message, CHANGE} if message["type"] == "reply" else message, **options)
channel.emit = emit
"""


def test_variables_are_listed_with_shape_size_and_preview(live):
    session = live()
    session.cell(
        "import numpy as np, pandas as pd\nprices = pd.DataFrame({'close': [1.0, 2.0], 'open': [3.0, 4.0]})\n"
        "weights = np.ones((3, 2))\nname = 'AAPL'\n_hidden = 1\ndef rule(a, b): return a\nnumbers = list(range(10_000))"
    )
    body = session.ask("variables")
    found = {each["name"]: each for each in body["variables"]}
    assert list(found) == ["prices", "weights", "name", "rule", "numbers"]
    assert found["prices"]["shape"] == "2 × 2" and found["prices"]["preview"] == "close, open"
    assert found["prices"]["pages"] and found["prices"]["size"] >= 32
    assert found["weights"]["type"] == "ndarray (float64)" and found["weights"]["size"] == 48
    assert found["name"]["preview"] == "'AAPL'" and not found["name"]["pages"]
    assert found["rule"]["preview"] == "rule(a, b)"
    assert found["numbers"]["shape"] == "10\u202f000" and len(found["numbers"]["preview"]) <= 120
    assert body["idle_left"] > 50


def test_a_million_rows_are_paged_and_sorted_in_small_answers(live):
    session = live(memory_bytes=700 * MEGABYTE, cpu_seconds=60)
    assert session.cell(FRAME).outcome == "succeeded"
    page = session.ask("page", name="frame", first=999_900, count=100, left=0, width=10)
    assert page["total_rows"] == 1_000_000 and page["total_columns"] == 10
    assert [row[0] for row in page["rows"]] == list(range(999_900, 1_000_000))
    assert len(json.dumps(page)) <= 200_000
    ascending = session.ask("page", name="frame", first=0, count=100, left=0, width=10, sort=2, descending=False)
    column = [row[1 + 2] for row in ascending["rows"]]
    assert column == sorted(column) and column[0] < -4
    descending = session.ask("page", name="frame", first=0, count=100, left=0, width=10, sort=2, descending=True)
    column = [row[1 + 2] for row in descending["rows"]]
    assert column == sorted(column, reverse=True) and column[0] > 4
    # The user's own object is as it was, and a change is seen.
    assert session.cell("print(frame.index[0], frame['c'].is_monotonic_increasing)").stdout == "0 False\n"
    session.cell("frame.loc[5, 'c'] = 99.0")
    changed = session.ask("page", name="frame", first=0, count=1, left=2, width=1, sort=2, descending=True)
    assert changed["rows"] == [[5, 99.0]]


def test_pages_of_every_kind_of_table(live):
    session = live()
    session.cell(TABLES)
    series = session.ask("page", name="series", first=0, count=10, left=0, width=5, sort=0, descending=True)
    assert series["rows"] == [["x", 3.0], ["y", 1.0], ["z", None]] and series["columns"][1]["name"] == "n"
    assert session.ask("page", name="array", first=1, count=1, left=0, width=5)["rows"] == [[1, 2, 3]]
    mixed = session.ask("page", name="mixed", first=0, count=9, left=0, width=9, sort=0)
    assert mixed["rows"][0][1] == "2"
    assert session.ask("page", name="twice", first=0, count=9, left=1, width=9)["rows"] == [[0, 2]]
    assert session.ask("page", name="empty", first=0, count=9, left=0, width=9)["rows"] == []
    assert session.ask("page", name="levels", first=0, count=9, left=0, width=9)["index_columns"] == 2
    assert session.ask("page", name="index", first=0, count=9, left=0, width=9)["rows"] == [[0, 2], [1, 1]]
    wide = session.ask("page", name="wide", first=0, count=10_000, left=290, width=10_000)
    assert len(wide["columns"]) == 11 and len(wide["rows"]) == 200
    texts = session.ask("page", name="texts", first=0, count=200, left=0, width=1)
    assert texts["rows"] and len(json.dumps(texts)) <= 200_000
    for name, reason in (("nothing", "no variable"), ("pd", "no rows")):
        with pytest.raises(BoxRefused, match=reason):
            session.ask("page", name=name, first=0, count=1, left=0, width=1)
    with pytest.raises(BoxRefused, match="column"):
        session.ask("page", name="array", first=0, count=1, left=0, width=1, sort=7)


def test_a_hostile_answer_is_refused_and_hurts_nobody(live):
    changes = ["'body': {'variables': 'no'}", "'body': [1]", "'body': {'variables': ['x' * 10**6]}", "'id': 10**9"]
    sessions = [live() for _ in changes]
    for session, change in zip(sessions, changes, strict=True):
        session.cell(FORGED_REPLY.replace("CHANGE", change))
    with ThreadPoolExecutor(len(changes)) as pool:  # each is waited for until it could have come
        asked = [pool.submit(session.ask, "variables") for session in sessions]
        assert [type(question.exception()) for question in asked] == [BoxRefused] * len(changes)
    other = live()
    other.cell("x = 1")
    assert other.ask("variables")["variables"][0]["name"] == "x"


def test_an_answer_is_rebuilt_field_by_field(live):
    session = live()
    entry = "{'name': 'n' * 10**5, 'size': -1, 'pages': 'yes', 'evil': 1}"
    session.cell(FORGED_REPLY.replace("CHANGE", f"'body': {{'variables': [{entry}, 7], 'more': 'x'}}, 'evil': 2"))
    body = session.ask("variables")
    kept = {"name": "n" * 100, "type": "", "shape": "", "size": None, "preview": "", "pages": False}
    assert body.pop("idle_left") > 0 and body == {"variables": [kept], "more": 0}
