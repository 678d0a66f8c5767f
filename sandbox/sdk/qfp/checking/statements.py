"""Which statement of a program knows the future? The first whose variable has other earlier values when later data
change.
"""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pandas as pd

from qfp.checking.suspects import changed_before

__all__ = ["is_table", "suspects"]

# What looks forward or over everything, where no variable tells: methods, and words with their values.
FORWARD = ("bfill", "backfill", "interpolate")
WHOLE = ("mean", "std", "min", "max", "median", "quantile", "rank", "fit", "fit_transform", "optimize", "qcut", "cov")


def suspects(
    before: dict[str, Any], after: dict[str, Any], moment: pd.Timestamp, heads: dict[int, int], source: str
) -> dict[str, Any]:
    """{"expression", "line"} of the first assignment whose values up to the moment differ; else of a call that looks
    forward, or of what a class takes from outside; {} when there is none.

    heads: how many rows of an array of so many are up to the moment.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return {}
    assigned = _assignments(tree)
    for statement, name, column in assigned:
        ours, theirs = before.get(name), after.get(name)
        if column is not None:
            ours, theirs = _column(ours, column), _column(theirs, column)
        else:  # columns that a later statement gives it are that statement's
            later = {key for _, owner, key in assigned if owner == name and key is not None}
            ours, theirs = _without(ours, later), _without(theirs, later)
        if _differs(ours, theirs, moment, heads):
            return _place(statement, source)
    guess = _forward_call(tree) or _taken_from_outside(tree, before)
    return _place(guess, source) if guess is not None else {}


def is_table(value: Any) -> bool:
    """Whether this is data by date, or the module that gives some."""
    return isinstance(value, (pd.DataFrame, pd.Series)) or getattr(value, "__name__", "") == "qfp.data"


def _place(node: ast.AST, source: str) -> dict[str, Any]:
    line = node.lineno  # type: ignore[attr-defined]
    text = source.splitlines()[line - 1].strip()
    return {"expression": text[:200], "line": line}


def _assignments(tree: ast.Module) -> list[tuple[ast.stmt, str, Any]]:
    """Statements outside functions that give a variable or a column of one its value, in order."""
    found: list[tuple[ast.stmt, str, Any]] = []
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        statement = waiting.pop(0)
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            continue
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
            targets = [statement.target]
        for target in targets:
            for part in target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]:
                if isinstance(part, ast.Name):
                    found.append((statement, part.id, None))
                elif isinstance(part, (ast.Subscript, ast.Attribute)) and isinstance(part.value, ast.Name):
                    key = part.attr if isinstance(part, ast.Attribute) else _constant(part.slice)
                    found.append((statement, part.value.id, key))
        for block in ("body", "orelse", "finalbody"):
            waiting[:0] = [each for each in getattr(statement, block, []) if isinstance(each, ast.stmt)]
    return found


def _without(value: Any, columns: set[Any]) -> Any:
    return value.drop(columns=columns & set(value.columns)) if isinstance(value, pd.DataFrame) and columns else value


def _constant(node: ast.expr) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


def _column(value: Any, name: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        return value[name] if name in value.columns else None
    return value.get(name) if isinstance(value, dict) else getattr(value, str(name), None)


def _differs(ours: Any, theirs: Any, moment: pd.Timestamp, heads: dict[int, int]) -> bool:
    if isinstance(ours, (pd.DataFrame, pd.Series)) and type(ours) is type(theirs):
        return _frames_differ(ours, theirs, moment)
    if isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray) and ours.ndim in (1, 2) and len(theirs):
        head = heads.get(len(ours))
        if head is None or ours.dtype.kind not in "fiub" or len(theirs) < head:
            return False
        return changed_before(ours.T, theirs.T, head - 1)
    return False


def _frames_differ(ours: Any, theirs: Any, moment: pd.Timestamp) -> bool:
    if not isinstance(ours.index, pd.DatetimeIndex) or not isinstance(theirs.index, pd.DatetimeIndex):
        return False
    if (ours.index.tz is None) != (moment.tz is None):
        moment = moment.tz_localize("UTC") if moment.tz is None else moment.tz_convert("UTC").tz_localize(None)
    one, other = ours[ours.index <= moment], theirs[theirs.index <= moment]
    if len(one) != len(other) or getattr(one, "shape", None) != getattr(other, "shape", None):
        return True
    columns = (
        [(one, other)] if isinstance(one, pd.Series) else [(one[name], other[name]) for name in one if name in other]
    )
    return any(changed_before(a.to_numpy(), b.to_numpy(), len(a)) for a, b in columns)


def _forward_call(tree: ast.Module) -> ast.AST | None:
    """A call that looks forward; else one that is usually made over everything."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [node.func.attr if isinstance(node.func, ast.Attribute) else "" for node in calls]
    for call, name in zip(calls, names, strict=True):
        words = {word.arg: _constant(word.value) for word in call.keywords}
        back = any(isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub) for value in call.args)
        if name in FORWARD or words.get("center") is True or (name in ("shift", "roll", "pct_change", "diff") and back):
            return call
    return next((call for call, name in zip(calls, names, strict=True) if name in WHOLE), None)


def _taken_from_outside(tree: ast.Module, namespace: dict[str, Any]) -> ast.AST | None:
    """Where a class uses a table of the program, or reads data."""
    for owner in ast.walk(tree):
        for node in ast.walk(owner) if isinstance(owner, ast.ClassDef) else ():
            if isinstance(node, ast.Name) and is_table(namespace.get(node.id)):
                return node
    return None
