"""From which statements does a variable of a program get its value? Those that assign it, and those behind them."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["FUNCTIONS", "Giving", "behind", "fits", "giving", "is_for_fitting", "names_in", "splits"]

# They make room for values that other statements put in.
EMPTY = ("zeros", "ones", "full", "empty", "zeros_like", "ones_like", "full_like", "empty_like", "list", "dict", "set")
BY_PLACE = ("loc", "at", "iloc", "iat")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
CASES = (ast.ExceptHandler, ast.match_case)
FITTING = ("fit", "fit_transform", "fit_predict", "partial_fit", "cross_val_predict", "train")
SPLITTING = ("train_test_split",)


@dataclass(frozen=True)
class Giving:
    """A statement outside functions that gives a variable, or a column of one, its value or a part of it."""

    statement: ast.stmt
    name: str
    column: Any = None
    part: bool = False  # one of many, such as an element or what is appended

    @property
    def is_empty(self) -> bool:
        value = getattr(self.statement, "value", None)
        if isinstance(value, (ast.List, ast.Dict, ast.Constant)):
            return not getattr(value, "elts", None) and not getattr(value, "keys", None)
        return isinstance(value, ast.Call) and _called(value) in EMPTY


def giving(tree: ast.Module) -> list[Giving]:
    """All of them, in order."""
    found: list[Giving] = []
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        statement = waiting.pop(0)
        if not isinstance(statement, ast.stmt):
            waiting[:0] = _held(statement)
            continue
        if isinstance(statement, DEFINITIONS):
            continue
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
            targets = [statement.target]
        elif name := _told(statement):
            found.append(Giving(statement, name, part=True))
        found += [each for target in targets for each in _given(statement, target)]
        waiting[:0] = _held(statement)
    return found


def _given(statement: ast.stmt, target: ast.expr) -> Iterator[Giving]:
    """What one target of an assignment gives something to, or several."""
    if isinstance(target, (ast.Tuple, ast.List)):
        for each in target.elts:
            yield from _given(statement, each)
    elif isinstance(target, ast.Starred):
        yield from _given(statement, target.value)
    elif isinstance(target, ast.Name):
        yield Giving(statement, target.id)
    elif isinstance(target, (ast.Subscript, ast.Attribute)):
        owner: ast.expr = target.value
        key = target.attr if isinstance(target, ast.Attribute) else _constant(target.slice)
        if isinstance(owner, ast.Attribute) and owner.attr in BY_PLACE and isinstance(target, ast.Subscript):
            owner, key = owner.value, _column_of(target.slice)
        if isinstance(owner, ast.Name):
            yield Giving(statement, owner.id, key, part=key is None)


def _column_of(place: ast.expr) -> Any:
    """Of table.loc[rows, "column"]."""
    column = _constant(place.elts[1]) if isinstance(place, ast.Tuple) and len(place.elts) == 2 else None
    return column if isinstance(column, str) else None


def names_in(node: ast.AST) -> Iterator[str]:
    return (each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load))


def behind(name: str, all_giving: list[Giving], tree: ast.Module) -> list[Giving]:
    """The statements that a variable's value comes from, its own last; also by way of functions of the program."""
    functions = {each.name: each for each in tree.body if isinstance(each, (ast.FunctionDef, ast.ClassDef))}
    found: list[Giving] = []
    waiting, seen = [name], {name}
    while waiting:
        now = waiting.pop()
        nodes: list[ast.AST] = [functions[now]] if now in functions else []
        for each in all_giving:
            if each.name == now:
                found.append(each)
                nodes.append(each.statement)
        for used in (used for node in nodes for used in names_in(node)):
            if used not in seen:
                seen.add(used)
                waiting.append(used)
    order = {id(each): at for at, each in enumerate(all_giving)}
    return sorted(found, key=lambda each: order[id(each)])


def fits(statement: ast.AST) -> bool:
    """Whether it fits a model."""
    return _calls(statement, FITTING)


def splits(statement: ast.AST, variables: Collection[Giving]) -> bool:
    """Whether it splits one of these into what models are fitted to, and the rest."""
    names = {each.name for each in variables}
    return _calls(statement, SPLITTING) and not names.isdisjoint(names_in(statement))


def _calls(statement: ast.AST, names: Collection[str]) -> bool:
    return any(isinstance(node, ast.Call) and _called(node) in names for node in ast.walk(statement))


def is_for_fitting(each: Giving, tree: ast.Module) -> bool:
    """Whether a variable is used to fit models only, as what is to be foretold is; to look ahead is what it is for."""
    used = False
    for statement in _simple(tree):
        if statement is not each.statement and each.name in names_in(statement):
            if not _calls(statement, FITTING + SPLITTING):
                return False
            used = True
    return used


def _simple(tree: ast.Module) -> Iterator[ast.AST]:
    """Statements that hold no others, definitions, and of others what stands before those, such as what `if` asks."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if _held(node) and not isinstance(node, DEFINITIONS):
            waiting[:0] = ast.iter_child_nodes(node)
        else:
            yield node


def _held(node: ast.AST) -> list[ast.AST]:
    """The statements inside another one, and what holds some in turn: the cases of `try` and `match`."""
    return [each for each in ast.iter_child_nodes(node) if isinstance(each, (ast.stmt, *CASES))]


def _told(statement: ast.stmt) -> str:
    """The variable of which a method is called, and nothing else; it may keep something."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        method = statement.value.func
        if isinstance(method, ast.Attribute) and isinstance(method.value, ast.Name):
            return method.value.id
    return ""


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _constant(node: ast.expr) -> Any:
    return node.value if isinstance(node, ast.Constant) else None
