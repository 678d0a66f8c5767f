"""Which values of a program can be changed without editing it? param() declares one and gives its value."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from typing import Any

from qfp import channel

__all__ = ["param"]


def param(
    name: str,
    default: Any,
    minimum: float | None = None,
    maximum: float | None = None,
    *,
    step: float | None = None,
    choices: Sequence[Any] | None = None,
    label: str | None = None,
) -> Any:
    """Declare a parameter and get its value for this run.

    On the site it becomes a slider, list, field or switch beside Run; what is chosen goes to the next run
    and is recorded on it. On a laptop it is taken from the command line (--lookback 40) or the
    environment (QFP_PARAMS, JSON).

    name: a Python name, such as "lookback".
    default: what it is when nothing is chosen. Its type decides the kind: number, text or True/False.
    minimum, maximum: bounds of a number, both included. step: distance of the slider's places.
    choices: the only values allowed, instead of bounds.
    label: what the page calls it; the name without it.

    Returns the value in the type of the default. Raises ValueError, with the bounds, for a value outside
    them.
    """
    if not (isinstance(name, str) and name.isidentifier() and len(name) <= 60):
        raise ValueError(f'the name of a parameter is a Python name such as "lookback", not {name!r}')
    kind = _kind(default, choices)
    if kind == "choice":
        choices = list(choices or ())
        if default not in choices:
            raise ValueError(f"{name}: the default {default!r} is not among the choices {choices}")
    given = _given(name)
    value = default if given is None else _read(name, given, kind, default, choices)
    if kind == "number":
        for bound, what in ((default, "default"), (value, "value")):
            _check_bounds(name, what, bound, minimum, maximum)
    if kind == "choice" and value not in (choices or ()):
        raise ValueError(f"{name}: {value!r} is not among the choices {list(choices or ())}")
    channel.emit(
        {
            "type": "param",
            "name": name,
            "label": label or name.replace("_", " "),
            "kind": kind,
            "default": default,
            "value": value,
            "minimum": minimum,
            "maximum": maximum,
            "step": step,
            "choices": choices,
        }
    )
    return value


def _kind(default: Any, choices: Sequence[Any] | None) -> str:
    if choices is not None:
        return "choice"
    if isinstance(default, bool):
        return "boolean"
    if isinstance(default, (int, float)):
        return "number"
    if isinstance(default, str):
        return "text"
    raise TypeError(f"a parameter is a number, text, True/False or one of choices, not {type(default).__name__}")


def _given(name: str) -> Any:
    """What was chosen for this run, as it came; None for nothing."""
    text = os.environ.get("QFP_PARAMS")
    if text:
        try:
            chosen = json.loads(text)
        except ValueError:
            raise ValueError('QFP_PARAMS is not JSON; write it like {"lookback": 40}') from None
        if isinstance(chosen, dict) and chosen.get(name) is not None:
            return chosen[name]
    if channel.connected:
        return None
    flags = {f"--{name}", f"--{name.replace('_', '-')}"}
    for place, word in enumerate(sys.argv[1:], start=1):
        flag, separator, value = word.partition("=")
        if flag in flags:
            if separator:
                return value
            if place + 1 < len(sys.argv):
                return sys.argv[place + 1]
            raise ValueError(f"{word} needs a value after it")
    return None


def _read(name: str, given: Any, kind: str, default: Any, choices: Sequence[Any] | None) -> Any:
    """The value in the type of the default; forms and command lines give text."""
    if kind == "choice":
        return next((choice for choice in choices or () if given in (choice, str(choice))), given)
    if kind == "boolean":
        words = {
            "true": True,
            "1": True,
            "yes": True,
            "on": True,
            "false": False,
            "0": False,
            "no": False,
            "off": False,
        }
        if isinstance(given, bool):
            return given
        if str(given).strip().lower() in words:
            return words[str(given).strip().lower()]
        raise ValueError(f"{name}: {given!r} is neither true nor false")
    if kind == "text":
        return str(given)
    try:
        number = float(given)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: {given!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}: {given!r} is not a finite number")
    if isinstance(default, int):
        if number != int(number):
            raise ValueError(f"{name}: {given!r} is not a whole number")
        return int(number)
    return number


def _check_bounds(name: str, what: str, value: float, minimum: float | None, maximum: float | None) -> None:
    if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
        low = "" if minimum is None else f" from {minimum:g}"
        high = "" if maximum is None else f" to {maximum:g}"
        raise ValueError(f"{name}: the {what} {value:g} is outside the range{low}{high}")
