"""A program with each thing on a line of its own: what is named within other values, and code that is written as a
text.
"""

from __future__ import annotations

import ast
from collections import Counter
from textwrap import dedent
from typing import Any

from runner.likeness.naming import Function, functions_in, stored_in
from runner.likeness.work import Work

__all__ = ["unfolded"]

INNER = ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
NO_CODE = (SyntaxError, ValueError, RecursionError, MemoryError)


def unfolded(tree: ast.Module, work: Work) -> ast.Module:
    """The program with the code of its texts in their places, and with names that get values on lines of their own."""
    functions = {function.name for function in functions_in(tree)}
    tree = _Texts(tree, functions, work).visit(tree)
    return _Named(tree, functions).visit(tree)


class _Texts(ast.NodeTransformer):
    """exec() and eval() of what is written down. In a function what exec() names is no local, so such a one stays."""

    def __init__(self, tree: ast.Module, functions: set[str], work: Work) -> None:
        self.functions, self.work = functions, work
        self.inside = 0  # functions
        names = stored_in(tree)[0]
        self.texts: dict[str, ast.expr] = {}
        for stmt in tree.body:
            match stmt:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if names[name] == 1:
                    self.texts[name] = value

    def visit_FunctionDef(self, node: Function) -> Any:
        self.inside += 1
        self.generic_visit(node)
        self.inside -= 1
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Expr(self, node: ast.Expr) -> Any:
        if (text := self._text_of("exec", node.value)) is not None:
            try:
                code = ast.parse(dedent(text))
            except NO_CODE:
                return node
            if not self.inside or not stored_in(code)[0]:
                return self.visit(code).body
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> Any:
        if (text := self._text_of("eval", node)) is not None:
            try:
                return self.visit(ast.parse(text.strip(), mode="eval").body)
            except NO_CODE:
                return node
        return self.generic_visit(node)

    def _text_of(self, name: str, value: ast.expr) -> str | None:
        """What the function of that name is given, where it is written down and all that the code can see is here."""
        match value:
            case ast.Call(func=ast.Name(id=called), args=[code, *where], keywords=[]) if (
                called == name and name not in self.functions and all(map(_is_here, where))
            ):
                text = self._text(code)
                self.work.spend(len(text or ""))
                return text
        return None

    def _text(self, value: ast.expr, named: int = 0) -> str | None:
        match value:
            case ast.Constant(value=str(text)):
                return text
            case ast.Name(id=name) if name in self.texts and not named:
                return self._text(self.texts[name], 1)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                parts = self._text(left, named), self._text(right, named)
                return None if None in parts else "".join(map(str, parts))
            case ast.Call(func=ast.Name(id="compile" | "dedent"), args=[code, *_]):
                return self._text(code, named)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="textwrap"), attr="dedent"), args=[code]):
                return self._text(code, named)
        return None


def _is_here(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("globals", "locals")


class _Named(ast.NodeTransformer):
    """a := b within a statement is a = b before it, where that is the same."""

    def __init__(self, tree: ast.Module, functions: set[str]) -> None:
        self.functions = functions
        self.stored = stored_in(tree)[0]
        self.loops = 0

    def _function(self, node: Function) -> Any:
        before = self.stored, self.loops
        self.stored, self.loops = stored_in(node)[0], 0
        self._statement(node)
        self.stored, self.loops = before
        return node

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, Function):
            return self._function(node)
        return self._statement(node) if isinstance(node, ast.stmt | ast.mod | ast.ExceptHandler) else node

    def _statement(self, node: Any) -> Any:
        first: list[ast.stmt] = []
        for field in ("test", "value", "iter"):
            given = getattr(node, field, None)
            if isinstance(given, ast.expr) and not isinstance(node, ast.While):
                taken = _Taken(self.functions, self.stored, self.loops)
                setattr(node, field, taken.visit(given))
                first += taken.first
        loop = isinstance(node, ast.For | ast.AsyncFor | ast.While)
        self.loops += loop
        self.generic_visit(node)
        self.loops -= loop
        return [*first, node] if first else node


class _Taken(ast.NodeTransformer):
    """Of one expression, in the order in which its parts are computed."""

    def __init__(self, functions: set[str], stored: Counter[str], loops: int) -> None:
        self.functions, self.stored, self.loops = functions, stored, loops
        self.first: list[ast.stmt] = []
        self.read: set[str] = set()
        self.certain = True  # whether this part is computed, whatever the others are
        self.acted = False  # whether something may have been done before this part

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, INNER):
            return node
        match node:
            case ast.BoolOp(values=[one, *others]):
                node.values = [self.visit(one), *self._perhaps(others)]
            case ast.IfExp(test=test, body=body, orelse=other):
                node.test = self.visit(test)
                node.body, node.orelse = self._perhaps([body, other])
            case ast.Compare(left=left, comparators=[right, *others]):
                node.left, node.comparators = self.visit(left), [self.visit(right), *self._perhaps(others)]
            case ast.NamedExpr(target=ast.Name(id=name) as target):
                before = self.acted
                node.value = self.visit(node.value)
                alone = self.stored[name] == 1 and not self.loops and not self._acts(node.value)
                if (self.certain or alone) and not before and name not in self.read:
                    self.first.append(ast.Assign([target], node.value))
                    return ast.Name(name, ast.Load())
            case ast.Name(id=name):
                self.read.add(name)
            case _:
                self.generic_visit(node)
                self.acted |= self._does(node)
        return node

    def _perhaps(self, parts: list[ast.expr]) -> list[ast.expr]:
        before, self.certain = self.certain, False
        found = [self.visit(part) for part in parts]
        self.certain = before
        return found

    def _acts(self, value: ast.AST) -> bool:
        return any(map(self._does, ast.walk(value)))

    def _does(self, node: ast.AST) -> bool:
        """Whether it is a method or a function of the program, which can buy and sell."""
        match node:
            case ast.Call(func=ast.Name(id=name)):
                return name in self.functions
            case ast.Call() | ast.Await() | ast.Yield() | ast.YieldFrom():
                return True
        return False
