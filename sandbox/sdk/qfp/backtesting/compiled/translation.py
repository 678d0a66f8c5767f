"""Can this strategy's next() become machine code? Translates it into the words of language.py, or says why not.

What a name means is looked up on a strategy whose init() has run: an indicator becomes a column, a number that next()
never sets becomes an argument (so that one translation serves a whole search), one that it sets becomes a variable.
Whatever could raise in Python (an index before the first bar, a division by zero, a price that is none) ends the run
as failed, and the interpreted tier repeats it. So what is translated is never wrong, only sometimes refused.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import math
import re
import textwrap
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from qfp.backtesting.compiled.machine import functions_of
from qfp.backtesting.lines import Line
from qfp.backtesting.strategy import EVERYTHING, Strategy

__all__ = ["Bound", "Refused", "Translation", "translate"]

NONE = 0x7FF8_0000_4E4F_4E45  # a NaN that no arithmetic makes stands for None
MOST = 2**53  # whole numbers beyond are left to the interpreted tier
PASSES = 6
DEEPEST = 8

MATH = {"sqrt": "root", "exp": "exp", "log": "log", "sin": "sin", "cos": "cos", "tan": "tan", "log10": "log10"}
MATH |= {"fabs": "absolute", "log2": "log2", "atan": "atan"}
NUMPY = {"sqrt": "root", "abs": "absolute", "absolute": "absolute", "fabs": "absolute"}
OPERATORS: dict[type, str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
NUMBERS = ("int", "float", "bool")
NAMES: dict[type, str] = {
    ast.Dict: "a dict",
    ast.List: "a list",
    ast.Set: "a set",
    ast.ListComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.JoinedStr: "text",
    ast.Lambda: "a lambda",
    ast.Try: "try",
    ast.With: "with",
    ast.While: "while",
    ast.Slice: "a slice",
    ast.Import: "import",
    ast.ImportFrom: "import",
    ast.FunctionDef: "a function of its own",
    ast.Raise: "raise",
    ast.Assert: "assert",
    ast.Delete: "del",
    ast.Global: "global",
    ast.Nonlocal: "nonlocal",
    ast.Starred: "*",
}


class Refused(Exception):
    """What the compiled tier cannot do, in words that follow `next()`."""


@dataclass
class Value:
    """What an expression is: a number (code of that type), None, a trade, a series, or a thing known beforehand."""

    kind: str
    code: str = ""
    thing: Any = None
    path: tuple[Any, ...] = ()


@dataclass
class Scope:
    """A function being translated: its names, and whether a return may stand in it."""

    function: FunctionType
    me: str | None
    names: dict[str, Value] = field(default_factory=dict)
    prefix: str = "v"
    inlined: bool = False


@dataclass
class Translation:
    """next() as functions of the machine's language, and what they need from a strategy."""

    functions: list[ast.FunctionDef]
    series: list[tuple[tuple[Any, ...], str]]  # path on the strategy, type of the column
    arguments: list[tuple[str, str]]  # attribute, type
    state: list[tuple[int, str, str]]  # number of the argument, attribute, type
    fixed: dict[tuple[Any, ...], Any]  # what else was looked up, and has to be the same
    tags: list[Any]

    def bind(self, strategy: Strategy) -> Bound | None:
        """The columns and numbers of this strategy; None where something is of another kind."""
        columns, numbers = [], []
        for path, kind in self.series:
            found = _follow(strategy, path)
            column = _column(found)
            if column is None or column[1] != kind:
                return None
            columns.append(column[0])
        for name, kind in self.arguments:
            value = getattr(strategy, name, None)
            if not _fits(value, kind):
                return None
            numbers.append(math.nan if value is None else float(value))
        for path, thing in self.fixed.items():
            try:
                if _follow(strategy, path) != thing:
                    return None
            except (AttributeError, KeyError, IndexError):
                return None
        return Bound(columns, numbers)


@dataclass
class Bound:
    """What one strategy gives a translation."""

    columns: list[np.ndarray]
    numbers: list[float]


def _follow(thing: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        if isinstance(step, tuple):
            thing = thing[step[0]]
        else:
            thing = getattr(thing, step)
    return thing


def _column(line: Any) -> tuple[np.ndarray, str] | None:
    """(its values as 64-bit numbers in a row, their type); None where they are no such numbers."""
    if not isinstance(line, np.ndarray) or line.ndim != 1:
        return None
    values = np.asarray(line)
    if values.dtype == np.float64:
        return np.ascontiguousarray(values), "float"
    if values.dtype == np.int64:
        if values.size and max(-int(values.min()), int(values.max())) >= MOST:
            return None
        return np.ascontiguousarray(values), "int"
    if values.dtype == np.bool_:
        return values.astype(np.int64), "bool"
    return None


def _type_of(value: Any) -> str | None:
    if value is None:
        return "none"
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, (int, np.int64)):
        return "int" if abs(int(value)) < MOST else None
    return "float" if isinstance(value, float) else None  # np.float64 is one


def _fits(value: Any, kind: str) -> bool:
    """Whether an argument of this type can hold it."""
    found = _type_of(value)
    if found == kind:
        return True
    if kind == "float":
        return found == "int"
    return kind == "optional" and found in ("none", "int", "float") and value == value  # None is kept as a NaN


def _joined(one: str | None, other: str) -> str:
    """The type that holds both."""
    if one is None or one == other:
        return other
    if {one, other} <= {"int", "bool"}:
        return "int"
    if {one, other} <= {"int", "bool", "float"}:
        return "float"
    if {one, other} <= {"int", "bool", "float", "none", "optional"}:
        return "optional"
    raise Refused(f"keeps now {_article(one)}, now {_article(other)} under one name")


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def translate(strategy: Strategy) -> Translation:
    """Raises Refused, with the reason."""
    types: dict[str, str] = {}
    for _ in range(PASSES):
        one = _Pass(strategy, types)
        found = one.translation()
        if one.types == types and not one.changed:
            return found
        types = one.types
    raise Refused("sets its names to too many different things")


class _Pass:
    """One reading of next(), with the types of its variables as far as they are known."""

    def __init__(self, strategy: Strategy, types: dict[str, str]) -> None:
        self.strategy, self.types, self.changed = strategy, dict(types), False
        self.series: list[tuple[tuple[Any, ...], str]] = []
        self.arguments: list[tuple[str, str]] = []
        self.fixed: dict[tuple[Any, ...], Any] = {}
        self.tags: list[Any] = [None]
        self.lines: list[str] = []
        self.depth = 2
        self.temporaries = 0
        self.scopes: list[Scope] = []
        self.set_attributes: set[str] = set()
        self.known: set[str] = set()  # variables that certainly have a value here
        self.walking = False

    def translation(self) -> Translation:
        cls = type(self.strategy)
        function = _function_of(cls, "next")
        for name in ("__getattr__", "__getattribute__", "__setattr__"):
            if getattr(cls, name, None) not in (None, getattr(object, name, None)):
                raise Refused(f"belongs to a class with a {name}() of its own")
        tree = _parsed(function)
        self.set_attributes = self._attributes_set(type(self.strategy))
        self.scopes.append(Scope(function, tree.args.args[0].arg))
        state_names = sorted(self.set_attributes)
        for name in state_names:
            self._begin_state(name)
        self.body(tree.body)
        state: list[tuple[int, str, str]] = []
        head, tail = [], []
        for number, (path, kind) in enumerate(self.series):
            cast = "column" if kind == "float" else "column_of_int"
            head.append(f"l{number} = {cast}(a.lines[{number}])  # {path}")
        for name in state_names:
            kind = self.types.get(f"s_{name}", "float")
            if _type_of(getattr(self.strategy, name, math.nan)) is not None and hasattr(self.strategy, name):
                number = self._argument(name, kind)
                state.append((number, name, kind))
                tail.append(f"a.params[{number}] = s_{name}")
            else:
                number = len(self.arguments) + sum(one[0] >= len(self.arguments) for one in state)
                head.append(f"s_{name}: {_stored(kind)} = {_zero(kind)}")
        for number, (name, kind) in enumerate(self.arguments):
            own = f"s_{name}" if name in self.set_attributes else f"p{number}"
            source = f"a.params[{number}]"
            if kind in ("optional", "none"):
                source = f"({source} if {source} == {source} else from_bits({NONE}))"
            code = f"whole({source})" if kind == "int" else (f"{source} != 0.0" if kind == "bool" else source)
            head.append(f"{own}: {_stored(kind)} = {code}")
        for name, kind in self.types.items():
            if name.startswith("v"):
                head.append(f"{name}: {_stored(kind)} = {_zero(kind)}")
        text = RUN.format(head=_indented(head, 1), body="\n".join(self.lines), tail=_indented(tail, 1)) + MANY
        return Translation(functions_of(text), self.series, self.arguments, state, self.fixed, self.tags)

    # Names ------------------------------------------------------------------------------------------------------

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
                tree = _parsed(function)
                me = tree.args.args[0].arg if tree.args.args else None
                for node in ast.walk(tree):
                    if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, (ast.Store, ast.Del)):
                        continue
                    if isinstance(node.value, ast.Name) and node.value.id == me:
                        found.add(node.attr)
        return found

    def _begin_state(self, name: str) -> None:
        if isinstance(inspect.getattr_static(type(self.strategy), name, None), property):
            raise Refused(f"sets self.{name}, which is a property")
        if hasattr(self.strategy, name):
            kind = _type_of(getattr(self.strategy, name))
            if kind is None:
                raise Refused(f"sets self.{name}, which is {_kind_of(getattr(self.strategy, name))}")
            self._typed(f"s_{name}", kind)
            self.known.add(f"s_{name}")

    def _typed(self, name: str, kind: str) -> str:
        joined = _joined(self.types.get(name), kind)
        if joined != self.types.get(name):
            self.types[name], self.changed = joined, True
        return joined

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

    # Statements -------------------------------------------------------------------------------------------------

    def write(self, line: str) -> None:
        indent = "    " * self.depth
        if AT_BAR.search(line):
            self.lines.append(f"{indent}a.bar = bar")
        if ORDERING.search(line):
            self.lines.append(f"{indent}quiet = False")
        self.lines.append(indent + line)

    def body(self, nodes: list[ast.stmt]) -> None:
        for node in nodes:
            self.statement(node)

    def block(self, nodes: list[ast.stmt]) -> set[str]:
        """A deeper block; the variables that have a value after it."""
        before = set(self.known)
        self.depth += 1
        self.body(nodes)
        self.write("pass")
        self.depth -= 1
        after, self.known = self.known, before
        return after

    def statement(self, node: ast.stmt) -> None:
        method = getattr(self, f"on_{type(node).__name__.lower()}", None)
        if method is None:
            raise self.refuse(f"uses {NAMES.get(type(node), type(node).__name__)}", node)
        method(node)

    def on_pass(self, node: ast.Pass) -> None:
        pass

    def on_return(self, node: ast.Return) -> None:
        if self.scopes[-1].inlined:
            raise self.refuse("calls a function that returns from within", node)
        self.write("next_bar")

    def on_if(self, node: ast.If) -> None:
        self.write(f"if {self.truth(self.expression(node.test), node.test)}:")
        after = self.block(node.body)
        if _leaves(node.body):
            after = None  # type: ignore[assignment]
        if node.orelse:
            self.write("else:")
            other = self.block(node.orelse)
            if not _leaves(node.orelse):
                after = other if after is None else after & other
        elif after is not None:
            return
        if after is not None:
            self.known = after

    def on_continue(self, node: ast.Continue) -> None:
        self.write("continue")

    def on_break(self, node: ast.Break) -> None:
        self.write("break")

    def on_for(self, node: ast.For) -> None:
        if node.orelse or not isinstance(node.target, ast.Name):
            raise self.refuse("uses a loop with else, or over pairs,", node)
        walked = node.iter
        if _is_call_of(walked, "list", "tuple") and len(walked.args) == 1:  # type: ignore[attr-defined]
            walked = walked.args[0]  # type: ignore[attr-defined]
        if _is_call_of(walked, "range"):
            assert isinstance(walked, ast.Call)
            bounds = [self.number(self.expression(one), one) for one in walked.args]
            if any(kind != "int" for _, kind in bounds) or not 1 <= len(bounds) <= 2:
                raise self.refuse("uses range() with other than one or two whole numbers", node)
            place = self.place(node.target.id, "int")
            counter = self.temporary()
            self.write(f"for {counter} in range({', '.join(code for code, _ in bounds)}):")
            self.write(f"    {place} = {counter}")
        else:
            over = self.expression(walked)
            if over.kind not in ("trades", "orders", "closed_trades"):
                raise self.refuse(f"loops over {ast.unparse(walked)}", node)
            counter = self.temporary()
            place = self.place(node.target.id, "order" if over.kind == "orders" else "trade")
            if over.kind == "orders":
                if self.walking:
                    raise self.refuse("walks the orders within a walk of the orders", node)
                self.walking = True
                count = self.temporary()
                self.write(f"{count} = a.waiting")
                self.write(f"for {counter} in range({count}):")
                self.write(f"    a.walked[{counter}] = a.waits[{counter}]")
                self.write(f"for {counter} in range({count}):")
                self.write(f"    {place} = a.walked[{counter}]")
            else:
                count, column = ("a.open", "opened") if over.kind == "trades" else ("a.closed", "closed_ids")
                self.write(f"for {counter} in range({count}):")
                self.write(f"    {place} = a.{column}[{counter}]")
        before = set(self.known)
        self.known.add(place)
        self.block(node.body)
        self.known = before
        self.walking = False

    def on_expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return
        found = self.expression(node.value, statement=True)
        if found.kind in ("done", "order"):
            if found.code:
                self.write(f"must({found.code} >= 0)")
        elif found.kind in NUMBERS:
            self.write(f"{self.temporary()} = {found.code}")

    def on_annassign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.on_assign(ast.Assign(targets=[node.target], value=node.value, lineno=node.lineno))

    def on_assign(self, node: ast.Assign) -> None:
        if isinstance(node.value, ast.Tuple):
            values = [self.expression(one) for one in node.value.elts]
            for target in node.targets:
                if not isinstance(target, (ast.Tuple, ast.List)) or len(target.elts) != len(values):
                    raise self.refuse("keeps a tuple", node)
            kept = [self._kept(value) for value in values]
            for target in node.targets:
                for one, value in zip(target.elts, kept, strict=True):  # type: ignore[attr-defined]
                    self.assign(one, value)
            return
        value = self.expression(node.value)
        if len(node.targets) > 1:
            value = self._kept(value)
        for target in node.targets:
            self.assign(target, value)

    def _kept(self, value: Value) -> Value:
        """Evaluated now, whatever is set in between."""
        if value.kind not in (*NUMBERS, "optional", "trade"):
            return value
        name = self.temporary()
        self.write(f"{name} = {value.code}")
        return Value(value.kind, name)

    def on_augassign(self, node: ast.AugAssign) -> None:
        target = node.target
        before = ast.copy_location(
            ast.parse(ast.unparse(target), mode="eval").body,
            node,
        )
        ast.fix_missing_locations(before)
        self.assign(target, self.of_binop(ast.copy_location(ast.BinOp(before, node.op, node.value), node)))

    def assign(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            if value.kind in ("line", "thing", "trades", "orders", "closed_trades", "data", "position", "function"):
                name = self._variable(target.id)
                known = self.scopes[-1].names.get(target.id)
                if name in self.types or (known is not None and (known.path, known.kind) != (value.path, value.kind)):
                    raise self.refuse(f"keeps different things under {target.id}", target)
                self.scopes[-1].names[target.id] = value
                return
            if target.id in self.scopes[-1].names and self.scopes[-1].names[target.id].kind not in (*NUMBERS, "none"):
                raise self.refuse(f"keeps different things under {target.id}", target)
            self.scopes[-1].names.pop(target.id, None)
            value = self.scalar(value, target)
            place = self.place(target.id, value.kind)
            self.write(f"{place} = {self.as_type(value, self.types[place], target)}")
            self.known.add(place)
            return
        if isinstance(target, ast.Attribute):
            base = self.expression(target.value)
            if base.kind == "self":
                if target.attr not in self.set_attributes:
                    raise self.refuse(f"sets self.{target.attr} in a function of the library", target)
                value = self.scalar(value, target)
                if value.kind in ("trade", "order"):
                    raise self.refuse(f"keeps {_article(value.kind)} in self.{target.attr}", target)
                name = f"s_{target.attr}"
                kind = self._typed(name, value.kind)
                self.write(f"{name} = {self.as_type(value, kind, target)}")
                self.known.add(name)
                return
            if base.kind == "trade" and target.attr in ("sl", "tp"):
                call = "decide_stop_loss" if target.attr == "sl" else "decide_take_profit"
                self.write(f"must({call}(a, {base.code}, {self.price(value, target)}) >= 0)")
                return
        raise self.refuse(f"sets {ast.unparse(target)}", target)

    def _variable(self, name: str) -> str:
        return f"{self.scopes[-1].prefix}_{name}"

    def place(self, name: str, kind: str) -> str:
        variable = self._variable(name)
        self._typed(variable, kind)
        return variable

    # Kinds of values --------------------------------------------------------------------------------------------

    def scalar(self, value: Value, node: ast.AST) -> Value:
        """A number, None, a trade or an order."""
        if value.kind == "line":
            return self.last(value)
        if value.kind in (*NUMBERS, "none", "optional", "trade", "order"):
            return value
        raise self.refuse(f"keeps {ast.unparse(node)}" if isinstance(node, ast.expr) else "keeps a thing", node)

    def number(self, value: Value, node: ast.AST) -> tuple[str, str]:
        """(code, type) of something to compute with."""
        if value.kind == "line":
            value = self.last(value)
        if value.kind == "optional" or (value.kind == "none" and value.code):  # a name that was only None so far
            name = self.temporary()
            return f"then(({name} := {value.code}), must(bits({name}) != {NONE}, {name}))", "float"
        if value.kind not in NUMBERS:
            words = ast.unparse(node) if isinstance(node, ast.expr) else "something"
            raise self.refuse(f"computes with {words}", node)
        return value.code, value.kind

    def as_float(self, value: Value, node: ast.AST) -> str:
        code, kind = self.number(value, node)
        return code if kind == "float" else f"float({code})"

    def as_type(self, value: Value, kind: str, node: ast.AST) -> str:
        if value.kind == kind:
            return value.code or f"from_bits({NONE})"
        if value.kind == "none":
            return f"from_bits({NONE})"
        if kind in ("float", "optional"):
            return value.code if value.kind == "optional" else self.as_float(value, node)
        return f"(1 if {value.code} else 0)"  # a bool where now and then there is a whole number

    def truth(self, value: Value, node: ast.AST) -> str:
        if value.kind == "line":
            value = self.last(value)
        if value.kind == "bool":
            return value.code
        if value.kind == "int":
            return f"({value.code} != 0)"
        if value.kind == "float":
            return f"({value.code} != 0.0)"
        if value.kind == "optional":
            name = self.temporary()
            return f"(bits(({name} := {value.code})) != {NONE} and {name} != 0.0)"
        if value.kind == "none":
            return "False"
        if value.kind in ("trade", "order", "data"):
            return "True"
        if value.kind == "position":
            return "(a.units != 0.0)"
        if value.kind in ("trades", "orders", "closed_trades"):
            return f"({COUNTS[value.kind]} > 0)"
        if value.kind == "thing":
            return str(bool(value.thing))
        raise self.refuse(f"asks whether {ast.unparse(node)}" if isinstance(node, ast.expr) else "asks", node)

    def last(self, line: Value) -> Value:
        return self.element(line, "bar")

    def element(self, line: Value, at: str) -> Value:
        number = self.column(line)
        kind = self.series[number][1]
        return Value(kind, f"(l{number}[{at}] != 0)" if kind == "bool" else f"l{number}[{at}]")

    def column(self, line: Value) -> int:
        for number, (path, _) in enumerate(self.series):
            if path == line.path:
                return number
        found = _column(line.thing)
        if found is None:
            raise Refused(f"reads {_written(line.path)}, whose values are {_kind_of(line.thing)}")
        self.series.append((line.path, found[1]))
        return len(self.series) - 1

    def price(self, value: Value, node: ast.AST) -> str:
        """0.0 for None, and certainly a number above 0 otherwise."""
        if value.kind == "none":
            return "0.0"
        name = self.temporary()
        if value.kind == "optional":
            test = f"bits(({name} := {value.code})) == {NONE}"
            return f"(0.0 if {test} else must({name} > 0.0, {name}))"
        return f"then(({name} := {self.as_float(value, node)}), must({name} > 0.0, {name}))"

    # Expressions ------------------------------------------------------------------------------------------------

    def expression(self, node: ast.expr, statement: bool = False) -> Value:
        method = getattr(self, f"of_{type(node).__name__.lower()}", None)
        if method is None:
            raise self.refuse(f"uses {NAMES.get(type(node), ast.unparse(node))}", node)
        found: Value = method(node, statement) if isinstance(node, ast.Call) else method(node)
        return found

    def known_thing(self, thing: Any, path: tuple[Any, ...]) -> Value:
        """A thing that was looked up. path: how it is found from the strategy; empty for what is found elsewhere."""
        if isinstance(thing, Line) or (path and isinstance(thing, np.ndarray) and thing.ndim == 1):
            clock = self.strategy._clock
            if not isinstance(thing, Line) or thing.ndim not in (1, 2) or thing.shape[-1] != clock.length:
                raise Refused(f"reads {_written(path)}, an array of its own")
            if not path:
                raise Refused("reads a series that is not kept on the strategy")
            return Value("line" if thing.ndim == 1 else "rows", thing=thing, path=path)
        kind = _type_of(thing)
        if kind == "none":
            return Value("none", thing=None)
        if kind is not None and not path:
            return Value(kind, _literal(thing))
        if kind is not None and len(path) == 1 and isinstance(path[0], str):
            number = self._argument(path[0], kind)
            return Value(kind, f"p{number}")
        if kind is not None:
            self.fixed[path] = thing
            return Value(kind, _literal(thing))
        return Value("thing", thing=thing, path=path)

    def of_constant(self, node: ast.Constant) -> Value:
        if node.value is None:
            return Value("none")
        kind = _type_of(node.value)
        if kind is None:
            return Value("thing", thing=node.value)
        return Value(kind, _literal(node.value))

    def of_name(self, node: ast.Name) -> Value:
        scope = self.scopes[-1]
        if node.id == scope.me:
            return Value("self")
        if node.id in scope.names:
            return scope.names[node.id]
        variable = self._variable(node.id)
        if variable in self.types or node.id in scope.function.__code__.co_varnames:
            if variable not in self.known:
                raise self.refuse(f"reads {node.id}, which may have no value there", node)
            return Value(self.types[variable], variable)
        function = scope.function
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        if node.id in cells:
            return self.known_thing(cells[node.id].cell_contents, ())
        for names in (function.__globals__, vars(builtins)):
            if node.id in names:
                return self.known_thing(names[node.id], ())
        raise self.refuse(f"reads {node.id}, which is not there", node)

    def of_attribute(self, node: ast.Attribute) -> Value:
        base, name = self.expression(node.value), node.attr
        if base.kind == "self":
            return self.of_self(name, node)
        if base.kind == "data":
            if name in PRIVATE or name not in list(self.strategy._data):
                raise self.refuse(f"reads self.data.{name}", node)
            return self.known_thing(self.strategy._data[name], ("data", (name,)))
        if base.kind == "position" and name in POSITION:
            kind, code = POSITION[name]
            return Value(kind, code)
        if base.kind in ("trade", "order") and name in OF[base.kind]:
            kind, code = OF[base.kind][name]
            code = code.format(base.code)
            if kind == "price":  # 0.0 is none
                held = self.temporary()
                code = f"({held} if ({held} := {code}) != 0.0 else from_bits({NONE}))"
                kind = "optional"
            return Value(kind, code)
        if base.kind in ("position", "trade", "order"):
            return Value("method", thing=(base, name))
        if base.kind == "thing" and isinstance(base.thing, ModuleType):
            return self.known_thing(getattr(base.thing, name), ())
        raise self.refuse(f"uses {ast.unparse(node)}", node)

    def of_self(self, name: str, node: ast.AST) -> Value:
        if name in ("data", "position", "trades", "orders", "closed_trades"):
            return Value(name, path=(name,))
        if name == "equity":
            return Value("float", "equity_at(a, closes[bar])")
        if name in self.set_attributes:
            variable = f"s_{name}"
            if variable not in self.known or variable not in self.types:
                raise self.refuse(f"reads self.{name}, which may have no value there", node)
            return Value(self.types[variable], variable)
        if name not in vars(self.strategy):
            there = inspect.getattr_static(type(self.strategy), name, None)
            if isinstance(there, property) and there.fget is not None:
                return self.inlined(there.fget, [Value("self")], {}, node)
            if isinstance(there, (FunctionType, staticmethod)):
                return Value("method", thing=(Value("self"), name))
        if not hasattr(self.strategy, name):
            raise self.refuse(f"reads self.{name}, which is not there", node)
        return self.known_thing(getattr(self.strategy, name), (name,))

    def of_subscript(self, node: ast.Subscript) -> Value:
        base = self.expression(node.value)
        if base.kind == "data" and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            return self.known_thing(self.strategy._data[node.slice.value], ("data", (node.slice.value,)))
        if base.kind == "rows":
            first, *rest = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            row = _whole_constant(first)
            if row is None or not -len(base.thing) <= row < len(base.thing) or len(rest) > 1:
                raise self.refuse(f"uses {ast.unparse(node)}", node)
            line = Value("line", thing=base.thing[row], path=(*base.path, (row,)))
            return self.at(line, rest[0], node) if rest else line
        if base.kind == "line":
            return self.at(base, node.slice, node)
        if base.kind in COUNTS:
            code, kind = self.number(self.expression(node.slice), node)
            if kind != "int":
                raise self.refuse(f"uses {ast.unparse(node)}", node)
            at, count = self.temporary(), COUNTS[base.kind]
            index = f"then(({at} := {code}), ({at} := {at} + {count} if {at} < 0 else {at}))"
            index = f"must({index} >= 0 and {at} < {count}, {at})"
            column = {"trades": "opened", "orders": "waits", "closed_trades": "closed_ids"}[base.kind]
            return Value("order" if base.kind == "orders" else "trade", f"a.{column}[{index}]")
        if base.kind == "thing" and isinstance(base.thing, (tuple, list, dict)):
            try:
                key = ast.literal_eval(node.slice)
                return self.known_thing(base.thing[key], (*base.path, (key,)) if base.path else ())
            except (ValueError, LookupError, TypeError):
                pass
        raise self.refuse(f"uses {ast.unparse(node)}", node)

    def at(self, line: Value, index: ast.expr, node: ast.expr) -> Value:
        constant = _whole_constant(index)
        if constant is not None and constant < 0:
            back = -constant - 1
            if back < 2:  # the first bar next() sees is the second
                return self.element(line, f"bar - {back}" if back else "bar")
            return self.element(line, f"must(bar >= {back}, bar - {back})")
        code, kind = self.number(self.expression(index), node)
        if kind != "int":
            raise self.refuse(f"uses {ast.unparse(node)}", node)
        at = self.temporary()
        found = f"then(({at} := {code}), ({at} := {at} + bar + 1 if {at} < 0 else {at}))"
        return self.element(line, f"must({found} >= 0 and {at} <= bar, {at})")

    def of_unaryop(self, node: ast.UnaryOp) -> Value:
        value = self.expression(node.operand)
        if isinstance(node.op, ast.Not):
            return Value("bool", f"(not {self.truth(value, node.operand)})")
        code, kind = self.number(value, node)
        if kind == "bool" or isinstance(node.op, ast.Invert):
            raise self.refuse(f"computes {ast.unparse(node)}", node)
        return Value(kind, code if isinstance(node.op, ast.UAdd) else f"(-{code})")

    def of_binop(self, node: ast.BinOp) -> Value:
        left, one = self.number(self.expression(node.left), node.left)
        right, two = self.number(self.expression(node.right), node.right)
        if "bool" in (one, two):
            raise self.refuse(f"computes {ast.unparse(node)}", node)
        whole = one == two == "int"
        name = self.temporary()
        if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
            sign = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}[type(node.op)]
            if not whole:
                return Value("float", f"({left} {sign} {right})")
            if isinstance(node.op, ast.Mult):
                other = self.temporary()
                test = f"absolute(float({name} := {left}) * float({other} := {right})) < {float(MOST)!r}"
                return Value("int", f"must({test}, {name} * {other})")
            test = f"({name} := {left} {sign} {right}) < {MOST} and {name} > -{MOST}"
            return Value("int", f"must({test}, {name})")
        if isinstance(node.op, (ast.Div, ast.FloorDiv, ast.Mod)):
            divisor = f"must(({name} := float({right})) != 0.0, {name})"
            if isinstance(node.op, ast.Div):
                return Value("float", f"(float({left}) / {divisor})")
            call = "floor_divide" if isinstance(node.op, ast.FloorDiv) else "remainder"
            code = f"{call}(float({left}), {divisor})"
            return Value("int", f"whole({code})") if whole else Value("float", code)
        if isinstance(node.op, ast.Pow) and not whole:
            code = f"({name} := pow(float({left}), float({right})))"
            return Value("float", f"must(is_finite({code}), {name})")
        raise self.refuse(f"computes {ast.unparse(node)}", node)

    def of_compare(self, node: ast.Compare) -> Value:
        parts = []
        left, left_node = self.expression(node.left), node.left
        for number, (how, right_node) in enumerate(zip(node.ops, node.comparators, strict=True)):
            right = self.expression(right_node)
            if number < len(node.ops) - 1 and right.kind in (*NUMBERS, "optional", "line"):
                code, kind = self.number(right, right_node)
                name = self.temporary()
                parts.append(self.compared(left, how, Value(kind, f"({name} := {code})"), node, left_node, right_node))
                right = Value(kind, name)
            else:
                parts.append(self.compared(left, how, right, node, left_node, right_node))
            left, left_node = right, right_node
        return Value("bool", parts[0] if len(parts) == 1 else f"({' and '.join(parts)})")

    def compared(
        self, left: Value, how: ast.cmpop, right: Value, node: ast.Compare, left_node: ast.expr, right_node: ast.expr
    ) -> str:
        if isinstance(how, (ast.Is, ast.IsNot)) or "none" in (left.kind, right.kind):
            if not isinstance(how, (ast.Is, ast.IsNot, ast.Eq, ast.NotEq)) or "none" not in (left.kind, right.kind):
                raise self.refuse(f"compares {ast.unparse(node)}", node)
            value = right if left.kind == "none" else left
            equal = isinstance(how, (ast.Is, ast.Eq))
            if value.kind == "optional":
                return f"(bits({value.code}) {'==' if equal else '!='} {NONE})"
            if value.kind == "line" and not isinstance(how, (ast.Is, ast.IsNot)):
                raise self.refuse(f"compares {ast.unparse(node)}", node)
            return str((value.kind == "none") == equal)
        sign = OPERATORS.get(type(how))
        if left.kind == right.kind == "thing" and sign in ("==", "!="):
            for value in (left, right):
                if not isinstance(value.thing, str):
                    raise self.refuse(f"compares {ast.unparse(node)}", node)
                if value.path:
                    self.fixed[value.path] = value.thing
            return str((left.thing == right.thing) == (sign == "=="))
        if sign is None:
            raise self.refuse(f"compares {ast.unparse(node)}", node)
        if sign in ("==", "!=") and "optional" in (left.kind, right.kind):  # None equals no number
            codes = [v.code if v.kind == "optional" else self.as_float(v, node) for v in (left, right)]
            if left.kind == right.kind:
                raise self.refuse(f"compares {ast.unparse(node)}", node)
            return f"({codes[0]} {sign} {codes[1]})"
        (one, _), (two, _) = self.number(left, left_node), self.number(right, right_node)
        return f"({one} {sign} {two})"

    def of_boolop(self, node: ast.BoolOp) -> Value:
        values = [self.expression(one) for one in node.values]
        word = "and" if isinstance(node.op, ast.And) else "or"
        scalars = (*NUMBERS, "optional", "none")
        if all(value.kind in scalars for value in values) and any(value.kind != "bool" for value in values):
            kind = values[0].kind
            for value in values[1:]:
                kind = _joined(kind, value.kind)
            code = self.as_type(values[-1], kind, node)
            for value, one in zip(values[-2::-1], node.values[-2::-1], strict=True):
                held = self.temporary()
                kept = Value(value.kind, held) if value.kind != "none" else value
                test, own = self.truth(kept, one), self.as_type(kept, kind, one)
                pick = f"({own} if {test} else {code})" if word == "or" else f"({code} if {test} else {own})"
                code = pick if value.kind == "none" else f"then(({held} := {value.code}), {pick})"
            return Value(kind, code)
        codes = [self.truth(value, one) for value, one in zip(values, node.values, strict=True)]
        return Value("bool", f"({f' {word} '.join(codes)})")

    def of_ifexp(self, node: ast.IfExp) -> Value:
        test = self.truth(self.expression(node.test), node.test)
        yes, no = (self.scalar(self.expression(one), one) for one in (node.body, node.orelse))
        kind = _joined(yes.kind, no.kind)
        return Value(kind, f"({self.as_type(yes, kind, node)} if {test} else {self.as_type(no, kind, node)})")

    # Calls ------------------------------------------------------------------------------------------------------

    def of_call(self, node: ast.Call, statement: bool) -> Value:
        if any(isinstance(one, ast.Starred) for one in node.args) or any(one.arg is None for one in node.keywords):
            raise self.refuse("uses *", node)
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call):
            inner = node.func.value
            if isinstance(inner.func, ast.Name) and inner.func.id == "super" and not inner.args:
                return self.call_of_super(node, statement)
        function = self.expression(node.func)
        if function.kind == "method":
            base, name = function.thing
            return self.call_of_method(base, name, node, statement)
        if function.kind != "thing":
            raise self.refuse(f"calls {ast.unparse(node.func)}()", node)
        thing = function.thing
        where, name = getattr(thing, "__module__", None), getattr(thing, "__name__", "")
        arguments = [self.expression(one) for one in node.args]
        if where in ("qfp.backtesting.lib", "backtesting.lib") and name in ("crossover", "cross"):
            one, two = arguments
            up = self.crossed(one, two, node)
            return Value("bool", up if name == "crossover" else f"({up} or {self.crossed(two, one, node)})")
        if getattr(builtins, name, None) is thing:
            found = self.call_of_builtin(name, arguments, node)
            if found is not None:
                return found
        elif getattr(math, name, None) is thing or getattr(np, name, None) is thing:
            found = self.call_of_mathematics(name, arguments, node, getattr(math, name, None) is thing)
            if found is not None:
                return found
        elif isinstance(thing, FunctionType) and not node.keywords:
            return self.inlined(thing, arguments, {}, node, statement)
        raise self.refuse(f"calls {ast.unparse(node.func)}()", node)

    def crossed(self, one: Value, two: Value, node: ast.Call) -> str:
        sides = []
        for value, part in ((one, node.args[0]), (two, node.args[1])):
            if value.kind == "line":
                sides.append((self.element(value, "bar - 1"), self.element(value, "bar")))
            else:
                code, kind = self.number(value, part)
                sides.append((Value(kind, code), Value(kind, code)))
        (before, now), (before2, now2) = sides
        return f"({before.code} < {before2.code} and {now.code} > {now2.code})"

    def call_of_builtin(self, name: str, arguments: list[Value], node: ast.Call) -> Value | None:
        if node.keywords:
            return None
        if name == "len" and len(arguments) == 1:
            if arguments[0].kind in ("data", "line"):
                return Value("int", "(bar + 1)")
            return Value("int", COUNTS[arguments[0].kind]) if arguments[0].kind in COUNTS else None
        if name == "bool" and len(arguments) == 1:
            return Value("bool", self.truth(arguments[0], node))
        if name in ("min", "max") and len(arguments) > 1:
            numbers = [self.number(one, part) for one, part in zip(arguments, node.args, strict=True)]
            kind = numbers[0][1]
            for _, other in numbers[1:]:
                kind = _joined(kind, other)
            best, other_name = self.temporary(), self.temporary()
            codes = [self.as_type(Value(one, code), kind, node) for code, one in numbers]
            steps = [f"({best} := {codes[0]})"]
            for code in codes[1:]:
                sign = "<" if name == "min" else ">"
                steps.append(f"({other_name} := {code})")
                steps.append(f"({best} := {other_name} if {other_name} {sign} {best} else {best})")
            return Value(kind, f"then({', '.join(steps)}, {best})")
        if len(arguments) != 1 or name not in ("abs", "float", "int", "round"):
            return None
        code, kind = self.number(arguments[0], node)
        if name == "float":
            return Value("float", f"float({code})")
        if kind == "bool":
            return None
        if kind == "int":
            held = self.temporary()
            return Value("int", f"(-{held} if ({held} := {code}) < 0 else {held})" if name == "abs" else code)
        if name == "abs":
            return Value("float", f"absolute({code})")
        call = "rint" if name == "round" else "truncated"
        return Value("int", self.whole(f"{call}({code})"))

    def whole(self, code: str) -> str:
        name = self.temporary()
        return f"must(absolute({name} := {code}) < {float(MOST)!r}, whole({name}))"

    def call_of_mathematics(self, name: str, arguments: list[Value], node: ast.Call, plain: bool) -> Value | None:
        if len(arguments) != 1 or node.keywords:
            return None
        code = self.as_float(arguments[0], node.args[0])
        held = self.temporary()
        if name == "isnan":
            return Value("bool", f"(({held} := {code}) != {held})")
        if name in ("isfinite", "isinf"):
            test = f"is_finite({held} := {code})"
            return Value("bool", test if name == "isfinite" else f"(not {test} and {held} == {held})")
        if name in ("floor", "ceil") and plain:
            return Value("int", self.whole(f"{'floor' if name == 'floor' else 'ceiling'}({code})"))
        known = (MATH if plain else NUMPY).get(name)
        if known is None:
            return None
        if known == "absolute" or not plain:
            return Value("float", f"{known}({code})")
        return Value("float", f"must(is_finite({held} := {known}({code})), {held})")

    def call_of_method(self, base: Value, name: str, node: ast.Call, statement: bool) -> Value:
        given = {one.arg: self.expression(one.value) for one in node.keywords}
        if base.kind == "self" and name in ("buy", "sell"):
            there = inspect.getattr_static(type(self.strategy), name)
            if getattr(there, "__module__", "").split(".")[0] not in ("qfp", "backtesting"):
                raise self.refuse(f"calls a {name}() of its own", node)
            if node.args or not set(given) <= {"size", "limit", "stop", "sl", "tp", "tag"}:
                raise self.refuse(f"calls {ast.unparse(node)}", node)
            size = self.as_float(given["size"], node) if "size" in given else repr(EVERYTHING)
            prices = [
                self.price(given[word], node) if word in given else "0.0" for word in ("limit", "stop", "sl", "tp")
            ]
            tag = self.tag(given.get("tag", Value("none")), node)
            code = f"{name}(a, {size}, {', '.join(prices)}, {tag})"
            return Value("order", code if statement else f"must(({(held := self.temporary())} := {code}) >= 0, {held})")
        arguments = [self.expression(one) for one in node.args]
        if base.kind in ("position", "trade") and name == "close":
            portion = given.get("portion", arguments[0] if arguments else Value("float", "1.0"))
            code = self.as_float(portion, node)
            if base.kind == "position":
                return Value("done", f"close_position(a, {code})")
            return Value("done", f"close_trade(a, {base.code}, {code})")
        if base.kind == "order" and name == "cancel" and not arguments:
            return Value("done", f"cancel(a, {base.code})")
        if base.kind == "self":
            there = inspect.getattr_static(type(self.strategy), name)
            if isinstance(there, staticmethod):
                return self.inlined(there.__func__, arguments, given, node, statement)
            return self.inlined(there, [base, *arguments], given, node, statement)
        raise self.refuse(f"calls {ast.unparse(node.func)}()", node)

    def tag(self, value: Value, node: ast.AST) -> int:
        if value.kind == "none":
            return 0
        if value.kind == "thing" and isinstance(value.thing, str):
            thing = value.thing
            if value.path:
                self.fixed[value.path] = thing
            if thing not in self.tags:
                self.tags.append(thing)
            return self.tags.index(thing)
        raise self.refuse("gives an order a tag that is no text known beforehand", node)

    def call_of_super(self, node: ast.Call, statement: bool) -> Value:
        assert isinstance(node.func, ast.Attribute)
        name, code = node.func.attr, self.scopes[-1].function.__code__
        order = type(self.strategy).__mro__
        own = next((at for at, cls in enumerate(order) if _code_of(vars(cls).get(name)) is code), None)
        if own is None:
            raise self.refuse("calls super()", node)
        for cls in order[own + 1 :]:
            there = vars(cls).get(name)
            if isinstance(there, FunctionType):
                if getattr(there, "__isabstractmethod__", False):
                    return Value("done", "")
                return self.inlined(there, [Value("self"), *map(self.expression, node.args)], {}, node, statement)
        raise self.refuse("calls super()", node)

    def inlined(
        self, function: Any, arguments: list[Value], given: dict[Any, Value], node: ast.AST, statement: bool = False
    ) -> Value:
        """A function of the program's own, put where it is called."""
        if len(self.scopes) > DEEPEST:
            raise self.refuse("calls functions that call functions, too deep", node)
        try:
            tree = _parsed(function)
        except Refused:
            raise self.refuse(f"calls {function.__name__}(), whose source cannot be read,", node) from None
        names = [one.arg for one in tree.args.args]
        if tree.args.vararg or tree.args.kwarg or tree.args.kwonlyargs or tree.args.posonlyargs or given:
            raise self.refuse(f"calls {function.__name__}() with arguments by name", node)
        defaults = list(function.__defaults__ or ())
        missing = len(names) - len(arguments)
        if not 0 <= missing <= len(defaults):
            raise self.refuse(f"calls {function.__name__}() with other arguments than it has", node)
        values = [*arguments, *(self.known_thing(one, ()) for one in defaults[len(defaults) - missing :])]
        me = None
        scope = Scope(function, None, prefix=f"v{len(self.scopes)}{self.temporary()}", inlined=True)
        held = []
        for name, value in zip(names, values, strict=True):
            if value.kind == "self":
                me = name
                continue
            if value.kind in (*NUMBERS, "optional", "trade", "order"):
                temporary = self.temporary()
                held.append(f"({temporary} := {value.code})")
                value = Value(value.kind, temporary)
            scope.names[name] = value
        scope.me = me
        body = [one for one in tree.body if not _is_docstring(one)]
        self.scopes.append(scope)
        try:
            if len(body) == 1 and isinstance(body[0], ast.Return) and body[0].value is not None:
                found = self.expression(body[0].value)
                if held and found.code:
                    found = Value(found.kind, f"then({', '.join(held)}, {found.code})", found.thing, found.path)
                return found
            if not statement:
                raise self.refuse(
                    f"uses what {function.__name__}() returns, and that is more than one expression", node
                )
            for code in held:
                self.write(f"{self.temporary()} = {code}")
            if body and isinstance(body[-1], ast.Return) and body[-1].value is None:
                body = body[:-1]
            self.body(body)
            return Value("done", "")
        finally:
            self.scopes.pop()


# What looks at the record's current bar, which is only kept up to date for them; and what leaves orders that wait.
ORDERING = re.compile(r"\b(buy|sell|close_position|close_trade|cancel|decide_stop_loss|decide_take_profit)\(")
AT_BAR = re.compile(ORDERING.pattern + r"|\b(position_pl|position_pl_pct|trade_pl|trade_pl_pct|trade_value)\(")
COUNTS = {"trades": "a.open", "orders": "a.waiting", "closed_trades": "a.closed"}
PRIVATE = ("index", "df", "pip")
POSITION = {
    "size": ("float", "a.units"),
    "is_long": ("bool", "(a.units > 0.0)"),
    "is_short": ("bool", "(a.units < 0.0)"),
    "pl": ("float", "position_pl(a)"),
    "pl_pct": ("float", "position_pl_pct(a)"),
}
OF = {
    "trade": {
        "size": ("float", "a.t_size[{}]"),
        "entry_price": ("float", "a.t_price[{}]"),
        "entry_bar": ("int", "a.t_bar[{}]"),
        "is_long": ("bool", "(a.t_size[{}] > 0.0)"),
        "is_short": ("bool", "(a.t_size[{}] < 0.0)"),
        "pl": ("float", "trade_pl(a, {})"),
        "pl_pct": ("float", "trade_pl_pct(a, {})"),
        "value": ("float", "trade_value(a, {})"),
        "sl": ("price", "trade_sl(a, {})"),
        "tp": ("price", "trade_tp(a, {})"),
    },
    "order": {
        "size": ("float", "a.o_size[{}]"),
        "limit": ("price", "a.o_limit[{}]"),
        "stop": ("price", "a.o_stop[{}]"),
        "sl": ("price", "a.o_sl[{}]"),
        "tp": ("price", "a.o_tp[{}]"),
        "is_long": ("bool", "(a.o_size[{}] > 0.0)"),
        "is_short": ("bool", "(a.o_size[{}] < 0.0)"),
        "is_contingent": ("bool", "(is_contingent(a, {}) != 0)"),
    },
}

RUN = """
def run(a: Account) -> int:
    must(begin(a) >= 0)
    closes = a.closes
{head}
    status = 0
    quiet = True
    below = a.danger_below
    above = a.danger_above
    for bar in range(a.start, a.count):
        if not quiet or closes[bar] <= below or closes[bar] >= above:
            a.bar = bar
            status = process(a)
            if status != 0:
                break
            quiet = a.waiting == 0
            below = a.danger_below
            above = a.danger_above
{body}
    must(status >= 0)
    if status == 0:
        a.bar = a.count - 1
        must(finish(a) >= 0)
{tail}
    return 0
"""
MANY = """
def many(a: Account, count: int, lines: list[int], width: int, params: list[float], numbers: int, starts: list[int],
         equity: list[float], trades: list[int]) -> int:
    for k in range(count):
        for j in range(width):
            a.lines[j] = lines[k * width + j]
        for j in range(numbers):
            a.params[j] = params[k * numbers + j]
        a.start = starts[k]
        trades[k] = -1
        if run(a) == 0:
            trades[k] = a.closed
            equity[k] = a.cash + (a.units * a.closes[a.count - 1] - a.cost) if a.ruined_at < 0 else 0.0
    return 0
"""


def _stored(kind: str) -> str:
    return {"optional": "float", "none": "float", "trade": "int", "order": "int"}.get(kind, kind)


def _zero(kind: str) -> str:
    return {"int": "0", "bool": "False", "trade": "0", "order": "0"}.get(kind, "0.0")


def _indented(lines: list[str], depth: int) -> str:
    return "\n".join("    " * depth + line for line in lines)


def _literal(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return f"({int(value)})" if value < 0 else str(int(value))
    value = float(value)
    if value != value or math.isinf(value):
        return f"from_bits({int(np.float64(value).view(np.int64))})"
    return f"({value!r})" if value < 0 else repr(value)


def _whole_constant(node: ast.expr) -> int | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _whole_constant(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    return None


def _is_call_of(node: ast.expr, *names: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names


def _leaves(nodes: list[ast.stmt]) -> bool:
    return bool(nodes) and isinstance(nodes[-1], (ast.Return, ast.Continue, ast.Break))


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _written(path: tuple[Any, ...]) -> str:
    return "self" + "".join(f"[{step[0]!r}]" if isinstance(step, tuple) else f".{step}" for step in path)


def _kind_of(thing: Any) -> str:
    return f"{thing.dtype} values" if isinstance(thing, np.ndarray) else _article(type(thing).__name__)


def _code_of(thing: Any) -> Any:
    return getattr(thing, "__code__", None)


def _function_of(cls: type, name: str) -> FunctionType:
    found = inspect.getattr_static(cls, name)
    if not isinstance(found, FunctionType):
        raise Refused("is not a plain function")
    return found


def _parsed(function: FunctionType) -> ast.FunctionDef:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndentationError, IndexError):
        raise Refused("cannot be read: its source is not there") from None
    if not isinstance(tree, ast.FunctionDef) or tree.name != function.__code__.co_name:
        raise Refused("cannot be read: it is not a plain function")
    if any(ast.unparse(one) != "property" for one in tree.decorator_list):
        raise Refused("is decorated")
    return tree
