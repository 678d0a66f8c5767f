"""Are the dates that a strategy names a boundary or days that were published, or what it remembers of history?

Nobody can tell for certain. A single day that stands in the code of a rule may be the last day of training, a few may
be those of meetings that were known long before: both are told as a doubt. A day after which prices do not matter, many
days, and days without which much of the gain is gone are a memory.
"""

from __future__ import annotations

import datetime
import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from qfp.checking.decisions import Decision

__all__ = ["boundary", "published"]

DAY = re.compile(r"\d{4}-\d\d-\d\d([ T].*)?")
MONTH = re.compile(r"\d{4}(-\d\d)?")
YEARS = range(1900, 2100)
FEW = 12  # days: as many meetings as a year has
MOST = 0.7  # of the gain: so much is left without them


def boundary(
    parts: Iterable[Any], base: Sequence[Decision], on_other_prices: Callable[[], Sequence[Decision]]
) -> str | None:
    """The only day that a strategy names, if prices matter to it as well.

    parts: its functions, which are looked at with what they read of the program's variables, and its values. base: its
    decisions. on_other_prices: those on the same dates with quite other prices; may raise what the program raises.
    """
    seen: set[Any] = set()
    named = {date for part in parts for date in _dates_of(part, seen)}
    days = [date for date in named if DAY.fullmatch(date)]
    if len(named) != 1 or not days:
        return None
    with suppress(Exception):
        return days[0][:10] if _sides(base) != _sides(on_other_prices()) else None
    return None


def published(parts: Iterable[Any], grown: float, without: float) -> int | None:
    """How many days a strategy names, if they are a few that its gain does not hang on.

    parts: as of boundary(). grown: what its account became, as a multiple. without: where the days were others.
    """
    seen: set[Any] = set()
    named = {date for part in parts for date in _dates_of(part, seen)}
    if not 2 <= len(named) <= FEW or not all(DAY.fullmatch(date) for date in named):
        return None
    if not (grown > 0 and without > 0):
        return None
    gain = math.log(grown)
    return len(named) if math.log(without) >= min(gain, MOST * gain) else None


def _sides(decisions: Sequence[Decision]) -> set[Any]:
    return {(each.bar, each.instrument, each.kind, each.size > 0) for each in decisions}


def _dates_of(part: Any, seen: set[Any]) -> Iterator[str]:
    function = getattr(part, "__func__", part)
    if not inspect.isfunction(function):
        yield from _dates_in(part)
        return
    if function in seen or function.__module__.startswith("qfp."):
        return
    seen.add(function)
    for constant in _constants(function.__code__):
        yield from _dates_in(constant)
    with suppress(ValueError):  # a variable that has no value yet
        closed = inspect.getclosurevars(function)
        for value in (*closed.globals.values(), *closed.nonlocals.values()):
            yield from _dates_of(value, seen)


def _constants(code: Any) -> Iterator[Any]:
    for constant in code.co_consts:
        if hasattr(constant, "co_consts"):
            yield from _constants(constant)
        else:
            yield constant


def _dates_in(value: Any) -> Iterator[str]:
    """Days as text, and what else is a date: months and years."""
    if isinstance(value, str):
        if DAY.fullmatch(value) or MONTH.fullmatch(value):
            yield value
    elif isinstance(value, datetime.date):  # a Timestamp, too
        yield value.isoformat()
    elif type(value) is int:
        if value in YEARS:
            yield str(value)
    elif isinstance(value, dict):
        for each in (*value, *value.values()):
            yield from _dates_in(each)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from _dates_in(each)
