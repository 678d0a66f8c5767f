"""Which part of two runs is named where they differ? Code first, figures last, each part by itself."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace

import pytest

from runner.comparing import compare
from tests.runner.test_repeating import made_up

RULES = {"id": "next-open", "version": 2, "commission": 0.001, "lines": ["told"]}
ORDERS = [
    {"bar": 0, "size": 1.0, "kind": "market", "outcome": "filled"},
    {"bar": 4, "size": -1.0, "kind": "limit", "limit": 12.0, "outcome": "filled"},
]


def run():
    made = made_up(0.0, 6)
    (backtest,) = made.backtests.all()
    backtest.conventions, backtest.orders, backtest.cash = dict(RULES), deepcopy(ORDERS), 1_000.0
    figure = {"key": "sharpe", "label": "Sharpe", "text": "1.00", "value": 1.0, "help": "", "anchor": ""}
    backtest.figures = [figure]
    return made


def change(what, run):
    (backtest,) = run.backtests.all()
    match what:
        case "code":
            run.revision.files = {"main.py": "pass\nprint(1)"}
        case "parameter":
            run.params = {"days": 21}
        case "parameter of the backtest":
            backtest.params = {"days": 21}
        case "data":
            run.snapshot = "0" * 64
        case "package":
            run.lock = SimpleNamespace(packages=[("polars", "1.0")])
        case "rule":
            backtest.conventions["commission"] = 0.002
        case "decision":
            backtest.orders[1]["limit"] = 13.0
        case "fate":
            backtest.orders[1] |= {"outcome": "refused", "reason": "insufficient margin"}
        case "figure":
            backtest.figures[0] |= {"text": "1.25", "value": 1.25}


@pytest.mark.parametrize(
    ("what", "blamed"),
    [
        ("nothing", "Nothing differs."),
        ("code", "The code differs."),
        ("parameter", "The code is the same; the parameters differ."),
        ("parameter of the backtest", "The code is the same; the parameters differ."),
        ("data", "Code and parameters are the same; the data differ."),
        ("package", "Code, parameters and data are the same; the environment differs."),
        ("rule", "Everything but the rules is the same."),
        ("decision", "Code, parameters, data, environment and rules are the same, and yet the results differ"),
        ("fate", "Code, parameters, data, environment and rules are the same, and yet the results differ"),
    ],
)
def test_the_first_part_that_differs_is_blamed_and_shown_with_both_values(what, blamed):
    one, other = run(), run()
    change(what, other)
    found = compare(one, other, one.backtests.all(), other.backtests.all())
    (pair,) = found.pairs
    assert found.blame.startswith(blamed)
    shown = {
        "code": [path for path, _ in found.code],
        "parameter": found.params,
        "parameter of the backtest": pair.params,
        "data": [] if found.same_data else ["other"],
        "package": found.environment,
        "rule": pair.rules,
        "decision": [row for row in pair.first if row[0] == "Decision"],
        "fate": [row for row in pair.first if row[0] != "Decision"],
    }
    expected = {
        "code": ["main.py"],
        "parameter": [("days", "–", "21")],
        "parameter of the backtest": [("days", "–", "21")],
        "data": ["other"],
        "package": [("polars", "–", "1.0")],
        "rule": [("commission", "0.001", "0.002")],
        "decision": [("Decision", "2000-01-05", "limit: sell 1 limit 12", "limit: sell 1 limit 13")],
        "fate": [
            (
                "What became of an order",
                "2000-01-05",
                "limit: sell 1 limit 12: filled",
                "limit: sell 1 limit 12: refused (insufficient margin)",
            )
        ],
    }
    if what == "decision":  # what became of an order is told with the order
        expected["fate"] = [
            (
                "What became of an order",
                "2000-01-05",
                "limit: sell 1 limit 12: filled",
                "limit: sell 1 limit 13: filled",
            )
        ]
    for part, rows in shown.items():
        wanted = expected[part] if part == what or (what, part) == ("decision", "fate") else []
        assert rows == wanted, part


def test_the_order_of_blame_is_kept_where_everything_differs_and_figures_have_their_difference():
    one, other = run(), run()
    blamed = []
    for what in ("figure", "fate", "rule", "package", "data", "parameter", "code"):
        change(what, other)
        found = compare(one, other, one.backtests.all(), other.backtests.all())
        blamed.append(found.blame)
    assert [text.split()[0] for text in blamed] == ["Nothing", "Code,", "Everything", "Code,", "Code", "The", "The"]
    assert len(set(blamed)) == 7
    (figure,) = found.pairs[0].figures
    assert (figure["one"], figure["other"], figure["change"]) == ("1.00", "1.25", "+0.25")
    assert "<svg" in found.pairs[0].picture
