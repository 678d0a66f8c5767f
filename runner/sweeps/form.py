"""What does the form of a sweep ask for? The ranges of its fields, checked, as the plan that a box carries out.

Nothing of it is executed here: a condition is read by qfp.sweeps.expressions, and values are numbers, texts, true or
false.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from qfp.figures import GROUPS, signed
from qfp.sweeps.expressions import condition
from qfp.sweeps.stretches import windows_of

from runner.starting import BadInput, parse_param

__all__ = ["METHODS", "OBJECTIVES", "Dimension", "Search", "dimensions", "read_search", "read_walk", "space_near"]

MOST_TRIALS = 20_000
MOST_VALUES = 1_000  # of one parameter
LISTED = 50_000  # combinations that are counted one by one where there is a condition: half a second at most
FEW = 8  # values that the form proposes for a parameter
MOST_WINDOWS = 100
TYPED = ("low", "high", "step", "listed")  # of a parameter that is tried, as the form sends it
COMMON = ("method", "constraint", "objective", "trials", "early_stop", "seed")
LARGEST = 1e15  # up to which every whole number is one of a float

# Method -> (name, what it does, packages that it needs beside those of every box).
METHODS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "grid": ("Grid", "tries every combination", ()),
    "random": ("Random", "draws combinations, each once", ()),
    "tpe": ("TPE", "learns from what it tried (Optuna)", ("optuna",)),
    "cma-es": ("CMA-ES", "learns from what it tried, numbers only (Optuna)", ("optuna", "cmaes")),
    "sambo": ("SAMBO", "learns from what it tried", ("sambo",)),
}
# Figures of which more is better.
_MORE_IS_BETTER = ("sharpe", "sortino", "calmar", "total_return", "cagr", "max_drawdown", "omega", "martin")
_LABELS = {each.key: each.label for group in GROUPS.values() for each in group}
OBJECTIVES = {key: _LABELS.get(key, key) for key in _MORE_IS_BETTER}


@dataclass
class Dimension:
    """A parameter of the program, and what the form says of it."""

    name: str
    label: str
    kind: str
    value: Any
    tried: bool = False
    low: str = ""
    high: str = ""
    step: str = ""
    listed: str = ""
    values: list[Any] = field(default_factory=list)
    error: str = ""
    warning: str = ""

    @property
    def is_number(self) -> bool:
        return self.kind == "number"

    @property
    def count(self) -> int:
        return len(self.values)

    @property
    def note(self) -> str:
        """Where what is wrong or odd about it is said in the page."""
        return f"param-{self.name}"

    @property
    def value_text(self) -> str:
        return (
            str(self.value).lower() if isinstance(self.value, bool) else "" if self.value is None else str(self.value)
        )


@dataclass
class Search:
    """A sweep as it is asked for. errors: by field; "nothing" where none is swept. warnings: by field, what is odd and
    may be meant. count: combinations; None while there are errors.
    """

    dimensions: list[Dimension]
    method: str = "grid"
    constraint: str = ""
    objective: str = "sharpe"
    trials: str = ""
    early_stop: str = ""
    seed: str = "0"
    errors: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    count: int | None = None
    counted_all: bool = True

    @property
    def swept(self) -> list[Dimension]:
        return [each for each in self.dimensions if each.tried]

    @property
    def number_of_trials(self) -> int | None:
        """At most so many will be tried."""
        if self.count is None:
            return None
        usual = MOST_TRIALS if self.method == "grid" else 200
        return min(self.count, int(self.trials) if self.trials else usual, MOST_TRIALS)

    @property
    def notes(self) -> list[tuple[str, str, str]]:
        """Field, error and warning of all fields that are of no parameter."""
        return [(name, self.errors.get(name, ""), self.warnings.get(name, "")) for name in COMMON]

    @property
    def wrong(self) -> list[str]:
        return [*self.errors.values(), *(each.error for each in self.dimensions if each.error)]

    def plan(self) -> dict[str, Any]:
        """What goes into the box. Raises BadInput while something of it is wrong."""
        if self.wrong:
            raise BadInput(self.wrong[0])
        return {
            "space": {each.name: {"values": each.values} for each in self.swept},
            "method": self.method,
            "constraint": self.constraint,
            "objective": self.objective,
            "trials": int(self.trials) if self.trials else None,
            "early_stop": int(self.early_stop) if self.early_stop else None,
            "seed": int(self.seed),
        }

    def given(self) -> dict[str, Any]:
        """Values of the parameters that stay as they are."""
        return {each.name: each.value for each in self.dimensions if not each.tried}


def dimensions(declared: list[dict[str, Any]]) -> list[Dimension]:
    """The program's parameters with a proposal for each; the first two numbers are proposed to be tried."""
    found = [_proposed(param) for param in declared]
    for each in [each for each in found if each.is_number][:2]:
        each.tried = True
    return found


def _proposed(param: dict[str, Any]) -> Dimension:
    default = param.get("value") if param.get("value") is not None else param.get("default")
    each = Dimension(str(param["name"]), str(param.get("label") or param["name"]), str(param.get("kind")), default)
    if each.kind == "choice":
        each.listed = ", ".join(str(choice) for choice in param.get("choices") or [])
    elif each.kind == "boolean":
        each.listed = "true, false"
    elif each.kind == "number" and isinstance(default, (int, float)):
        try:
            each.low, each.high, each.step = map(_text, _range(param, default))
        except (OverflowError, ValueError):  # so large that it cannot be reckoned with
            each.listed = str(default)
    else:
        each.listed = str(default)
    return each


def _range(param: dict[str, Any], default: float) -> tuple[float, float, float]:
    """From, to and step, a few values in all, among them the present one."""
    whole = isinstance(param.get("default"), int)
    low, high = param.get("minimum"), param.get("maximum")
    low = default - abs(default) / 2 if low is None else low
    high = default + abs(default) / 2 if high is None else high
    if whole:
        low, high = math.ceil(low), math.floor(high)
    unit = param.get("step") or (1 if whole else _round_step((high - low) / (FEW - 1)))
    least, usual = (max(1, math.ceil((high - low) / unit / many - 1e-9)) for many in (FEW, FEW - 1))
    if not low <= default <= high:
        return low, high, unit * usual
    # The present value is one of those that are tried, and what is left of the range at its ends is little.
    rooms = (default - low, high - default)

    def left_out(step: float) -> float:
        return sum(room - step * math.floor(room / step + 1e-9) for room in rooms)

    step = unit * min(range(least, usual + 3), key=lambda times: (round(left_out(unit * times), 9), times))
    below, above = (math.floor(room / step + 1e-9) for room in rooms)
    return default - below * step, default + above * step, step


def _round_step(step: float) -> float:
    """The next round number above."""
    if not step > 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(step))
    return next(size * factor for factor in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if size * factor >= step * (1 - 1e-9))


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.10g}"


# Reading the form ------------------------------------------------------------------------------------------------


def read_search(declared: list[dict[str, Any]], form: Mapping[str, str]) -> Search:
    """What was asked for, with what is wrong beside each field."""
    found = Search([_read(param, form) for param in declared])
    for name in COMMON:
        setattr(found, name, " ".join(str(form.get(name, getattr(found, name))).replace("\x00", "").split()))
    if found.method not in METHODS:
        found.errors["method"] = "Choose one of the methods."
    if found.objective not in OBJECTIVES:
        found.errors["objective"] = "Choose one of the figures."
    for name, label, least, most in (
        ("trials", "At most so many trials", 1, MOST_TRIALS),
        ("early_stop", "Stop early", 1, MOST_TRIALS),
        ("seed", "Seed", 0, 2**31 - 1),
    ):
        text = getattr(found, name)
        whole = text.isascii() and text.isdigit() and len(text) <= 12
        if (text or name == "seed") and not (whole and least <= int(text) <= most):
            found.errors[name] = f"{label}: a whole number from {signed(least, 0)} to {signed(most, 0)}."
    if not found.swept:
        found.errors["nothing"] = "Choose at least one parameter to try values of."
    try:
        allows = condition(found.constraint, [each.name for each in found.swept]) if found.constraint else None
    except ValueError as error:
        found.errors["constraint"], allows = f"{str(error)[0].upper()}{str(error)[1:]}.", None
    if found.method == "cma-es" and not all(type(v) in (int, float) for each in found.swept for v in each.values):
        found.errors["method"] = "CMA-ES takes numbers only; choose another method, or leave the other parameters out."
    if not found.errors and not any(each.error for each in found.dimensions):
        _count(found, allows)
    return found


def _count(found: Search, allows: Any) -> None:
    size = math.prod(each.count for each in found.swept)
    if allows is None or size > LISTED:
        found.count, found.counted_all = size, allows is None
    else:
        names = [each.name for each in found.swept]
        every = (dict(zip(names, one, strict=True)) for one in product(*(each.values for each in found.swept)))
        found.count = sum(map(allows, every))
    if found.count == 0:
        found.errors["constraint"] = "The condition allows none of the combinations."
        found.count = None
    elif found.method == "grid" and not found.trials and found.count > MOST_TRIALS:
        before = "" if found.counted_all else " before the condition"
        found.errors["trials"] = (
            f"{signed(found.count, 0)} combinations{before} are more than the {signed(MOST_TRIALS, 0)} of one sweep. "
            "Make the steps larger, give a budget, or let another method than the grid choose."
        )
    elif (tried := found.number_of_trials) is not None and tried < found.count and found.counted_all:
        left = f"{signed(found.count - tried, 0)} of {signed(found.count, 0)}"
        found.warnings["trials"] = f"{left} combinations are left out."


def _read(param: dict[str, Any], form: Mapping[str, str]) -> Dimension:
    each = _proposed(param)
    name = each.name
    each.tried = f"try:{name}" in form
    for key in TYPED:
        setattr(each, key, str(form.get(f"{key}:{name}", "" if each.tried else getattr(each, key))).strip()[:2_000])
    text = form.get(f"value:{name}")
    if text is not None and len(text) <= 200:
        each.value = parse_param(text)
    if each.tried:
        try:
            each.values = list(dict.fromkeys(_values(each, param)))
            each.warning = _odd(each)
        except BadInput as error:
            each.error = str(error)
    return each


def _odd(each: Dimension) -> str:
    """What is odd about its values, though they can be tried."""
    last = each.values[-1]
    high = "" if each.listed else parse_param(each.high)
    shown = _text(last) if each.is_number else str(last)
    if isinstance(high, (int, float)) and not math.isclose(last, high, rel_tol=1e-9, abs_tol=1e-12):
        only = f"Only {shown} is tried" if each.count == 1 else f"The last value is {shown}"
        return f"{only}: steps of {each.step} from {each.low} do not meet {each.high}."
    return f"Only {shown} is tried, so nothing is compared." if each.count == 1 else ""


def _values(each: Dimension, param: dict[str, Any]) -> Iterator[Any]:
    if each.listed:
        listed = [parse_param(part.strip()) for part in each.listed.split(",") if part.strip()]
        if len(listed) > MOST_VALUES:
            raise BadInput(f"{each.label}: at most {signed(MOST_VALUES, 0)} values.")
        if not listed:
            raise BadInput(f"{each.label}: write the values to try, with commas between them.")
        for value in listed:
            yield _checked(each, param, value)
        return
    if not each.is_number:
        raise BadInput(f"{each.label}: write the values to try, with commas between them.")
    low, high, step = (
        _number(each, text, what) for text, what in ((each.low, "from"), (each.high, "to"), (each.step, "step"))
    )
    if not low <= high or not step > 0:
        raise BadInput(f"{each.label}: the step has to be above 0, and “to” not below “from”.")
    steps = (high - low) / step  # infinitely many where the step is next to nothing
    if not steps + 1e-9 < MOST_VALUES:
        raise BadInput(f"{each.label}: more than {signed(MOST_VALUES, 0)} values are too many; make the step larger.")
    for place in range(math.floor(steps + 1e-9) + 1):
        value = low + place * step
        yield _checked(each, param, value if isinstance(value, int) else float(f"{value:.12g}"))


def _number(each: Dimension, text: str, what: str) -> int | float:
    value = parse_param(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > LARGEST:
        raise BadInput(f"{each.label}: “{what}” is a number, such as {each.value}.")
    return value


def _checked(each: Dimension, param: dict[str, Any], value: Any) -> Any:
    """The value in the type that the program will see; refused where param() would refuse it."""
    if each.kind == "choice":
        known = {str(choice): choice for choice in param.get("choices") or []}
        if str(value) not in known:
            raise BadInput(f"{each.label}: {value} is not among {', '.join(known)}.")
        return known[str(value)]
    if each.kind == "boolean":
        if not isinstance(value, bool):
            raise BadInput(f"{each.label}: only true and false can be tried.")
        return value
    if not each.is_number:
        return str(value)[:200]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadInput(f"{each.label}: {value} is not a number; commas stand between several.")
    if abs(value) > LARGEST:
        raise BadInput(f"{each.label}: numbers go up to {LARGEST:g}.")
    if isinstance(param.get("default"), int):
        if value != int(value):
            raise BadInput(f"{each.label} takes whole numbers, not {value:g}.")
        value = int(value)
    else:
        value = float(value)
    low, high = param.get("minimum"), param.get("maximum")
    if (low is not None and value < low) or (high is not None and value > high):
        raise BadInput(f"{each.label}: {value:g} is outside the bounds of the program, {low} to {high}.")
    return value


# A walk-forward over the same space ----------------------------------------------------------------------------------


def read_walk(form: Mapping[str, str], bars: int) -> dict[str, Any]:
    """How to walk forward over so many bars. Raises BadInput."""
    found: dict[str, Any] = {}
    for name, label in (("train", "Choose on"), ("test", "Trade the next"), ("purge", "Purge"), ("embargo", "Embargo")):
        text = str(form.get(name, "")).strip()
        if not (text.isascii() and text.isdigit() and len(text) <= 7):
            raise BadInput(f"{label}: a whole number of bars.")
        found[name] = int(text)
    found["anchored"] = "anchored" in form
    try:
        windows = windows_of(bars, **found)
    except ValueError as error:
        raise BadInput(f"{str(error)[0].upper()}{str(error)[1:]}.") from None
    if len(windows) > MOST_WINDOWS:
        raise BadInput(f"{len(windows)} windows are more than {MOST_WINDOWS}; trade more bars with each choice.")
    return {**found, "choose": "best" if form.get("choose") == "best" else "plateau"}


def space_near(space: dict[str, Any], picked: Mapping[str, Any]) -> dict[str, Any]:
    """Of the values that were tried, the picked ones and those next to them."""
    near = {}
    for name, part in space.items():
        values = part["values"]
        keys = [json.dumps(value) for value in values]
        at = keys.index(json.dumps(picked.get(name))) if json.dumps(picked.get(name)) in keys else None
        near[name] = {"values": values if at is None else values[max(0, at - 1) : at + 2]}
    return near
