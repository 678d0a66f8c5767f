"""What kinds of things does next() speak of? Values, their types, and how they are looked up and written."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from qfp.backtesting.reading import tree_of

NONE = 0x7FF8_0000_4E4F_4E45  # a NaN that no arithmetic makes stands for None
MOST = 2**53  # whole numbers beyond are left to the interpreted tier
NUMBERS = ("int", "float", "bool")
# What there may be several of, and how many there are.
COUNTS = {"trades": "a.open", "orders": "a.waiting", "closed_trades": "a.closed"}


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


def followed(thing: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        if isinstance(step, tuple):
            thing = thing[step[0]]
        else:
            thing = getattr(thing, step)
    return thing


def column_of(line: Any) -> tuple[np.ndarray, str] | None:
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


def type_of(value: Any) -> str | None:
    if value is None:
        return "none"
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, (int, np.int64)):
        return "int" if abs(int(value)) < MOST else None
    return "float" if isinstance(value, float) else None  # np.float64 is one


def is_none(thing: Any) -> bool:
    return thing is None


def fits(value: Any, kind: str) -> bool:
    """Whether an argument of this type can hold it."""
    found = type_of(value)
    if found == kind:
        return True
    if kind == "float":
        return found == "int"
    return kind == "optional" and found in ("none", "int", "float") and value == value  # None is kept as a NaN


def joined(one: str | None, other: str) -> str:
    """The type that holds both."""
    if one is None or one == other:
        return other
    if {one, other} <= {"int", "bool"}:
        return "int"
    if {one, other} <= {"int", "bool", "float"}:
        return "float"
    if {one, other} <= {"int", "bool", "float", "none", "optional"}:
        return "optional"
    raise Refused(f"keeps now {article(one)}, now {article(other)} under one name")


def article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def stored(kind: str) -> str:
    return {"optional": "float", "none": "float", "trade": "int", "order": "int"}.get(kind, kind)


def zero(kind: str) -> str:
    return {"int": "0", "bool": "False", "trade": "0", "order": "0"}.get(kind, "0.0")


def indented(lines: list[str], depth: int) -> str:
    return "\n".join("    " * depth + line for line in lines)


def literal(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return f"({int(value)})" if value < 0 else str(int(value))
    value = float(value)
    if value != value or math.isinf(value):
        return f"from_bits({int(np.float64(value).view(np.int64))})"
    return f"({value!r})" if value < 0 else repr(value)


def whole_constant(node: ast.expr) -> int | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = whole_constant(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    return None


def is_call_of(node: ast.expr, *names: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names


def leaves(nodes: list[ast.stmt]) -> bool:
    return bool(nodes) and isinstance(nodes[-1], (ast.Return, ast.Continue, ast.Break))


def is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def written(path: tuple[Any, ...]) -> str:
    return "self" + "".join(f"[{step[0]!r}]" if isinstance(step, tuple) else f".{step}" for step in path)


def kind_of(thing: Any) -> str:
    return f"{thing.dtype} values" if isinstance(thing, np.ndarray) else article(type(thing).__name__)


def code_of(thing: Any) -> Any:
    return getattr(thing, "__code__", None)


def parsed(function: FunctionType) -> ast.FunctionDef:
    return _parsed(function, function.__code__)


@lru_cache(maxsize=16)  # a translation asks for the same ones several times; nothing changes what it is given
def _parsed(function: FunctionType, code: CodeType) -> ast.FunctionDef:
    try:
        tree = tree_of(function)
    except (OSError, TypeError, SyntaxError, IndentationError, IndexError):
        raise Refused("cannot be read: its source is not there") from None
    if not isinstance(tree, ast.FunctionDef) or tree.name != code.co_name:
        raise Refused("cannot be read: it is not a plain function")
    if any(ast.unparse(one) != "property" for one in tree.decorator_list):
        raise Refused("is decorated")
    return tree
