"""The form of a sweep: proposals, values, conditions and counts; and defaults written back into a program."""

from __future__ import annotations

import pytest
from qfp.sweeps.expressions import condition
from qfp.sweeps.trial import Trial

from runner.defaults import declared_in, defaults_of, with_defaults
from runner.models import Sweep
from runner.starting import BadInput
from runner.sweeps.choice import neighbours_in_words
from runner.sweeps.form import dimensions, read_search, read_walk, space_near
from runner.sweeps.results import SweepResults

FAST = {"name": "fast", "kind": "number", "default": 20, "minimum": 5, "maximum": 60, "step": 5, "value": 20}
SLOW = {"name": "slow", "kind": "number", "default": 100, "minimum": 50, "maximum": 250, "step": 10, "value": 100}
COST = {
    "name": "cost",
    "kind": "number",
    "default": 0.001,
    "minimum": 0.0,
    "maximum": 0.01,
    "step": 0.0005,
    "value": 0.002,
}
SIDE = {"name": "side", "kind": "choice", "default": "both", "choices": ["long", "both"], "value": "both"}
FORM = {"try:fast": "on", "low:fast": "5", "high:fast": "60", "step:fast": "5"} | {
    "try:slow": "on", "low:slow": "50", "high:slow": "250", "step:slow": "50"
}  # fmt: skip


def test_a_condition_is_reckoned_and_nothing_else_is_understood():
    allows = condition("fast < slow / 2 and not (fast == 5 or side == 'long')", ["fast", "slow", "side"])
    assert allows({"fast": 10, "slow": 30, "side": "both"})
    assert not allows({"fast": 5, "slow": 30, "side": "both"})
    assert not allows({"fast": 10, "slow": 15, "side": "both"})
    assert condition("1 < fast <= 3", ["fast"])({"fast": 3}) and not condition("fast / 0 > 1", ["fast"])({"fast": 3})
    assert not condition("side * 1000000000 == 1", ["side"])({"side": "a"})
    for text in ("__import__('os')", "fast.real", "fast ** 999", "[x for x in ()]", "fast <", "fast[0]", "lambda: 1"):
        with pytest.raises(ValueError, match="condition"):
            condition(text, ["fast"])
    with pytest.raises(ValueError, match="no parameter 'slwo'"):
        condition("fast < slwo", ["fast", "slow"])
    with pytest.raises(ValueError, match="too many parts"):
        condition("+".join(["1"] * 100), [])


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        ({"low:cost": "0", "high:cost": "0.01", "step:cost": "1e-320"}, "make the step larger"),
        ({"low:cost": "1", "high:cost": "1", "step:cost": "1", "listed:cost": "1" + "0" * 400}, "numbers go up to"),
        ({"listed:cost": "0.001", "seed": "0" * 12 + "9" * 5000}, "whole number from 0"),
        ({"listed:cost": "0.001", "trials": "0" * 11 + "1" + "9" * 20}, "whole number from 1"),
    ],
)
def test_numbers_beyond_all_reckoning_are_told(change, doubt):
    with pytest.raises(BadInput, match=doubt):
        read_search([COST], {"try:cost": "on"} | change).plan()


def test_bounds_beyond_all_reckoning_give_a_form_as_well():
    wide = {**COST, "minimum": 0.0, "maximum": 1e308, "step": 1e-308}
    assert dimensions([wide])[0].listed == "0.002"


def test_the_form_proposes_a_few_values_within_the_bounds_of_the_program():
    fast, slow, cost, side = dimensions([FAST, SLOW, COST, SIDE])
    assert (fast.low, fast.high, fast.step) == ("10", "60", "10") and fast.tried and slow.tried
    assert (cost.low, cost.high, cost.step) == ("0", "0.01", "0.002") and not cost.tried
    assert (slow.low, slow.high, slow.step) == ("50", "250", "50")
    assert side.listed == "long, both"


@pytest.mark.parametrize("value", [20, 37, 0.5, -0.3, 1e-7, 123456.789, 0.002])
def test_the_present_value_is_one_of_those_that_are_proposed(value):
    bounds = {"minimum": round(value - abs(value) * 0.4, 9), "maximum": round(value + abs(value) * 3, 9)}
    for more in (
        {},
        bounds if isinstance(value, float) else {},
        {"step": 3 if isinstance(value, int) else abs(value) / 4},
    ):
        declared = {"name": "n", "kind": "number", "default": value, "value": value} | more
        (found,) = dimensions([declared])
        form = {"try:n": "on"} | {f"{key}:n": getattr(found, key) for key in ("low", "high", "step")}
        values = read_search([declared], form).plan()["space"]["n"]["values"]
        assert value in values and 2 <= len(values) <= 9, values


def test_combinations_are_counted_with_the_condition_and_the_budget():
    found = read_search([FAST, SLOW, COST], FORM)
    assert found.count == 60 and found.plan()["space"]["slow"] == {"values": [50, 100, 150, 200, 250]}
    assert found.given() == {"cost": 0.002}
    assert read_search([FAST, SLOW], FORM | {"constraint": "fast < slow"}).count == 57
    assert read_search([FAST, SLOW], FORM | {"method": "random", "trials": "10"}).number_of_trials == 10
    listed = read_search([FAST, SIDE], {"try:fast": "", "listed:fast": "5, 8,8", "try:side": "", "listed:side": "long"})
    assert listed.plan()["space"] == {"fast": {"values": [5, 8]}, "side": {"values": ["long"]}}


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({}, "at least one parameter"),
        (FORM | {"high:fast": "61"}, None),
        (FORM | {"high:fast": "70"}, "outside the bounds"),
        (FORM | {"step:fast": "0"}, "the step has to be above 0"),
        (FORM | {"step:fast": "0.5"}, "whole numbers"),
        (FORM | {"low:fast": "x"}, "is a number"),
        (FORM | {"constraint": "fast > 1000"}, "allows none"),
        (FORM | {"constraint": "open('x')"}, "cannot stand in a condition"),
        (FORM | {"seed": "-1"}, "Seed: a whole number"),
        (FORM | {"trials": "0"}, "At most so many trials: a whole number"),
        (FORM | {"method": "luck"}, "one of the methods"),
    ],
)
def test_what_cannot_be_swept_is_said_beside_the_field(form, said):
    found = read_search([FAST, SLOW], form)
    if said is None:
        assert found.plan()
        return
    with pytest.raises(BadInput, match=said):
        found.plan()


@pytest.mark.parametrize(
    "param",
    [
        FAST,
        COST,
        SIDE,
        {"name": "loud", "kind": "boolean", "default": True},
        {"name": "on", "kind": "text", "default": "a"},
    ],
    ids=lambda param: param["kind"],
)
def test_a_list_of_commas_alone_has_no_values(param):
    for listed in (",", " , ,"):
        found = read_search([param], {f"try:{param['name']}": "on", f"listed:{param['name']}": listed})
        with pytest.raises(BadInput, match="write the values to try"):
            found.plan()
        assert found.count is None and found.dimensions[0].error


def test_a_walk_forward_needs_bars_for_its_windows():
    form = {"train": "500", "test": "100", "purge": "5", "embargo": "0"}
    assert read_walk(form, 1000) == {
        "train": 500,
        "test": 100,
        "purge": 5,
        "embargo": 0,
        "anchored": False,
        "choose": "plateau",
    }
    with pytest.raises(BadInput, match="too few"):
        read_walk(form, 300)
    with pytest.raises(BadInput, match="windows are more than"):
        read_walk(form | {"test": "1"}, 1000)
    space = {"fast": {"values": [5, 10, 15, 20]}, "side": {"values": ["a", "b"]}}
    assert space_near(space, {"fast": 5, "side": "b"}) == {"fast": {"values": [5, 10]}, "side": {"values": ["a", "b"]}}


def test_defaults_are_written_where_they_stand_and_nowhere_else():
    source = (
        'ü = "é"; fast = param("fast", 20, 5, 60)  # 20\nlow = qfp.param(name="low", default=-0.5)\nn = param("n", N)'
    )
    assert defaults_of(source) == {"fast": 20, "low": -0.5}
    text, missing = with_defaults(source, {"fast": 35, "low": 0.25, "n": 3})
    assert missing == ["n"]
    assert text == source.replace('"fast", 20', '"fast", 35').replace("-0.5", "0.25")
    assert with_defaults("def (", {"fast": 1}) == ("def (", ["fast"])


def test_neighbours_are_told_of_what_was_picked_and_an_edge_is_called_one():
    def results(height, top=5):
        tried = [Trial(at, {"a": at // top, "b": at % top}, height(at // top, at % top), {}) for at in range(top * top)]
        return SweepResults(Sweep(about={"objective": "sharpe", "space": {"a": {}, "b": {}}}), tried=tried)

    inside = results(lambda a, b: 10.0 - (a - 2) ** 2 - (b - 2) ** 2)
    said, beyond = neighbours_in_words(inside, None, [])
    assert not beyond and "in the middle of the plateau" in said and "edge" not in said
    assert "a 2, b 2 has 10.00 by itself; over it and its 8 neighbours the median is 9.00, the mean 8.67 and" in said
    assert "the worst 8.00." in said
    said, _ = neighbours_in_words(inside, inside.trial(0), [])
    assert said.startswith(
        "What was picked has 2.00 by itself; over it and its 3 neighbours the median is 5.00, the mean"
    )
    assert "The middle of the plateau, a 2, b 2, has 10.00 by itself;" in said
    assert "It lies at the edge: a 0 is the lowest that was tried and b 0 is the lowest that was tried." in said

    rising = results(lambda a, b: float(a) - abs(b - 2))
    said, beyond = neighbours_in_words(rising, None, [])
    assert "on the plateau" in said and "middle" not in said and "a 4 is the highest that was tried" in said
    assert "with a wider range of a." in beyond
    _, beyond = neighbours_in_words(rising, None, [{"name": "a", "minimum": 0, "maximum": 4}])
    assert "wider" not in beyond and "allows a no further: to try beyond, widen the range in its param()" in beyond


def test_parameters_are_read_from_the_text_as_far_as_it_has_plain_values():
    source = """
fast = param("fast", 20, 5, maximum=TOP, step=5)
how = qfp.param(name="how", default="ema", choices=["sma", "ema"], label="Average")
which, other = param("which", "a", choices=NAMES), param("other", len(x))
fast = param("fast", 99)
loud = param("loud", True)
"""
    fast, how, loud = declared_in(source)
    assert fast == {
        "name": "fast",
        "label": "fast",
        "kind": "number",
        "default": 20,
        "value": 20,
        "minimum": 5,
        "maximum": None,
        "step": 5,
        "choices": [],
    }
    assert (how["label"], how["kind"], how["choices"]) == ("Average", "choice", ["sma", "ema"])
    assert loud["kind"] == "boolean" and declared_in("param(") == []
