"""What is an expression of next() in the machine's language? Names, attributes, indices, arithmetic, comparisons."""

from __future__ import annotations

import ast
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np

from qfp.backtesting.compiled.names import Names
from qfp.backtesting.compiled.values import (
    COUNTS,
    MOST,
    NONE,
    NUMBERS,
    Refused,
    Value,
    column_of,
    is_none,
    joined,
    kind_of,
    literal,
    type_of,
    whole_constant,
    written,
)
from qfp.backtesting.lines import Line
from qfp.backtesting.strategy import Strategy

OPERATORS: dict[type, str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
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
OWN = {"data", "position", "trades", "orders", "closed_trades", "equity"}  # of Strategy
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
        "limit": ("price", "order_limit(a, {})"),
        "stop": ("price", "order_stop(a, {})"),
        "sl": ("price", "order_sl(a, {})"),
        "tp": ("price", "order_tp(a, {})"),
        "is_long": ("bool", "(a.o_size[{}] > 0.0)"),
        "is_short": ("bool", "(a.o_size[{}] < 0.0)"),
        "is_contingent": ("bool", "(is_contingent(a, {}) != 0)"),
    },
}


class Expressions(Names):
    """Expressions: of_...() by kind of node, and what a value is where a number, a condition or a price is wanted."""

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
            return str(self.asked(bool, value))
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
        found = column_of(line.thing)
        if found is None:
            raise Refused(f"reads {written(line.path)}, whose values are {kind_of(line.thing)}")
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
                raise Refused(f"reads {written(path)}, an array of its own")
            if not path:
                raise Refused("reads a series that is not kept on the strategy")
            return Value("line" if thing.ndim == 1 else "rows", thing=thing, path=path)
        kind = type_of(thing)
        if kind == "none":
            if path:
                self.fixed[path] = None
            return Value("none", thing=None)
        if kind is not None and not path:
            return Value(kind, literal(thing))
        if kind is not None and len(path) == 1 and isinstance(path[0], str):
            number = self._argument(path[0], kind)
            return Value(kind, f"p{number}")
        if kind is not None:
            self.fixed[path] = thing
            return Value(kind, literal(thing))
        if path and isinstance(thing, (FunctionType, BuiltinFunctionType, ModuleType, np.ufunc)):
            self.fixed[path] = thing
        return Value("thing", thing=thing, path=path)

    def of_constant(self, node: ast.Constant) -> Value:
        if node.value is None:
            return Value("none")
        kind = type_of(node.value)
        if kind is None:
            return Value("thing", thing=node.value)
        return Value(kind, literal(node.value))

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
        try:
            return self.known_thing(self.outside.named(scope.function, node.id), ())
        except LookupError:
            raise self.refuse(f"reads {node.id}, which is not there", node) from None

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
        if base.kind in ("position", "trade", "order") or (base.kind == "stretch" and name in ("max", "min")):
            return Value("method", thing=(base, name))
        if base.kind == "thing" and isinstance(base.thing, ModuleType):
            return self.known_thing(self.outside.member(base.thing, name), ())
        raise self.refuse(f"uses {ast.unparse(node)}", node)

    def of_self(self, name: str, node: ast.AST) -> Value:
        if name in OWN and self.outside.method(type(self.strategy), name) is not vars(Strategy)[name]:
            raise self.refuse(f"reads a self.{name} of its own", node)
        if name in OWN - {"equity"}:
            return Value(name)
        if name == "equity":
            return Value("float", "equity_at(a, closes[bar])")
        if name in self.set_attributes:
            variable = f"s_{name}"
            if variable not in self.known or variable not in self.types:
                raise self.refuse(f"reads self.{name}, which may have no value there", node)
            return Value(self.types[variable], variable)
        if name not in vars(self.strategy):
            there = self.outside.method(type(self.strategy), name)
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
            row = whole_constant(first)
            if row is None or not -len(base.thing) <= row < len(base.thing) or len(rest) > 1:
                raise self.refuse(f"uses {ast.unparse(node)}", node)
            line = Value("line", thing=base.thing[row], path=(*base.path, (row,)))
            return self.at(line, rest[0], node) if rest else line
        if base.kind == "line" and isinstance(node.slice, ast.Slice):
            return self.stretch(base, node.slice, node)
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
                if base.path:
                    return self.known_thing(base.thing[key], (*base.path, (key,)))
                return self.known_thing(self.outside.element(base.thing, key), ())
            except (ValueError, LookupError, TypeError):
                pass
        raise self.refuse(f"uses {ast.unparse(node)}", node)

    def stretch(self, line: Value, part: ast.Slice, node: ast.expr) -> Value:
        """The last bars of a series, for the greatest or smallest of them; code: the first of these bars."""
        count = None if part.lower is None else whole_constant(part.lower)
        if count is None or count >= 0 or part.upper is not None or part.step is not None:
            raise self.refuse(f"uses {ast.unparse(node)}", node)
        if self.series[self.column(line)][1] != "float":
            raise self.refuse(f"uses {ast.unparse(node)}", node)
        return Value("stretch", f"(bar - {-count - 1} if bar > {-count - 1} else 0)", line.thing, line.path)

    def extreme(self, stretch: Value, name: str) -> Value:
        """The greatest or smallest of a stretch without missing values; those are left to NumPy and Python."""
        call, held = "greatest" if name == "max" else "smallest", self.temporary()
        number = self.column(Value("line", thing=stretch.thing, path=stretch.path))
        return Value(
            "float", f"then(({held} := {call}(l{number}, {stretch.code}, bar + 1)), must({held} == {held}, {held}))"
        )

    def at(self, line: Value, index: ast.expr, node: ast.expr) -> Value:
        constant = whole_constant(index)
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
            none = self.asked(is_none, value) if value.path else value.kind == "none"
            return str(none == equal)
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
                kind = joined(kind, value.kind)
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
        kind = joined(yes.kind, no.kind)
        return Value(kind, f"({self.as_type(yes, kind, node)} if {test} else {self.as_type(no, kind, node)})")
