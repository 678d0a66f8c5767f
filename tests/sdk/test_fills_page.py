"""Does the page about fills tell the truth? Its programs run in order, and its table of shapes is that of the tests."""

from __future__ import annotations

import re
from pathlib import Path

from tests.sdk.test_backtesting import SHAPES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fills.md"


def test_the_programs_of_the_page_run_in_order(in_box_environment):
    programs = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(programs) >= 3
    text, messages = in_box_environment("\n".join(programs))
    shown = [each for each in messages if each["type"] == "backtest" and not each.get("attempt")]
    assert [message["claim"]["strategy"] for message in shown] == ["Cross"]
    ours, theirs = map(float, text.split()[-2:])
    assert ours != theirs


def test_every_bar_in_the_table_is_one_the_tests_work_by_hand():
    known = {tuple(map(float, row)) for shape in SHAPES for row in shape[3]}
    rows = re.findall(r"([\d.]+) / ([\d.]+) / ([\d.]+) / ([\d.]+)", PAGE.read_text(encoding="utf-8"))
    assert len(rows) > 12 and {tuple(map(float, row)) for row in rows} <= known
