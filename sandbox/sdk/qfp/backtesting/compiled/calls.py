"""What is a call in next()? Orders, mathematics, and functions of the program's own put where they are called."""

from __future__ import annotations

import ast
import builtins
import math
from types import FunctionType
from typing import Any

import numpy as np

from qfp.backtesting.compiled.expressions import Expressions
from qfp.backtesting.compiled.values import (
    COUNTS,
    MOST,
    NUMBERS,
    Refused,
    Scope,
    Value,
    code_of,
    is_docstring,
    joined,
    parsed,
)
from qfp.backtesting.strategy import EVERYTHING

DEEPEST = 8
MATH = {"sqrt": "root", "exp": "exp", "log": "log", "sin": "sin", "cos": "cos", "tan": "tan", "log10": "log10"}
MATH |= {"fabs": "absolute", "log2": "log2", "atan": "atan"}
NUMPY = {"sqrt": "root", "abs": "absolute", "absolute": "absolute", "fabs": "absolute"}


class Calls(Expressions):
    """Calls, by what is called."""

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
        if name in ("min", "max") and len(arguments) == 1 and arguments[0].kind == "stretch":
            return self.extreme(arguments[0], name)
        if name in ("min", "max") and len(arguments) > 1:
            numbers = [self.number(one, part) for one, part in zip(arguments, node.args, strict=True)]
            kind = numbers[0][1]
            for _, other in numbers[1:]:
                kind = joined(kind, other)
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
        if arguments[0].kind == "stretch":
            return self.extreme(arguments[0], name) if name in ("max", "min") else None
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
            there = self.outside.method(type(self.strategy), name)
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
        if base.kind == "stretch" and not arguments and not given:
            return self.extreme(base, name)
        if base.kind in ("position", "trade") and name == "close":
            portion = given.get("portion", arguments[0] if arguments else Value("float", "1.0"))
            code = self.as_float(portion, node)
            if base.kind == "position":
                return Value("done", f"close_position(a, {code})")
            return Value("done", f"close_trade(a, {base.code}, {code})")
        if base.kind == "order" and name == "cancel" and not arguments:
            return Value("done", f"cancel(a, {base.code})")
        if base.kind == "self":
            there = self.outside.method(type(self.strategy), name)
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
        own = next((at for at, cls in enumerate(order) if code_of(vars(cls).get(name)) is code), None)
        if own is None:
            raise self.refuse("calls super()", node)
        for cls in order[own + 1 :]:
            there = self.outside.above(cls, name)
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
            tree = parsed(function)
        except Refused:
            raise self.refuse(f"calls {function.__name__}(), whose source cannot be read,", node) from None
        self.outside.function(function)
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
        body = [one for one in tree.body if not is_docstring(one)]
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
