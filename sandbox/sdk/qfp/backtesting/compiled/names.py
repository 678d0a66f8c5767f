"""What is a name of next() known to be? The state of one reading: types, variables, arguments, series, scopes."""

from __future__ import annotations

import ast
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import FunctionType
from typing import Any

from qfp.backtesting.compiled.outside import Outside
from qfp.backtesting.compiled.values import Refused, Scope, Value, joined, kind_of, parsed, type_of
from qfp.backtesting.strategy import Strategy

# What looks at the record's current bar, which is only kept up to date for them; and what leaves orders that wait.
ORDERING = re.compile(r"\b(buy|sell|close_position|close_trade|cancel|decide_stop_loss|decide_take_profit)\(")
AT_BAR = re.compile(ORDERING.pattern + r"|\b(position_pl|position_pl_pct|trade_pl|trade_pl_pct|trade_value)\(")


class Names(ABC):
    """One reading of next(), with the types of its variables as far as they are known."""

    def __init__(self, strategy: Strategy, types: dict[str, str]) -> None:
        self.strategy, self.types, self.changed = strategy, dict(types), False
        self.series: list[tuple[tuple[Any, ...], str]] = []
        self.arguments: list[tuple[str, str]] = []
        self.fixed: dict[tuple[Any, ...], Any] = {}
        self.answers: dict[tuple[tuple[Any, ...], Callable[[Any], bool]], bool] = {}
        self.outside = Outside()
        self.tags: list[Any] = [None]
        self.lines: list[str] = []
        self.depth = 2
        self.temporaries = 0
        self.scopes: list[Scope] = []
        self.set_attributes: set[str] = set()
        self.known: set[str] = set()  # variables that certainly have a value here
        self.walking = False

    def _attributes_set(self, cls: type) -> set[str]:
        """Every attribute of the strategy that next(), or a method of the program's own, sets."""
        found: set[str] = set()
        for base in cls.__mro__:
            if base is Strategy or base is object:
                continue
            for name, function in vars(base).items():
                if name == "init" or not isinstance(function, FunctionType) or base.__module__.startswith("qfp."):
                    continue
                if base.__module__.startswith("backtesting."):
                    continue
                tree = parsed(function)
                me = tree.args.args[0].arg if tree.args.args else None
                for node in ast.walk(tree):
                    if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, (ast.Store, ast.Del)):
                        continue
                    if isinstance(node.value, ast.Name) and node.value.id == me:
                        found.add(node.attr)
        return found

    def asked(self, ask: Callable[[Any], bool], value: Value) -> bool:
        """What is asked about a thing or a series, and has to be answered alike wherever this reading serves."""
        if value.path:
            self.answers[value.path, ask] = ask(value.thing)
        else:
            self.outside.answer(ask, value.thing)
        return ask(value.thing)

    def _begin_state(self, name: str) -> None:
        if isinstance(self.outside.method(type(self.strategy), name), property):
            raise Refused(f"sets self.{name}, which is a property")
        if hasattr(self.strategy, name):
            kind = type_of(getattr(self.strategy, name))
            if kind is None:
                raise Refused(f"sets self.{name}, which is {kind_of(getattr(self.strategy, name))}")
            self._typed(f"s_{name}", kind)
            self.known.add(f"s_{name}")

    def _typed(self, name: str, kind: str) -> str:
        both = joined(self.types.get(name), kind)
        if both != self.types.get(name):
            self.types[name], self.changed = both, True
        return both

    def _argument(self, name: str, kind: str) -> int:
        for number, (known, _) in enumerate(self.arguments):
            if known == name:
                return number
        self.arguments.append((name, kind))
        return len(self.arguments) - 1

    def temporary(self) -> str:
        self.temporaries += 1
        return f"t{self.temporaries}"

    def refuse(self, what: str, node: ast.AST) -> Refused:
        line = getattr(node, "lineno", None)
        at = ""
        if line is not None and self.scopes:
            at = f" (line {self.scopes[-1].function.__code__.co_firstlineno + line - 1})"
        return Refused(f"{what}{at}")

    def write(self, line: str) -> None:
        indent = "    " * self.depth
        if AT_BAR.search(line):
            self.lines.append(f"{indent}a.bar = bar")
        if ORDERING.search(line):
            self.lines.append(f"{indent}quiet = False")
        self.lines.append(indent + line)

    def _variable(self, name: str) -> str:
        return f"{self.scopes[-1].prefix}_{name}"

    def place(self, name: str, kind: str) -> str:
        variable = self._variable(name)
        self._typed(variable, kind)
        return variable

    @abstractmethod
    def body(self, nodes: list[ast.stmt]) -> None:
        """Translate statements; see Statements."""

    @abstractmethod
    def inlined(
        self, function: Any, arguments: list[Value], given: dict[Any, Value], node: ast.AST, statement: bool = False
    ) -> Value:
        """A function of the program's own, put where it is called; see Calls."""
