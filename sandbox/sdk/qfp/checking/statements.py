"""Which statement of a program knows the future? The first whose variable has other earlier values when later data
change, or what it was reckoned with.
"""

from __future__ import annotations

import ast
import math
import numbers
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from qfp.checking.advice import ANYHOW_RANK, OVER_ALL_RANK, rank
from qfp.checking.flow import Giving, behind, fits, giving, is_for_fitting, names_in, splits
from qfp.checking.suspects import changed_before
from qfp.checking.within import telling_line, text_of

__all__ = ["is_table", "suspects"]

# What looks forward or over everything, where no variable tells: methods, and words with their values.
FORWARD = ("bfill", "backfill", "interpolate")
WHOLE = ("mean", "std", "min", "max", "median", "quantile", "rank", "fit", "fit_transform", "optimize", "qcut", "cov")
WINDOWS = ("rolling", "expanding", "ewm", "resample")
COMPARED = (pd.DataFrame, pd.Series, np.ndarray, numbers.Number, str, pd.Timestamp)
MOST_ELEMENTS = 2_000  # of a list that is compared
MOST_DEEP = 5  # tables in others that are; one may hold itself


def suspects(
    before: dict[str, Any],
    after: dict[str, Any],
    moment: pd.Timestamp,
    heads: dict[int, int],
    source: str,
    *,
    ended: bool = False,
) -> dict[str, Any]:
    """{"expression", "line"} of the first assignment whose values up to the moment differ, or of a number behind it
    that does; else of a call that looks forward, or of what a class takes from outside; {} when there is none.

    heads: how many rows of an array of so many are up to the moment. ended: whether data ended there, and counts and
    last values tell nothing.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return {}
    assigned = giving(tree)
    others = [each for each in assigned if _differs(*_values(before, after, each, assigned), moment, heads)]
    labels = [each for each in others if is_for_fitting(each, tree)]
    others = [each for each in others if each not in labels and not splits(each.statement, labels)]
    numbers_differ = set() if ended else _other_numbers(assigned, before, after, heads)
    if others:
        return _place(_origin(others, assigned, tree, numbers_differ, before, source), source)
    found: ast.AST | None = None
    if labels:
        fitting = [each.statement for each in assigned if fits(each.statement)]
        used = (each for each in fitting if labels[0].name in names_in(each))
        found = next(used, None) or next(iter(fitting), labels[0].statement)
    else:
        found = _number(assigned, numbers_differ, tree)
    found = found or _forward_call(tree) or _taken_from_outside(tree, before)
    return _place(found, source) if found is not None else {}


def is_table(value: Any) -> bool:
    """Whether this is data by date, or the module that gives some."""
    return isinstance(value, (pd.DataFrame, pd.Series)) or getattr(value, "__name__", "") == "qfp.data"


def _place(node: ast.AST, source: str) -> dict[str, Any]:
    line = telling_line(source, node.lineno)  # type: ignore[attr-defined]
    return {"expression": text_of(source, line)[:200], "line": line}


def _values(before: dict[str, Any], after: dict[str, Any], each: Giving, assigned: list[Giving]) -> tuple[Any, Any]:
    ours, theirs = before.get(each.name), after.get(each.name)
    if each.column is not None:
        return _column(ours, each.column), _column(theirs, each.column)
    # Columns that a later statement gives it are that statement's.
    later = {other.column for other in assigned if other.name == each.name and other.column is not None}
    return _without(ours, later), _without(theirs, later)


def _without(value: Any, columns: set[Any]) -> Any:
    return value.drop(columns=columns & set(value.columns)) if isinstance(value, pd.DataFrame) and columns else value


def _column(value: Any, name: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        return value[name] if name in value.columns else None
    return value.get(name) if isinstance(value, dict) else getattr(value, str(name), None)


def _origin(
    others: list[Giving],
    assigned: list[Giving],
    tree: ast.Module,
    numbers_differ: set[str],
    before: dict[str, Any],
    source: str,
) -> ast.stmt:
    """What made the values of the first variable others: another of them that went in later, numbers reckoned or a
    model fitted before; something that cannot be compared, where its text says that it looks ahead and that of the
    variable does not; or its own statement.
    """
    culprit = others[0]
    own = _filling(culprit, assigned).statement
    for each in behind(culprit.name, assigned, tree):
        if each.name == culprit.name:
            if fits(each.statement):
                return each.statement
        elif each in others:
            return _filling(each, assigned).statement
        elif each.statement.lineno <= own.lineno and (each.name in numbers_differ or fits(each.statement)):
            return _filling(each, assigned).statement if each.name in numbers_differ else each.statement
    if rank(_text(own, source)) == ANYHOW_RANK:
        for each in behind(culprit.name, assigned, tree):
            earlier = each.statement.lineno < own.lineno and not isinstance(before.get(each.name), COMPARED)
            if earlier and rank(_text(each.statement, source)) < OVER_ALL_RANK:
                return each.statement
    return own


def _text(statement: ast.stmt, source: str) -> str:
    return text_of(source, telling_line(source, statement.lineno))


def _other_numbers(
    assigned: list[Giving], before: dict[str, Any], after: dict[str, Any], heads: dict[int, int]
) -> set[str]:
    """Variables that hold numbers, names or moments that belong to no date, and other ones than before."""
    names = {each.name for each in assigned}
    return {name for name in names if _number_differs(before.get(name), after.get(name), heads)}


def _number(assigned: list[Giving], numbers_differ: set[str], tree: ast.Module) -> ast.stmt | None:
    """The first of them that a class, a function or another statement uses."""
    for each in assigned:
        if each.name in numbers_differ and any(
            each.name in names_in(statement) for statement in tree.body if statement is not each.statement
        ):
            return _filling(each, assigned).statement
    return None


def _filling(each: Giving, assigned: list[Giving]) -> Giving:
    """The statement that puts in the values, where this one only makes room for them."""
    if not each.is_empty:
        return each
    return next((other for other in assigned if other.name == each.name and other.part), each)


def _differs(ours: Any, theirs: Any, moment: pd.Timestamp, heads: dict[int, int]) -> bool:
    if isinstance(ours, (pd.DataFrame, pd.Series)) and type(ours) is type(theirs):
        if isinstance(ours.index, pd.DatetimeIndex):
            return _frames_differ(ours, theirs, moment)
        if (head := heads.get(len(ours))) is None or len(theirs) < head:
            return False
        return any(changed_before(a.to_numpy(), b.to_numpy(), head - 1) for a, b in _columns(ours, theirs))
    if isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray) and ours.ndim in (1, 2) and len(theirs):
        head = heads.get(len(ours))
        if head is None or ours.dtype.kind not in "fiub" or len(theirs) < head:
            return False
        return changed_before(ours.T, theirs.T, head - 1)
    return False


def _frames_differ(ours: Any, theirs: Any, moment: pd.Timestamp) -> bool:
    if not isinstance(theirs.index, pd.DatetimeIndex):
        return False
    if (ours.index.tz is None) != (moment.tz is None):
        moment = moment.tz_localize("UTC") if moment.tz is None else moment.tz_convert("UTC").tz_localize(None)
    one, other = ours[ours.index <= moment], theirs[theirs.index <= moment]
    if len(one) != len(other) or getattr(one, "shape", None) != getattr(other, "shape", None):
        return True
    return any(changed_before(a.to_numpy(), b.to_numpy(), len(a)) for a, b in _columns(one, other))


def _columns(ours: Any, theirs: Any) -> list[tuple[Any, Any]]:
    """Those that both have."""
    return (
        [(ours, theirs)]
        if isinstance(ours, pd.Series)
        else [(ours[name], theirs[name]) for name in ours if name in theirs]
    )


def _number_differs(ours: Any, theirs: Any, heads: dict[int, int], deep: int = 0) -> bool:
    if ours is None or type(ours) is not type(theirs) or deep > MOST_DEEP:
        return False
    if isinstance(ours, np.random.Generator):
        ours, theirs = ours.bit_generator.state, theirs.bit_generator.state
    if isinstance(ours, (int, str, pd.Timestamp)):
        return bool(ours != theirs)
    if isinstance(ours, numbers.Real):
        both_nan = math.isnan(ours) and math.isnan(theirs)
        return not both_nan and not math.isclose(ours, theirs, rel_tol=1e-9)
    if isinstance(ours, (pd.DataFrame, pd.Series)):
        if isinstance(ours.index, pd.DatetimeIndex):
            return False
        return not ours.index.equals(theirs.index) or _number_differs(ours.to_numpy(), theirs.to_numpy(), {})
    if isinstance(ours, np.ndarray):
        if len(np.atleast_1d(ours)) in heads or ours.dtype.kind not in "fi":
            return False
        if ours.shape != theirs.shape:
            return True
        return not np.allclose(ours.astype(float), theirs.astype(float), rtol=1e-9, equal_nan=True)
    if isinstance(ours, dict):
        ours, theirs = [*ours, *ours.values()], [*theirs, *theirs.values()]
    if isinstance(ours, (list, tuple)) and len(ours) <= MOST_ELEMENTS and len(ours) not in heads:
        if len(ours) != len(theirs):
            return True
        return any(_number_differs(one, other, heads, deep + 1) for one, other in zip(ours, theirs, strict=True))
    return False


def _calls(nodes: Sequence[ast.AST]) -> list[ast.Call]:
    return [call for node in nodes for call in ast.walk(node) if isinstance(call, ast.Call)]


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _forward_call(tree: ast.Module) -> ast.AST | None:
    """A call that looks forward; else one that is usually made over everything, where that is at hand."""
    for call in _calls([tree]):
        words = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
        given = [*call.args, *(word.value for word in call.keywords if word.arg == "periods")]
        back = any(isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub) for value in given)
        name = _method(call)
        if name in FORWARD or words.get("center") is True or (name in ("shift", "roll", "pct_change", "diff") and back):
            return call
    whole: list[ast.AST] = [each for each in tree.body if not isinstance(each, (ast.FunctionDef, ast.ClassDef))]
    whole += [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name == "init"]
    calls = (call for call in _calls(whole) if _method(call) in WHOLE)
    return next((call for call in calls if not any(_method(each) in WINDOWS for each in _calls([call]))), None)


def _taken_from_outside(tree: ast.Module, namespace: dict[str, Any]) -> ast.AST | None:
    """Where a class or a function picks something from data of the program; else where it uses some, or reads some."""
    owners = [each for each in tree.body if isinstance(each, (ast.ClassDef, ast.FunctionDef))]
    nodes = [node for owner in owners for node in ast.walk(owner)]
    picked = (
        node
        for node in nodes
        if isinstance(node, ast.Subscript) and any(_is_data(namespace.get(name)) for name in names_in(node.value))
    )
    names = [node for node in nodes if isinstance(node, ast.Name)]
    used = (node for node in names if _is_data(namespace.get(node.id)))
    read = (node for node in names if is_table(namespace.get(node.id)))
    return next(picked, None) or next(used, None) or next(read, None)


def _is_data(value: Any) -> bool:
    kinds = (pd.DataFrame, pd.Series, list, np.ndarray)
    return isinstance(value, Iterator) or (
        isinstance(value, kinds) and getattr(value, "ndim", 1) > 0 and len(value) > 1
    )
