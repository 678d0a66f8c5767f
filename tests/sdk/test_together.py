"""Trials that machine code answers many at a time are those that are tried alone, figure by figure and bit by bit."""

from __future__ import annotations

from tests.sdk.test_equivalence import in_boxes_environment


def test_trials_answered_many_at_a_time_are_those_tried_alone():
    found = in_boxes_environment("trials_together.py")
    assert [name for name, case in found.items() if case["apart"]] == []
    # What machine code cannot tell is left: combinations that raise, numbers drawn by every trial, a fee in Python.
    assert [case["told"] for case in found.values()] == [42, 42, 42, 42, 36, 42, 0, 0]
    assert [case["distinct"] > 20 for case in found.values()] == [True, True, True, True, False, False, False, False]


def test_random_strategies_whose_quiet_bars_are_left_out_trade_as_bar_by_bar():
    found = in_boxes_environment("quiet_bars.py", "40")
    assert found["apart"] == [] and found["sieves"] == [] and found["compiled"] == 40
    assert found["freed"]
    assert found["quiet"] >= 10 and found["sifted"] >= 10 and found["traded"] >= 10


def test_the_average_of_the_library_is_that_of_pandas_to_the_last_bit():
    found = in_boxes_environment("one_pass.py")
    assert found == {"averages": 300, "drawdowns": 300, "apart": []}
