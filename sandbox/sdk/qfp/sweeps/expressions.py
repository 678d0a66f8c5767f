"""Which combinations does a condition such as "fast < slow" allow? It is read, never executed as code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["condition"]

MOST_CHARACTERS = 300
MOST_PARTS = 100
HOW = 'write it with parameters, numbers, + - * / % and comparisons, such as "fast < slow and slow <= 3 * fast"'

Values = Mapping[str, Any]
Part = Callable[[Values], Any]

_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def condition(text: str, names: Iterable[str]) -> Callable[[Values], bool]:
    """A function of the parameters that says whether a combination is allowed.

    text: such as "fast < slow and hold > 2". names: of the parameters there are. What cannot be reckoned for a
    combination, such as a division by zero, does not allow it. Raises ValueError, with what to write, for anything else
    than parameters, numbers, texts, + - * / // %, comparisons, and, or, not.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"the condition is longer than {MOST_CHARACTERS} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError(f"{text!r} is no condition; {HOW}") from None
    if sum(1 for _ in ast.walk(tree)) > MOST_PARTS:
        raise ValueError("the condition has too many parts")
    found = _part(tree.body, frozenset(names))

    def allows(values: Values) -> bool:
        try:
            return bool(found(values))
        except (ArithmeticError, TypeError):
            return False

    return allows


def _part(node: ast.expr, names: frozenset[str]) -> Part:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return lambda values: value
        case ast.Name(id=name):
            if name not in names:
                raise ValueError(f"there is no parameter {name!r} here; there are {', '.join(sorted(names))}")
            return lambda values: values[name]
        case ast.UnaryOp(op=ast.USub() | ast.Not() as sign, operand=operand):
            inner = _part(operand, names)
            return (lambda values: not inner(values)) if isinstance(sign, ast.Not) else (lambda values: -inner(values))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            act, one, other = _ARITHMETIC[type(op)], _part(left, names), _part(right, names)
            return lambda values: _number(act, one(values), other(values))
        case ast.BoolOp(op=joined, values=parts):
            each = [_part(part, names) for part in parts]
            whole = all if isinstance(joined, ast.And) else any
            return lambda values: whole(part(values) for part in each)
        case ast.Compare(left=left, ops=ops, comparators=rest) if all(type(op) in _COMPARISONS for op in ops):
            terms = [_part(part, names) for part in (left, *rest)]
            acts = [_COMPARISONS[type(op)] for op in ops]
            return lambda values: _compared(acts, [term(values) for term in terms])
    raise ValueError(f"{ast.unparse(node)!r} cannot stand in a condition; {HOW}")


def _number(act: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
    """Only numbers are reckoned with: a text times a number could become as long as the memory is large."""
    if not isinstance(one, (int, float)) or not isinstance(other, (int, float)):
        raise TypeError("only numbers are reckoned with")
    return act(one, other)


def _compared(acts: list[Callable[[Any, Any], Any]], terms: list[Any]) -> bool:
    return all(act(one, other) for act, one, other in zip(acts, terms[:-1], terms[1:], strict=True))
