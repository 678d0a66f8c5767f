"""Which expression knows the future? An indicator whose earlier values change later, or the line that orders."""

from __future__ import annotations

import linecache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qfp.checking.recording import source_line, where_kept, where_picked
from qfp.checking.variations import Variation, varied
from qfp.checking.within import telling_line

if TYPE_CHECKING:
    from qfp.checking.recording import Recorded, StrategyRuns

__all__ = ["changed_before", "suspect"]

WHOLE = (pd.DataFrame, pd.Series, np.ndarray)


def suspect(runs: StrategyRuns, base: Recorded, variation: Variation, bar: int) -> dict[str, Any]:
    """{"expression", "line"}: where in the code the leak is most likely."""
    try:
        other = runs.recorded(varied(runs.frame, variation), variation.cut)
    except Exception:
        return _ordering(base, None, bar)
    for (ours, place), (theirs, _) in zip(base.indicators, other.indicators, strict=False):
        if changed_before(np.atleast_2d(ours), np.atleast_2d(theirs), variation.cut):
            return _at(place, otherwise=str(getattr(ours, "name", "")))
    if base.strategy is not None and other.strategy is not None:
        for name, value in vars(base.strategy).items():
            mine, their = _array(value), _array(vars(other.strategy).get(name))
            if mine is not None and their is not None and changed_before(mine, their, variation.cut):
                kept = where_kept(runs.strategy, name)
                return _at(kept) if kept else {"expression": f"self.{name}", "line": None}
    return _number(runs, base, variation) or _whole(runs, base) or _ordering(base, other, bar)


def _whole(runs: StrategyRuns, base: Recorded) -> dict[str, Any]:
    """Where next() picks something from a table over all bars that init() has kept: nothing cuts it at the day."""
    for name, value in vars(base.strategy).items() if base.strategy is not None else ():
        if type(value) in WHOLE and len(value) == runs.count and (place := where_picked(runs.strategy, name)):
            return _at(place)
    return {}


def _number(runs: StrategyRuns, base: Recorded, variation: Variation) -> dict[str, Any]:
    """A number that init() keeps, and that is another one where prices go on differently."""
    for tail in (variation.tail,) if variation.tail else (1, -1):
        course = Variation(variation.cut, tail, variation.seed or 1)
        try:
            other = runs.recorded(varied(runs.frame, course), 0)
        except Exception:  # noqa: S112  it says nothing
            continue
        for name, value in base.numbers.items():
            theirs = other.numbers.get(name, value)
            both_missing = value != value and theirs != theirs
            if value != theirs and not both_missing and (place := where_kept(runs.strategy, name)) is not None:
                return _at(place)
    return {}


def _at(place: tuple[str, int], otherwise: str = "") -> dict[str, Any]:
    """That line of the program, or the one that looks ahead in a function that is used there."""
    line = telling_line("".join(linecache.getlines(place[0])), place[1])
    return {"expression": source_line((place[0], line)) or otherwise, "line": line}


def changed_before(ours: np.ndarray, theirs: np.ndarray, cut: int) -> bool:
    """Whether values up to the bar `cut` differ; arrays of another length are compared as far as both go."""
    until = min(cut + 1, ours.shape[-1], theirs.shape[-1])
    one, other = ours[..., :until], theirs[..., :until]
    if one.shape != other.shape:
        return True
    if one.dtype.kind in "fc" or other.dtype.kind in "fc":
        try:
            return not np.allclose(one.astype(float), other.astype(float), rtol=1e-6, atol=1e-12, equal_nan=True)
        except (TypeError, ValueError):
            return False
    return not np.array_equal(one, other)


def _array(value: Any) -> np.ndarray | None:
    found = getattr(value, "to_numpy", lambda: value)()
    if isinstance(found, np.ndarray) and found.ndim in (1, 2) and found.dtype.kind in "fiub":
        return found.T if found.ndim == 2 and hasattr(value, "columns") else found
    return None


def _ordering(base: Recorded, other: Recorded | None, bar: int) -> dict[str, Any]:
    place = base.lines.get(bar) or (other.lines.get(bar) if other else None)
    if place is None:
        return {"expression": "", "line": None}
    return {"expression": source_line(place), "line": place[1]}
