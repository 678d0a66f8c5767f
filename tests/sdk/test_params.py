"""param(): types, bounds, where a value comes from, and what is sent to the page."""

from __future__ import annotations

import json

import pytest
from qfp import channel, params


@pytest.fixture
def sent(monkeypatch):
    messages = []
    monkeypatch.setattr(channel, "emit", lambda message: messages.append(message) or True)
    monkeypatch.delenv("QFP_PARAMS", raising=False)
    monkeypatch.setattr("sys.argv", ["main.py"])
    return messages


def choose(monkeypatch, **values):
    monkeypatch.setenv("QFP_PARAMS", json.dumps(values))


def test_a_number_without_a_choice_is_its_default_and_is_declared(sent):
    assert params.param("lookback", 60, 10, 200, step=10) == 60
    assert sent == [
        {
            "type": "param",
            "name": "lookback",
            "label": "lookback",
            "kind": "number",
            "default": 60,
            "value": 60,
            "minimum": 10,
            "maximum": 200,
            "step": 10,
            "choices": None,
        }
    ]


@pytest.mark.parametrize(("given", "expected"), [(20, 20), ("20", 20), (20.0, 20)])
def test_a_chosen_number_comes_in_the_type_of_the_default(sent, monkeypatch, given, expected):
    choose(monkeypatch, lookback=given)
    value = params.param("lookback", 60, 10, 200)
    assert value == expected and isinstance(value, int)


@pytest.mark.parametrize("given", [5, 201, "many", 20.5, "nan", "inf"])
def test_a_number_outside_or_of_another_kind_is_refused(sent, monkeypatch, given):
    choose(monkeypatch, lookback=given)
    with pytest.raises(ValueError, match="lookback"):
        params.param("lookback", 60, 10, 200)
    assert sent == []


@pytest.mark.parametrize(("given", "expected"), [("true", True), (False, False), ("off", False), ("1", True)])
def test_a_switch(sent, monkeypatch, given, expected):
    choose(monkeypatch, shorts=given)
    assert params.param("shorts", True) is expected


def test_a_choice_keeps_the_type_of_its_choices(sent, monkeypatch):
    choose(monkeypatch, window="50")
    assert params.param("window", 20, choices=[20, 50]) == 50
    choose(monkeypatch, window="51")
    with pytest.raises(ValueError, match="not among the choices"):
        params.param("window", 20, choices=[20, 50])


@pytest.mark.parametrize("argv", [["--look-back", "30"], ["--look_back=30"], ["x", "--look-back=30"]])
def test_on_a_laptop_the_command_line_gives_values(sent, monkeypatch, argv):
    monkeypatch.setattr("sys.argv", ["main.py", *argv])
    assert params.param("look_back", 60) == 30


def test_names_and_kinds_that_cannot_be_are_refused(sent):
    with pytest.raises(ValueError, match="Python name"):
        params.param("look back", 1)
    with pytest.raises(TypeError, match="number, text"):
        params.param("x", [1])
    with pytest.raises(ValueError, match="default 5 is outside"):
        params.param("x", 5, 10, 20)
