"""On which bars does next() do nothing? A condition over columns that is true on every bar where it may do something.

On most bars a strategy only compares a few series and leaves it at that. Where those comparisons can be told from the
translated next(), machine code makes eight bars' at once and visits only the bars where one holds. The condition may be
true too often, never too seldom: what is not understood counts as true, and what could fail as well.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

__all__ = ["Condition", "condition_of"]

MOST = 24  # columns in a condition: a long one takes longer than the bars it saves
OPERATORS = (ast.Add, ast.Sub, ast.Mult)
YES, NO = ast.Constant(True), ast.Constant(False)


@dataclass
class Condition:
    """test: in the words of the machine's language, of columns at `bar`. back: bars it looks back."""

    test: ast.expr
    back: int


def condition_of(body: list[ast.stmt], floats: set[str]) -> Condition | None:
    """None where next() may do something on any bar. floats: columns and arguments that are of floats."""
    reader = _Reader(floats)
    test = reader.effect(body, {})
    if is_constant(test, True) or sum(isinstance(one, ast.Subscript) for one in ast.walk(test)) > MOST:
        return None
    return Condition(test, reader.back)


class _Reader:
    def __init__(self, floats: set[str]) -> None:
        self.floats = floats
        self.back = 0

    def effect(self, nodes: list[ast.stmt], known: dict[str, ast.expr | None]) -> ast.expr:
        """When these statements may do something. known: what local names stand for."""
        found: list[ast.expr] = []
        for node in nodes:
            if isinstance(node, ast.Pass):
                continue
            if isinstance(node, ast.Expr) and isinstance(node.value, (ast.Constant, ast.Name)):
                continue  # a docstring, or next_bar
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if name[:1] not in "vt" or can_fail(node.value):
                    return YES
                known[name] = self.exactly(node.value, known)
                continue
            if not isinstance(node, ast.If):
                return YES
            inside, outside = dict(known), dict(known)
            acts, otherwise = self.effect(node.body, inside), self.effect(node.orelse, outside)
            test = self.perhaps(node.test, known)
            found.append(test if can_fail(node.test) else both(test, acts))
            found.append(otherwise)
            for name in inside.keys() | outside.keys():
                if inside.get(name) is not known.get(name) or outside.get(name) is not known.get(name):
                    known[name] = None
        return either(found)

    def perhaps(self, node: ast.expr, known: dict[str, ast.expr | None]) -> ast.expr:
        """When an expression may be true, or fail."""
        if isinstance(node, ast.BoolOp):
            parts = [self.perhaps(one, known) for one in node.values]
            if isinstance(node.op, ast.Or):
                return either(parts)
            found: ast.expr = YES
            for one in parts:
                found = both(found, one)
            return found
        exact = self.exactly(node, known)
        return YES if exact is None else exact

    def exactly(self, node: ast.expr, known: dict[str, ast.expr | None]) -> ast.expr | None:
        """The expression with columns, constants and what does not change while nothing happens; None for others."""
        if isinstance(node, ast.Constant):
            return node
        if isinstance(node, ast.Name):
            if node.id in known:
                return known[node.id]
            return node if node.id[:1] == "p" or node.id[:2] == "s_" else None
        if isinstance(node, ast.Attribute):
            return node if ast.unparse(node) in ("a.units", "a.cash", "a.open", "a.waiting", "a.closed") else None
        if isinstance(node, ast.Subscript):
            return self.column(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
            inner = self.exactly(node.args[0], known)
            return None if inner is None else ast.Call(node.func, [inner], [])
        parts: list[ast.expr | None]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
            inner = self.exactly(node.operand, known)
            return None if inner is None else ast.UnaryOp(node.op, inner)
        if isinstance(node, ast.BinOp) and isinstance(node.op, OPERATORS):
            left, right = self.exactly(node.left, known), self.exactly(node.right, known)
            if left is None or right is None or not (self.is_float(left) or self.is_float(right)):
                return None  # whole numbers could become too large
            return ast.BinOp(left, node.op, right)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            left, right = self.exactly(node.left, known), self.exactly(node.comparators[0], known)
            return None if left is None or right is None else ast.Compare(left, node.ops, [right])
        if isinstance(node, ast.BoolOp):
            parts = [self.exactly(one, known) for one in node.values]
            return None if None in parts else ast.BoolOp(node.op, parts)  # type: ignore[arg-type]
        return None

    def is_float(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Constant):
            return isinstance(node.value, float)
        if isinstance(node, ast.UnaryOp):
            return isinstance(node.op, ast.USub) and self.is_float(node.operand)
        if isinstance(node, ast.Subscript):
            node = node.value
        return isinstance(node, (ast.BinOp, ast.Call)) or (isinstance(node, ast.Name) and node.id in self.floats)

    def column(self, node: ast.Subscript) -> ast.expr | None:
        """l0[bar], or l0[bar - 2], whose check that there is such a bar the caller makes once."""
        if not isinstance(node.value, ast.Name) or not (node.value.id[:1] == "l" or node.value.id == "closes"):
            return None
        at = node.slice
        if isinstance(at, ast.Call) and isinstance(at.func, ast.Name) and at.func.id == "must" and len(at.args) == 2:
            check, at = at.args
            if ast.unparse(check) != f"bar >= {back_of(at)}":
                return None
        back = back_of(at)
        if back is None:
            return None
        self.back = max(self.back, back)
        return ast.Subscript(node.value, at, ast.Load())


def back_of(at: ast.expr) -> int | None:
    if isinstance(at, ast.Name) and at.id == "bar":
        return 0
    if isinstance(at, ast.BinOp) and isinstance(at.op, ast.Sub) and isinstance(at.right, ast.Constant):
        return at.right.value if back_of(at.left) == 0 and type(at.right.value) is int else None
    return None


def can_fail(node: ast.AST) -> bool:
    """Whether there may be more in it that ends a run than the index of a column."""
    if isinstance(node, ast.Subscript) and _Reader(set()).column(node) is not None:
        return False
    if isinstance(node, ast.NamedExpr) or (isinstance(node, ast.Call) and ast.unparse(node.func) != "float"):
        return True
    return any(can_fail(one) for one in ast.iter_child_nodes(node))


def is_constant(node: ast.expr, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def both(one: ast.expr, other: ast.expr) -> ast.expr:
    if is_constant(one, False) or is_constant(other, True):
        return one
    return other if is_constant(one, True) or is_constant(other, False) else ast.BoolOp(ast.And(), [one, other])


def either(parts: list[ast.expr]) -> ast.expr:
    if any(is_constant(one, True) for one in parts):
        return YES
    left = [one for one in parts if not is_constant(one, False)]
    return NO if not left else left[0] if len(left) == 1 else ast.BoolOp(ast.Or(), left)
