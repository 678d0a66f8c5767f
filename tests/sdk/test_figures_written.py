"""How are differences of figures written, and how often is a search's warning shown?"""

from __future__ import annotations

import math
import os
import warnings

import pytest
from qfp.copied import warned
from qfp.figures import difference, figures, signed

WHY = "It says at length why. " * 12  # whoever reads it wants the end, too


@pytest.mark.parametrize(
    ("key", "change", "text"),
    [
        ("total_return", -0.022567, "\N{MINUS SIGN}2.3 points"),
        ("best_return", 0.0123, "+1.23 points"),
        ("sharpe", 0.125, "+0.12"),
        ("trades", -2.0, "\N{MINUS SIGN}2"),
        ("longest_drawdown", -3.0, "\N{MINUS SIGN}3 bars"),
        ("not a figure", 1.5, "+1.50"),
    ],
)
def test_percentages_differ_by_points_and_others_in_their_own_form(key, change, text):
    assert difference(key, change) == text


def test_huge_figures_are_short_with_all_their_digits_beside_and_none_has_a_negative_zero():
    shown = {each["key"]: each for each in figures({"total_return": 1.234e11, "cagr": -1e-9, "sharpe": math.nan})}
    assert shown["total_return"]["text"] == "12.34\N{NO-BREAK SPACE}trillion\N{NO-BREAK SPACE}%"
    assert shown["total_return"]["full"].replace("\u202f", "") == "12340000000000.0\N{NO-BREAK SPACE}%"
    assert (shown["cagr"]["text"], shown["sharpe"]["text"]) == ("0.0\N{NO-BREAK SPACE}%", "not defined")
    assert "full" not in shown["cagr"]
    assert signed(999_999_999.4, 0) == "999\u202f999\u202f999"
    written = {2.97e9: "2.97 billion", -2.5e10: "\N{MINUS SIGN}25.00 billion", 9.99999e11: "1.00 trillion"}
    written[1.23e15] = "1.23e15"
    assert {value: signed(value, 2).replace("\N{NO-BREAK SPACE}", " ") for value in written} == written


def test_warnings_that_differ_in_numbers_alone_are_counted():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with warned.folded():
            for bar in range(120):
                warnings.warn(f"time={bar}: Broker canceled it. Its equity, {bar * 1.5:,}, is low. {WHY}", stacklevel=1)
            warnings.warn("Some trades remain open.", stacklevel=1)
    said = [str(each.message) for each in shown]
    assert [each.partition(":")[0] for each in said[:3]] == ["time=0", "time=1", "time=2"]
    whole = f"time=119: Broker canceled it. Its equity, 178.5, is low. {WHY}"
    assert said[3:] == ["Some trades remain open.", f"and 117 more like this, with other numbers; the last: {whole}"]


def test_a_warning_of_many_trials_and_workers_is_shown_once():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        for known in (2, 1):  # what a worker has seen: at first its own words are new
            with warned.once():
                warnings.warn("Some trades remain open.", stacklevel=1)
                if not (child := os.fork()):
                    warnings.warn("Some trades remain open.", stacklevel=1)
                    warnings.warn("Said by a worker.", stacklevel=1)
                    os._exit(len(shown))
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == known
                warnings.warn("Said by a worker.", stacklevel=1)
        warnings.warn("Some trades remain open.", stacklevel=1)
    assert [str(each.message) for each in shown] == ["Some trades remain open."] * 2  # the last outside of a search
