"""chart(), table() and progress(): plain JSON, no secrets, few messages."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from qfp import channel, output, progressing

DAYS = pd.date_range("2020-01-01", periods=3)


def test_a_line_chart_is_plain_json_with_gaps_as_null():
    chart = output.chart(pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [1, 2, 3], "note": list("xyz")}, DAYS), "Two")
    first, second = json.loads(json.dumps(chart.data))
    assert first["y"] == [1.0, None, 3.0] and first["x"] == ["2020-01-01", "2020-01-02", "2020-01-03"]
    assert second["y"] == [1, 2, 3] and chart.layout["title"] == {"text": "Two"}


def test_a_chart_of_two_sequences():
    assert output.chart(x=[1, 2], y=np.array([3.0, 4.0])).data[0]["x"] == [1, 2]
    with pytest.raises(ValueError, match="x has 1 values"):
        output.chart(x=[1], y=[1, 2])
    with pytest.raises(TypeError, match="either data or y"):
        output.chart()


def test_candles_take_upper_or_lower_case_columns():
    bars = pd.DataFrame({name: [1.0, 2.0, 3.0] for name in ("Open", "High", "Low", "Close")}, DAYS)
    assert output.chart(bars, kind="candles").data[0]["close"] == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="low is missing"):
        output.chart(bars.drop(columns="Low"), kind="candles")


def test_a_table_has_kinds_and_says_how_many_rows_there_are():
    frame = pd.DataFrame({"price": [1.5, np.nan], "name": ["<b>", "y"], "ok": [True, False], "day": DAYS[:2]})
    content = output.table(frame, "Caption", max_rows=1).content
    assert [column["kind"] for column in content["columns"]] == ["number", "text", "boolean", "date"]
    assert content["rows"] == [[1.5, "<b>", True, "2020-01-01"]] and content["total_rows"] == 2
    table = output.table(frame)
    assert table.content["rows"][1][0] is None
    assert "&lt;b&gt;" in table._repr_html_() and "<b>" not in table._repr_html_()
    assert "and 1 more rows" in repr(output.table(frame, max_rows=1))


def test_tables_of_a_dictionary_and_of_rows():
    assert output.table({"a": [1, 2]}).content["rows"] == [[1], [2]]
    assert output.table([{"a": 1}, {"a": 2}]).content["rows"] == [[1], [2]]
    assert output.table(pd.Series([1.0], index=["x"], name="v")).content["rows"] == [["x", 1.0]]
    assert output.table(pd.DataFrame({"a": [1, 2, 3]}).tail(1)).content["rows"] == [[2, 3]]


def test_progress_sends_few_messages_and_one_at_the_end(monkeypatch):
    sent = []
    monkeypatch.setattr(channel, "emit", lambda message: sent.append(message) or True)
    assert sum(progressing.progress(range(100_000), "Counting")) == sum(range(100_000))
    assert len(sent) < 30
    assert sent[-1]["done"] and sent[-1]["value"] == sent[-1]["total"] == 100_000
    assert sent[0]["value"] == 0 and not sent[0]["done"]
    assert len({message["id"] for message in sent}) == 1


def test_progress_by_hand_and_through_a_generator(monkeypatch):
    sent = []
    monkeypatch.setattr(channel, "emit", lambda message: sent.append(message) or True)
    with progressing.progress(10, "paths") as bar:
        bar.advance(4, "four")
    assert (sent[-1]["value"], sent[-1]["text"], sent[-1]["total"]) == (4, "four", 10)
    assert list(progressing.progress(i for i in range(3))) == [0, 1, 2] and sent[-1]["total"] is None


def test_numbers_json_does_not_know_become_null(monkeypatch, tmp_path):
    path = tmp_path / "messages"
    with open(path, "wb") as file:
        monkeypatch.setattr(channel, "_fd", file.fileno())
        assert channel.emit({"value": float("nan"), "list": [np.float64("inf"), np.int64(3), np.array([1.0, np.nan])]})
    assert json.loads(path.read_text()) == {"value": None, "list": [None, 3, [1.0, None]]}
