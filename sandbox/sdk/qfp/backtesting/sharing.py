"""Which combinations of parameters can share what init() made? Reads init() and says what each attribute depends on.

A search over two periods with a hundred values each has ten thousand combinations and two hundred indicators. Where
init() is a row of assignments, it is enough to run it for combinations that cover every value once.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from qfp.backtesting.averages import averages
from qfp.backtesting.products import Product
from qfp.backtesting.purity import answers_alike, exactly
from qfp.backtesting.reading import tree_of
from qfp.backtesting.strategy import Strategy
from qfp.backtesting.test import SMA

__all__ = ["Groups", "Recipe", "averages_ahead", "dependencies"]

OWN = {"I", "data"}  # of Strategy; anything else of it tells more than its arguments
# What init() may call beside I() and still be told from: these change nothing, and answer by their arguments alone.
PLAIN = {"abs", "bool", "dict", "divmod", "enumerate", "float", "int", "len", "list", "max", "min", "pow", "range"}
PLAIN |= {"reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip"}
MODULES = {"math", "numpy", "pandas"}
CHANGES = {"at", "copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask", "random", "seterr"}
CHANGES |= {"set_option"}
# Methods of arrays and tables that make new ones.
MAKES = {"abs", "agg", "astype", "bfill", "clip", "copy", "corr", "cumprod", "cumsum", "diff", "ewm", "expanding"}
MAKES |= {"ffill", "fillna", "max", "mean", "median", "min", "pct_change", "quantile", "rank", "rolling", "shift"}
MAKES |= {"std", "sum", "to_numpy", "var", "where"}
# Of methods that can write into what they are given: how many arguments come before that.
BEFORE_OUT = {"accumulate": 3, "clip": 2, "cumprod": 2, "cumsum": 2, "max": 1, "mean": 2, "min": 1, "reduce": 3}
BEFORE_OUT |= {"reduceat": 4, "std": 2, "sum": 2, "var": 2}


@dataclass(frozen=True)
class Recipe:
    """self.I(function, self.data.column, self.parameter), of a function that answers by its arguments alone."""

    function: Callable[[Any, Any], Any]
    column: str
    parameter: str


def dependencies(cls: type) -> tuple[dict[str, frozenset[str]], dict[str, Recipe]] | None:
    """(attribute that init() sets -> class attributes it depends on, attribute -> how it is made where that is plain);
    None where that cannot be told.
    """
    for name in ("__init__", "I", "__getattr__", "__setattr__", "__getattribute__"):
        there = inspect.getattr_static(cls, name, None)
        if there is not inspect.getattr_static(Strategy, name, None):
            return None
    try:
        found = _read(cls, 0)
    except (_Unclear, OSError, TypeError, SyntaxError):
        return None
    return found.attributes, found.recipes


class _Unclear(Exception):
    """What an attribute depends on cannot be told."""


def _read(cls: type, after: int) -> _Reader:
    """What the first init() in the order of resolution, from place `after` on, sets."""
    order = cls.__mro__
    at = next(number for number in range(after, len(order)) if "init" in vars(order[number]))
    function = vars(order[at])["init"]
    if getattr(function, "__isabstractmethod__", False):
        return _Reader(cls, function, "self", at)
    if not isinstance(function, FunctionType) or order[at].__module__.split(".")[0] in ("qfp", "backtesting"):
        raise _Unclear
    tree = _tree(function)
    if not isinstance(tree, ast.FunctionDef) or tree.decorator_list or len(tree.args.args) != 1:
        raise _Unclear
    found = _Reader(cls, function, tree.args.args[0].arg, at)
    found.read(tree.body)
    return found


_trees: WeakKeyDictionary[CodeType, ast.stmt] = WeakKeyDictionary()


def _tree(function: FunctionType) -> ast.stmt:
    """What a function's text says, read when it is first asked for."""
    found = _trees.get(function.__code__)
    if found is None:
        found = _trees[function.__code__] = tree_of(function)
    return found


class _Reader:
    """One init(), statement by statement."""

    def __init__(self, cls: type, function: Any, me: str, at: int) -> None:
        self.cls, self.function, self.me, self.at = cls, function, me, at
        self.attributes: dict[str, frozenset[str]] = {}
        self.recipes: dict[str, Recipe] = {}
        self.names: dict[str, frozenset[str]] = {}

    def read(self, body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                continue
            if isinstance(node, ast.Expr) and ast.unparse(node.value) == "super().init()":
                above = _read(self.cls, self.at + 1)
                self.attributes |= above.attributes
                self.recipes |= above.recipes
                continue
            if not isinstance(node, ast.Assign):
                raise _Unclear
            found, recipe = self.of(node.value), self.recipe(node.value)
            for target in node.targets:
                for one in target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]:
                    if isinstance(one, ast.Name):
                        self.names[one.id] = found
                    elif isinstance(one, ast.Attribute) and self.is_me(one.value):
                        self.attributes[one.attr] = found
                        self.recipes.pop(one.attr, None)
                        if recipe is not None and len(node.targets) == 1 and one is target:
                            self.recipes[one.attr] = recipe
                    else:
                        raise _Unclear

    def named(self, name: str) -> Any:
        """What a name stands for outside init(); None where that is not known."""
        cells = dict(zip(self.function.__code__.co_freevars, self.function.__closure__ or (), strict=True))
        if name in cells:
            try:
                return cells[name].cell_contents
            except ValueError:  # it has no value yet
                return None
        return self.function.__globals__.get(name, getattr(builtins, name, None))

    def known(self, node: ast.expr) -> Any:
        """What a name, or an attribute of a module, stands for; None where that is not known."""
        if isinstance(node, ast.Name):
            return None if node.id in self.names or node.id == self.me else self.named(node.id)
        if isinstance(node, ast.Attribute):
            module = self.known(node.value)
            return getattr(module, node.attr, None) if isinstance(module, ModuleType) else None
        return None

    def check_function(self, node: ast.expr) -> None:
        """Raise where a function that is handed to I() may know more than its arguments."""
        if not answers_alike(self.known(node)):
            raise _Unclear

    def check(self, call: ast.Call) -> None:
        """Raise where a call may change what others read, or read what others change."""
        called = call.func
        if isinstance(called, ast.Attribute) and self.is_me(called.value) and called.attr == "I":
            given = [*call.args[:1], *(one.value for one in call.keywords if one.arg == "func")]
            if not given:
                raise _Unclear
            if not isinstance(given[0], ast.Lambda):
                self.check_function(given[0])
            return
        if any(one.arg in ("out", "inplace", None) for one in call.keywords):
            raise _Unclear
        before = self.before_out(called)
        if before is not None and (len(call.args) > before or any(isinstance(one, ast.Starred) for one in call.args)):
            raise _Unclear
        if isinstance(called, ast.Name) and called.id in PLAIN:
            if self.known(called) is getattr(builtins, called.id):
                return
        elif isinstance(called, ast.Attribute):
            root = called.value
            path = {called.attr}
            while isinstance(root, ast.Attribute):
                path.add(root.attr)
                root = root.value
            module = self.known(root) if isinstance(root, ast.Name) else None
            if isinstance(module, ModuleType):
                if module.__name__.split(".")[0] in MODULES and not path & CHANGES:
                    return
            elif called.attr in MAKES:
                return
        else:  # from math import sqrt
            found = self.known(called)
            comes_from = str(getattr(found, "__module__", "")).split(".")[0]
            if comes_from in MODULES and getattr(found, "__name__", "") not in CHANGES:
                return
        raise _Unclear

    def before_out(self, called: ast.expr) -> int | None:
        """How many arguments come before the one that is written into; None where there is none such."""
        found = self.known(called)
        if isinstance(found, np.ufunc):
            return found.nin
        if found is None:
            return BEFORE_OUT.get(called.attr) if isinstance(called, ast.Attribute) else None
        try:
            names = list(inspect.signature(found).parameters)
        except (TypeError, ValueError):
            return None
        return names.index("out") if "out" in names else None

    def is_me(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id == self.me

    def recipe(self, node: ast.expr) -> Recipe | None:
        """How an indicator of one column and one parameter is made; None for others."""
        found = re.fullmatch(rf"{self.me}\.I\((\w+), {self.me}\.data\.(\w+), {self.me}\.(\w+)\)", ast.unparse(node))
        if found is None or found[1] in self.names or found[3] in self.attributes:
            return None
        cells = dict(zip(self.function.__code__.co_freevars, self.function.__closure__ or (), strict=True))
        made_by = cells[found[1]].cell_contents if found[1] in cells else self.function.__globals__.get(found[1])
        return Recipe(made_by, found[2], found[3]) if answers_alike(made_by) else None

    def of(self, node: ast.expr) -> frozenset[str]:
        """The class attributes that the value of an expression depends on."""
        found: set[str] = set()
        handed_over = 0
        for part in ast.walk(node):
            if isinstance(part, ast.NamedExpr):
                raise _Unclear
            if isinstance(part, ast.Call):
                self.check(part)
            if isinstance(part, ast.Attribute) and self.is_me(part.value):
                handed_over += 1
                if part.attr in self.attributes:
                    found |= self.attributes[part.attr]
                elif part.attr not in OWN:
                    there = inspect.getattr_static(self.cls, part.attr, None)
                    if callable(there) or isinstance(there, (property, staticmethod, classmethod)):
                        raise _Unclear
                    found.add(part.attr)
            elif isinstance(part, ast.Name):
                if part.id == self.me:
                    handed_over -= 1
                found |= self.names.get(part.id, frozenset())
                if part.id not in self.names and isinstance(self.named(part.id), FunctionType):
                    self.check_function(part)
        if handed_over:  # the strategy itself, not one of its attributes
            raise _Unclear
        return frozenset(found)


def averages_ahead(strategy: Strategy) -> dict[Any, np.ndarray]:
    """Moving averages of a column that init() will ask for one by one, made in one pass; by what I() knows them by."""
    known = dependencies(type(strategy))
    by_column: dict[str, list[int]] = {}
    for recipe in known[1].values() if known is not None else ():
        window = getattr(strategy, recipe.parameter, None)
        if recipe.function is SMA and type(window) is int and window > 0:
            by_column.setdefault(recipe.column, []).append(window)
    found: dict[Any, np.ndarray] = {}
    for column, windows in by_column.items():
        if len(windows) > 1 and column in strategy._data:
            line = strategy._data[column]
            keys = [strategy._key(SMA, (line, window), {}) for window in windows]
            found |= zip(keys, averages(line, windows), strict=True)
    return found


def _codes(combinations: Sequence[Mapping[str, Any]], group: tuple[str, ...]) -> np.ndarray:
    if isinstance(combinations, Product):
        return combinations.codes(group)
    known: dict[Any, int] = {}
    if len(group) == 1:
        name = group[0]
        return np.array([known.setdefault(exactly(one[name]), len(known)) for one in combinations])
    return np.array(
        [known.setdefault(tuple([exactly(one[name]) for name in group]), len(known)) for one in combinations]
    )


class Groups:
    """Combinations numbered by the values of some of their names. groups: those names, as tuples."""

    def __init__(self, combinations: Sequence[Mapping[str, Any]], groups: Iterable[tuple[str, ...]]) -> None:
        self.codes: dict[tuple[str, ...], np.ndarray] = {}  # by group, for every combination
        self.firsts: dict[tuple[str, ...], list[int]] = {}  # by group, the first combination with each code
        for group in dict.fromkeys(groups):
            self.codes[group] = _codes(combinations, group)
            first = np.full(int(self.codes[group].max()) + 1, -1)
            first[self.codes[group][::-1]] = np.arange(len(combinations))[::-1]  # the last one that is written stays
            self.firsts[group] = first.tolist()

    def cover(self, known: Mapping[tuple[str, ...], set[int]]) -> list[int]:
        """Numbers of combinations among which every code of every group occurs that is not known; few where the grid
        is full.
        """
        missing = {group: set(range(len(firsts))) - known[group] for group, firsts in self.firsts.items()}
        found = []
        lacking = [group for group, codes in missing.items() if codes]
        if len(lacking) < 2:
            return [self.firsts[group][code] for group in lacking for code in sorted(missing[group])]
        rows = [codes.tolist() for codes in self.codes.values()]
        places = {codes: number for number, codes in enumerate(zip(*rows, strict=True))}

        def take(number: int) -> None:
            found.append(number)
            for row, left in zip(rows, missing.values(), strict=True):
                left.discard(row[number])

        for code in range(max(map(len, self.firsts.values()), default=0)):
            number = places.get(tuple([min(code, len(one) - 1) for one in self.firsts.values()]))
            if number is not None and any(
                row[number] in left for row, left in zip(rows, missing.values(), strict=True)
            ):
                take(number)
        for group, firsts in self.firsts.items():
            for code, number in enumerate(firsts):
                if code in missing[group]:
                    take(number)
        return found
