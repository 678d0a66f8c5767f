"""Which combinations of parameters can share what init() made? Reads init() and says what each attribute depends on.

A search over two periods with a hundred values each has ten thousand combinations and two hundred indicators. Where
init() is a row of assignments, it is enough to run it for combinations that cover every value once.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from qfp.backtesting.strategy import Strategy

__all__ = ["Groups", "dependencies"]

OWN = {"I", "data"}  # of Strategy; anything else of it tells more than its arguments


def dependencies(cls: type) -> dict[str, frozenset[str]] | None:
    """Attribute that init() sets -> class attributes it depends on; None where that cannot be told."""
    for name in ("__init__", "I", "__getattr__", "__setattr__", "__getattribute__"):
        there = inspect.getattr_static(cls, name, None)
        if there is not inspect.getattr_static(Strategy, name, None):
            return None
    try:
        return _read(cls, 0)
    except (_Unclear, OSError, TypeError, SyntaxError):
        return None


class _Unclear(Exception):
    """What an attribute depends on cannot be told."""


def _read(cls: type, after: int) -> dict[str, frozenset[str]]:
    """What the first init() in the order of resolution, from place `after` on, sets."""
    order = cls.__mro__
    at = next(number for number in range(after, len(order)) if "init" in vars(order[number]))
    function = vars(order[at])["init"]
    if getattr(function, "__isabstractmethod__", False):
        return {}
    if not isinstance(function, FunctionType) or order[at].__module__.split(".")[0] in ("qfp", "backtesting"):
        raise _Unclear
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if not isinstance(tree, ast.FunctionDef) or tree.decorator_list or len(tree.args.args) != 1:
        raise _Unclear
    return _Reader(cls, tree.args.args[0].arg, at).read(tree.body)


class _Reader:
    """One init(), statement by statement."""

    def __init__(self, cls: type, me: str, at: int) -> None:
        self.cls, self.me, self.at = cls, me, at
        self.attributes: dict[str, frozenset[str]] = {}
        self.names: dict[str, frozenset[str]] = {}

    def read(self, body: list[ast.stmt]) -> dict[str, frozenset[str]]:
        for node in body:
            if isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                continue
            if isinstance(node, ast.Expr) and ast.unparse(node.value) == "super().init()":
                self.attributes |= _read(self.cls, self.at + 1)
                continue
            if not isinstance(node, ast.Assign):
                raise _Unclear
            found = self.of(node.value)
            for target in node.targets:
                for one in target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]:
                    if isinstance(one, ast.Name):
                        self.names[one.id] = found
                    elif isinstance(one, ast.Attribute) and self.is_me(one.value):
                        self.attributes[one.attr] = found
                    else:
                        raise _Unclear
        return self.attributes

    def is_me(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id == self.me

    def of(self, node: ast.expr) -> frozenset[str]:
        """The class attributes that the value of an expression depends on."""
        found: set[str] = set()
        handed_over = 0
        for part in ast.walk(node):
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
        if handed_over:  # the strategy itself, not one of its attributes
            raise _Unclear
        return frozenset(found)


class Groups:
    """Combinations numbered by the values of some of their names. groups: those names, as tuples."""

    def __init__(self, combinations: Sequence[Mapping[str, Any]], groups: Iterable[tuple[str, ...]]) -> None:
        self.codes: dict[tuple[str, ...], np.ndarray] = {}  # by group, for every combination
        self.firsts: dict[tuple[str, ...], list[int]] = {}  # by group, the first combination with each code
        self._rows: list[list[int]] = []
        for group in dict.fromkeys(groups):
            known: dict[Any, int] = {}
            if len(group) == 1:
                name = group[0]
                row = [known.setdefault(one[name], len(known)) for one in combinations]
            else:
                row = [known.setdefault(tuple([one[name] for name in group]), len(known)) for one in combinations]
            self._rows.append(row)
            self.codes[group] = np.array(row)
            self.firsts[group] = np.unique(self.codes[group], return_index=True)[1].tolist()

    def cover(self, known: Mapping[tuple[str, ...], set[int]]) -> list[int]:
        """Numbers of combinations among which every code of every group occurs that is not known; few where the grid
        is full.
        """
        rows = self._rows
        places = {codes: number for number, codes in enumerate(zip(*rows, strict=True))}
        missing = {group: set(range(len(firsts))) - known[group] for group, firsts in self.firsts.items()}
        found = []

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
