"""Is a compiled run what an interpreted one is? Over 30 strategies by both, and what happens where it cannot be."""

from __future__ import annotations

import ast
import linecache

import pytest
from qfp.backtesting import Backtest, Strategy
from qfp.backtesting.compiled import Refused
from qfp.backtesting.compiled.translation import translate
from qfp.backtesting.lib import crossover
from qfp.backtesting.reading import tree_of
from qfp.backtesting.sharing import dependencies
from qfp.backtesting.test import SMA

from tests.sdk.test_backtesting import mean, walk
from tests.sdk.test_equivalence import in_boxes_environment


@pytest.fixture(scope="module")
def cases():
    return in_boxes_environment("both_tiers.py")


def test_every_order_fill_trade_and_equity_is_the_same_to_the_last_bit(cases):
    compared = [case for case in cases["same"] if "raises" not in case]
    assert len(compared) >= 80 and sum(case["trades"] for case in compared) > 8000
    assert [case for case in compared if case["apart"] or case["tier"] != "compiled"] == []


def test_a_step_that_raises_in_python_has_no_compiled_result(cases):
    raised = [case for case in cases["same"] if "raises" in case]
    assert {case["raises"] for case in raised} == {"IndexError", "ValueError"} and len(raised) == 9
    assert not any(case["compiled"] for case in raised)


def test_a_name_that_stands_for_something_else_is_read_anew(cases):
    assert len(cases["changed"]) == 19
    assert [one for one in cases["changed"] if one[1:] != [["compiled"] * 3, [True, True], True]] == []


def test_a_search_gives_every_combination_the_figures_of_its_own_run(cases):
    found = cases["searches"]
    assert found["tiers"] == ["compiled", "compiled"] and found["same"] == [True, True]
    assert found["listed"]
    assert found["twice"] == [6, True]
    assert found["distinct"] >= 5 and found["errors"] == [0, 1] and found["best"]


CELL = """
class {name}(Strategy):
    days = 5

    def init(self):
        self.line = self.I(SMA, self.data.{column}, self.days)

    def next(self):
        \"\"\"A text
    of two lines.
        \"\"\"
        if self.line[-1] > {level}:
            self.buy(size=1)
"""


def test_a_method_whose_lines_a_later_cell_has_taken_is_not_read_from_them():
    names = {"Strategy": Strategy, "SMA": SMA, "__name__": __name__}

    def run_cell(name, level, column):
        text = CELL.format(name=name, level=level, column=column)
        linecache.cache["cells.py"] = len(text), None, text.splitlines(keepends=True), "cells.py"
        exec(compile(text, "cells.py", "exec"), names)
        return names[name]

    first, second = run_cell("First", 100.0, "Close"), run_cell("Second", 120.0, "High")
    with pytest.raises(OSError, match="not there any more"):
        tree_of(first.next)
    assert dependencies(first) is None and dependencies(second)[1]["line"].column == "High"
    assert ast.unparse(tree_of(second.next).body[1]).startswith("if self.line[-1] > 120.0")
    again = run_cell("First", 100.0, "Close")
    assert ast.unparse(tree_of(first.next)) == ast.unparse(tree_of(again.next))
    assert dependencies(first)[1] == dependencies(again)[1] != dependencies(second)[1]


class Base(Strategy):
    level = 3

    def init(self):
        self.line = self.I(mean, self.data.Close, 5)
        self.seen = []
        self.name = "up"


def refusal(next):
    strategy = type("Refused", (Base,), {"next": next})
    with pytest.raises(Refused) as caught:
        translate(Backtest(walk(60), strategy).prepare({}).strategy)
    return str(caught.value)


def test_what_cannot_be_compiled_says_what_and_where():
    def keeps(self):
        self.seen.append(self.line[-1])

    def prints(self):
        print(self.line[-1])

    def a_dict(self):
        sizes = {"up": 1}
        self.buy(size=sizes["up"])

    def late(self):
        if self.line[-1] > 100:
            size = 1
        self.buy(size=size)

    def dates(self):
        if self.data.index[-1].weekday() == 0:
            self.buy()

    line = keeps.__code__.co_firstlineno + 1
    assert refusal(keeps) == f"uses self.seen.append (line {line})"
    assert "print()" in refusal(prints)
    assert refusal(a_dict).startswith("uses a dict (line ")
    assert "reads size, which may have no value there" in refusal(late)
    assert "self.data.index" in refusal(dates)


def test_a_word_known_beforehand_chooses_what_is_compiled():
    class Chosen(Base):
        def next(self):
            if self.name == "up" and crossover(self.line, 100):
                self.buy()

    translation = translate(Backtest(walk(60), Chosen).prepare({}).strategy)
    assert translation.fixed == {("name",): "up"} and len(translation.series) == 1


def test_what_init_has_ordered_is_filled_by_every_tier():
    class Begun(Base):
        def init(self):
            super().init()
            self.buy(size=7)

        def next(self):
            if crossover(self.line, 100):
                self.buy(size=2)

    test = Backtest(walk(60), Begun, cash=100_000)
    run = test.run_once({}, tier="compiled")
    assert run.account.fills.sizes[0] == 7 and "what init() has ordered" in str(run.tier_reason)
    assert test.run_many([{}], tier="compiled").columns["Equity Final [$]"][0] == run.equity[-1]
